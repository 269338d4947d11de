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
import socketserver
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
os.environ.pop("PYTHONUNBUFFERED", None)  # processes are to buffer as a reader's do

import data

TRAIN, TEST = 5300, 200
POSIX = pytest.mark.skipif(sys.platform == "win32", reason="signals are POSIX's")


def pytest_collection_modifyitems(items):
    """Let no test hang where a fault in the code makes a loop endless."""
    for item in items:
        item.add_marker(pytest.mark.timeout(120))


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


def reset(connection):
    at_once = struct.pack("ii", 1, 0)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, at_once)
    connection.close()


class Handler(http.server.BaseHTTPRequestHandler):
    """Answers /FAULT/NAME with file NAME and that fault; /good/NAME has none."""

    def do_GET(self):
        _, fault, name = self.path.split("/")
        self.body = self.server.files[name]
        self.server.asked.append(self.path)
        FAULTS[fault][0](self)

    def answer(self, body=None, status=200, header="Content-Length", value=None):
        body = self.body if body is None else body
        self.send_response(status)
        self.send_header(header, len(body) if value is None else value)
        self.end_headers()
        self.wfile.write(body)

    def short(self):
        self.answer(self.body[: len(self.body) // 2], value=len(self.body))

    def stall(self):
        self.short()
        self.server.closing.wait()

    def reset(self):
        self.short()
        reset(self.connection)

    def drip(self, start):
        self.wfile.write(b"HTTP/1.1 200 OK\r\n" + start)
        for byte in self.body:
            self.wfile.write(bytes([byte]))
            if self.server.closing.wait(0.1):
                break

    def endless(self):
        self.answer(b"", header="X-Length")
        while not self.server.closing.is_set():
            self.wfile.write(bytes(1 << 16))

    def last(self):
        last = self.path.endswith(data.FILES[-1])
        self.answer(status=404 if last else 200)

    def log_message(self, *args):
        pass


NOTHING = "^nothing much came for 0.5 seconds"
RUDE = "\x1b[2J\x07" + 20_000 * "no "

# What the server does, and what is said of it.
FAULTS = {
    "good": (Handler.answer, None),
    "last": (Handler.last, None),
    "403": (lambda h: h.answer(status=403), "HTTP Error 403: Forbidden"),
    "rude": (
        lambda h: h.wfile.write(f"HTTP/1.0 404 {RUDE}\r\n\r\n".encode()),
        r"HTTP Error 404: \[2Jno no no ",
    ),
    "unprintable": (
        lambda h: h.wfile.write(b"\1\2\3\r\n"),
        r"BadStatusLine\('\\x01\\x02\\x03",
    ),
    "login": (lambda h: h.answer(b"<html>Please log in"), "not a whole gzip file .*<h"),
    "other": (
        lambda h: h.answer(small_files(seed=1)[h.path.split("/")[-1]]),
        "not MNIST's$",
    ),
    "short": (Handler.short, "not a whole gzip file .*ended before"),
    "reset": (Handler.reset, "reset|forcibly closed|aborted|not a whole"),
    "stall": (Handler.stall, NOTHING),
    "silent": (lambda h: h.server.closing.wait(), NOTHING),
    "drip": (lambda h: h.drip(b"\r\n"), NOTHING),
    "drip-headers": (lambda h: h.drip(b"X-Header: "), NOTHING),
    "endless": (Handler.endless, "^more than 5000000 bytes came$"),
    "many": (lambda h: h.answer(value="many"), "'many'"),
    "cut-chunk": (
        lambda h: h.answer(b"ffffff\r\n", header="Transfer-Encoding", value="chunked"),
        "IncompleteRead",
    ),
    "not-http": (lambda h: h.wfile.write(b"220 mail.example ESMTP\r\n"), "220 mail"),
}


class Ftp(socketserver.StreamRequestHandler):
    """Sends a file by FTP, and then never says that this was all."""

    def handle(self):
        self.wfile.write(b"220 \r\n")
        with socket.create_server(("127.0.0.1", 0)) as passive:
            port = passive.getsockname()[1]
            place = f"227 (127,0,0,1,{port // 256},{port % 256})\r\n".encode()
            for line in self.rfile:
                command, *words = line.decode().split()
                answers = {"PASV": place, "RETR": b"150 \r\n"}
                self.wfile.write(answers.get(command, b"200 \r\n"))
                if command == "RETR":
                    self.server.asked += words
                    with passive.accept()[0] as connection:
                        self.send(connection, self.server.files[words[0]])
                    self.server.closing.wait()

    def send(self, connection, body):
        connection.sendall(body)


class LongFtp(Ftp):
    def send(self, connection, body):
        connection.sendall(body + bytes(5_000_000))


class ResetFtp(Ftp):
    def send(self, connection, body):
        connection.sendall(body[:20_000])
        self.server.closing.wait(0.2)
        reset(connection)


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def __init__(self, files, handler=Handler):
        super().__init__(("127.0.0.1", 0), handler)
        self.files, self.asked = files, []
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
