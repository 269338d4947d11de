"""Where the files are, and small ones in their place that are read quickly."""

import functools
import gzip
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
TRAIN, TEST = 5300, 200  # examples in the small files
POSIX = pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX")


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
