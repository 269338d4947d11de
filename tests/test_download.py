"""Downloads from a real server on this machine, with every fault in front of it."""

import gzip
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import urllib.parse

import pytest
from conftest import (
    FAULTS,
    MNIST,
    NOTHING,
    POSIX,
    ROOT,
    Ftp,
    LongFtp,
    ResetFtp,
    Server,
    contents,
    link,
    put,
    serving,
    small_files,
)

import data

IMAGES, LABELS, TEST_IMAGES, TEST_LABELS = data.FILES

# Addresses that no server of ours is behind, and what is said of them.
ELSEWHERE = {
    "refused": (None, "refused"),
    "certificate": (None, "certificate"),
    "no such host": (
        "http://mirror.invalid",
        "Name or service|known|resolution|getaddrinfo",
    ),
    "slow look-up": ("http://slow.invalid", NOTHING),
    "not a URL": ("mirror", "unknown url type"),
    "port too large": (
        f"http://127.0.0.1:{10**20}",
        "port must be|too large|[Ss]ervname|getaddrinfo",
    ),
}


@pytest.fixture(params=[*FAULTS, *ELSEWHERE][2:])
def fault(request, server, monkeypatch):
    """An address that fails, and what is said of it."""
    if request.param in FAULTS:
        return server.url(request.param), FAULTS[request.param][1]
    address, says = ELSEWHERE[request.param]
    if request.param == "refused":
        with socket.socket() as closed:
            closed.bind(("127.0.0.1", 0))
            address = f"http://127.0.0.1:{closed.getsockname()[1]}"
    elif request.param == "certificate":
        address = request.getfixturevalue("untrusted_url")
    elif request.param == "slow look-up":
        look_up = socket.getaddrinfo

        def slow(host, *rest, **how):
            return (host != "127.0.0.1" and server.closing.wait()) or look_up(
                host, *rest, **how
            )

        monkeypatch.setattr(socket, "getaddrinfo", slow)
    return address, says


def test_download(server, tmp_path, capfd):
    folder = tmp_path / "a" / "b"
    data.read_data_sets(folder)
    assert contents(folder) == server.files
    assert len(server.asked) == 4
    bar = f"\n[{30 * '#'}]\n"
    said = "".join(f"Fetching {server.url()}{name}{bar}" for name in data.FILES)
    assert capfd.readouterr() == ("", said)
    data.read_data_sets(folder)
    assert len(server.asked) == 4
    assert capfd.readouterr() == ("", "")


def test_only_what_is_missing_is_downloaded(server, tmp_path):
    put({name: server.files[name] for name in data.FILES[1:]}, tmp_path)
    data.read_data_sets(tmp_path)
    assert server.asked == [f"/good/{IMAGES}"]
    assert contents(tmp_path) == server.files


def test_fault_before_a_good_mirror(fault, server, tmp_path, monkeypatch, capfd):
    """The reason is shown, and the next address is asked."""
    address, says = fault
    monkeypatch.setattr(data, "MAX_BYTES", 5_000_000)
    monkeypatch.setattr(data, "MIRRORS", [address, server.url()])
    folder = tmp_path / "MNIST_data"
    data.read_data_sets(folder)
    assert contents(folder) == server.files
    assert len(server.asked) <= 5  # an address that failed is not asked again
    first, second = f"{address.rstrip('/')}/{IMAGES}", server.url() + IMAGES
    bar = r"\[#{0,30}"
    pattern = rf"Fetching {re.escape(first)}\n{bar}\n(.*)\nFetching {re.escape(second)}"
    (said,) = re.findall(pattern, capfd.readouterr().err)
    assert re.search(says, said)
    assert len(said) <= 200 and said.isprintable()


