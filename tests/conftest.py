"""What the tests share: MNIST, files in small, the script, a server with faults."""

import contextlib
import functools
import gzip
import hashlib
import http.server
import os
import runpy
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
MNIST = ROOT / "tests" / "mnist"
SCRIPT = str(ROOT / "train_softmax.py")
sys.path.insert(0, str(ROOT))
# A shell has what it starts in the background ignore Ctrl-C, and so would the
# processes that the tests interrupt.
signal.signal(signal.SIGINT, signal.default_int_handler)
os.environ["no_proxy"] = "*"  # every address in the tests is on this machine

import data

TRAIN, TEST = 5300, 200
POSIX = pytest.mark.skipif(sys.platform == "win32", reason="signals are POSIX's")


def idx(array):
    """Return a uint8 array (n,) or (n, 28, 28) as the bytes of an IDX file."""
    return struct.pack(f">I{array.ndim}I", 0x800 + array.ndim, *array.shape) + bytes(
        array
    )


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
def small_bodies(seed):
    return [gzip.compress(idx(a), 1, mtime=0) for a in small_arrays(seed)]


def small_files(seed=0):
    """Return the four files in small, as a dictionary from name to bytes."""
    return dict(zip(data.FILES, small_bodies(seed)))


def put(files, folder):
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


@pytest.fixture
def small(tmp_path):
    """A folder with the four files in small."""
    return put(small_files(), tmp_path / "MNIST_data")


@pytest.fixture
def run(monkeypatch, capsys):
    """Run a program in a graph of its own; return its names and its output."""
    tf = pytest.importorskip("tensorflow.compat.v1")
    handler = signal.getsignal(signal.SIGINT)
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)
    monkeypatch.setenv("TF_CPP_MIN_LOG_LEVEL", "3")
    sessions = []

    def run(*argv, script=SCRIPT):
        monkeypatch.setattr(sys, "argv", [script, *map(str, argv)])
        with tf.Graph().as_default():
            names = runpy.run_path(script)
        sessions.append(names["sess"])
        return names, *capsys.readouterr()

    yield run
    for session in reversed(sessions):
        session.close()
    signal.signal(signal.SIGINT, handler)


DRIPS = {
    "drip": b"\r\n",
    "drip-headers": b"X-Header: ",
    "drip-chunk": b"Transfer-Encoding: chunked\r\n\r\n",
}
RUDE = "\x1b[2J\x07" + 20_000 * "no "


class Handler(http.server.BaseHTTPRequestHandler):
    """Answers /FAULT/NAME with file NAME and that fault; /good/NAME has none."""

    def do_GET(self):
        _, fault, name = self.path.split("/")
        body = self.server.files[name]
        self.server.asked.append(self.path)
        self.server.on_get(name)
        if fault == "last":
            fault = "404" if name == data.FILES[-1] else "good"
        if fault.isdigit():
            self.answer(b"refused", status=int(fault))
        elif fault.startswith("redirect"):
            self.redirect(int(fault[-3:]), f"/good/{name}", endless=True)
        elif fault == "to-ftp":
            self.redirect(302, f"ftp://127.0.0.1/{name}")
        elif fault == "to-bad-port":
            self.redirect(302, f"http://127.0.0.1:{10**20}/{name}")
        elif fault == "rude":
            self.wfile.write(f"HTTP/1.0 404 {RUDE}\r\n\r\n".encode())
        elif fault == "unprintable":
            self.wfile.write(b"\1\2\3\r\n")
        elif fault == "login":
            self.answer(b"<html><form>Please log in to this network</form></html>")
        elif fault == "other":
            self.answer(small_files(seed=1)[name])
        elif fault in ("short", "short-unsaid", "reset", "stall"):
            said = None if fault == "short-unsaid" else len(body)
            self.answer(body[: len(body) // 2], length=said)
            if fault == "reset":
                at_once = struct.pack("ii", 1, 0)
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, at_once)
                self.connection.close()
            elif fault == "stall":
                self.server.closing.wait()
        elif fault == "silent":
            self.server.closing.wait()
        elif fault == "quick-start":
            self.answer(body[: len(body) // 2], length=len(body))
            self.drip(b"", body)
        elif fault in DRIPS:
            self.drip(b"HTTP/1.1 200 OK\r\n" + DRIPS[fault], body)
        elif fault == "endless":
            self.answer(b"", length=None)
            self.write_without_end()
        elif fault == "many":
            self.answer(body, length="many")
        elif fault == "one":
            self.answer(b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body), 200, 1, chunked=1)
        elif fault == "cut-chunk":
            self.answer(b"ffffff\r\n" + body[:1000], length=None, chunked=True)
        elif fault == "not-http":
            self.wfile.write(b"220 mail.example ESMTP\r\n")
        else:
            self.answer(body)

    def answer(self, body, status=200, length="true", chunked=False):
        self.send_response(status)
        if length is not None:
            self.send_header(
                "Content-Length", len(body) if length == "true" else length
            )
        if chunked:
            self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        self.wfile.write(body)

    def redirect(self, status, location, endless=False):
        self.send_response(status)
        self.send_header("Location", location)
        self.end_headers()
        if endless:
            self.write_without_end()

    def write_without_end(self):
        while not self.server.closing.is_set():
            self.wfile.write(bytes(1 << 20))

    def drip(self, start, rest):
        self.wfile.write(start)
        for k in range(len(rest)):
            self.wfile.write(rest[k : k + 1])
            self.wfile.flush()
            if self.server.closing.wait(0.1):
                break

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
    """Serves the small files, which are taken for MNIST's, and is the only mirror."""
    with serving(Server(small_files())) as server:
        digests = {n: hashlib.sha256(b).hexdigest() for n, b in server.files.items()}
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
