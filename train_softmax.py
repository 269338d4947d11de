"""Softmax regression on MNIST: the tutorial's program, on today's TensorFlow.

`train` is that program. Read it beside the tutorial, from top to bottom; what the
tutorial does not have stands below it.
"""

import argparse
import math
import os
import sys
import tempfile
from pathlib import Path


def train(args):
    """Train as the tutorial does and print the accuracy on the test images."""

    # === What is the MNIST dataset? ===
    # Imports stand where the page has them. So a damaged file is told at once, not
    # after the seconds that TensorFlow takes to load.

    import data as input_data

    mnist = input_data.read_data_sets(
        args.data_dir,
        fake_data=args.fake_data,
        one_hot=True,
        seed=args.seed,
        source_url=args.source_url,
    )

    # === Softmax regression in TensorFlow ===
    # The page explains the model here; it is built below.

    # === Implementation of the MNIST dataset in TensorFlow ===
    # TensorFlow 1 lives on as compat.v1, which must be told to build a graph first
    # and run it later.
    import tensorflow.compat.v1 as tf

    tf.disable_eager_execution()

    x = tf.placeholder(tf.float32, [None, 784])

    W = tf.Variable(tf.zeros([784, 10]))
    b = tf.Variable(tf.zeros([10]))

    # === Training ===

    logits = tf.matmul(x, W) + b
    y = tf.nn.softmax(logits)

    y_ = tf.placeholder(tf.float32, [None, 10])

    # The page's formula, the mean of -sum(y_ * log(y)), is NaN once a probability
    # in y underflows to 0. Computed from the logits, the same function is not.
    cross_entropy = tf.reduce_mean(
        tf.nn.softmax_cross_entropy_with_logits_v2(labels=y_, logits=logits)
    )

    train_step = tf.train.GradientDescentOptimizer(args.learning_rate).minimize(
        cross_entropy
    )

    sess = tf.InteractiveSession()

    tf.global_variables_initializer().run()

    report_every = -(-args.steps // 10)  # a tenth of the steps, rounded up
    for step in range(1, args.steps + 1):
        batch_xs, batch_ys = mnist.train.next_batch(args.batch_size)
        # The loss comes back too, so that a run that diverges is noticed.
        _, loss = sess.run(
            [train_step, cross_entropy], feed_dict={x: batch_xs, y_: batch_ys}
        )
        check_finite(loss, step, args)
        if step % report_every == 0 or step == args.steps:
            loss, predictions = sess.run(
                [cross_entropy, y],
                feed_dict={x: mnist.validation.images, y_: mnist.validation.labels},
            )
            check_finite(loss, step, args)
            report(step, loss, predictions, mnist.validation.labels)

    # === Checking the accuracy with the test dataset ===

    correct_prediction = tf.equal(tf.argmax(y, 1), tf.argmax(y_, 1))

    accuracy = tf.reduce_mean(tf.cast(correct_prediction, tf.float32))

    test_accuracy = sess.run(
        accuracy, feed_dict={x: mnist.test.images, y_: mnist.test.labels}
    )
    on_fake_data = " on fake data" if args.fake_data else ""
    print(f"test accuracy{on_fake_data}: {test_accuracy:.4f}", flush=True)

    if args.weights_png:
        picture = draw_weights(sess.run(W))
        save(sess.run(tf.io.encode_png(picture)), args.weights_png)


# Around the tutorial


def report(step, loss, predictions, labels):
    """Print a line of progress on the validation images to standard error."""
    accuracy = (predictions.argmax(1) == labels.argmax(1)).mean()
    print(
        f"step {step:6}  cross-entropy {loss:.4f}  validation accuracy {accuracy:.4f}",
        file=sys.stderr,
    )


def check_finite(loss, step, args):
    """Raise FloatingPointError once the loss is NaN or infinite."""
    if not math.isfinite(loss):
        raise FloatingPointError(
            f"at step {step} the cross-entropy is {loss}: --learning-rate "
            f"{args.learning_rate:g} is too large, try a smaller one"
        )


def draw_weights(W):
    """Return the columns of W, float32 (784, 10), as uint8 pixels (224, 560, 3).

    Two rows of five digits, each 28 x 28 weights enlarged four times. White is no
    evidence, blue is evidence for the digit and red against it; the strongest of
    all ten digits has the full colour.
    """
    import numpy as np

    tiles = W.reshape(28, 28, 2, 5).transpose(2, 0, 3, 1).reshape(56, 140)
    strength = tiles / (np.abs(tiles).max() or 1)
    red = 1 - np.maximum(strength, 0)
    green = 1 - np.abs(strength)
    blue = 1 + np.minimum(strength, 0)
    pixels = np.rint(255 * np.stack([red, green, blue], axis=2)).astype(np.uint8)
    return pixels.repeat(4, axis=0).repeat(4, axis=1)


def save(content, path):
    """Write a file whole, in place of what was there, or not at all."""
    part = Path(f"{path}.{os.getpid()}.part")
    try:
        part.write_bytes(content)
        part.replace(path)
    except OSError as error:
        raise OSError(f"cannot write {path}: {error.strerror}") from None
    finally:
        part.unlink(missing_ok=True)


def number(kind, allowed, is_allowed):
    """Return a function that reads a flag's number, or says what is allowed."""

    def read(text):
        try:
            value = kind(text)
        except ValueError:
            value = None
        if value is None or not is_allowed(value):
            raise argparse.ArgumentTypeError(f"{text!r} is not {allowed}")
        return value

    return read


def writable_file(path):
    """Return `path`, or say now, not after the training, that it takes no file."""
    try:
        if os.path.exists(path) and not os.path.isfile(path):
            raise FileExistsError(None, "this is not a file")
        with tempfile.TemporaryFile(dir=os.path.dirname(path) or "."):
            pass
    except OSError as error:
        raise argparse.ArgumentTypeError(
            f"cannot write {path}: {error.strerror}"
        ) from None
    return path


def parse_args():
    """Return the flags. Each has the tutorial's value unless it is given."""
    parser = argparse.ArgumentParser(
        description="Train softmax regression on MNIST as the tutorial does."
    )
    parser.add_argument(
        "--data-dir",
        metavar="FOLDER",
        default="MNIST_data/",
        help="where the four MNIST files are, or are downloaded to (%(default)s)",
    )
    parser.add_argument(
        "--steps",
        metavar="N",
        type=number(int, "a whole number of 1 or more", lambda n: n >= 1),
        default=1000,
        help="steps of gradient descent (%(default)s)",
    )
    parser.add_argument(
        "--learning-rate",
        metavar="RATE",
        type=number(float, "a finite number above 0", lambda r: 0 < r < math.inf),
        default=0.5,
        help="how far a step goes down the gradient (%(default)s)",
    )
    parser.add_argument(
        "--batch-size",
        metavar="N",
        type=number(int, "a whole number from 1 to 55000", lambda n: 1 <= n <= 55000),
        default=100,
        help="training images in a step, of 55000 (%(default)s)",
    )
    parser.add_argument(
        "--seed",
        metavar="N",
        type=number(int, "a whole number of 0 or more", lambda n: n >= 0),
        help="repeat the order of this number (a fresh order each run)",
    )
    parser.add_argument(
        "--fake-data",
        action="store_true",
        help="train on made-up digits: no file, no network",
    )
    parser.add_argument(
        "--source-url",
        metavar="URL",
        help="download the four files from this address in place of the mirrors",
    )
    parser.add_argument(
        "--weights-png",
        metavar="FILE",
        type=writable_file,
        help="draw what W has learned: blue for a digit, red against it",
    )
    return parser.parse_args()


def main():
    """Run `train`, and tell in a line what the reader can put right."""
    args = parse_args()
    # What TensorFlow reads from the environment, unless the reader has set it: of the
    # lines that it logs show only a fatal error (others arrive as exceptions), and
    # run operations where they are asked for (handing ones this small from thread to
    # thread doubles the time of a step).
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("TF_NUM_INTEROP_THREADS", "-1")
    try:
        train(args)
    except KeyboardInterrupt:
        sys.exit(130)
    except ModuleNotFoundError as error:
        sys.exit(f"error: {error}: python -m pip install -r requirements.txt")
    except Exception as error:
        from data import DataError

        if not isinstance(error, (OSError, FloatingPointError, DataError)):
            raise
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
