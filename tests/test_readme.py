"""What the README says of the code must be there, and what it shows must come out."""

import os
import re
import subprocess
import sys
import token
import tokenize

import numpy as np
import pytest
from helpers import MNIST, ROOT, SCRIPT, contents, python

import data

README = (ROOT / "README.md").read_text(encoding="utf-8")
WORKFLOW = (ROOT / ".github" / "workflows" / "tests.yml").read_text(encoding="utf-8")
OLD_PROGRAMS = (ROOT / ".readme" / "old-programs.md").read_text(encoding="utf-8")


def section(heading):
    return re.search(
        rf"^## {heading}\n(.*?)(?=^## |\Z)", README, re.MULTILINE | re.DOTALL
    ).group(1)


def blocks(text, language):
    """Return the code blocks of a language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def names(path):
    """Return the names that stand in a file's code, in order; not its comments."""
    with open(path, "rb") as file:
        return [
            t.string for t in tokenize.tokenize(file.readline) if t.type == token.NAME
        ]


ROWS = [
    [re.findall(r"`([^`]+)`", cell) for cell in row.split(" | ")]
    for row in re.findall("^.* [|] .*$", section("Beside the tutorial"), re.MULTILINE)
][2:]


def test_table_has_the_steps_of_the_page_in_the_scripts_order():
    code = names(SCRIPT)
    for *_, cell in ROWS:
        for name in cell:
            assert name in code, name
    indices = [code.index(cell[0]) for *_, cell in ROWS]
    assert len(indices) > 1 and indices == sorted(indices)


def test_what_it_links_to_exists():
    links = re.findall(r"\]\((?!http)(.*?)\)", README)
    assert ".readme/old-programs.md" in links
    headings = re.findall("^## (.*)", README, re.MULTILINE)
    for link in links:
        if link.startswith("#"):
            assert link in ["#" + h.lower().replace(" ", "-") for h in headings]
        else:
            assert (ROOT / link).is_file()


def test_command_for_windows_is_the_same():
    sh, _ = blocks(README, "sh")
    (powershell,) = blocks(README, "powershell")
    assert windows(sh) == powershell.splitlines()


def windows(command):
    command = command.replace("python3", "python").replace("/bin/", "\\Scripts\\")
    return re.split(r"\s*&&\s*", command.strip())


def test_workflow_runs_the_readmes_commands():
    run, tests = map(windows, blocks(README, "sh"))
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
*PASTED, DIGIT = blocks(section("Explore it"), "python")
SHOWN = "".join(blocks(section("Explore it"), "text"))


@pytest.fixture(scope="module")
def explored(tmp_path_factory):
    """Output, errors and folder of a reader who has no network and pastes all blocks."""
    tf = pytest.importorskip("tensorflow.compat.v1")
    folder = tmp_path_factory.mktemp("reader")
    # MNIST's first digit: black on white, in a corner of a large sheet that is half in
    # the shadow, and white on black.
    seven = data.read_data_sets(MNIST, dtype="uint8", reshape=False).test.images[0]
    pictures = {
        "digit.png": 255 - seven,
        "shadow.png": np.full((300, 400, 1), 220, np.uint8),
        "white.png": seven.repeat(25, 0).repeat(25, 1),
    }
    pictures["shadow.png"][:, :200] = 120
    pictures["shadow.png"][9:121, 250:362] -= seven.repeat(4, 0).repeat(4, 1) // 2
    with tf.Graph().as_default(), tf.Session() as session:
        for name, pixels in pictures.items():
            png = session.run(tf.io.encode_png(pixels))
            (folder / name).write_bytes(png)
    digits = [DIGIT.replace("digit.png", name) for name in pictures]
    typed = "".join([*PASTED, *digits])
    ours = ("no_proxy", "tf_cpp_min_log_level")
    env = {k: v for k, v in os.environ.items() if k.lower() not in ours}
    env.update(http_proxy="http://[::1]:9", https_proxy="http://[::1]:9")
    done = python("-i", SCRIPT, "--seed", 0, typed=typed, cwd=folder, env=env)
    out = done.stdout
    if sys.platform == "win32":  # TensorFlow adds lines there, as the README says
        out = re.sub(r"WARNING:tensorflow:.* The name .* is deprecated.*\n\n", "", out)
    return out, done.stderr, folder


@pytest.fixture(scope="module")
def noise():
    """A process whose standard error is what TensorFlow does not let silence."""
    bare = "import tensorflow.compat.v1 as tf; tf.disable_eager_execution(); "
    bare += "tf.Session().run(tf.constant(1.0) + tf.placeholder_with_default(1.0, []))"
    return subprocess.Popen(
        [sys.executable, "-c", bare],
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"},
        stderr=subprocess.PIPE,
        text=True,
    )


