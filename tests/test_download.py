"""Downloads from a real server on this machine, with every fault in front of it."""

import contextlib
import functools
import gzip
import os
import re
import signal
import socket
import subprocess
import sys
import time
import types
import urllib.parse
import urllib.request

import pytest
from helpers import MNIST, POSIX, ROOT, contents, link, small_files, write
from server import FAULTS, SLOW, Ftp, Server, serving

import data

IMAGES, LABELS, TEST_IMAGES, TEST_LABELS = data.FILES

# Addresses that no server answers, with a pattern of the message.
UNREACHABLE = {
    "no such host": ("http://mirror.invalid", "known|resolution|getaddrinfo"),
    "slow look-up": ("http://slow.invalid", SLOW),
    "not a URL": ("mirror", "unknown url type"),
}


@pytest.fixture(params=[*FAULTS, *UNREACHABLE])
def fault(request, server, monkeypatch):
    """A base URL that fails, and a pattern of the message."""
    look_up = socket.getaddrinfo

    def slow(host, *arguments, **options):
        if host == "slow.invalid":
            server.closing.wait()
        return look_up(host, *arguments, **options)

    monkeypatch.setattr(socket, "getaddrinfo", slow)
    if request.param in UNREACHABLE:
        return UNREACHABLE[request.param]
    return server.url(request.param), FAULTS[request.param][1]


