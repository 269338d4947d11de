"""Downloads from a real server on this machine, with every fault in front of it."""

import io
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import urllib.parse

import pytest
from conftest import MNIST, POSIX, ROOT, contents, link, put, small_files

import data

IMAGES, LABELS, TEST_IMAGES, TEST_LABELS = data.FILES

# A fault of the server, or of an address, and what is said of it.
FAULTS = {
    "403": "HTTP Error 403: Forbidden",
    "404": "HTTP Error 404: Not Found",
    "500": "HTTP Error 500",
    "rude": r"HTTP Error 404: \[2Jno no no ",
    "unprintable": r"BadStatusLine\('\\x01\\x02\\x03",
    "login": r"not MNIST's file, it starts with b'<html>",
    "other": r"not MNIST's file, it starts with b'\\x1f",
    "short": r"cut short at \d+ of \d+ bytes",
    "short-unsaid": "not MNIST's file",
    "reset": "reset|forcibly closed|aborted|cut short",
    "stall": r"timed out|only \d+ bytes in",
    "silent": "timed out|only 0 bytes in",
    "quick-start": r"only \d bytes in",
    "drip": r"only \d bytes in",
    "drip-headers": "only 0 bytes in",
    "drip-chunk": "only 0 bytes in|invalid|IncompleteRead",
    "endless": "more than 100000000 bytes",
    "many": "many",
    "cut-chunk": "IncompleteRead",
    "not-http": "220 mail",
    "to-ftp": "redirects to ftp://127.0.0.1/",
    "to-bad-port": "port must be|too large|[Ss]ervname|getaddrinfo",
    "refused": "refused",
    "no such host": "Name or service|known|resolution|getaddrinfo",
    "certificate": "certificate",
    "not a URL": "unknown url type",
    "bad port": "nonnumeric port",
    "port too large": "port must be|too large|[Ss]ervname|getaddrinfo",
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
            "port too large": f"http://127.0.0.1:{10**20}/",
            "space": "http://127.0.0.1/m nist/",
        }
        address = elsewhere.get(request.param) or server.url(request.param)
    return request.param, address


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_download(server, tmp_path):
    folder = tmp_path / "a" / "b"
    data.read_data_sets(folder)
    assert contents(folder) == server.files
    assert len(server.asked) == 4
    data.read_data_sets(folder)
    assert len(server.asked) == 4


def test_only_what_is_missing_is_downloaded(server, tmp_path):
    put({name: server.files[name] for name in data.FILES[1:]}, tmp_path)
    data.read_data_sets(tmp_path)
    assert server.asked == [f"/good/{IMAGES}"]
    assert contents(tmp_path) == server.files


def test_fault_before_a_good_mirror(fault, server, tmp_path, monkeypatch):
    """A terminal shows the reason, and the next address is asked."""
    kind, address = fault
    monkeypatch.setattr(data, "MIRRORS", [address, server.url()])
    monkeypatch.setattr(sys, "stderr", Terminal())
    folder = tmp_path / "MNIST_data"
    data.read_data_sets(folder)
    assert contents(folder) == server.files
    assert len(server.asked) <= 5  # an address that failed is not asked again
    shown = sys.stderr.getvalue()
    first, second = f"{address.rstrip('/')}/{IMAGES}", server.url() + IMAGES
    pattern = rf"Fetching {re.escape(first)}\n.*\n(.*)\nFetching {re.escape(second)}\n"
    (said,) = re.findall(pattern, shown)
    assert re.search(FAULTS[kind], said)
    assert len(said) <= 200 and said.isprintable()


def test_all_addresses_are_listed_with_their_reasons(server, tmp_path, monkeypatch):
    mirrors = [server.url(fault) for fault in ("403", "unprintable", "login", "many")]
    monkeypatch.setattr(data, "MIRRORS", mirrors)
    folder = tmp_path / "new" / "MNIST_data"
    with pytest.raises(OSError) as caught:
        data.read_data_sets(folder)
    message = str(caught.value)
    assert len(server.asked) == 4
    lines = message.splitlines()[1:5]
    for line, mirror, reason in zip(lines, mirrors, ("403", "x01", "<html>", "many")):
        assert line.startswith(f"  {mirror}{IMAGES}: ") and reason in line
    for way_on in (*data.FILES, str(folder), "(--source-url)"):
        assert way_on in message
    assert list(folder.iterdir()) == []


def test_what_arrived_whole_is_kept(server, tmp_path, monkeypatch):
    monkeypatch.setattr(data, "MIRRORS", [server.url("last")])
    with pytest.raises(OSError, match=f"no address serves {TEST_LABELS}:\n.* 404"):
        data.read_data_sets(tmp_path)
    assert contents(tmp_path) == {n: server.files[n] for n in data.FILES[:3]}
    monkeypatch.setattr(data, "MIRRORS", [server.url("last"), server.url()])
    data.read_data_sets(tmp_path)
    assert server.asked[4:] == [f"/{of}/{TEST_LABELS}" for of in ("last", "good")]


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirect_whose_body_has_no_end(server, tmp_path, monkeypatch, status):
    if status == 308 and sys.version_info < (3, 11):
        pytest.skip("this Python's urllib does not follow a 308")
    monkeypatch.setattr(data, "MIRRORS", [server.url(f"redirect-{status}")])
    data.read_data_sets(tmp_path)
    assert contents(tmp_path) == server.files


