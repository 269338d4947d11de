"""Compare the script with a bare `import tensorflow` and with Keras `fit`.

    python tests/benchmark.py

Every run is a fresh process, and the commands take turns. Wall time and peak memory are the
least of all rounds. A ratio is the median of those within each round, so that a machine whose
speed drifts slows both sides alike. Needs Linux or macOS, which tell a process's peak memory.
"""

import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
MNIST = str(ROOT / "tests" / "mnist")
ROUNDS = 9
EPOCH = 550  # steps of 100 images
STEPS = 2 * EPOCH


def keras_fit():
    """Train the same model as the script, with the same batch size and rate.

    Keras shuffles by itself, and computes the accuracy of each batch as well.
    """
    import keras

    sys.path.insert(0, str(ROOT))
    import data

    mnist = data.read_data_sets(MNIST, one_hot=True)
    softmax = keras.layers.Dense(10, "softmax", kernel_initializer="zeros")
    model = keras.Sequential([keras.layers.Input((784,)), softmax])
    model.compile(
        keras.optimizers.SGD(0.5), "categorical_crossentropy", metrics=["accuracy"]
    )
    train, test = mnist.train, mnist.test
    model.fit(train.images, train.labels, batch_size=100, epochs=2, verbose=0)
    _, accuracy = model.evaluate(test.images, test.labels, verbose=0)
    print(f"test accuracy: {accuracy:.4f}")


def measure(arguments):
    """Run Python once; return wall seconds and peak memory in MiB."""
    start = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, *arguments],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - start
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"exit {process.returncode}: python {' '.join(arguments)}")
    unit = 1 << (20 if sys.platform == "darwin" else 10)  # bytes there, else KiB
    return seconds, usage.ru_maxrss / unit


def main():
    script = (str(ROOT / "train_softmax.py"), "--data-dir", MNIST)
    commands = {
        "import tensorflow": ("-c", "import tensorflow"),
        "train_softmax.py": (*script, "--steps", str(STEPS)),
        "Keras fit": (__file__, "keras"),
    }
    rounds = [[measure(c) for c in commands.values()] for _ in range(ROUNDS)]
    print(f"{STEPS} steps, {ROUNDS} rounds   wall s  / Keras  peak MiB  / Keras")
    for k, name in enumerate(commands):
        seconds, memory = zip(*(run[k] for run in rounds))
        x_seconds, x_memory = (
            statistics.median(run[k][f] / run[-1][f] for run in rounds) for f in (0, 1)
        )
        print(f"{name:22} {min(seconds):8.2f} {x_seconds:8.2f}", end=" ")
        print(f"{min(memory):9.0f} {x_memory:8.2f}")


if __name__ == "__main__":
    if sys.argv[1:] == ["keras"]:
        keras_fit()
    else:
        main()
