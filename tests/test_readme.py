"""What the pages say of the code must be there, and what they show must come out.

`figures.py` prints the figures that take longer. Sizes of downloads and of disk, and the
tables of messages, are tried by hand.
"""

import os
import re
import shutil
import sys

import numpy as np
import pytest
import tensorflow.compat.v1 as tf
from helpers import (
    CODE,
    DIFF,
    FOUR_LINES,
    INSTALLATION,
    MNIST,
    OLD_PROGRAMS,
    PAGE,
    README,
    REAL,
    ROOT,
    SCRIPT,
    YOUR_OWN_DIGIT,
    better_changes,
    blocks,
    contents,
    page_changes,
    python,
    section,
)

import data

# The reader below pastes much, and a machine may be busy.
pytestmark = pytest.mark.timeout(600)
WORKFLOW = (ROOT / ".github" / "workflows" / "tests.yml").read_text(encoding="utf-8")
(RUN,) = blocks(README, "sh", "train_softmax.py")
(TESTS,) = blocks(README, "sh", "pytest")
ROWS = [
    re.findall(r"`([^`]+)`", row.split(" | ")[0])
    for row in re.findall("^`.* [|] .*$", section("Beside the tutorial"), re.MULTILINE)
]


def test_table_has_the_steps_of_the_page_in_the_scripts_order():
    found = [[CODE.index(word) for word in row] for row in ROWS]
    assert len(found) > 1 and found == sorted(found)


@pytest.mark.parametrize("page", ["README.md", *(ROOT / ".readme").glob("*.md")])
def test_what_it_links_to_exists(page):
    text = (ROOT / page).read_text(encoding="utf-8")
    links = re.findall(r"\]\((?!http)(.*?)\)", text)
    assert links
    for link in links:
        path, _, heading = link.partition("#")
        target = (ROOT / page).parent / path if path else ROOT / page
        assert target.is_file()
        if heading:
            headings = re.findall("^## (.*)", target.read_text("utf-8"), re.MULTILINE)
            assert heading in [h.lower().replace(" ", "-") for h in headings]


def windows(command):
    command = command.replace("python3", "python").replace("/bin/", "\\Scripts\\")
    return re.split(r"\s*&&\s*", command.strip())


def test_commands_for_windows_and_of_the_workflow_are_the_readmes():
    (powershell,) = blocks(README, "powershell")
    run, tests = windows(RUN), windows(TESTS)
    assert run == powershell.splitlines()
    lines = re.findall("^ +- run: (.*)$", WORKFLOW, re.MULTILINE)
    assert lines == ["bash .ci/run", *run, *(line for line in tests if line not in run)]


def test_versions_agree():
    """Python's oldest and newest, and the floors of TensorFlow and NumPy."""
    requirements = (ROOT / "requirements.txt").read_text()
    tensorflow, numpy = re.findall(r"^\w+>=([\d.]+)", requirements, re.MULTILINE)[::2]
    (newest,) = set(re.findall(r'python_version \W+ "([\d.]+)"', requirements))
    ruff = (ROOT / ".ruff.toml").read_text()
    oldest = re.sub(r'(?s).*= "py(\d)(\d+)".*', r"\1.\2", ruff)
    assert f"Python {oldest} to {newest}" in README
    assert f"from {oldest} to {newest}" in INSTALLATION
    assert f"Python {oldest} (TensorFlow {tensorflow}.0)" in README
    assert WORKFLOW.count(f'python: ["{oldest}", "{newest}"]') == 2
    assert f"floor: tensorflow=={tensorflow}.0 numpy=={numpy}.0\n" in WORKFLOW


# What a reader pastes at the prompt, and what comes out of it.
PASTED = blocks(section("Next steps"), "python") + blocks(YOUR_OWN_DIGIT, "python")
ONES = {f"1-{pen}.png": pen for pen in (2, 8, 16, 40)}  # thin pens and thick ones
DIGITS = sorted(path.name for path in (ROOT / "tests" / "digits").glob("[0-9]*"))
# A note in a JPEG (EXIF's orientation 6) that the picture is to be turned by 90 degrees.
TURN = "ffe1002245786966000049492a0008000000010012010300010000000600000000000000"


