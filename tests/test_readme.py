"""What the README says of the code must be there, and what it shows must come out."""

import doctest
import io
import os
import re
import runpy
import signal
import sys
import token
import tokenize

import pytest
from conftest import MNIST, ROOT

README = (ROOT / "README.md").read_text(encoding="utf-8")
SCRIPT = ROOT / "train_softmax.py"


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
    [re.findall(r"`([^`]+)`", cell) for cell in row.split("|")]
    for row in re.findall(
        r"^\| (.*) \|$", section("Beside the tutorial"), re.MULTILINE
    )[2:]
]


def test_table_has_the_steps_of_the_page_in_the_scripts_order():
    looked_for = [name for _, cell, _ in ROWS for name in cell]
    assert len(ROWS) == 9 and len(looked_for) == 19
    code = names(SCRIPT)
    code = code[code.index("input_data") :]  # where the front matter ends
    for name in looked_for:
        assert name in code, name
    places = [code.index(cell[0]) for _, cell, _ in ROWS]
    assert places == sorted(places)


def test_files_that_it_shows_exist():
    paths = re.findall(r"\]\((?!http)(.*?)\)", README)
    assert len(paths) >= 2
    for path in paths:
        assert (ROOT / path).is_file()


def test_commands_for_windows_are_the_same():
    for sh, powershell in zip(blocks(README, "sh"), blocks(README, "powershell")):
        translated = sh.replace("python3 ", "python ").replace(" && ", "; ")
        assert translated.replace(".venv/bin/", ".venv\\Scripts\\") == powershell
    assert len(blocks(README, "powershell")) == 2


@pytest.fixture
def explored(monkeypatch, tmp_path):
    """The names at the prompt after `python -i train_softmax.py --seed 0`."""
    tf = pytest.importorskip("tensorflow.compat.v1")
    monkeypatch.chdir(tmp_path)
    argv = [str(SCRIPT), "--seed", "0", "--data-dir", str(MNIST)]
    monkeypatch.setattr(sys, "argv", argv)
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)
    handler = signal.getsignal(signal.SIGINT)
    with tf.Graph().as_default():
        found = runpy.run_path(str(SCRIPT))
        yield found
        found["sess"].close()
    signal.signal(signal.SIGINT, handler)


def test_exploring_prints_what_it_shows(explored, tmp_path):
    text = section("Explore it")
    snippets = blocks(text, "pycon")
    for snippet in snippets:
        code = [line for line in snippet.splitlines() if line[:4] in (">>> ", "... ")]
        assert 1 <= len(code) <= 4
    test = doctest.DocTestParser().get_doctest(
        "\n".join(snippets), explored, "README", "README.md", 0
    )
    report = io.StringIO()
    result = doctest.DocTestRunner().run(test, out=report.write)
    assert result.attempted >= 9 and result.failed == 0, report.getvalue()
    assert len(os.listdir(tmp_path / "logs")) == 1


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


def test_the_pages_own_program_runs_with_four_lines_changed(
    monkeypatch, tmp_path, capsys
):
    tf = pytest.importorskip("tensorflow.compat.v1")
    (lines,) = blocks(section("Beside the tutorial"), "python")
    imported, v1, graph, initialised = filter(None, lines.splitlines())
    program = PAGE
    for old, new in [
        ("from tensorflow.examples.tutorials.mnist import input_data", imported),
        ("import tensorflow as tf", f"import tensorflow as tf\n{v1}\n{graph}"),
        ("sess = tf.InteractiveSession()", f"{{0}}\n{initialised}"),
    ]:
        assert program.count(old) == 1
        program = program.replace(old, new.format(old))
    (tmp_path / "page.py").write_text(program)
    (tmp_path / "MNIST_data").symlink_to(MNIST)
    monkeypatch.chdir(tmp_path)
    with tf.Graph().as_default():
        runpy.run_path("page.py")["sess"].close()
    assert 0.905 <= float(capsys.readouterr().out) <= 0.927
