"""The program of "TensorFlow MNIST Dataset and Softmax Regression", running again.

Read it beside the page: https://data-flair.training/blogs/tensorflow-mnist-dataset/
Start at the first `# === heading ===`: the page's program begins there.

    .venv/bin/python train_softmax.py       train, and print the test accuracy
    .venv/bin/python -i train_softmax.py    the same, then stay at a Python prompt
"""

import argparse
import math
import os
import sys

import numpy as np

parser = argparse.ArgumentParser(
    description="Train softmax regression on MNIST, as the tutorial does.",
    formatter_class=argparse.ArgumentDefaultsHelpFormatter,
)
parser.add_argument("--data-dir", default="MNIST_data/", help="folder of MNIST's files")
parser.add_argument("--steps", type=int, default=1000, help="steps of gradient descent")
parser.add_argument("--learning-rate", type=float, default=0.5, help="step size")
parser.add_argument("--batch-size", type=int, default=100, help="images in each step")
parser.add_argument("--seed", type=int, help="number that fixes the order of images")
parser.add_argument("--source-url", help="download from here, not from MNIST's mirrors")
parser.add_argument("--weights-png", help="draw what W has learned into this file")
# In a notebook, sys.argv holds the arguments of Jupyter: take the defaults.
program, file = os.path.basename(sys.argv[0]), globals().get("__file__", "")
args = parser.parse_args(None if program == os.path.basename(file) else [])
if not (args.steps > 0 and args.learning_rate > 0 and (args.seed or 0) >= 0):
    parser.error("--steps and --learning-rate must be above 0, --seed 0 or more")

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # TensorFlow prints less


# === What is TensorFlow MNIST Dataset? ===

# The page: from tensorflow.examples.tutorials.mnist import input_data
# TensorFlow has removed that module. data.py, beside this file, takes its place.
import data as input_data

# The page: mnist = input_data.read_data_sets("MNIST_data/", one_hot=True)
# Here options set the folder, the seed and the source URL.
try:
    mnist = input_data.read_data_sets(
        args.data_dir, one_hot=True, seed=args.seed, source_url=args.source_url
    )
except (OSError, ValueError) as error:
    sys.exit(f"error: {error}")

# `next_batch` takes at most two epochs (passes over the training images).
if not 1 <= args.batch_size <= 2 * mnist.train.num_examples:
    parser.error(f"--batch-size must be 1 to {2 * mnist.train.num_examples}")


# === Implementation of MNIST Dataset in TensorFlow ===

# The page: import tensorflow as tf
# TensorFlow 2 keeps TensorFlow 1 under the name compat.v1.
import tensorflow.compat.v1 as tf

# Eager execution would run each line below at once. Here they only describe a graph.
tf.disable_eager_execution()

x = tf.placeholder(tf.float32, [None, 784])

W = tf.Variable(tf.zeros([784, 10]))
b = tf.Variable(tf.zeros([10]))


# === TensorFlow MNIST – Training ===

# The page: y = tf.nn.softmax(tf.matmul(x, W) + b)
# Here this is two lines: the cross-entropy needs the logits (on the page: evidence).
logits = tf.matmul(x, W) + b
y = tf.nn.softmax(logits)

y_ = tf.placeholder(tf.float32, [None, 10])

# The page: cross_entropy = tf.reduce_mean(-tf.reduce_sum(y_ * tf.log(y),
#               reduction_indices=[1]))
# That is NaN or infinite when float32 rounds a small probability in y to 0.
# The same function stays finite when it is computed from the logits.
cross_entropy = tf.reduce_mean(
    tf.nn.softmax_cross_entropy_with_logits_v2(labels=y_, logits=logits)
)

# The page: GradientDescentOptimizer(0.5). Here the rate is an option.
train_step = tf.train.GradientDescentOptimizer(args.learning_rate).minimize(
    cross_entropy
)

sess = tf.InteractiveSession()

# The page says "initialized by", but this line is missing there.
tf.global_variables_initializer().run()


def report(step):
    """Print the results on the validation images; exit if the loss is not finite."""
    images, labels = mnist.validation.images, mnist.validation.labels
    loss, predicted = sess.run([cross_entropy, y], feed_dict={x: images, y_: labels})
    if not math.isfinite(loss):
        sys.exit(f"error: cross-entropy {loss} at step {step}: lower --learning-rate")
    correct = (predicted.argmax(1) == labels.argmax(1)).mean()
    validation = f"validation cross-entropy {loss:.4f}  accuracy {correct:.4f}"
    print(f"step {step:6}  {validation}", flush=True)


# The page: for _ in range(1000):
# Here the steps are counted, and at most ten reports show how far the training is.
for step in range(1, args.steps + 1):
    batch_xs, batch_ys = mnist.train.next_batch(args.batch_size)
    sess.run(train_step, feed_dict={x: batch_xs, y_: batch_ys})
    if step % math.ceil(args.steps / 10) == 0 or step == args.steps:
        report(step)


# === Checking Accuracy With Test Dataset ===

correct_prediction = tf.equal(tf.argmax(y, 1), tf.argmax(y_, 1))

accuracy = tf.reduce_mean(tf.cast(correct_prediction, tf.float32))

# The page prints only the number. This line also says what the number is.
test_accuracy = sess.run(
    accuracy, feed_dict={x: mnist.test.images, y_: mnist.test.labels}
)
print(f"test accuracy: {test_accuracy:.4f}", flush=True)


# === After the page: a picture of W ===


def draw_weights(weights):
    """Return the columns of W, float32 (784, 10), as uint8 pixels (224, 560, 3).

    Two rows of five digits, enlarged four times. Blue is evidence for a digit, red is
    evidence against it, white is none. The strongest weight has the full colour.
    """
    # At first the axes are pixel row, pixel column, digit row and digit column.
    tiles = weights.reshape(28, 28, 2, 5).transpose(2, 0, 3, 1).reshape(56, 140)
    strength = tiles / (np.abs(tiles).max() or 1)
    # Evidence for a digit removes red, evidence against it blue, and both green.
    rgb = np.stack([1 - strength, 1 - abs(strength), 1 + strength], axis=2).clip(max=1)
    pixels = np.rint(255 * rgb).astype(np.uint8)
    return pixels.repeat(4, axis=0).repeat(4, axis=1)


if args.weights_png is not None:
    picture = tf.io.encode_png(draw_weights(W.eval())).eval()
    try:
        with open(os.path.expanduser(args.weights_png), "wb") as file:
            file.write(picture)
    except OSError as error:
        sys.exit(f"error: {args.weights_png}: {error.strerror}")
    print(f"wrote {args.weights_png}")
