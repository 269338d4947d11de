"""Files, programs and pages as text, what a reader changes in them, and small data."""

import functools
import gzip
import re
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import data

ROOT = Path(__file__).resolve().parent.parent
MNIST = ROOT / "tests" / "mnist"
SCRIPT = str(ROOT / "train_softmax.py")
SOURCE = Path(SCRIPT).read_text(encoding="utf-8")
CODE = re.sub("(?m)^ *#.*\n", "", SOURCE)  # without the lines that are comments
TRAIN, TEST = 5300, 200  # examples in the small files
POSIX = pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX")

# The page's program, line for line but for indents of four.
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

# What a reader edits in the script: the folder, as (old, new), and the numbers.
REAL = '"MNIST_data/"', repr(MNIST.as_posix())
NUMBERS = {
    "seed": "seed=0",
    "steps": "range(1000)",
    "rate": "Optimizer(0.5)",
    "batch": "next_batch(100)",
}


def edit(text, *changes, **numbers):
    """Return a text with each (old, new) and each number changed, where old stands once."""
    pairs = [
        (NUMBERS[name], re.sub("[0-9.]+", str(number), NUMBERS[name]))
        for name, number in numbers.items()
    ]
    for old, new in [*pairs, *changes]:
        assert text.count(old) == 1, f"{old} stands {text.count(old)} times"
        text = text.replace(old, new)
    return text


def python(*arguments, typed="", check=True, **options):
    """Run Python in a process of its own, and return what it printed."""
    command = [sys.executable, *map(str, arguments)]
    options.update(input=typed, capture_output=True, text=True)
    return subprocess.run(command, check=check, **options)


def idx(array):
    """Return a uint8 array (n,) or (n, 28, 28) as the bytes of an IDX file."""
    header = struct.pack(f">I{array.ndim}I", 0x800 + array.ndim, *array.shape)
    return header + array.tobytes()


@functools.cache
def small_arrays(seed=0):
    """Return random images and labels, and as many again for the test set."""
    rng = np.random.default_rng(seed)
    return [
        rng.integers(top, size=(n, *shape), dtype=np.uint8)
        for n in (TRAIN, TEST)
        for top, shape in ((256, (28, 28)), (10, ()))
    ]


@functools.cache
def small_files(seed=0):
    """Return the four files in small, as a dictionary from name to bytes."""
    bodies = (gzip.compress(idx(a), 1, mtime=0) for a in small_arrays(seed))
    return dict(zip(data.FILES, bodies))


def write(files, folder):
    folder.mkdir(exist_ok=True)
    for name, body in files.items():
        (folder / name).write_bytes(body)
    return folder


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def link(path, target):
    try:
        path.symlink_to(target)
    except OSError:  # on Windows it needs a right
        pytest.skip("no right to make a symbolic link")


# The project's pages, and what they have a reader paste or change

README = (ROOT / "README.md").read_text(encoding="utf-8")
INSTALLATION, OLD_PROGRAMS, YOUR_OWN_DIGIT = (
    (ROOT / ".readme" / f"{name}.md").read_text(encoding="utf-8")
    for name in ("installation", "old-programs", "your-own-digit")
)


def section(heading):
    return re.search(
        rf"^## {heading}\n(.*?)(?=^## |\Z)", README, re.MULTILINE | re.DOTALL
    ).group(1)


def blocks(text, language, part=""):
    """Return the code blocks of a language with `part` in them."""
    fenced = rf"^```{language}\n(.*?)^```$"
    found = re.findall(fenced, text, re.MULTILINE | re.DOTALL)
    return [block for block in found if part in block]


(FOUR_LINES,) = blocks(section("Beside the tutorial"), "python")
(DIFF,) = blocks(section("Next steps"), "diff")


def page_changes():
    """Return what lets the page's own program run, as changes for `edit`."""
    helper, tensorflow, graph, initializer = FOUR_LINES.splitlines()
    session = "sess = tf.InteractiveSession()"
    return [
        ("from tensorflow.examples.tutorials.mnist import input_data", helper),
        ("import tensorflow as tf", f"{tensorflow}\n{graph}"),
        (session, f"{session}\n{initializer}"),
    ]


def better_changes():
    """Return the lines of the better model, as changes for `edit`."""
    pairs = re.findall(r"^-(.*\n)((?:\+.*\n)+)", DIFF, re.MULTILINE)
    return [(old, re.sub(r"(?m)^\+", "", new)) for old, new in pairs]
