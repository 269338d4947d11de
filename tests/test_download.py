"""Downloads from a real server on this machine, with every fault in front of it."""

import contextlib
import gzip
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import types
import urllib.parse
import urllib.request

import pytest
from helpers import MNIST, POSIX, ROOT, contents, link, python, small_files, write
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
    if request.param in FAULTS:
        return server.url(request.param), FAULTS[request.param][1]
    base_url, message = UNREACHABLE[request.param]
    if request.param == "slow look-up":
        look_up = socket.getaddrinfo

        def slow(host, *arguments, **options):
            if host != "127.0.0.1":
                server.closing.wait()
            return look_up(host, *arguments, **options)

        monkeypatch.setattr(socket, "getaddrinfo", slow)
    return base_url, message


@pytest.mark.parametrize("kind", ["good", "chunked"])
def test_download(server, tmp_path, monkeypatch, capfd, kind):
    monkeypatch.setattr(data, "MIRRORS", [server.url(kind)])
    folder = tmp_path / "a" / "b"
    data.read_data_sets(folder)
    assert contents(folder) == server.files
    assert len(server.asked) == 4
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
    lines = capfd.readouterr().err.splitlines()
    assert (lines[0], lines[3]) == (f"Fetching {first}", f"Fetching {second}")
    marks, message = lines[1:3]
    assert re.fullmatch(r"\[#*", marks) and re.search(expected, message)
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


def test_no_thread_to_be_had(server, tmp_path, monkeypatch, capfd):
    class NoThread(threading.Thread):
        def start(self):
            raise RuntimeError("can't start new thread")

    monkeypatch.setattr(data, "threading", types.SimpleNamespace(Thread=NoThread))
    with pytest.raises(OSError, match="^cannot download"):
        data.read_data_sets(tmp_path)
    assert capfd.readouterr().err.endswith("\ncan't start new thread\n")


def test_a_transfer_that_was_given_up_reads_no_further(monkeypatch):
    """Into a buffer of fixed size: a chunk of size -1 has `read` take all."""
    reads = []

    def urlopen(chunks):
        def readinto(buffer):
            reads.append(len(buffer))
            return len(buffer) if len(reads) <= int(chunks) else 0

        response = types.SimpleNamespace(headers={}, readinto=readinto)
        return contextlib.nullcontext(response)

    monkeypatch.setattr(urllib.request, "urlopen", urlopen)
    monkeypatch.setattr(data, "MAX_BYTES", 10 * data.CHUNK_BYTES)
    assert len(data._get("10")) == data.MAX_BYTES
    reads.clear()
    with pytest.raises(OSError, match=f"^more than {data.MAX_BYTES} bytes$"):
        data._get("1000")
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
        assert scheme == "https" and "." in host and path.endswith("/mnist/")
        assert rest == ["", ""]
    folder = urllib.request.url2pathname(urllib.parse.urlsplit(copy).path)
    assert os.path.samefile(folder, MNIST)


def test_data_py_alone_says_where_the_files_are(tmp_path):
    shutil.copy(ROOT / "data.py", tmp_path)
    code = "import data; data.MIRRORS[:2] = ['a', 'b']; data.read_data_sets('MNIST')"
    done = python("-c", code, cwd=tmp_path, check=False)
    message = done.stderr.split("OSError: ")[-1]
    assert message.startswith("cannot download") and "of this project" in message


# Other data


@pytest.fixture
def other(server):
    """The same server with files that are not MNIST's."""
    server.mnist, server.files = server.files, dict(small_files(seed=2))
    return server


NAMED = "{}: not MNIST's: {} (to fetch MNIST, move these away)\n"


@pytest.mark.parametrize("names", [[LABELS, TEST_LABELS], data.FILES])
def test_other_data_is_named_with_the_way_back(other, tmp_path, capfd, names):
    """Labels that were moved by one would be learned in silence."""
    write({**other.mnist, **{n: other.files[n] for n in names}}, tmp_path)
    data.read_data_sets(tmp_path)
    assert capfd.readouterr() == ("", NAMED.format(tmp_path, ", ".join(names)))
    for name in names:
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
    assert '\nValueError("unknown url type' in capfd.readouterr().err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("fetched_is_mnist", [True, False])
def test_a_folder_is_completed_and_what_is_not_mnist_is_named(
    other, tmp_path, capfd, fetched_is_mnist
):
    """What is present stays, as it was packed by a reader's own tool, too."""
    there = other.files if fetched_is_mnist else other.mnist
    present = {LABELS: gzip.compress(gzip.decompress(there[LABELS]), 9)}
    write(present, tmp_path)
    if fetched_is_mnist:
        other.files = other.mnist
        data.read_data_sets(tmp_path)
    else:
        data.read_data_sets(tmp_path, source_url=other.url())
    assert contents(tmp_path) == {**other.files, **present}
    assert len(other.asked) == 3
    fetched = ", ".join(name for name in data.FILES if name != LABELS)
    named = NAMED.format(tmp_path, LABELS if fetched_is_mnist else fetched)
    assert capfd.readouterr().err.endswith(named)