def test_all_addresses_are_listed_with_their_reasons(server, tmp_path, monkeypatch):
    mirrors = [server.url(fault) for fault in ("403", "unprintable", "login", "many")]
    monkeypatch.setattr(data, "MIRRORS", mirrors)
    folder = tmp_path / "new" / "MNIST_data"
    with pytest.raises(OSError) as caught:
        data.read_data_sets(folder)
    assert len(server.asked) == 4
    way_on, *lines = str(caught.value).splitlines()
    for line, mirror, reason in zip(lines, mirrors, ("403", "x01", "<h", "many")):
        assert line.startswith(f"  {mirror}{IMAGES}: ") and reason in line
    assert way_on == (
        f"no address serves {', '.join(data.FILES)}; put them into {folder} by hand, or "
        "give another address, as source_url (--source-url)"
    )
    assert not folder.exists()


def test_what_arrived_whole_is_kept(server, tmp_path, monkeypatch):
    monkeypatch.setattr(data, "MIRRORS", [server.url("last")])
    said = f"no address serves {TEST_LABELS}; .*\n.* 404"
    with pytest.raises(OSError, match=said):
        data.read_data_sets(tmp_path)
    assert contents(tmp_path) == {n: server.files[n] for n in data.FILES[:3]}
    monkeypatch.setattr(data, "MIRRORS", [server.url("last"), server.url()])
    data.read_data_sets(tmp_path)
    assert server.asked[4:] == [f"/{of}/{TEST_LABELS}" for of in ("last", "good")]


