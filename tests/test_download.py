"""Downloads from a real server on this machine, with every fault in front of it."""

import io
import os
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.parse

import pytest
from conftest import MNIST, ROOT, put, small_files

import data

# A fault of the server, or of an address, and what is said of it.
FAULTS = {
    "403": "HTTP Error 403: Forbidden",
    "404": "HTTP Error 404: Not Found",
    "500": "HTTP Error 500",
    "rude": r"HTTP Error 404: \[2Jno no no ",
    "login": r"not MNIST's file, it starts with b'<html>",
    "other": r"not MNIST's file, it starts with b'\\x1f",
    "short": r"cut short at \d+ of 9912422 bytes",
    "short-unsaid": "not MNIST's file",
    "reset": "reset|cut short",
    "stall": "timed out|only",
    "silent": "timed out|only 0 bytes in",
    "drip": r"only \d bytes in",
    "drip-headers": "only 0 bytes in",
    "drip-chunk": "only 0 bytes in|invalid|IncompleteRead",
    "endless": "more than 100000000 bytes",
    "many": "Content-Length is not a number: many",
    "cut-chunk": "IncompleteRead",
    "not-http": "220 mail",
    "refused": "refused",
    "no such host": "Name or service|known|resolution|getaddrinfo",
    "certificate": "certificate",
    "not a URL": "unknown url type",
    "bad port": "nonnumeric port",
    "space": "URL can't contain control characters",
}


@pytest.fixture(params=FAULTS)
def fault(request, server):
    """What is wrong with an address, and the address."""
    if request.param == "refused":
        with socket.socket() as closed:
            closed.bind(("127.0.0.1", 0))
            address = f"http://127.0.0.1:{closed.getsockname()[1]}/"
    elif request.param == "certificate":
        address = request.getfixturevalue("untrusted_url")
    else:
        elsewhere = {
            "no such host": "http://mirror.invalid/",
            "not a URL": "mirror",
            "bad port": "http://127.0.0.1:http/",
            "space": "http://127.0.0.1/m nist/",
        }
        address = elsewhere.get(request.param) or server.url(request.param)
    return request.param, address


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_download(server, tmp_path):
    folder = tmp_path / "a" / "b"
    data.read_data_sets(folder, validation_size=0)
    assert contents(folder) == server.files
    assert len(server.asked) == 4
    data.read_data_sets(folder, validation_size=0)
    assert len(server.asked) == 4


def test_only_what_is_missing_is_downloaded(server, tmp_path):
    for name in data.FILES[1:]:
        (tmp_path / name).write_bytes(server.files[name])
    data.read_data_sets(tmp_path, validation_size=0)
    assert server.asked == [f"/good/{data.FILES[0]}"]
    assert contents(tmp_path) == server.files


def test_fault_before_a_good_mirror(fault, server, tmp_path, monkeypatch):
    monkeypatch.setattr(data, "MIRRORS", [fault[1], server.url()])
    folder = tmp_path / "MNIST_data"
    data.read_data_sets(folder, validation_size=0)
    assert contents(folder) == server.files
    assert len(server.asked) <= 5  # an address that failed is not asked again


def test_fault_alone(fault, tmp_path, monkeypatch):
    kind, address = fault
    monkeypatch.setattr(data, "MIRRORS", [address])
    with pytest.raises(OSError) as caught:
        data.read_data_sets(tmp_path / "new" / "MNIST_data")
    message = str(caught.value)
    reason = rf"^  {re.escape(address.rstrip('/'))}/{data.FILES[0]}: (.*)$"
    (said,) = re.findall(reason, message, re.MULTILINE)
    assert re.search(FAULTS[kind], said)
    assert len(said) <= 200 and said.isprintable()
    for way_on in (*data.FILES, "MNIST_data", "(--source-url)", "(--fake-data)"):
        assert way_on in message
    assert list((tmp_path / "new" / "MNIST_data").iterdir()) == []


def test_all_addresses_are_listed_with_their_reasons(server, tmp_path, monkeypatch):
    mirrors = [server.url(fault) for fault in ("403", "login", "many")]
    monkeypatch.setattr(data, "MIRRORS", mirrors)
    with pytest.raises(OSError) as caught:
        data.read_data_sets(tmp_path)
    lines = str(caught.value).splitlines()[1:4]
    for line, mirror, reason in zip(lines, mirrors, ("403", "<html>", "many")):
        assert line.startswith(f"  {mirror}") and reason in line


def test_what_arrived_whole_is_kept(server, tmp_path, monkeypatch):
    monkeypatch.setattr(data, "MIRRORS", [server.url("last")])
    with pytest.raises(OSError, match=f"no address serves {data.FILES[-1]}:\n.* 404"):
        data.read_data_sets(tmp_path)
    assert contents(tmp_path) == {n: server.files[n] for n in data.FILES[:3]}
    monkeypatch.setattr(data, "MIRRORS", [server.url("last"), server.url()])
    data.read_data_sets(tmp_path, validation_size=0)
    assert server.asked[4:] == [f"/{of}/{data.FILES[-1]}" for of in ("last", "good")]


