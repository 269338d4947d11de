"""The program of "TensorFlow MNIST Dataset and Softmax Regression", running again.

Read it beside the page: https://data-flair.training/blogs/tensorflow-mnist-dataset/
Start at the first `# === heading ===`: the page's program begins there.
"""

import argparse
import math
import os
import sys

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
# A notebook, a console or an importing program has its own arguments: ignore them.
in_notebook = sys.argv[0].endswith("kernel_launcher.py")
is_program = __name__ == "__main__" and "__file__" in globals() and not in_notebook
args = parser.parse_args(None if is_program else [])
if not (args.steps > 0 and args.batch_size > 0 and args.learning_rate > 0):
    parser.error("--steps, --batch-size and --learning-rate must be above 0")
elif args.seed is not None and args.seed < 0:
    parser.error("--seed must be 0 or more")

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # hides part of TensorFlow's log


# === What is TensorFlow MNIST Dataset? ===

# The page: from tensorflow.examples.tutorials.mnist import input_data
# TensorFlow has removed that module. data.py, beside this file, takes its place.
import data as input_data

# The page: mnist = input_data.read_data_sets("MNIST_data/", one_hot=True)
try:
    mnist = input_data.read_data_sets(
        args.data_dir, one_hot=True, seed=args.seed, source_url=args.source_url
    )
except (OSError, ValueError) as error:
    sys.exit(f"error: {error}")

if args.batch_size > mnist.train.num_examples:
    parser.error(f"--batch-size must be at most {mnist.train.num_examples}")


# === Implementation of MNIST Dataset in TensorFlow ===

# The page: import tensorflow as tf. TensorFlow 2 keeps TensorFlow 1 as compat.v1.
import tensorflow.compat.v1 as tf

# Without eager execution, the lines below only build a graph; `sess.run` computes it.
tf.disable_eager_execution()
# In a notebook, a second run would otherwise add to the graph of the first.
tf.reset_default_graph()

x = tf.placeholder(tf.float32, [None, 784])

# Zeros will do here: each column of W has its own labels, so each learns differently.
W = tf.Variable(tf.zeros([784, 10]))
b = tf.Variable(tf.zeros([10]))


# === TensorFlow MNIST - Training ===

# The page: y = tf.nn.softmax(tf.matmul(x, W) + b)
# Here this is two lines: the cross-entropy needs the logits (on the page: evidence).
logits = tf.matmul(x, W) + b
y = tf.nn.softmax(logits)

y_ = tf.placeholder(tf.float32, [None, 10])

# The page: cross_entropy = tf.reduce_mean(-tf.reduce_sum(y_ * tf.log(y), ...))
# That is NaN or infinite when float32 rounds a small probability in y to 0. From the
# logits, the same is computed without log(0). (Without _v2, it prints a warning.)
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
    # (On the page: mnist.validate.) NumPy counts hits: `accuracy` comes later.
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

# Axis 1 runs over the ten digits: `argmax` returns the one with the largest value.
correct_prediction = tf.equal(tf.argmax(y, 1), tf.argmax(y_, 1))

accuracy = tf.reduce_mean(tf.cast(correct_prediction, tf.float32))

# The page prints only the number. This line also says what the number is.
feed_dict = {x: mnist.test.images, y_: mnist.test.labels}
print(f"test accuracy: {sess.run(accuracy, feed_dict=feed_dict):.4f}")