def test_bar_tells_how_far_a_download_came(server, tmp_path, monkeypatch, capfd):
    monkeypatch.setattr(data, "MIRRORS", [server.url("short"), server.url()])
    data.read_data_sets(tmp_path)
    size = len(server.files[IMAGES])
    marks = 30 * (size // 2) // size * "#"
    assert f"{IMAGES}\n[{marks}\nnot a whole" in capfd.readouterr().err


def test_standard_error_may_be_closed(server, tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "stderr", None)
    data.read_data_sets(tmp_path)
    assert contents(tmp_path) == server.files


# The copy that comes with the project


def test_addresses_are_written_well():
    *mirrors, copy = data.MIRRORS
    for mirror in mirrors:
        scheme, host, path, *rest = urllib.parse.urlsplit(mirror)
        assert scheme == "https" and "." in host and path.endswith("/mnist/")
        assert rest == ["", ""]
    assert copy == MNIST.as_uri()


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


def test_source_url_may_have_other_content(other, tmp_path, capfd):
    url = other.url().rstrip("/")
    data.read_data_sets(tmp_path, source_url=url)
    assert contents(tmp_path) == other.files
    capfd.readouterr()
    data.read_data_sets(tmp_path, source_url=url)
    said = f"{tmp_path} has all four files: {url} is not asked\n"
    assert capfd.readouterr() == ("", said)
    assert len(other.asked) == 4


def test_other_data_may_share_a_file_with_mnist(other, tmp_path):
    other.files[LABELS] = other.mnist[LABELS]
    data.read_data_sets(tmp_path, source_url=other.url())
    assert contents(tmp_path) == other.files


def test_mirrors_may_not_have_other_content(other, tmp_path):
    with pytest.raises(OSError, match="not MNIST's"):
        data.read_data_sets(tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("kind", ["login", "short", "silent"])
def test_source_url_is_checked(other, tmp_path, kind):
    with pytest.raises(OSError, match=other.url(kind)):
        data.read_data_sets(tmp_path, source_url=other.url(kind))
    assert list(tmp_path.iterdir()) == []


def test_source_url_with_too_few_labels(other, tmp_path):
    other.files[LABELS] = other.files[TEST_LABELS]
    said = f"^{re.escape(str(tmp_path))}: .*{IMAGES}.*{LABELS}; delete the wrong one"
    with pytest.raises(ValueError, match=said):
        data.read_data_sets(tmp_path, source_url=other.url())


@pytest.mark.parametrize("name", [IMAGES, TEST_LABELS])
@pytest.mark.parametrize("there_mnists", [True, False])
@pytest.mark.parametrize("comes_mnists", [True, False])
def test_files_that_come_are_of_one_data_set_with_those_there(
    other, tmp_path, name, there_mnists, comes_mnists
):
    """What is there may be packed in another way, as a reader's own tool does."""
    content = gzip.decompress((other.mnist if there_mnists else other.files)[name])
    there = {name: gzip.compress(content, 9)}
    put(there, tmp_path)
    source_url = None if comes_mnists else other.url()
    if comes_mnists:
        other.files = other.mnist
    if there_mnists == comes_mnists:
        data.read_data_sets(tmp_path, source_url=source_url)
        assert contents(tmp_path) == {**other.files, **there}
    else:
        with pytest.raises(ValueError) as caught:
            data.read_data_sets(tmp_path, source_url=source_url)
        says = "is MNIST's, unlike" if there_mnists else "is not MNIST's, unlike"
        came = other.url() + (LABELS if name == IMAGES else IMAGES)
        said = f"{tmp_path / name} {says} {came}: delete it"
        assert str(caught.value).startswith(said)
        assert contents(tmp_path) == there


@pytest.mark.parametrize("comes_mnists", [True, False])
def test_a_mixed_folder_is_not_completed(other, tmp_path, comes_mnists):
    there = {IMAGES: other.files[IMAGES], LABELS: other.mnist[LABELS]}
    put(there, tmp_path)
    other.files = other.mnist if comes_mnists else other.files
    with pytest.raises(ValueError, match="MNIST's, unlike"):
        data.read_data_sets(tmp_path, source_url=other.url())
    assert contents(tmp_path) == there


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
    with pytest.raises(OSError) as caught:
        data.read_data_sets(path)
    assert str(caught.value).startswith(f"cannot write into {path}: ")
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.skipif(not os.path.ismount("/sys"), reason="/sys is Linux's")
def test_folder_that_may_not_be_written(server):
    """Nobody may make a file there, not even root."""
    with pytest.raises(OSError, match=r"^cannot write into /sys: \w[\w -]+$"):
        data.read_data_sets("/sys")


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


def test_a_file_that_another_process_wrote_meanwhile_stays(
    server, tmp_path, monkeypatch
):
    """Windows does not let a file take the name of one that is there."""

    def rename(hidden, path):
        path.write_bytes(hidden.read_bytes())
        raise FileExistsError

    monkeypatch.setattr(os, "rename", rename)
    data.read_data_sets(tmp_path)
    assert contents(tmp_path) == server.files


@POSIX
def test_killed_before_the_file_has_its_name(server, tmp_path):
    """The name is not there yet, and what is beside it disturbs nobody."""
    process = start(server, tmp_path, "os.rename = lambda *_: os.kill(os.getpid(), 9)")
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    (hidden,) = tmp_path.iterdir()
    assert hidden.name[0] == "."
    data.read_data_sets(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {hidden.name, *data.FILES}


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


@pytest.mark.parametrize("kind", [Ftp, LongFtp, ResetFtp])
def test_ftp_that_never_says_its_end(server, tmp_path, monkeypatch, kind):
    """To close such a transfer may take for ever, also where Python itself does."""
    limits = "data.TIMEOUT_SECONDS, data.MAX_BYTES = 0.5, 5_000_000"
    with serving(Server(server.files, kind)) as ftp:
        address = f"ftp://127.0.0.1:{ftp.server_port}"
        monkeypatch.setattr(data, "MIRRORS", [address, server.url()])
        process = start(server, tmp_path, limits)
        try:
            process.communicate(timeout=60)
        finally:
            process.kill()
    assert IMAGES in ftp.asked
    assert contents(tmp_path) == server.files


def test_no_warning_with_dev_mode_nor_a_thread_that_is_waited_for(
    server, small, tmp_path, monkeypatch
):
    mirrors = [server.url("drip-headers"), server.url("short"), small.as_uri()]
    monkeypatch.setattr(data, "MIRRORS", mirrors)
    limit = "data.TIMEOUT_SECONDS = 0.5"
    process = start(
        server, tmp_path / "new", limit, python=("-X", "dev", "-W", "error")
    )
    assert not re.search("Warning|Exception|Error", process.communicate(timeout=60)[1])
    assert process.returncode == 0