def test_other_data_is_named_before_an_error(other, tmp_path, capfd):
    write(other.files, tmp_path)
    with pytest.raises(ValueError, match="validation_size"):
        data.read_data_sets(tmp_path, validation_size=-1)
    named = NAMED.format(tmp_path, ", ".join(data.FILES))
    assert capfd.readouterr().err == named


# The reader's folder


def test_tilde_is_the_home_folder(server, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    data.read_data_sets("~/mnist")
    assert contents(tmp_path / "mnist") == server.files


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


@pytest.mark.skipif(not os.path.ismount("/sys"), reason="/sys is Linux's")
def test_folder_that_may_not_be_written(server):
    """Nobody may make a file there, not even root."""
    message = "^cannot write into /sys: (Operation not permitted|Permission denied)$"
    with pytest.raises(OSError, match=message):
        data.read_data_sets("/sys")


@pytest.mark.parametrize("faster", [True, False])
@pytest.mark.parametrize("error", [FileExistsError, PermissionError])
def test_a_file_that_another_process_saved_meanwhile(
    server, tmp_path, monkeypatch, error, faster
):
    """Windows lets no file take its name, and a shared folder no other user's file."""

    def rename(partial, path):
        if faster:
            path.write_bytes(partial.read_bytes())
        raise error(1, "Not permitted")

    monkeypatch.setattr(os, "rename", rename)
    if faster:
        data.read_data_sets(tmp_path)
        assert contents(tmp_path) == server.files
    else:
        with pytest.raises(OSError, match="^cannot write into .*: Not permitted$"):
            data.read_data_sets(tmp_path)
        assert contents(tmp_path) == {}


def test_a_folder_that_another_process_completes_meanwhile(
    server, tmp_path, monkeypatch
):
    def get(url):
        write(server.files, tmp_path)
        raise OSError("too many connections")

    monkeypatch.setattr(data, "_get", get)
    data.read_data_sets(tmp_path)
    assert contents(tmp_path) == server.files


def start(server, folder, *lines, python=()):
    """Start a process that downloads into `folder` and prints its errors."""
    code = [
        "import os, sys, data",
        f"data.MIRRORS, data.SHA256 = {data.MIRRORS!r}, {data.SHA256!r}",
        *lines,
        "try: data.read_data_sets(sys.argv[1])",
        "except OSError as error: sys.exit(str(error))",
    ]
    return subprocess.Popen(
        [sys.executable, *python, "-c", "\n".join(code), str(folder)],
        cwd=ROOT,
        stderr=subprocess.PIPE,
        text=True,
    )


@POSIX
def test_full_disk(server, tmp_path):
    folder = tmp_path / "new" / "MNIST_data"
    limit = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (20000, 20000))"
    process = start(server, folder, limit)
    message = process.communicate()[1].splitlines()[-1]
    assert process.returncode == 1
    assert message == f"cannot write into {folder}: File too large"
    assert list(folder.iterdir()) == []


def test_several_processes_at_once(server, tmp_path):
    folder = tmp_path / "MNIST_data"
    processes = [start(server, folder) for _ in range(4)]
    for process in processes:
        assert "Traceback" not in process.communicate()[1]
        assert process.returncode == 0
    assert contents(folder) == server.files


@POSIX
def test_killed_before_the_file_has_its_name(server, tmp_path):
    """The name is not there yet, and what is beside it disturbs nobody."""
    process = start(server, tmp_path, "os.rename = lambda *_: os.kill(os.getpid(), 9)")
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    (partial,) = tmp_path.iterdir()
    assert partial.name[0] == "."
    data.read_data_sets(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {partial.name, *data.FILES}


@POSIX
def test_interrupted_download_leaves_no_file(server, tmp_path, monkeypatch):
    monkeypatch.setattr(data, "MIRRORS", [server.url("stall")])
    process = start(server, tmp_path)
    shown = b""
    while b"##########" not in shown:
        piece = os.read(process.stderr.fileno(), 1000)
        assert piece, shown
        shown += piece
    assert shown.count(b"\n") == 1  # the marks come before their line ends
    process.send_signal(signal.SIGINT)
    process.communicate()
    assert process.returncode == -signal.SIGINT
    assert os.listdir(tmp_path) == []


def test_nobody_waits_for_a_server_that_was_given_up(server, tmp_path, monkeypatch):
    """One never says the end of a file, so that closing takes for ever; others drip."""
    kinds = "drip-in-headers", "silent", "short", "good"
    with serving(Server({IMAGES: server.files[IMAGES]}, Ftp)) as ftp:
        mirrors = [f"ftp://127.0.0.1:{ftp.server_port}", *map(server.url, kinds)]
        monkeypatch.setattr(data, "MIRRORS", mirrors)
        limit = "data.TIMEOUT_SECONDS = 0.5"
        process = start(server, tmp_path, limit, python=("-X", "dev", "-W", "error"))
        try:
            _, err = process.communicate(timeout=60)
        finally:
            process.kill()
    assert process.returncode == 0 and not re.search("Warning|Exception|Traceback", err)
    assert ftp.asked == [IMAGES, LABELS]  # it has the first alone
    assert [path.split("/")[1] for path in server.asked[:4]] == list(kinds)
    assert contents(tmp_path) == server.files
