"""Fixtures: a folder of small files, the script in this process, servers."""

import hashlib
import os
import signal
import types
from importlib.metadata import version

import pytest
from helpers import CODE, edit, small_arrays, small_files, write
from server import Server, serving

import data

# A shell starts background jobs with Ctrl-C ignored, and their children inherit it.
signal.signal(signal.SIGINT, signal.default_int_handler)
os.environ["no_proxy"] = "*"  # every address in the tests is on this machine
os.environ.pop("PYTHONUNBUFFERED", None)  # processes are to buffer as a reader's do


def pytest_report_header():
    return ", ".join(f"{name} {version(name)}" for name in ("tensorflow", "numpy"))


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

    def run(*changes, code=CODE, **numbers):
        names = {"__name__": "__main__"}
        exec(edit(code, *changes, **numbers), names)  # noqa: S102
        sessions.append(names["sess"])
        return types.SimpleNamespace(**names), capsys.readouterr().out

    yield run
    for session in reversed(sessions):
        session.close()


@pytest.fixture
def server(monkeypatch):
    """Serves the small files, which are taken for MNIST's, and is the only mirror."""
    small_files(seed=1)  # to make them while a client waits would take too long
    with serving(Server(small_files())) as server:
        digests = [hashlib.sha256(array).hexdigest() for array in small_arrays()]
        monkeypatch.setattr(data, "SHA256", dict(zip(data.FILES, digests)))
        monkeypatch.setattr(data, "TIMEOUT_SECONDS", 0.5)
        monkeypatch.setattr(data, "MIRRORS", [server.url()])
        yield server
