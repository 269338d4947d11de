"""What the README says of the code must be there, and what it shows must come out.

Its figures of other steps, seeds and rates, of V at zero, of the page's program at rate 2,
of downloads and of disk are run by hand.
"""

import os
import re
import shutil
import sys
import token
import tokenize

import numpy as np
import pytest
import tensorflow.compat.v1 as tf
from helpers import MNIST, PAGE, REAL, ROOT, SCRIPT, contents, python, seed

import data

README = (ROOT / "README.md").read_text(encoding="utf-8")
WORKFLOW = (ROOT / ".github" / "workflows" / "tests.yml").read_text(encoding="utf-8")
OLD_PROGRAMS = (ROOT / ".readme" / "old-programs.md").read_text(encoding="utf-8")


def section(heading):
    return re.search(
        rf"^## {heading}\n(.*?)(?=^## |\Z)", README, re.MULTILINE | re.DOTALL
    ).group(1)


def blocks(text, language, part=""):
    """Return the code blocks of a language with `part` in them."""
    fenced = rf"^```{language}\n(.*?)^```$"
    found = re.findall(fenced, text, re.MULTILINE | re.DOTALL)
    return [block for block in found if part in block]


(RUN,) = blocks(README, "sh", "train_softmax.py")
(TESTS,) = blocks(README, "sh", "pytest")


def names(path):
    """Return the names that stand in a file's code, in order; not its comments."""
    with open(path, "rb") as file:
        return [
            t.string for t in tokenize.tokenize(file.readline) if t.type == token.NAME
        ]


ROWS = [
    re.findall(r"`([^`]+)`", row.split(" | ")[0])
    for row in re.findall("^`.* [|] .*$", section("Beside the tutorial"), re.MULTILINE)
]


def test_table_has_the_steps_of_the_page_in_the_scripts_order():
    code = names(SCRIPT)
    found = [
        [[word in name for name in code].index(True) for word in row] for row in ROWS
    ]
    assert len(found) > 1 and found == sorted(found)


def test_what_it_links_to_exists():
    links = re.findall(r"\]\((?!http)(.*?)\)", README)
    assert {".readme/old-programs.md", ".readme/installation.md"} < set(links)
    headings = re.findall("^## (.*)", README, re.MULTILINE)
    for link in links:
        if link.startswith("#"):
            assert link in ["#" + h.lower().replace(" ", "-") for h in headings]
        else:
            assert (ROOT / link).is_file()


def test_command_for_windows_is_the_same():
    (powershell,) = blocks(README, "powershell")
    assert windows(RUN) == powershell.splitlines()


def windows(command):
    command = command.replace("python3", "python").replace("/bin/", "\\Scripts\\")
    return re.split(r"\s*&&\s*", command.strip())


def test_workflow_runs_the_readmes_commands():
    run, tests = windows(RUN), windows(TESTS)
    steps = re.findall("^ +- run: (.*)$", WORKFLOW, re.MULTILINE)
    assert steps == ["bash .ci/run", *run, *(line for line in tests if line not in run)]


def test_seconds_until_the_copy_is_taken_are_the_mirrors():
    seconds = len(data.MIRRORS[:-1]) * data.TIMEOUT_SECONDS
    assert f"after {seconds} seconds at most `tests/mnist` is used" in README


def test_old_programs_need_the_first_lines_that_the_page_needs():
    (four,) = blocks(section("Beside the tutorial"), "python")
    (three,) = blocks(OLD_PROGRAMS, "python")
    assert four.startswith(three)


# What a reader pastes at the prompt, and what comes out of it.
PASTED = blocks(section("Explore it"), "python")
ONES = {f"1-{pen}.png": pen for pen in (2, 8, 16, 40)}  # thin pens and thick ones
DIGITS = sorted(path.name for path in (ROOT / "tests" / "digits").glob("[0-9]*"))


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
    reading = "print('# {0}', *read_digit('{0}'))\n"
    readings = [reading.format(n) for n in [*pictures, "none.png", *DIGITS]]
    ours = ("no_proxy", "tf_cpp_min_log_level")
    env = {k: v for k, v in os.environ.items() if k.lower() not in ours}
    env.update(http_proxy="http://[::1]:9", https_proxy="http://[::1]:9")
    typed = "".join(PASTED + readings)
    done = python("-i", SCRIPT, typed=typed, cwd=folder, env=env)
    out = done.stdout
    if sys.platform == "win32":  # TensorFlow adds lines there, as the README says
        out = re.sub(r"WARNING:tensorflow:.* The name .* is deprecated.*\n\n", "", out)
    return out, done.stderr, folder


