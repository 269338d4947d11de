"""Compare the script with a bare `import tensorflow` and with Keras `fit`.

    python tests/benchmark.py

Every run is a fresh process, and the commands take turns. Wall time and peak memory are the
least of all rounds. A ratio is the median of those within each round, so that a machine whose
speed drifts slows both sides alike. Needs Linux or macOS, which tell a process's peak memory.
"""

import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
ROUNDS = 9


def keras_fit():
    """Train the same model as the script, with as many steps of the same size.

    Keras shuffles by itself, and computes the accuracy of each batch as well.
    """
    import keras

    sys.path.insert(0, str(ROOT))
    import data

    mnist = data.read_data_sets("MNIST_data/", one_hot=True)
    softmax = keras.layers.Dense(10, "softmax", kernel_initializer="zeros")
    model = keras.Sequential([keras.layers.Input((784,)), softmax])
    model.compile(
        keras.optimizers.SGD(0.5), "categorical_crossentropy", metrics=["accuracy"]
    )
    train, test = mnist.train, mnist.test
    images, labels = train.images[:50_000], train.labels[:50_000]  # twice 500 steps
    model.fit(images, labels, batch_size=100, epochs=2, verbose=0)
    _, accuracy = model.evaluate(test.images, test.labels, verbose=0)
    print(f"test accuracy: {accuracy:.4f}")


def measure(arguments, folder):
    """Run Python once in a folder; return wall seconds and peak memory in MiB."""
    start = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, *arguments],
        cwd=folder,
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
    commands = {
        "import tensorflow": ("-c", "import tensorflow"),
        "train_softmax.py": (ROOT / "train_softmax.py",),
        "Keras fit": (Path(__file__).resolve(), "keras"),
    }
    with tempfile.TemporaryDirectory() as folder:
        shutil.copytree(ROOT / "tests" / "mnist", Path(folder, "MNIST_data"))
        rounds = [
            [measure(c, folder) for c in commands.values()] for _ in range(ROUNDS)
        ]
    print(f"1000 steps, {ROUNDS} rounds   wall s  / Keras  peak MiB  / Keras")
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
