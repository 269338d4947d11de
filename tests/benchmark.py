"""Compare the script with a bare `import tensorflow` and with Keras `fit`.

    python tests/benchmark.py

Every run is a fresh process, and the commands take turns for five rounds. Of each
command the fastest run counts: what else a machine does can only slow a run down.
Wall time and peak memory are of the whole process. A step costs what further steps
add to a run. Needs Linux or macOS, which tell a process's peak memory.
"""

import os
import platform
import subprocess
import sys
import time
from importlib.metadata import version
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
MNIST = str(ROOT / "tests" / "mnist")
ROUNDS = 5
EPOCH = 550  # steps of 100 images
SHORT = 2 * EPOCH
LONG = {"script": 22 * EPOCH, "keras": 6 * EPOCH}


def keras_fit(steps):
    """Train the same model as the script, with the same batches and rate."""
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
    epochs = steps // EPOCH
    model.fit(train.images, train.labels, batch_size=100, epochs=epochs, verbose=0)
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
    script = (str(ROOT / "train_softmax.py"), "--data-dir", MNIST, "--steps")
    keras = (__file__, "keras")
    commands = [
        ("-c", "import tensorflow"),
        (*script, str(SHORT)),
        (*script, str(LONG["script"])),
        (*keras, str(SHORT)),
        (*keras, str(LONG["keras"])),
    ]
    rounds = [[measure(command) for command in commands] for _ in range(ROUNDS)]
    bare, ours, ours_long, fit, fit_long = [
        [min(values) for values in zip(*runs)] for runs in zip(*rounds)
    ]
    print(
        f"TensorFlow {version('tensorflow')}, NumPy {version('numpy')}, "
        f"Python {platform.python_version()}, {platform.system()} "
        f"{platform.machine()}, {os.cpu_count()} cores\n"
        f"{SHORT} steps, the fastest of {ROUNDS} runs\n\n"
        f"{'':24}   wall s  x import  peak MiB  above import  us/step\n"
        f"{'import tensorflow':24} {bare[0]:8.2f} {1:9.2f} {bare[1]:9.0f}"
    )
    steps = []
    for name, (wall, peak), (longer, _), most in [
        ("train_softmax.py", ours, ours_long, LONG["script"]),
        ("Keras fit", fit, fit_long, LONG["keras"]),
    ]:
        steps.append((longer - wall) / (most - SHORT) * 1e6)
        print(
            f"{name:24} {wall:8.2f} {wall / bare[0]:9.2f} {peak:9.0f} "
            f"{peak - bare[1]:13.0f} {steps[-1]:8.0f}"
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
