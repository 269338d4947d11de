"""What the README says of the code must be there."""

import re

import pytest
from conftest import ROOT

README = (ROOT / "README.md").read_text(encoding="utf-8")


def table(heading):
    """Return the rows of the first table below a heading, as lists of cells."""
    lines = README.split(f"## {heading}\n", 1)[1].splitlines()
    first = next(k for k, line in enumerate(lines) if line.startswith("| --- |"))
    rows = []
    for line in lines[first + 1 :]:
        if not line.startswith("|"):
            break
        rows.append([cell.strip() for cell in line.strip("|").split("|")])
    return rows


def code(text):
    return re.findall(r"`([^`]+)`", text)


ROWS = table("Beside the tutorial")


def test_table_has_the_steps_of_the_page():
    assert len(ROWS) >= 10


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0])
def test_names_are_in_the_file_that_the_row_points_to(row):
    _, names, where, _ = row
    (file,) = code(where)
    source = (ROOT / file).read_text(encoding="utf-8")
    assert code(names)
    for name in code(names):
        assert re.search(rf"\b{name}\b", source), f"{name} is not in {file}"


def test_names_stand_in_the_script_in_the_order_of_the_table():
    script = (ROOT / "train_softmax.py").read_text(encoding="utf-8")
    places = []
    for _, names, where, _ in ROWS:
        if code(where) == ["train_softmax.py"]:
            name = code(names)[0]
            line = re.search(rf"^ +(tf\.)?{name}\b", script, re.MULTILINE)
            places.append(line.start())
    assert places == sorted(places)


def test_options_are_the_scripts():
    script = (ROOT / "train_softmax.py").read_text(encoding="utf-8")
    flags = re.findall(r'add_argument\(\s*"(--[\w-]+)"', script)
    assert [code(option)[0].split()[0] for option, _, _ in table("Run it")] == flags


def test_files_that_it_shows_exist():
    for path in re.findall(r"!\[.*?\]\((.*?)\)", README):
        assert (ROOT / path).is_file()