def test_only_what_tensorflow_does_not_let_silence_is_printed(noise, explored):
    _, unavoidable = noise.communicate()
    assert noise.returncode == 0
    # What comes at the prompt is of the prompt; the downloads are ours.
    lines = explored[1].split(">>> ")[0].splitlines()
    ours = [line for line in lines if re.match(r"Fetching|\[#*\]?$|<urlopen", line)]
    assert len(lines) - len(ours) <= len(unavoidable.splitlines())
    assert "deprecat" not in explored[1].lower()


def test_it_prints_what_the_first_screen_shows(explored):
    first, last, result = re.findall(r"^(?:step|test) .*$", README, re.MULTILINE)[:3]
    shown = explored[0].splitlines()[:11]
    assert (shown[0], shown[9], shown[10]) == (first, last, result)


def test_exploring_prints_what_it_shows(explored):
    out, err, _ = explored
    comments = "".join(re.findall("  # (\\d.*\n)", "".join(PASTED)))
    printed = out.split("\n", 11)[11]
    assert comments and SHOWN.count("\n") == 11
    assert printed.startswith(comments + SHOWN)
    others = printed[len(comments + SHOWN) :]
    assert re.fullmatch(r"(([#-]{20}\n){10}7 [01]\.\d+\n){2}", others)
    assert not re.search(r"^(Traceback|\w+Error\b)", err, re.MULTILINE)


def test_without_a_network_the_copy_is_taken(explored):
    mnist = {name: (MNIST / name).read_bytes() for name in data.FILES}
    assert contents(explored[2] / "MNIST_data") == mnist


def test_the_better_model_is_better(run, tmp_path):
    """Its lines still fit into the script, and they help."""
    (diff,) = blocks(section("Make it better"), "diff")
    script = (ROOT / "train_softmax.py").read_text(encoding="utf-8")
    for old, new in re.findall(r"^-(.*)\n((?:\+.*\n)+)", diff, re.MULTILINE):
        assert script.count(old) == 1
        script = script.replace(
            old, new.replace("+", "", 1).rstrip().replace("\n+", "\n")
        )
    (tmp_path / "better.py").write_text(script, encoding="utf-8")
    argv = ("--data-dir", MNIST, "--seed", 0)
    _, out, _ = run(*argv, script=str(tmp_path / "better.py"))
    assert 0.955 <= float(out.split()[-1]) <= 0.975


# The page's program, line for line but for indents of four. What changes is the README's.
PAGE = """
from tensorflow.examples.tutorials.mnist import input_data
mnist = input_data.read_data_sets("MNIST_data/", one_hot=True)
import tensorflow as tf
x = tf.placeholder(tf.float32, [None, 784])
W = tf.Variable(tf.zeros([784, 10]))
b = tf.Variable(tf.zeros([10]))
y = tf.nn.softmax(tf.matmul(x, W) + b)
y_ = tf.placeholder(tf.float32, [None, 10])
cross_entropy = tf.reduce_mean(-tf.reduce_sum(y_ * tf.log(y), reduction_indices=[1]))
train_step = tf.train.GradientDescentOptimizer(0.5).minimize(cross_entropy)
sess = tf.InteractiveSession()
for _ in range(1000):
    batch_xs, batch_ys = mnist.train.next_batch(100)
    sess.run(train_step, feed_dict={x: batch_xs, y_: batch_ys})
correct_prediction = tf.equal(tf.argmax(y,1), tf.argmax(y_,1))
accuracy = tf.reduce_mean(tf.cast(correct_prediction, tf.float32))
print(sess.run(accuracy, feed_dict={x: mnist.test.images, y_: mnist.test.labels}))
"""


def test_the_pages_own_program_runs_with_four_lines_changed(run, tmp_path):
    """No other line of it needs a change."""
    (lines,) = blocks(section("Beside the tutorial"), "python")
    helper, tensorflow, graph, initializer = lines.splitlines()
    program = PAGE
    for old, new in [
        ("from tensorflow.examples.tutorials.mnist import input_data", helper),
        ("import tensorflow as tf", f"{tensorflow}\n{graph}"),
        ("sess = tf.InteractiveSession()", f"{{0}}\n{initializer}"),
    ]:
        assert program.count(old) == 1
        program = program.replace(old, new.format(old))
    program = program.replace("MNIST_data/", MNIST.as_posix())
    (tmp_path / "page.py").write_text(program)
    _, out, _ = run(script=str(tmp_path / "page.py"))
    assert 0.905 <= float(out) <= 0.927