@pytest.fixture(scope="module")
def explored(tmp_path_factory):
    """Output, errors and folder of a reader who has no network and pastes all blocks."""
    folder = tmp_path_factory.mktemp("reader")
    # MNIST's first digit in black and in white, an upright 1, and a blank sheet.
    seven = data.read_data_sets(MNIST, dtype="uint8", reshape=False).test.images[0]
    pictures = {
        "digit.png": 255 - seven,
        "7-white.png": seven.repeat(9, 0).repeat(9, 1),
    }
    for name in [*ONES, "blank.png"]:
        pictures[name] = np.full((400, 400, 1), 200, np.uint8)
    for name, pen in ONES.items():
        pictures[name][60:340, 200 : 200 + pen] = 0
    with tf.Graph().as_default(), tf.Session():
        for name, pixels in pictures.items():
            (folder / name).write_bytes(tf.io.encode_png(pixels).eval())
    for name in DIGITS:
        shutil.copy(ROOT / "tests" / "digits" / name, folder)
    jpeg = (folder / "2-photo-0.jpg").read_bytes()
    (folder / "turned.jpg").write_bytes(jpeg[:2] + bytes.fromhex(TURN) + jpeg[2:])
    reading = "print('# {0}', *read_digit('{0}'))\n"
    all_names = [*pictures, "none.png", *DIGITS, "turned.jpg"]
    readings = [reading.format(name) for name in all_names]
    (one_image,) = re.findall(r"\*\*One image\*\*: `(.*?)`", README)
    ours = ("no_proxy", "tf_cpp_min_log_level")
    env = {k: v for k, v in os.environ.items() if k.lower() not in ours}
    env.update(http_proxy="http://[::1]:9", https_proxy="http://[::1]:9")
    typed = "\n".join([*PASTED, *readings, f"print({one_image})", ""])
    done = python("-i", SCRIPT, typed=typed, cwd=folder, env=env)
    out = done.stdout
    if sys.platform == "win32":  # TensorFlow adds lines there, as the README says
        out = re.sub(r"WARNING:tensorflow:.* Please use tf.compat.v1.*\n\n", "", out)
    return out, done.stderr, folder


def test_what_else_is_printed_is_called_harmless(explored):
    (harmless,) = re.findall(r"Ignore lines (.*?)\. ##", " ".join(README.split()))
    quoted = re.findall(r"`([^`]+)`", harmless)
    known = "|".join(map(re.escape, quoted))
    # What comes at the prompt is of the prompt.
    for line in explored[1].split(">>> ")[0].splitlines():
        assert re.fullmatch(r"\[#*\]?|", line) or re.search(known, line)
    assert "deprecat" not in explored[1].lower()
    assert f"in {data.TIMEOUT_SECONDS} seconds" in quoted


def test_it_prints_what_the_first_screen_shows(explored):
    (shown,) = blocks(README, "text")
    first, dots, *last = shown.splitlines()
    printed = explored[0].splitlines()[:11]
    assert dots == "..." and [printed[0], *printed[-2:]] == [first, *last]


def test_exploring_prints_what_it_shows(explored):
    comments = re.findall("  # (\\d.*\n)", "".join(PASTED))
    rest = explored[0].split("\n", 11)[11]
    drawing = r"([#-]{%s}\n){%s}"
    two, seven = drawing % (28, 14), drawing % (20, 10)
    assert len(comments) == 1
    assert re.match(f"{comments[0]}{two}{seven}7 0\\.9\\d+\n", rest)
    assert rest.endswith("\n7\n")  # of one image


def test_the_picture_of_w_is_the_readmes(explored):
    paths = [ROOT / ".readme" / "weights.png", explored[2] / "W.png"]
    with tf.Graph().as_default(), tf.Session():
        shown, drawn = (tf.io.decode_png(p.read_bytes()).eval() / 1 for p in paths)
    np.testing.assert_allclose(drawn, shown, atol=2)