# The copy that comes with the project


def test_addresses_are_written_well():
    *mirrors, copy = data.MIRRORS
    for mirror in mirrors:
        scheme, host, path, *rest = urllib.parse.urlsplit(mirror)
        assert scheme == "https" and "." in host and path.endswith("/mnist/")
        assert rest == ["", ""]
    assert len(mirrors) == 2
    assert copy == MNIST.as_uri() + "/"


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
    message = done.stderr.split("OSError: ")[-1]
    assert message.startswith("no address serves") and "(--source-url)" in message
    assert "tests" not in message


# Other data


@pytest.fixture
def other(server):
    """The same server with files that are not MNIST's."""
    server.mnist, server.files = server.files, small_files(seed=2)
    return server


@pytest.mark.parametrize("several", [list, tuple, iter, None])
def test_source_url_may_have_other_content(other, tmp_path, several):
    url = other.url()
    url = several([other.url("404"), url]) if several else url.rstrip("/")
    data.read_data_sets(tmp_path, source_url=url)
    assert contents(tmp_path) == other.files


def test_other_data_may_share_a_file_with_mnist(other, tmp_path):
    """A folder that is filled in one run, or full, is not asked."""
    other.files[LABELS] = other.mnist[LABELS]
    for _ in range(2):
        data.read_data_sets(tmp_path, source_url=other.url())
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
    other.files[LABELS] = other.files[TEST_LABELS]
    said = f"{re.escape(str(tmp_path / IMAGES))} has .*{LABELS} has"
    with pytest.raises(data.DataError, match=said):
        data.read_data_sets(tmp_path, source_url=other.url())


@pytest.mark.parametrize("name", [IMAGES, TEST_LABELS])
@pytest.mark.parametrize("there_mnists", [True, False])
@pytest.mark.parametrize("comes_mnists", [True, False])
def test_files_that_come_are_of_one_data_set_with_those_there(
    other, tmp_path, name, there_mnists, comes_mnists
):
    there = {name: (other.mnist if there_mnists else other.files)[name]}
    put(there, tmp_path)
    source_url = None if comes_mnists else other.url()
    if comes_mnists:
        other.files = other.mnist
    if there_mnists == comes_mnists:
        data.read_data_sets(tmp_path, source_url=source_url)
        assert contents(tmp_path) == other.files
    else:
        with pytest.raises(data.DataError) as caught:
            data.read_data_sets(tmp_path, source_url=source_url)
        says = "is MNIST's, unlike" if there_mnists else "is not MNIST's, unlike"
        came = other.url() + (LABELS if name == IMAGES else IMAGES)
        assert f"{tmp_path / name} {says} {came}: " in str(caught.value)
        assert "(--data-dir)" in str(caught.value)
        assert contents(tmp_path) == there


@pytest.mark.parametrize("comes_mnists", [True, False])
def test_a_mixed_folder_is_not_completed(other, tmp_path, comes_mnists):
    there = {IMAGES: other.files[IMAGES], LABELS: other.mnist[LABELS]}
    put(there, tmp_path)
    other.files = other.mnist if comes_mnists else other.files
    with pytest.raises(data.DataError, match="MNIST's, unlike"):
        data.read_data_sets(tmp_path, source_url=other.url())
    assert contents(tmp_path) == there


# The reader's folder


def test_a_file_put_there_meanwhile_stays(server, tmp_path):
    def put_there(asked):
        if asked == IMAGES:
            (tmp_path / IMAGES).write_bytes(b"the reader's own")

    server.on_get = put_there
    data.read_data_sets(tmp_path)
    assert contents(tmp_path) == {**server.files, IMAGES: b"the reader's own"}
    with pytest.raises(data.DataError, match=f"{IMAGES}: not a whole gzip file"):
        data.read_data_sets(tmp_path)


def test_a_file_that_vanishes_meanwhile_was_read(server, tmp_path):
    put({IMAGES: server.files[IMAGES]}, tmp_path)
    server.on_get = lambda asked: (tmp_path / IMAGES).unlink(missing_ok=True)
    data.read_data_sets(tmp_path)
    assert contents(tmp_path).keys() == set(data.FILES[1:])


@pytest.mark.parametrize("kind", ["file", "link to nowhere", "link to itself"])
def test_no_folder_where_the_folder_should_be(server, tmp_path, kind):
    path = tmp_path / "MNIST_data"
    if kind == "file":
        path.write_text("mine")
    else:
        link(path, path if kind == "link to itself" else tmp_path / "unplugged")
    with pytest.raises(OSError) as caught:
        data.read_data_sets(path)
    assert str(caught.value).startswith(f"cannot write into folder {path}: ")
    assert "\n" not in str(caught.value)
    assert server.asked == [] and list(tmp_path.iterdir()) == [path]


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
    )


