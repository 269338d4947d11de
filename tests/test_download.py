"""Downloads from a real server on this machine, with every fault in front of it."""

import io
import os
import random
import signal
import socket
import subprocess
import sys
import time

import pytest
from conftest import ROOT, small_files

import data

FAULTS = [
    "403",
    "404",
    "500",
    "login",
    "other",
    "short",
    "short-unsaid",
    "reset",
    "silent",
    "stall",
    "refused",
    "no such host",
    "certificate",
    "not a URL",
]


@pytest.fixture(params=FAULTS)
def fault(request, server):
    """The base URL of a mirror with a fault."""
    if request.param == "refused":
        with socket.socket() as closed:
            closed.bind(("127.0.0.1", 0))
            return f"http://127.0.0.1:{closed.getsockname()[1]}/"
    if request.param == "no such host":
        return "http://mirror.invalid/"
    if request.param == "certificate":
        return request.getfixturevalue("untrusted_url")
    if request.param == "not a URL":
        return "mirror"
    return server.url(request.param)


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
    monkeypatch.setattr(data, "MIRRORS", (fault, server.url()))
    folder = tmp_path / "MNIST_data"
    data.read_data_sets(folder, validation_size=0)
    assert contents(folder) == server.files


def test_fault_alone(fault, tmp_path, monkeypatch):
    monkeypatch.setattr(data, "MIRRORS", (fault,))
    with pytest.raises(OSError) as caught:
        data.read_data_sets(tmp_path / "new" / "MNIST_data")
    message = str(caught.value)
    assert f"{fault.rstrip('/')}/{data.FILES[0]}: " in message
    for way_on in (*data.FILES, "MNIST_data", "--source-url", "--fake-data"):
        assert way_on in message
    assert list(tmp_path.iterdir()) == []


def test_all_addresses_are_listed_with_their_reasons(server, tmp_path, monkeypatch):
    mirrors = [server.url(fault) for fault in ("403", "login", "silent")]
    monkeypatch.setattr(data, "MIRRORS", mirrors)
    with pytest.raises(OSError) as caught:
        data.read_data_sets(tmp_path)
    lines = str(caught.value).splitlines()[1:4]
    for line, mirror, reason in zip(lines, mirrors, ("403", "<html>", "timed out")):
        assert mirror in line and reason in line


def test_fault_in_the_last_file_leaves_nothing(server, tmp_path, monkeypatch):
    monkeypatch.setattr(data, "MIRRORS", (server.url("last"),))
    with pytest.raises(OSError, match="404"):
        data.read_data_sets(tmp_path / "MNIST_data")
    assert list(tmp_path.iterdir()) == []


# Other addresses


@pytest.fixture
def other(server):
    """The same server with files that are not MNIST's."""
    server.files = small_files(seed=2)
    return server


@pytest.mark.parametrize("several", [False, True])
def test_source_url_may_have_other_content(other, tmp_path, several):
    url = other.url()
    url = [other.url("404"), url] if several else url.rstrip("/")
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
    with pytest.raises(ValueError, match=f"{other.url()}{images} has"):
        data.read_data_sets(tmp_path / "new", source_url=other.url())
    assert list(tmp_path.iterdir()) == []


# The reader's folder


def test_a_file_put_there_meanwhile_stays(server, tmp_path):
    name = data.FILES[0]
    server.on_get = lambda _: (tmp_path / name).write_bytes(b"the reader's own")
    data.read_data_sets(tmp_path, validation_size=0)
    assert contents(tmp_path) == {**server.files, name: b"the reader's own"}


def test_a_link_to_nowhere_stays(server, tmp_path):
    link = tmp_path / data.FILES[0]
    link.symlink_to(tmp_path / "unplugged")
    with pytest.raises(OSError, match=str(link)):
        data.read_data_sets(tmp_path)
    assert link.is_symlink() and server.asked == []


def test_a_file_where_the_folder_should_be(server, tmp_path):
    file = tmp_path / "MNIST_data"
    file.write_text("mine")
    with pytest.raises(OSError, match=f"cannot write into {file}"):
        data.read_data_sets(file)
    assert server.asked == [] and file.read_text() == "mine"


def start(server, folder, *limits):
    """Start a process that downloads into `folder` and prints its errors."""
    code = [
        "import sys, data",
        f"data.MIRRORS, data.SHA256 = {data.MIRRORS!r}, {data.SHA256!r}",
        *limits,
        "try: data.read_data_sets(sys.argv[1], validation_size=0)",
        "except OSError as error: sys.exit(str(error))",
    ]
    return subprocess.Popen(
        [sys.executable, "-c", "\n".join(code), str(folder)],
        cwd=ROOT,
        stderr=subprocess.PIPE,
    )


@pytest.mark.skipif(sys.platform == "win32", reason="limits are POSIX's")
def test_full_disk(server, tmp_path):
    folder = tmp_path / "new" / "MNIST_data"
    limit = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (20000, 20000))"
    process = start(server, folder, limit)
    message = process.communicate()[1].decode()
    assert process.returncode == 1
    assert message == f"cannot write into {folder}: File too large\n"
    assert list(tmp_path.iterdir()) == []


def test_eight_processes_at_once(server, tmp_path):
    folder = tmp_path / "MNIST_data"
    processes = [start(server, folder) for _ in range(8)]
    for process in processes:
        assert process.communicate()[1] == b""
        assert process.returncode == 0
    assert contents(folder) == server.files


def test_killed_at_any_moment(server, tmp_path, monkeypatch):
    monkeypatch.setattr(data, "MIRRORS", (server.url("slow"),))
    folder = tmp_path / "MNIST_data"
    moments = random.Random(0)
    for _ in range(8):
        process = start(server, folder)
        time.sleep(moments.uniform(0.1, 1))
        process.kill()
        process.communicate()
        for name, body in server.files.items():
            if (folder / name).exists():
                assert (folder / name).read_bytes() == body
    data.read_data_sets(folder, validation_size=0)
    for name, body in server.files.items():
        assert (folder / name).read_bytes() == body


@pytest.mark.skipif(sys.platform == "win32", reason="signals are POSIX's")
def test_interrupted_download_leaves_nothing(server, tmp_path, monkeypatch):
    monkeypatch.setattr(data, "MIRRORS", (server.url("stall"),))
    process = start(server, tmp_path / "MNIST_data")
    while not server.asked:
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    process.communicate()
    assert process.returncode == -signal.SIGINT
    assert os.listdir(tmp_path) == []


# The progress bar


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_bar_on_a_terminal(server, tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "stderr", Terminal())
    data.read_data_sets(tmp_path, validation_size=0)
    shown = sys.stderr.getvalue()
    for name in data.FILES:
        assert f"Downloading {server.url()}{name}\n" in shown
    assert shown.count(f"[{30 * '#'}]\n") == 4


def test_no_bar_elsewhere(server, tmp_path, capfd):
    data.read_data_sets(tmp_path, validation_size=0)
    assert capfd.readouterr() == ("", "")