@pytest.mark.parametrize("kind", ["good", "chunked"])
def test_download(server, tmp_path, monkeypatch, capfd, kind):
    monkeypatch.setattr(data, "MIRRORS", [server.url(kind)])
    for home in ("HOME", "USERPROFILE"):
        monkeypatch.setenv(home, str(tmp_path))
    folder = tmp_path / "a" / "b"
    data.read_data_sets("~/a/b")
    assert contents(folder) == server.files
    assert len(server.asked) == 4
    (tmp_path / "mine").touch()  # other users may read what they may read of mine
    assert len({p.stat().st_mode for p in [tmp_path / "mine", *folder.iterdir()]}) == 1
    shown = ""
    for name, body in server.files.items():
        marks = -(-len(body) // data.CHUNK_BYTES) * "#"  # as many as chunks
        shown += f"Fetching {server.url(kind)}{name}\n[{marks}]\n"
    assert "[##########" in shown and capfd.readouterr() == ("", shown)
    data.read_data_sets(folder)
    assert len(server.asked) == 4
    assert capfd.readouterr() == ("", "")


def test_fault_before_a_good_mirror(fault, server, tmp_path, monkeypatch, capfd):
    """The reason is shown, and the next mirror is asked."""
    base_url, expected = fault
    monkeypatch.setattr(data, "MIRRORS", [base_url, server.url()])
    folder = tmp_path / "MNIST_data"
    data.read_data_sets(folder)
    assert contents(folder) == server.files
    assert len(server.asked) <= 5  # a mirror that failed is not asked again
    first, second = f"{base_url.rstrip('/')}/{IMAGES}", server.url() + IMAGES
    shown, _, rest = capfd.readouterr().err.partition(f"\nFetching {second}\n")
    assert rest and shown.startswith(f"Fetching {first}\n[")
    message = shown.splitlines()[-1]
    assert re.search(expected, message)
    assert len(message) <= 200 and message.isprintable()


def test_all_mirrors_fail(server, tmp_path, monkeypatch, capfd):
    """Each is told as it fails, and what to do in one line at the end."""
    reasons = {"403": "403", "unprintable": "x01", "login-page": "<h"}
    monkeypatch.setattr(data, "MIRRORS", [server.url(kind) for kind in reasons])
    folder = tmp_path / "new" / "MNIST_data"
    with pytest.raises(OSError) as caught:
        data.read_data_sets(folder)
    assert len(server.asked) == 3
    lines = iter(capfd.readouterr().err.splitlines())
    for kind, reason in reasons.items():
        assert next(lines) == f"Fetching {server.url(kind)}{IMAGES}"
        assert next(lines).startswith("[") and reason in next(lines)
    assert str(caught.value) == (
        f"cannot download {', '.join(data.FILES)} (the reasons are above): copy the "
        f"files into {folder} from tests/mnist of this project"
    )
    assert list(folder.iterdir()) == []


def test_what_arrived_whole_is_kept(server, tmp_path, monkeypatch):
    monkeypatch.setattr(data, "MIRRORS", [server.url("last-missing")])
    with pytest.raises(OSError, match=f"^cannot download {TEST_LABELS} "):
        data.read_data_sets(tmp_path)
    assert contents(tmp_path) == {n: server.files[n] for n in data.FILES[:3]}
    monkeypatch.setattr(data, "MIRRORS", [server.url("last-missing"), server.url()])
    data.read_data_sets(tmp_path)
    kinds = ("last-missing", "good")
    assert server.asked[4:] == [f"/{kind}/{TEST_LABELS}" for kind in kinds]


def test_a_transfer_that_was_given_up_reads_no_further(monkeypatch):
    """Into a buffer of fixed size: a chunk of size -1 has `read` take all."""
    reads = []

    def readinto(buffer):
        reads.append(len(buffer))
        return len(buffer) if len(reads) <= last else 0

    response = contextlib.nullcontext(types.SimpleNamespace(readinto=readinto))
    monkeypatch.setattr(urllib.request, "urlopen", lambda url: response)
    monkeypatch.setattr(data, "MAX_BYTES", 10 * data.CHUNK_BYTES)
    last = 10
    assert len(data._get("")) == data.MAX_BYTES
    reads.clear()
    last = 1000
    with pytest.raises(OSError, match=f"^more than {data.MAX_BYTES} bytes$"):
        data._get("")
    time.sleep(0.2)
    assert 11 <= len(reads) <= 13 and set(reads) == {data.CHUNK_BYTES}


def test_progress_never_goes_to_standard_output(server, tmp_path, monkeypatch, capfd):
    """Where standard error is closed, it goes nowhere."""
    monkeypatch.setattr(sys, "stderr", None)
    data.read_data_sets(tmp_path)
    assert contents(tmp_path) == server.files
    assert capfd.readouterr() == ("", "")


# The copy that comes with the project


def test_mirrors_are_written_well():
    *mirrors, copy = data.MIRRORS
    for mirror in mirrors:
        scheme, host, path, *rest = urllib.parse.urlsplit(mirror)
        assert scheme == "https" and "." in host and path[-1] == "/"
        assert rest == ["", ""]
    folder = urllib.request.url2pathname(urllib.parse.urlsplit(copy).path)
    assert os.path.samefile(folder, MNIST)


# Other data


@pytest.fixture
def other(server):
    """The same server with files that are not MNIST's."""
    server.mnist, server.files = server.files, dict(small_files(seed=2))
    return server


NAMED = "{}: not MNIST's: {} (to fetch MNIST, move these away)\n"


@pytest.mark.parametrize("names", [[LABELS, TEST_LABELS], data.FILES])
def test_other_data_is_named_before_an_error(other, tmp_path, capfd, names):
    """Labels that were moved by one would be learned in silence."""
    write({**other.mnist, **{n: other.files[n] for n in names}}, tmp_path)
    with pytest.raises(ValueError, match="validation_size"):
        data.read_data_sets(tmp_path, validation_size=-1)
    assert capfd.readouterr() == ("", NAMED.format(tmp_path, ", ".join(names)))
    for name in names:  # as the line says
        (tmp_path / name).unlink()
    other.files = other.mnist
    data.read_data_sets(tmp_path)
    assert contents(tmp_path) == other.mnist
    assert "not MNIST" not in capfd.readouterr().err


def test_source_url_may_have_other_content(other, tmp_path, capfd):
    url = other.url().rstrip("/")
    data.read_data_sets(tmp_path, source_url=url)
    assert contents(tmp_path) == other.files
    capfd.readouterr()
    data.read_data_sets(tmp_path, source_url=url)
    message = f"{tmp_path} has all four files: {url} is not asked\n"
    message += NAMED.format(tmp_path, ", ".join(data.FILES))
    assert capfd.readouterr() == ("", message)
    assert len(other.asked) == 4


@pytest.mark.parametrize("kind", ["login-page", "short", "silent"])
def test_source_url_is_checked(other, tmp_path, capfd, kind):
    for url in (other.url(kind), tmp_path):  # a path is no URL
        with pytest.raises(OSError, match=": for MNIST, leave source_url out$"):
            data.read_data_sets(tmp_path, source_url=url)
    assert "unknown url type" in capfd.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_a_folder_is_completed_and_what_is_not_mnist_is_named(other, tmp_path, capfd):
    """What is present stays, also if a reader's own tool packed it."""
    present = {LABELS: gzip.compress(gzip.decompress(other.mnist[LABELS]), 9)}
    write(present, tmp_path)
    data.read_data_sets(tmp_path, source_url=other.url())
    assert contents(tmp_path) == {**other.files, **present}
    assert len(other.asked) == 3
    fetched = ", ".join(name for name in data.FILES if name != LABELS)
    assert capfd.readouterr().err.endswith(NAMED.format(tmp_path, fetched))


# The reader's folder


@pytest.mark.parametrize("kind", ["file", "link to nowhere", "link to itself"])
def test_no_folder_where_the_folder_should_be(server, tmp_path, kind):
    path = tmp_path / "MNIST_data"
    if kind == "file":
        path.write_text("mine")
    else:
        link(path, path if kind == "link to itself" else tmp_path / "unplugged")
    with pytest.raises(OSError, match=re.escape(repr(str(path)))):
        data.read_data_sets(path)
    assert server.asked == []  # it is told at once
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("error", [FileExistsError, PermissionError])
def test_a_file_that_another_process_saved_meanwhile(
    server, tmp_path, monkeypatch, error
):
    """Windows lets no file take its name, and a shared folder no other user's file."""

    def rename(partial, path, faster=False):
        if faster:
            path.write_bytes(partial.read_bytes())
        raise error(1, "Not permitted")

    monkeypatch.setattr(os, "rename", rename)
    with pytest.raises(OSError, match="^cannot write into .*: Not permitted$"):
        data.read_data_sets(tmp_path)
    assert contents(tmp_path) == {}
    monkeypatch.setattr(os, "rename", functools.partial(rename, faster=True))
    data.read_data_sets(tmp_path)
    assert contents(tmp_path) == server.files


@pytest.fixture
def start(server, tmp_path):
    """Start a process that downloads into `tmp_path`; none is left after the test."""
    with contextlib.ExitStack() as stack:

        def start(*lines, python=()):
            code = [
                "import os, sys, data",
                f"data.MIRRORS, data.SHA256 = {data.MIRRORS!r}, {data.SHA256!r}",
                *lines,
                "try: data.read_data_sets(sys.argv[1])",
                "except OSError as error: sys.exit(str(error))",
            ]
            command = [sys.executable, *python, "-c", "\n".join(code), str(tmp_path)]
            process = subprocess.Popen(
                command, cwd=ROOT, stderr=subprocess.PIPE, text=True
            )
            stack.enter_context(process)
            stack.callback(process.kill)
            return process

        yield start


@POSIX
def test_full_disk(start, tmp_path):
    limit = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (20000, 20000))"
    process = start(limit)
    message = process.communicate()[1].splitlines()[-1]
    assert message == f"cannot write into {tmp_path}: File too large"
    assert process.returncode == 1 and contents(tmp_path) == {}