def test_folder_is_tried_before_the_first_request(server, tmp_path, monkeypatch):
    def refuse(*_, **__):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(data.Path, "touch", refuse)
    with pytest.raises(OSError) as caught:
        data.read_data_sets(tmp_path)
    assert (
        str(caught.value) == f"cannot write into folder {tmp_path}: Permission denied"
    )
    assert server.asked == []
    data.read_data_sets(put(server.files, tmp_path))  # nothing is to be written there


@POSIX
def test_full_disk(server, tmp_path):
    folder = tmp_path / "new" / "MNIST_data"
    limit = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (20000, 20000))"
    process = start(server, folder, limit)
    message = process.communicate()[1].decode().rstrip()
    assert process.returncode == 1
    assert message == f"cannot write into folder {folder}: File too large"
    assert list(folder.iterdir()) == []


def test_several_processes_at_once(server, tmp_path):
    folder = tmp_path / "MNIST_data"
    processes = [start(server, folder) for _ in range(4)]
    for process in processes:
        assert process.communicate()[1] == b""
        assert process.returncode == 0
    assert contents(folder) == server.files


@pytest.mark.parametrize("there", [True, False])
def test_windows_refuses_a_rename_onto_a_file(server, tmp_path, monkeypatch, there):
    """Another run was first by a hair, which is no error; others are."""

    def rename(part, path):
        if there:
            path.write_bytes(part.read_bytes())
            raise FileExistsError(17, "File exists")
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "rename", rename)
    if there:
        data.read_data_sets(tmp_path)
    else:
        with pytest.raises(OSError, match="Permission denied"):
            data.read_data_sets(tmp_path)
    assert contents(tmp_path) == (server.files if there else {})


@POSIX
def test_killed_before_the_rename(server, tmp_path):
    """The name is not there yet, and what is beside it disturbs nobody."""
    process = start(server, tmp_path, "os.rename = lambda *_: os.kill(os.getpid(), 9)")
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    (part,) = tmp_path.iterdir()
    assert part.name[0] == "." and part.suffix == ".part"
    data.read_data_sets(tmp_path)
    assert contents(tmp_path).keys() == {part.name, *data.FILES}


@POSIX
def test_interrupted_download_leaves_no_file(server, tmp_path, monkeypatch):
    monkeypatch.setattr(data, "MIRRORS", [server.url("stall")])
    asked = threading.Event()
    server.on_get = lambda name: asked.set()
    process = start(server, tmp_path)
    assert asked.wait(60)
    process.send_signal(signal.SIGINT)
    process.communicate()
    assert process.returncode == -signal.SIGINT
    assert os.listdir(tmp_path) == []


def test_no_warning_with_dev_mode_nor_a_thread_that_is_waited_for(
    server, tmp_path, monkeypatch
):
    faults = ("drip-headers", "403", "redirect-302", "short", "cut-chunk", "good")
    monkeypatch.setattr(data, "MIRRORS", [server.url(fault) for fault in faults])
    limit = "data.TIMEOUT_SECONDS = 0.5"
    process = start(server, tmp_path, limit, python=("-X", "dev", "-W", "error"))
    assert process.communicate(timeout=60)[1] == b""
    assert process.returncode == 0


# The progress bar


@pytest.mark.parametrize("kind", ["good", "one"])
def test_bar_on_a_terminal(server, tmp_path, monkeypatch, kind):
    monkeypatch.setattr(data, "MIRRORS", [server.url(kind)])
    monkeypatch.setattr(sys, "stderr", Terminal())
    data.read_data_sets(tmp_path)
    *lines, rest = sys.stderr.getvalue().split("\n")
    assert rest == ""
    assert lines[0::2] == [f"Fetching {server.url(kind)}{name}" for name in data.FILES]
    for bars in lines[1::2]:
        assert bars.endswith(f"[{30 * '#'}]")
        assert {len(bar) for bar in bars.split("\r")} == {0, 32}


def test_bar_tells_how_far_a_download_came(server, tmp_path, monkeypatch):
    monkeypatch.setattr(data, "MIRRORS", [server.url("stall"), server.url()])
    monkeypatch.setattr(sys, "stderr", Terminal())
    data.read_data_sets(tmp_path)
    size = len(server.files[IMAGES])
    marks = 30 * (size // 2) // size * "#"
    assert f"\r[{marks:30}]\n" in sys.stderr.getvalue()


def test_no_bar_elsewhere(server, tmp_path, capfd):
    data.read_data_sets(tmp_path)
    assert capfd.readouterr() == ("", "")


def test_standard_error_may_be_closed(server, tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "stderr", None)
    data.read_data_sets(tmp_path)
    assert contents(tmp_path) == server.files
