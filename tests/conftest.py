"""Fixtures: a folder of small files, the script in this process, servers."""

import hashlib
import os
import signal
import types

import pytest
from helpers import CODE, SCRIPT, edit, small_arrays, small_files, write
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
def run(tmp_path, monkeypatch, capsys):
    """Run a program where `small` is MNIST_data; return its names and what it printed."""
    monkeypatch.setenv("TF_CPP_MIN_LOG_LEVEL", "3")
    monkeypatch.chdir(tmp_path)
    sessions = []

    def run(*changes, code=CODE):
        names = {"__name__": "__main__"}
        exec(compile(edit(code, *changes), SCRIPT, "exec"), names)  # noqa: S102
        sessions.append(names["sess"])
        return types.SimpleNamespace(**names), capsys.readouterr().out

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