def test_what_else_is_printed_is_called_harmless(explored):
    (harmless,) = re.findall(r"Lines with (`.*?)\sare harmless", README, re.DOTALL)
    known = "|".join(re.findall(r"`([^`]+)`", harmless))
    ours = r"\[#*\]?$|URLError\("
    # What comes at the prompt is of the prompt.
    for line in explored[1].split(">>> ")[0].splitlines():
        assert re.match(ours, line) or re.search(known, line)
    assert "deprecat" not in explored[1].lower()


def test_it_prints_what_the_first_screen_shows(explored):
    first, last, result = re.findall(r"^(?:step|test) .*$", README, re.MULTILINE)[:3]
    shown = explored[0].splitlines()[:11]
    assert (shown[0], shown[9], shown[10]) == (first, last, result)


def test_exploring_prints_what_it_shows(explored):
    comments = "".join(re.findall("  # (\\d.*\n)", "".join(PASTED)))
    rest = explored[0].split("\n", 11)[11]
    assert comments and rest.startswith(comments)
    assert re.match(r"([#-]{20}\n){10}7 0\.9\d+\n", rest[len(comments) :])


def test_the_picture_of_w_is_the_readmes(explored):
    paths = [ROOT / ".readme" / "weights.png", explored[2] / "W.png"]
    with tf.Graph().as_default(), tf.Session():
        shown, drawn = (tf.io.decode_png(p.read_bytes()).eval() / 1 for p in paths)
    np.testing.assert_allclose(drawn, shown, atol=2)


@pytest.fixture
def correct(explored):
    """Whether each picture, by its name, was read as the digit that the name begins with."""
    answers = re.findall(r"^# (\S+) (\d) [01]\.\d+$", explored[0], re.MULTILINE)
    return {name: answer == name[0] for name, answer in answers}


def test_plain_digits_are_read(correct):
    assert all(correct[name] for name in ["7-white.png", *ONES])


def test_as_many_pictures_are_read_as_the_readme_says(correct):
    clean = [correct[n] for n in DIGITS if re.search("drawn|photo", n)]
    others = [correct[n] for n in DIGITS if not re.search("drawn|photo", n)]
    text = " ".join(README.split())
    assert f"reads {sum(clean)} of the {len(clean)} clean pictures" in text
    assert f"and {sum(others)} of the {len(others)} with a shadow" in text


def test_what_cannot_be_read_is_said_in_a_last_line(explored):
    errors = re.findall(r"^(\w+Error: .*)", explored[1], re.MULTILINE)
    assert errors == [
        "AssertionError: blank.png is blank or transparent",
        "FileNotFoundError: [Errno 2] No such file or directory: 'none.png'",
    ]


def test_five_seeds_reach_the_accuracy_that_the_readme_says(run):
    """Its figure is of 20 seeds. The standard error of 5 is 0.001."""
    figure = float(re.search(r"1,000 reach (0\.\d{4})", README).group(1))
    accuracies = []
    for number in range(5):
        names, out = run(REAL, seed(number))
        accuracies.append(float(out.split()[-1]))
        if number == 0:
            read = names.y.eval({names.x: names.mnist.test.images}).argmax(1)
            truth = names.mnist.test.labels.argmax(1)
    pattern = r"(\d+) of the (\d)s (?:are read )?as\s+an?\s+(\d)"
    mistakes = np.array(re.findall(pattern, README), int)
    assert len(mistakes) == 3
    for count, digit, answer in mistakes:
        assert ((truth == digit) & (read == answer)).sum() == count
    assert abs(np.mean(accuracies) - figure) < 0.003


def test_without_a_network_the_copy_is_taken(explored):
    mnist = {name: (MNIST / name).read_bytes() for name in data.FILES}
    assert contents(explored[2] / "MNIST_data") == mnist


def test_the_better_model_is_better(run):
    """Its lines still fit into the script, and they help."""
    (diff,) = blocks(section("Make it better"), "diff")
    changes = re.findall(r"^-(.*\n)((?:\+.*\n)+)", diff, re.MULTILINE)
    changes = [(old, re.sub(r"(?m)^\+", "", new)) for old, new in changes]
    _, out = run(REAL, *changes)
    figure = float(re.search(r"mean of seeds 0 to 2: (0\.\d+)", README).group(1))
    assert abs(float(out.split()[-1]) - figure) < 0.004


def test_the_pages_own_program_runs_with_four_lines_changed(run):
    """No other line of it needs a change."""
    (lines,) = blocks(section("Beside the tutorial"), "python")
    helper, tensorflow, graph, initializer = lines.splitlines()
    session = "sess = tf.InteractiveSession()"
    changes = [
        ("from tensorflow.examples.tutorials.mnist import input_data", helper),
        ("import tensorflow as tf", f"{tensorflow}\n{graph}"),
        (session, f"{session}\n{initializer}"),
    ]
    _, out = run(REAL, *changes, code=PAGE)
    assert 0.905 <= float(out) <= 0.927