@pytest.fixture
def answers(explored):
    """The digit and the probability that each picture was read as, by its name."""
    found = re.findall(r"^# (\S+) (\d) ([01]\.\d+)$", explored[0], re.MULTILINE)
    return {name: answer for name, *answer in found}


def test_as_many_pictures_are_read_as_the_page_says(answers):
    def correct(names):
        return [answers[name][0] == name[0] for name in names]

    assert all(correct(["7-white.png", *ONES]))
    clean = [name for name in DIGITS if re.search("drawn|photo", name)]
    others = sorted({*DIGITS} - {*clean})
    text = " ".join(YOUR_OWN_DIGIT.split())
    assert f"{sum(correct(clean))} of the {len(clean)} clean pictures" in text
    assert f"{sum(correct(others))} of the {len(others)} with a shadow" in text
    assert answers["turned.jpg"] == answers["2-photo-0.jpg"]  # the note is ignored


def test_what_cannot_be_read_is_said_in_a_last_line(explored):
    errors = re.findall(r"^(\w+Error: .*)", explored[1], re.MULTILINE)
    assert errors == [
        "AssertionError: blank.png is blank, transparent or too faint",
        "FileNotFoundError: [Errno 2] No such file or directory: 'none.png'",
    ]


def test_without_a_network_the_copy_is_taken(explored):
    mnist = {name: (MNIST / name).read_bytes() for name in data.FILES}
    assert contents(explored[2] / "MNIST_data") == mnist


# What a reader changes in the script


def test_five_seeds_reach_the_accuracy_that_the_readme_says(run):
    """Its figure is of 20 seeds. The standard error of 5 is 0.001."""
    figure = float(re.search(r"1,000 reach (0\.\d{4})", README).group(1))
    accuracies = [float(run(REAL, seed=k)[1].split()[-1]) for k in range(5)]
    assert abs(np.mean(accuracies) - figure) < 0.003


def test_another_optimizer(run, small):
    (adam,) = re.findall(r"`(tf\.train\.Adam.*?)`", README)
    names, _ = run(("tf.train.GradientDescentOptimizer(0.5)", adam), steps=1)
    assert abs(names.W.eval()).max() == pytest.approx(0.001, rel=0.01)


def test_the_accuracy_on_the_way(run, small):
    """The lines that move, and the new one, stand in the README."""
    assert "`correct_prediction` and `accuracy` above\n  the loop" in README
    (new,) = re.findall(r"below its `print` add `(.*?)`", README)
    moved = re.search(r"(?s)correct_prediction = .*?(?=\nprint)", CODE).group()
    shown = re.search(r"\n( +)print\(f\"step.*\n", CODE)
    _, out = run(
        (moved, ""),
        ("\nfor step", f"\n{moved}\nfor step"),
        (shown.group(), f"{shown.group()}{shown.group(1)}{new}\n"),
        steps=1,
    )
    assert re.match(r"step   0 .*\n0\.\d+\n", out)


def test_save_and_restore(run, small):
    """As the README says, at the end of the script and in a copy in place of the loop."""
    save, restore = re.findall(r"`(tf\.train\.Saver.*?)`", README)
    end = CODE.splitlines()[-1]
    loop = re.search(r"(?s)for step in .*?(?=\n+correct_prediction)", CODE).group()
    _, out = run((end, f"{end}\n{save}"), steps=20)
    _, again = run((loop, restore))
    assert again == out.splitlines(keepends=True)[-1]


def test_the_better_model_is_better(run):
    """Its lines still fit into the script, and they help."""
    assert len(better_changes()) == DIFF.count("\n-") + DIFF.startswith("-") == 2
    _, out = run(REAL, *better_changes())
    figure = float(re.search(r"This reaches (0\.\d+)", README).group(1))
    assert abs(float(out.split()[-1]) - figure) < 0.004


def test_the_pages_own_program_runs_with_four_lines_changed(run):
    """No other line needs a change. Other old programs need the first three of them."""
    assert FOUR_LINES.startswith(*blocks(OLD_PROGRAMS, "python"))
    _, out = run(REAL, *page_changes(), code=PAGE)
    assert 0.905 <= float(out) <= 0.927
