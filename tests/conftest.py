"""Fixtures: a folder of small files, the script in this process, servers."""

import hashlib
import os
import runpy
import signal
import sys
import types

import pytest
from helpers import SCRIPT, small_arrays, small_files, write
from server import Server, serving

import data

# A shell has what it starts in the background ignore Ctrl-C, and so would the
# processes that the tests interrupt.
signal.signal(signal.SIGINT, signal.default_int_handler)
os.environ["no_proxy"] = "*"  # every address in the tests is on this machine
os.environ.pop("PYTHONUNBUFFERED", None)  # processes are to buffer as a reader's do


@pytest.fixture
def small(tmp_path):
    """A folder with the four files in small."""
    return write(small_files(), tmp_path / "MNIST_data")


@pytest.fixture
def run(monkeypatch, capsys):
    """Run a program as `python PROGRAM` does; return its names and its output."""
    monkeypatch.setenv("TF_CPP_MIN_LOG_LEVEL", "3")
    sessions = []

    def run(*argv, script=SCRIPT):
        monkeypatch.setattr(sys, "argv", [script, *map(str, argv)])
        names = types.SimpleNamespace(**runpy.run_path(script, run_name="__main__"))
        sessions.append(names.sess)
        return names, *capsys.readouterr()

    yield run
    for session in reversed(sessions):
        session.close()


@pytest.fixture
def server(monkeypatch):
    """Serves the small files, which are taken for MNIST's, and is the only mirror."""
    small_files(seed=1)  # to make them would take too long within the time-out
    with serving(Server(small_files())) as server:
        digests = [hashlib.sha256(array).hexdigest() for array in small_arrays()]
        monkeypatch.setattr(data, "SHA256", dict(zip(data.FILES, digests)))
        monkeypatch.setattr(data, "TIMEOUT_SECONDS", 0.5)
        monkeypatch.setattr(data, "MIRRORS", [server.url()])
        yield server
