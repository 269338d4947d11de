"""What the tests share: MNIST in small, MNIST itself, and a server with faults."""

import contextlib
import gzip
import hashlib
import http.server
import os
import signal
import socket
import ssl
import struct
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
import trustme

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
# A shell has what it starts in the background ignore Ctrl-C, and so would the
# processes that the tests interrupt.
signal.signal(signal.SIGINT, signal.default_int_handler)
os.environ["no_proxy"] = "*"  # every address in the tests is on this machine

import data

TRAIN, TEST = 5300, 200


def idx(array):
    """Return a uint8 array (n,) or (n, 28, 28) as the bytes of an IDX file."""
    return struct.pack(f">I{array.ndim}I", 0x800 + array.ndim, *array.shape) + bytes(
        array
    )


def small_arrays(seed=0):
    """Return random images and labels, and as many again for the test set."""
    rng = np.random.default_rng(seed)
    for n in (TRAIN, TEST):
        yield rng.integers(256, size=(n, 28, 28), dtype=np.uint8)
        yield rng.integers(10, size=n, dtype=np.uint8)


def small_files(seed=0):
    """Return the four files in small, as a dictionary from name to bytes."""
    return {
        name: gzip.compress(idx(array), 1)
        for name, array in zip(data.FILES, small_arrays(seed))
    }


def put(files, folder):
    folder.mkdir(exist_ok=True)
    for name, body in files.items():
        (folder / name).write_bytes(body)
    return folder


@pytest.fixture
def small(tmp_path):
    """A folder with the four files in small."""
    return put(small_files(), tmp_path / "MNIST_data")


@pytest.fixture(scope="session")
def real():
    """The folder with MNIST itself: skipped without it, but never on CI."""
    folder = ROOT / "MNIST_data"
    if not all((folder / name).exists() for name in data.FILES):
        message = f"MNIST is not in {folder}; train_softmax.py fetches it"
        pytest.fail(message) if os.environ.get("CI") else pytest.skip(message)
    return folder


class Handler(http.server.BaseHTTPRequestHandler):
    """Answers /FAULT/NAME with file NAME and that fault; /good/NAME has none."""

    def do_GET(self):
        _, fault, name = self.path.split("/")
        body = self.server.files[name]
        status, length = 200, len(body)
        if fault.isdigit():
            status, body = int(fault), b"refused"
            length = len(body)
        elif fault == "login":
            body = b"<html><form>Please log in to this network</form></html>"
            length = len(body)
        elif fault == "other":
            body = small_files(seed=1)[name]
            length = len(body)
        elif fault in ("short", "short-unsaid", "reset", "stall"):
            body = body[: len(body) // 2]
        elif fault == "silent":
            self.server.closing.wait()
            return
        elif fault == "last" and name == data.FILES[-1]:
            status = 404
        self.server.asked.append(self.path)
        self.server.on_get(name)
        self.send_response(status)
        if fault != "short-unsaid":
            self.send_header("Content-Length", str(length))
        self.end_headers()
        if fault == "slow":
            for start in range(0, len(body), 1 << 18):
                self.wfile.write(body[start : start + (1 << 18)])
                self.server.closing.wait(0.01)
        else:
            self.wfile.write(body)
        if fault == "stall":
            self.server.closing.wait()
        if fault == "reset":
            linger_none = struct.pack("ii", 1, 0)
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger_none)
            self.connection.close()

    def log_message(self, *args):
        pass


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def __init__(self, files):
        super().__init__(("127.0.0.1", 0), Handler)
        self.files, self.asked = files, []
        self.on_get = lambda name: None
        self.closing = threading.Event()

    def url(self, fault="good"):
        return f"http://127.0.0.1:{self.server_port}/{fault}/"

    def handle_error(self, request, client_address):
        pass  # clients that give up are what the tests are about


@contextlib.contextmanager
def serving(server):
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.closing.set()
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture
def server(monkeypatch):
    """Serves MNIST where it is at hand, else the small files as if they were it."""
    folder = ROOT / "MNIST_data"
    if os.environ.get("CI") or all((folder / n).exists() for n in data.FILES):
        files = {name: (folder / name).read_bytes() for name in data.FILES}
    else:
        files = small_files()
        digests = {n: hashlib.sha256(body).hexdigest() for n, body in files.items()}
        monkeypatch.setattr(data, "SHA256", digests)
    with serving(Server(files)) as server:
        monkeypatch.setattr(data, "TIMEOUT_SECONDS", 0.5)
        monkeypatch.setattr(data, "MIRRORS", (server.url(),))
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