# The copy that comes with the project


def test_addresses_are_written_well():
    *mirrors, copy = data.MIRRORS
    for mirror in mirrors:
        scheme, host, path, *rest = urllib.parse.urlsplit(mirror)
        assert scheme == "https" and "." in host and path.endswith("/mnist/")
        assert rest == ["", ""]
    assert len(mirrors) == 2
    assert copy == MNIST.as_uri() + "/"


def test_copy_serves_where_no_mirror_does(server, tmp_path, monkeypatch):
    mirrors = [server.url("403"), MNIST.as_uri() + "/"]
    monkeypatch.setattr(data, "MIRRORS", mirrors)
    monkeypatch.setattr(sys, "stderr", Terminal())
    data.read_data_sets(tmp_path / "MNIST_data", validation_size=0)
    assert contents(tmp_path / "MNIST_data") == server.files
    assert f"Fetching {mirrors[1]}{data.FILES[0]}\n" in sys.stderr.getvalue()


def test_data_py_alone_does_not_speak_of_the_copy(tmp_path):
    shutil.copy(ROOT / "data.py", tmp_path)
    code = "import data; data.MIRRORS[:2] = ['a', 'b']; data.read_data_sets('MNIST')"
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert "OSError: no address serves" in done.stderr and "(--fake" in done.stderr
    assert "tests" not in done.stderr.split("OSError")[-1]


# Other data


@pytest.fixture
def other(server):
    """The same server with files that are not MNIST's."""
    server.files = small_files(seed=2)
    return server


@pytest.mark.parametrize("several", [list, tuple, iter, None])
def test_source_url_may_have_other_content(other, tmp_path, several):
    url = other.url()
    url = several([other.url("404"), url]) if several else url.rstrip("/")
    data.read_data_sets(tmp_path, source_url=url, validation_size=0)
    assert contents(tmp_path) == other.files


def test_mirrors_may_not_have_other_content(other, tmp_path):
    with pytest.raises(OSError, match="not MNIST's file"):
        data.read_data_sets(tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("kind", ["login", "short-unsaid", "short", "silent"])
def test_source_url_is_checked(other, tmp_path, kind):
    with pytest.raises(OSError, match=other.url(kind)):
        data.read_data_sets(tmp_path, source_url=other.url(kind))
    assert list(tmp_path.iterdir()) == []


def test_source_url_with_too_few_labels(other, tmp_path):
    images, labels, _, test_labels = data.FILES
    other.files[labels] = other.files[test_labels]
    with pytest.raises(ValueError, match=f"{tmp_path / images} has .*{labels} has"):
        data.read_data_sets(tmp_path, source_url=other.url())


def test_other_data_is_not_completed_with_mnist(server, tmp_path):
    files = small_files(seed=2)
    del files[data.FILES[1]]
    put(files, tmp_path)
    with pytest.raises(data.DataError) as caught:
        data.read_data_sets(tmp_path)
    assert f"{tmp_path / data.FILES[2]} is not MNIST's" in str(caught.value)
    assert "source_url= (--source-url)" in str(caught.value)
    assert server.asked == [] and contents(tmp_path) == files
    server.files = small_files(seed=2)
    data.read_data_sets(tmp_path, source_url=server.url(), validation_size=0)
    assert contents(tmp_path) == server.files


# The reader's folder


def test_a_file_put_there_meanwhile_stays(server, tmp_path):
    name = data.FILES[0]

    def put_there(asked):
        if asked == name:
            (tmp_path / name).write_bytes(b"the reader's own")

    server.on_get = put_there
    with pytest.raises(data.DataError, match=f"{name}: not a whole gzip file"):
        data.read_data_sets(tmp_path)
    assert contents(tmp_path) == {**server.files, name: b"the reader's own"}


def test_a_link_to_nowhere_stays(server, tmp_path):
    link = tmp_path / data.FILES[0]
    link.symlink_to(tmp_path / "unplugged")
    with pytest.raises(OSError, match=str(link)):
        data.read_data_sets(tmp_path)
    assert link.is_symlink() and server.asked == []


@pytest.mark.parametrize("kind", ["file", "link to nowhere", "link to itself"])
def test_no_folder_where_the_folder_should_be(server, tmp_path, kind):
    path = tmp_path / "MNIST_data"
    if kind == "file":
        path.write_text("mine")
    else:
        path.symlink_to(path if kind == "link to itself" else tmp_path / "unplugged")
    with pytest.raises(OSError, match=f"cannot write into {path}: ") as caught:
        data.read_data_sets(path)
    assert "\n" not in str(caught.value)
    assert server.asked == [] and list(tmp_path.iterdir()) == [path]


def start(server, folder, *lines, python=()):
    """Start a process that downloads into `folder` and prints its errors."""
    code = [
        "import os, sys, data",
        f"data.MIRRORS = {data.MIRRORS!r}",
        *lines,
        "try: data.read_data_sets(sys.argv[1], validation_size=0)",
        "except OSError as error: sys.exit(str(error))",
    ]
    return subprocess.Popen(
        [sys.executable, *python, "-c", "\n".join(code), str(folder)],
        cwd=ROOT,
        stderr=subprocess.PIPE,
    )


def test_folder_is_tried_before_the_first_request(server, tmp_path):
    refused = "def refuse(**_): raise PermissionError(13, 'Permission denied')"
    process = start(server, tmp_path, refused, "data.tempfile.TemporaryFile = refuse")
    message = process.communicate()[1].decode().rstrip()
    assert message == f"cannot write into {tmp_path}: Permission denied"
    assert server.asked == []


@pytest.mark.skipif(sys.platform == "win32", reason="limits are POSIX's")
def test_full_disk(server, tmp_path):
    folder = tmp_path / "new" / "MNIST_data"
    limit = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (20000, 20000))"
    process = start(server, folder, limit)
    message = process.communicate()[1].decode().rstrip()
    assert process.returncode == 1
    assert message == f"cannot write into {folder}: File too large"
    assert list(folder.iterdir()) == []