def test_several_processes_at_once(server, start, tmp_path):
    for process in [start() for _ in range(4)]:
        assert "Traceback" not in process.communicate()[1]
        assert process.returncode == 0
    assert contents(tmp_path) == server.files


@POSIX
def test_killed_before_the_file_has_its_name(start, tmp_path):
    """The name is not there yet, and what is beside it disturbs nobody."""
    process = start("os.rename = lambda *_: os.kill(os.getpid(), 9)")
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    (partial,) = tmp_path.iterdir()
    assert partial.name[0] == "."
    data.read_data_sets(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {partial.name, *data.FILES}


@POSIX
def test_interrupted_download_leaves_no_file(server, start, tmp_path, monkeypatch):
    monkeypatch.setattr(data, "MIRRORS", [server.url("stall")])
    process = start()
    shown = b""
    while b"##########" not in shown:
        piece = os.read(process.stderr.fileno(), 1000)
        assert piece, shown
        shown += piece
    assert shown.count(b"\n") == 1  # the marks come before their line ends
    process.send_signal(signal.SIGINT)
    process.communicate()
    assert process.returncode == -signal.SIGINT and contents(tmp_path) == {}


def test_nobody_waits_for_a_server_that_was_given_up(
    server, start, tmp_path, monkeypatch
):
    """One never says the end of a file, so that closing takes for ever; others drip."""
    kinds = ["drip-in-headers", "silent", "short", "good"]
    with serving(Server({IMAGES: server.files[IMAGES]}, Ftp)) as ftp:
        mirrors = [f"ftp://127.0.0.1:{ftp.server_port}", *map(server.url, kinds)]
        monkeypatch.setattr(data, "MIRRORS", mirrors)
        strict = "-X", "dev", "-W", "error"
        process = start("data.TIMEOUT_SECONDS = 0.5", python=strict)
        _, err = process.communicate(timeout=60)
    assert process.returncode == 0 and not re.search("Warning|Exception|Traceback", err)
    assert ftp.asked == [IMAGES, LABELS]  # it has the first alone
    assert [path.split("/")[1] for path in server.asked[:4]] == kinds
    assert contents(tmp_path) == server.files
