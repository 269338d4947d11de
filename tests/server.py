"""A server on this machine, with each fault that a download may meet."""

import contextlib
import http.server
import socket
import socketserver
import threading

from helpers import small_files

import data


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def __init__(self, files, handler=None):
        super().__init__(("127.0.0.1", 0), handler or Handler)
        self.files, self.asked = dict(files), []
        self.closing = threading.Event()

    def url(self, kind="good"):
        return f"http://127.0.0.1:{self.server_port}/{kind}/"

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


class Handler(http.server.BaseHTTPRequestHandler):
    """Answers /KIND/NAME with file NAME, as KIND in one of the tables below says."""

    def do_GET(self):
        _, kind, name = self.path.split("/")
        self.body = self.server.files[name]
        self.server.asked.append(self.path)
        answer = GOOD[kind] if kind in GOOD else FAULTS[kind][0]
        answer(self)

    def answer(self, body=None, status=200, length=None):
        body = self.body if body is None else body
        self.send_response(status)
        self.send_header("Content-Length", length or len(body))
        self.end_headers()
        self.wfile.write(body)

    def last_missing(self):
        self.answer(status=404 if self.path.endswith(data.FILES[-1]) else 200)

    def chunked(self):
        """One byte is announced, and the body comes in chunks, which is what counts."""
        head = b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked"
        size = f"{len(self.body):x}".encode()
        self.wfile.write(b"\r\n".join([head, b"", size, self.body, b"0", b"", b""]))

    def short(self):
        self.answer(self.body[: len(self.body) // 2], length=len(self.body))

    def stall(self):
        self.short()
        self.server.closing.wait()

    def drip(self, head, size, seconds):
        """Send `size` bytes at a time."""
        self.wfile.write(b"HTTP/1.1 200 OK\r\n" + head)
        for start in range(0, len(self.body), size):
            self.wfile.write(self.body[start : start + size])
            if self.server.closing.wait(seconds):
                break

    def log_message(self, *args):
        pass


SLOW = "^less than 200,000 bytes in 0.5 seconds$"

# How the server answers when the file arrives.
GOOD = {
    "good": Handler.answer,
    "last-missing": Handler.last_missing,
    "chunked": Handler.chunked,
}

# How it answers when the file does not arrive, and a pattern of the message then.
FAULTS = {
    "403": (lambda h: h.answer(status=403), "<HTTPError 403: 'Forbidden'>"),
    "unprintable": (
        lambda h: h.wfile.write(b"\1\2 " + 300 * b"x" + b"\r\n"),
        r"BadStatusLine\('\\x01\\x02",
    ),
    "login-page": (lambda h: h.answer(b"<html>Log in"), "not a whole gzip file .*<h"),
    "other-data": (
        lambda h: h.answer(small_files(seed=1)[h.path.split("/")[-1]]),
        "^not MNIST: the SHA-256 digest differs$",
    ),
    "empty": (lambda h: h.answer(b""), "buffer is smaller than"),
    "short": (Handler.short, "not a whole gzip file .*ended before"),
    "stall": (Handler.stall, SLOW),
    "silent": (lambda h: h.server.closing.wait(), SLOW),
    "drip": (lambda h: h.drip(b"\r\n", 1, 0.1), SLOW),
    "drip-in-headers": (lambda h: h.drip(b"X-Header: ", 1, 0.1), SLOW),
    "throttled": (lambda h: h.drip(b"\r\n", 1000, 0.01), SLOW),
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
                        connection.sendall(self.server.files[words[0]])
                    self.server.closing.wait()
