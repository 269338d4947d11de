"""Compare the script with a bare `import tensorflow` and with Keras `fit`.

    python tests/benchmark.py

Every run is a fresh process, and they take turns, so that a machine whose speed
drifts slows all of them alike. Wall time and peak memory are of the whole process,
medians over the rounds. A step costs what further epochs take, spread over their
steps. MNIST is read from MNIST_data/, where train_softmax.py puts it. Needs
Linux or macOS, which tell a process's peak memory.
"""

import os
import platform
import statistics
import subprocess
import sys
import time
from importlib.metadata import version
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FOLDER = str(ROOT / "MNIST_data")
ROUNDS = 3
EPOCH = 550  # steps of 100 images
SHORT, LONG = 2 * EPOCH, 6 * EPOCH


def keras_fit(steps):
    """Train the same model as the script, with the same batches and rate."""
    import keras

    sys.path.insert(0, str(ROOT))
    import data

    mnist = data.read_data_sets(FOLDER, one_hot=True)
    softmax = keras.layers.Dense(10, "softmax", kernel_initializer="zeros")
    model = keras.Sequential([keras.layers.Input((784,)), softmax])
    model.compile(
        keras.optimizers.SGD(0.5), "categorical_crossentropy", metrics=["accuracy"]
    )
    train, test = mnist.train, mnist.test
    epochs = steps // EPOCH
    model.fit(train.images, train.labels, batch_size=100, epochs=epochs, verbose=0)
    _, accuracy = model.evaluate(test.images, test.labels, verbose=0)
    print(f"test accuracy: {accuracy:.4f}")


def measure(*arguments):
    """Run Python once; return wall seconds and peak memory in MiB."""
    start = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, *arguments],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"exit {process.returncode}: python {' '.join(arguments)}")
    unit = 1 << (20 if sys.platform == "darwin" else 10)  # bytes there, else KiB
    return time.perf_counter() - start, usage.ru_maxrss / unit


def main():
    script = (str(ROOT / "train_softmax.py"), "--data-dir", FOLDER, "--steps")
    keras = (__file__, "keras")
    commands = [
        ("-c", "import tensorflow"),
        (*script, str(SHORT)),
        (*script, str(LONG)),
        (*keras, str(SHORT)),
        (*keras, str(LONG)),
    ]
    rounds = [[measure(*command) for command in commands] for _ in range(ROUNDS)]
    runs = [
        [statistics.median(run[k][what] for run in rounds) for what in (0, 1)]
        for k in range(len(commands))
    ]
    (bare, bare_peak), ours, ours_long, fit, fit_long = runs
    print(
        f"TensorFlow {version('tensorflow')}, NumPy {version('numpy')}, "
        f"Python {platform.python_version()}, {platform.system()} "
        f"{platform.machine()}, {os.cpu_count()} cores\n"
        f"{SHORT} steps, medians of {ROUNDS}\n\n"
        f"{'':24}   wall s  x import  peak MiB  above import  us/step\n"
        f"{'import tensorflow':24} {bare:8.2f} {1:9.2f} {bare_peak:9.0f}"
    )
    steps = []
    for name, (wall, peak), (longer, _) in [
        ("train_softmax.py", ours, ours_long),
        ("Keras fit", fit, fit_long),
    ]:
        steps.append((longer - wall) / (LONG - SHORT) * 1e6)
        print(
            f"{name:24} {wall:8.2f} {wall / bare:9.2f} {peak:9.0f} "
            f"{peak - bare_peak:13.0f} {steps[-1]:8.0f}"
        )
    print(
        f"{'ratio, script / Keras':24} {ours[0] / fit[0]:8.2f} {'':9} "
        f"{ours[1] / fit[1]:9.2f} {'':13} {steps[0] / steps[1]:8.2f}"
    )


if __name__ == "__main__":
    if sys.argv[1:2] == ["keras"]:
        keras_fit(int(sys.argv[2]))
    else:
        main()
