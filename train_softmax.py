"""The program of "TensorFlow MNIST Dataset and Softmax Regression", running again.

Read it beside the page: https://data-flair.training/blogs/tensorflow-mnist-dataset/

    python train_softmax.py       train, and print the accuracy on the test images
    python -i train_softmax.py    then go on at a prompt, with every name below
"""

import argparse
import io
import math
import os
import signal
import sys

parser = argparse.ArgumentParser(
    description="Train softmax regression on MNIST, as the tutorial does.",
    formatter_class=argparse.ArgumentDefaultsHelpFormatter,
)
flag = parser.add_argument
flag("--data-dir", default="MNIST_data/", help="folder of the four MNIST files")
flag("--steps", type=int, default=1000, help="steps of gradient descent")
flag("--learning-rate", type=float, default=0.5, help="how far each step goes")
flag("--batch-size", type=int, default=100, help="training images in each step")
flag("--seed", type=int, help="the same number gives the same batches again")
flag("--fake-data", action="store_true", help="train on made-up digits, not on files")
flag("--source-url", help="download the files from here, not from MNIST's mirrors")
flag("--weights-png", help="draw what W has learned into this file")
args = parser.parse_args()
if min(args.steps, args.batch_size) < 1:
    parser.error("--steps and --batch-size must be 1 or more")
if not 0 < args.learning_rate < math.inf:
    parser.error("--learning-rate must be a finite number above 0")
if args.seed is not None and args.seed < 0:
    parser.error("--seed must be 0 or more")

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # TensorFlow: fatal errors only
sys.stderr = sys.stderr or io.StringIO()  # it is None where the reader closed it
# Ctrl-C ends the process, since TensorFlow can crash on an exception; not at a prompt.
if not (sys.flags.inspect or hasattr(sys, "ps1")):
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def explain(kind, error, trace):
    """Say in a line what the reader can put right; show a defect's traceback."""
    if issubclass(kind, (OSError, FloatingPointError)) or kind.__name__ == "DataError":
        print(f"error: {error}", file=sys.stderr)
    elif issubclass(kind, ModuleNotFoundError):
        way_out = "run .venv/bin/python, or python -m pip install -r requirements.txt"
        if error.name == "data":
            way_out = "data.py must lie beside train_softmax.py"
        print(f"error: {error}: {way_out}", file=sys.stderr)
    else:
        sys.__excepthook__(kind, error, trace)


sys.excepthook = explain

# === What is TensorFlow MNIST Dataset? ===

# The page: from tensorflow.examples.tutorials.mnist import input_data
# TensorFlow has removed that module. Ours has the same functions.
import data as input_data

# The page: mnist = input_data.read_data_sets("MNIST_data/", one_hot=True)
# The folder is a flag here. The other flags are ours, and off unless given.
mnist = input_data.read_data_sets(
    args.data_dir,
    one_hot=True,
    fake_data=args.fake_data,
    seed=args.seed,
    source_url=args.source_url,
)


# === Implementation of MNIST Dataset in TensorFlow ===

import tensorflow as tf

# Not on the page. TensorFlow 1 lives on in today's TensorFlow as compat.v1. Without
# eager execution, the lines below only describe a graph, and a session runs it.
tf = tf.compat.v1
tf.disable_eager_execution()

x = tf.placeholder(tf.float32, [None, 784])

W = tf.Variable(tf.zeros([784, 10]))
b = tf.Variable(tf.zeros([10]))


# === TensorFlow MNIST – Training ===

# The page: y = tf.nn.softmax(tf.matmul(x, W) + b)
# In two lines, since the cross-entropy is computed from the logits.
logits = tf.matmul(x, W) + b
y = tf.nn.softmax(logits)

y_ = tf.placeholder(tf.float32, [None, 10])

# The page: cross_entropy = tf.reduce_mean(-tf.reduce_sum(y_ * tf.log(y),
#               reduction_indices=[1]))
# That is NaN once a probability in y is so small that float32 rounds it to 0.
# Computed from the logits, the same function stays finite.
cross_entropy = tf.reduce_mean(
    tf.nn.softmax_cross_entropy_with_logits_v2(labels=y_, logits=logits)
)

# The page: GradientDescentOptimizer(0.5). Here the rate is a flag.
train_step = tf.train.GradientDescentOptimizer(args.learning_rate).minimize(
    cross_entropy
)

sess = tf.InteractiveSession()

# The line that is missing on the page, where it says "initialized by".
tf.global_variables_initializer().run()


def report(step):
    """Print how the model does on the validation images; refuse to go on with NaN."""
    images, labels = mnist.validation.images, mnist.validation.labels
    loss, probabilities = sess.run(
        [cross_entropy, y], feed_dict={x: images, y_: labels}
    )
    if not math.isfinite(loss):
        raise FloatingPointError(
            f"at step {step} the cross-entropy is {loss}: --learning-rate "
            f"{args.learning_rate:g} is too large, try a smaller one"
        )
    right = (probabilities.argmax(1) == labels.argmax(1)).mean()
    line = f"step {step:6}  cross-entropy {loss:.4f}  validation accuracy {right:.4f}"
    print(line, file=sys.stderr)


# The page: for _ in range(1000):
# The steps are counted here, to report ten times how far the training is.
for step in range(1, args.steps + 1):
    batch_xs, batch_ys = mnist.train.next_batch(args.batch_size)
    sess.run(train_step, feed_dict={x: batch_xs, y_: batch_ys})
    if step % math.ceil(args.steps / 10) == 0 or step == args.steps:
        report(step)


# === Checking Accuracy With Test Dataset ===

correct_prediction = tf.equal(tf.argmax(y, 1), tf.argmax(y_, 1))

accuracy = tf.reduce_mean(tf.cast(correct_prediction, tf.float32))

# The page prints the bare number. This one says what it is.
test_accuracy = sess.run(
    accuracy, feed_dict={x: mnist.test.images, y_: mnist.test.labels}
)
on_fake_data = " on fake data" if args.fake_data else ""
print(f"test accuracy{on_fake_data}: {test_accuracy:.4f}", flush=True)


# === After the page: a picture of W ===

import numpy as np


def draw_weights(W):
    """Return the columns of W, float32 (784, 10), as uint8 pixels (224, 560, 3).

    Two rows of five digits, each 28 x 28 weights enlarged four times. White is no
    evidence, blue is evidence for the digit and red against it; the strongest of
    all ten digits has the full colour.
    """
    tiles = W.reshape(28, 28, 2, 5).transpose(2, 0, 3, 1).reshape(56, 140)
    strength = tiles / (np.abs(tiles).max() or 1)
    red = 1 - np.maximum(strength, 0)
    green = 1 - np.abs(strength)
    blue = 1 + np.minimum(strength, 0)
    pixels = np.rint(255 * np.stack([red, green, blue], axis=2)).astype(np.uint8)
    return pixels.repeat(4, axis=0).repeat(4, axis=1)


if args.weights_png is not None:
    picture = tf.io.encode_png(draw_weights(W.eval())).eval()
    with open(args.weights_png, "wb") as file:
        file.write(picture)
    print(f"wrote {args.weights_png}", file=sys.stderr)
