"""Fixtures: a folder of small files, the script in this process, servers."""

import gzip
import hashlib
import os
import runpy
import signal
import ssl
import sys
import types

import pytest
import trustme
from helpers import SCRIPT, small_files, write
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
    """Run a program in a graph of its own; return its names and its output."""
    tf = pytest.importorskip("tensorflow.compat.v1")
    monkeypatch.setenv("TF_CPP_MIN_LOG_LEVEL", "3")
    sessions = []

    def run(*argv, script=SCRIPT):
        monkeypatch.setattr(sys, "argv", [script, *map(str, argv)])
        with tf.Graph().as_default():
            names = types.SimpleNamespace(**runpy.run_path(script))
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
        digests = {
            name: hashlib.sha256(gzip.decompress(body)).hexdigest()
            for name, body in server.files.items()
        }
        monkeypatch.setattr(data, "SHA256", digests)
        monkeypatch.setattr(data, "TIMEOUT_SECONDS", 0.5)
        monkeypatch.setattr(data, "MIRRORS", [server.url()])
        yield server


@pytest.fixture(scope="session")
def untrusted_url():
    """An HTTPS address whose certificate nobody vouches for."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("127.0.0.1").configure_cert(context)
    server = Server(small_files())
    server.socket = context.wrap_socket(server.socket, server_side=True)
    with serving(server):
        yield server.url().replace("http:", "https:")
