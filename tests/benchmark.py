"""Compare the script with a bare `import tensorflow` and with Keras's `fit`.

    python tests/benchmark.py

Every run is a process of its own, and the commands take turns. Wall time and peak memory are the
least of all rounds. A ratio is the median of those within each round, so that a machine whose
speed drifts slows both sides alike. Needs Linux or macOS, which tell a process's peak memory.
"""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

ROOT = Path(__file__).resolve().parent.parent
ROUNDS = 9
# The same model and as many steps of the same size. Keras shuffles by itself.
KERAS_FIT = """
import data, keras
train, _, test = data.read_data_sets("MNIST_data/", one_hot=True)
softmax = keras.layers.Dense(10, "softmax", kernel_initializer="zeros")
model = keras.Sequential([keras.layers.Input((784,)), softmax])
model.compile(keras.optimizers.SGD(0.5), "categorical_crossentropy", metrics=["accuracy"])
images, labels = train.images[:50_000], train.labels[:50_000]
model.fit(images, labels, batch_size=100, epochs=2, verbose=0)
print(model.evaluate(test.images, test.labels, verbose=0))
"""
COMMANDS = {
    "import tensorflow": ("-c", "import tensorflow"),
    "train_softmax.py": (ROOT / "train_softmax.py",),
    "Keras fit": ("-c", KERAS_FIT),
}


def measure(arguments, folder):
    """Run Python once in a folder; return wall seconds and peak memory in MiB."""
    start = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0, arguments
    unit = 1 << (20 if sys.platform == "darwin" else 10)  # bytes there, else KiB
    return time.perf_counter() - start, usage.ru_maxrss / unit


with tempfile.TemporaryDirectory() as folder:
    shutil.copytree(ROOT / "tests" / "mnist", Path(folder, "MNIST_data"))
    rounds = [[measure(c, folder) for c in COMMANDS.values()] for _ in range(ROUNDS)]
print(f"1000 steps, {ROUNDS} rounds   wall s  / Keras  peak MiB  / Keras")
for k, name in enumerate(COMMANDS):
    seconds, memory = (min(run[k][figure] for run in rounds) for figure in (0, 1))
    ratios = [median(run[k][f] / run[-1][f] for run in rounds) for f in (0, 1)]
    print(f"{name:22} {seconds:8.2f} {ratios[0]:8.2f} {memory:9.0f} {ratios[1]:8.2f}")