def test_eight_processes_at_once(server, tmp_path):
    folder = tmp_path / "MNIST_data"
    processes = [start(server, folder) for _ in range(8)]
    for process in processes:
        assert process.communicate()[1] == b""
        assert process.returncode == 0
    assert contents(folder) == server.files


@pytest.mark.skipif(sys.platform == "win32", reason="signals are POSIX's")
def test_killed_before_the_rename(server, tmp_path):
    """The name is not there yet, and what is beside it disturbs nobody."""
    process = start(server, tmp_path, "os.replace = lambda *_: os.kill(os.getpid(), 9)")
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    (part,) = tmp_path.iterdir()
    assert part.name.startswith(f".{data.FILES[0]}") and part.suffix == ".part"
    data.read_data_sets(tmp_path, validation_size=0)
    assert contents(tmp_path).keys() == {part.name, *data.FILES}


def test_killed_at_any_moment(server, tmp_path, monkeypatch):
    monkeypatch.setattr(data, "MIRRORS", [server.url("slow")])
    folder = tmp_path / "MNIST_data"
    moments = random.Random(0)
    for _ in range(5):
        process = start(server, folder)
        time.sleep(moments.uniform(0.1, 0.8))
        process.kill()
        process.communicate()
        for name, body in server.files.items():
            if (folder / name).exists():
                assert (folder / name).read_bytes() == body
    data.read_data_sets(folder, validation_size=0)
    for name, body in server.files.items():
        assert (folder / name).read_bytes() == body


@pytest.mark.skipif(sys.platform == "win32", reason="signals are POSIX's")
def test_interrupted_download_leaves_no_file(server, tmp_path, monkeypatch):
    monkeypatch.setattr(data, "MIRRORS", [server.url("stall")])
    process = start(server, tmp_path)
    while not server.asked:
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    process.communicate()
    assert process.returncode == -signal.SIGINT
    assert os.listdir(tmp_path) == []


def test_no_warning_with_dev_mode(server, tmp_path, monkeypatch):
    faults = ("403", "short", "cut-chunk", "login", "good")
    monkeypatch.setattr(data, "MIRRORS", [server.url(fault) for fault in faults])
    process = start(server, tmp_path, python=("-X", "dev", "-W", "error"))
    assert process.communicate()[1] == b""
    assert process.returncode == 0


# The progress bar


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.mark.parametrize("kind", ["good", "one"])
def test_bar_on_a_terminal(server, tmp_path, monkeypatch, kind):
    monkeypatch.setattr(data, "MIRRORS", [server.url(kind)])
    monkeypatch.setattr(sys, "stderr", Terminal())
    data.read_data_sets(tmp_path, validation_size=0)
    shown = sys.stderr.getvalue()
    for name in data.FILES:
        assert f"Fetching {server.url(kind)}{name}\n" in shown
    assert shown.count("\n") == 8
    assert shown.count(f"[{30 * '#'}]\n") == 4
    assert 31 * "#" not in shown


def test_no_bar_elsewhere(server, tmp_path, capfd):
    data.read_data_sets(tmp_path, validation_size=0)
    assert capfd.readouterr() == ("", "")


def test_standard_error_may_be_closed(server, tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "stderr", None)
    data.read_data_sets(tmp_path, validation_size=0)
    assert contents(tmp_path) == server.files
