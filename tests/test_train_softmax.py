"""The tutorial's program: its graph, what it learns, and its command line."""

import contextlib
import os
import re
import signal
import subprocess
import sys

import numpy as np
import pytest
from conftest import ROOT, small_files

import data

tf = pytest.importorskip("tensorflow.compat.v1")

import train_softmax

SCRIPT = str(ROOT / "train_softmax.py")


@pytest.fixture
def run(monkeypatch, capsys):
    """Run the script's main in a graph of its own; return its session and output."""
    with contextlib.ExitStack() as last:

        def run(*argv):
            last.close()
            monkeypatch.setattr(sys, "argv", ["train_softmax.py", *map(str, argv)])
            with tf.Graph().as_default():
                train_softmax.main()
                session = tf.get_default_session()
            last.callback(session.close)
            return session, *capsys.readouterr()

        yield run


@pytest.fixture
def refused(run, capsys):
    """Run the script with what it must refuse; return exit status and message."""

    def refused(*argv):
        with pytest.raises(SystemExit) as caught:
            run(*argv)
        out, err = capsys.readouterr()
        assert out == ""
        if isinstance(caught.value.code, str):  # Python prints it and exits with 1
            return 1, caught.value.code
        return caught.value.code, err

    return refused


def python(*argv, level=None):
    """Run Python in a process of its own, with or without TensorFlow's variable."""
    env = {k: v for k, v in os.environ.items() if k != "TF_CPP_MIN_LOG_LEVEL"}
    if level:
        env["TF_CPP_MIN_LOG_LEVEL"] = level
    return subprocess.run(
        [sys.executable, *map(str, argv)],
        check=True,
        capture_output=True,
        text=True,
        env=env,
    )


# The graph


@pytest.fixture
def graph(run, small):
    """One step on the small files: session, x, W, b, y, y_, cross_entropy."""
    session, _, _ = run("--data-dir", small, "--steps", 1, "--seed", 3)
    tensors = ["Placeholder:0", "Softmax:0", "Placeholder_1:0", "Mean:0"]
    x, y, y_, cross_entropy = map(session.graph.get_tensor_by_name, tensors)
    W, b = session.graph.get_collection("trainable_variables")
    return session, x, W, b, y, y_, cross_entropy


def test_shapes_and_initial_values(graph):
    session, x, W, b, y, y_, cross_entropy = graph
    shapes = [tensor.shape.as_list() for tensor in (x, W, b, y, y_, cross_entropy)]
    assert shapes == [[None, 784], [784, 10], [10], [None, 10], [None, 10], []]
    assert {tensor.dtype.base_dtype for tensor in graph[1:]} == {tf.float32}
    session.run([W.initializer, b.initializer])
    for value in session.run([W, b]):
        assert not value.any()


def test_one_step_is_numpys(graph, small):
    session, _, W, b, *_ = graph
    train = data.read_data_sets(small, one_hot=True, seed=3).train
    images, labels = train.next_batch(100)
    error = (0.1 - labels) / 100  # softmax of zeros, minus the truth
    learned = session.run([W, b])
    np.testing.assert_allclose(learned[0], -0.5 * images.T @ error, atol=1e-6)
    np.testing.assert_allclose(learned[1], -0.5 * error.sum(axis=0), atol=1e-6)


def losses(graph, scale):
    """Return our cross-entropy, the page's, and float64's, for weights of a scale."""
    session, x, W, b, y, y_, cross_entropy = graph
    rng = np.random.default_rng(0)
    weights = scale * rng.standard_normal((784, 10))
    session.run(b.initializer)
    images = rng.random((50, 784)).astype(np.float32)
    labels = np.eye(10)[rng.integers(10, size=50)]
    with session.graph.as_default():
        session.run(tf.assign(W, weights.astype(np.float32)))
        page = tf.reduce_mean(-tf.reduce_sum(y_ * tf.log(y), axis=1))
        ours, pages = session.run([cross_entropy, page], {x: images, y_: labels})
    logits = images.astype(np.float64) @ weights
    top = logits.max(axis=1, keepdims=True)
    log_y = logits - top - np.log(np.exp(logits - top).sum(axis=1, keepdims=True))
    return ours, pages, -(labels * log_y).sum(axis=1).mean()


def test_cross_entropy_is_the_pages_where_that_is_finite(graph):
    ours, pages, exact = losses(graph, 0.1)
    assert exact > 1
    np.testing.assert_allclose([ours, pages], exact, rtol=1e-5)


def test_cross_entropy_is_finite_where_the_pages_is_not(graph):
    ours, pages, exact = losses(graph, 10)
    assert np.isnan(pages)
    np.testing.assert_allclose(ours, exact, rtol=1e-5)


# What it learns


def test_fake_data_is_learned_and_said_to_be_fake(run):
    for seed in (0, 1):
        _, out, _ = run("--fake-data", "--seed", seed)
        (accuracy,) = re.fullmatch(
            r"test accuracy on fake data: (0\.\d{4})\n", out
        ).groups()
        assert 0.90 <= float(accuracy) <= 0.99


def test_five_seeds_on_mnist(run, real):
    accuracies = []
    for seed in range(5):
        _, out, _ = run("--data-dir", real, "--seed", seed)
        (accuracy,) = re.fullmatch(r"test accuracy: (0\.\d{4})\n", out).groups()
        accuracies.append(float(accuracy))
    assert 0.905 <= min(accuracies) and max(accuracies) <= 0.927
    assert 0.9147 <= np.mean(accuracies) <= 0.9207


def test_same_seed_same_run(run, small):
    def learned(seed):
        argv = ("--data-dir", small, "--steps", 300, "--seed", seed)
        session, out, err = run(*argv)
        return out, err, session.run(session.graph.get_collection("variables")[0])

    first, second, other = learned(7), learned(7), learned(8)
    assert first[:2] == second[:2]
    np.testing.assert_array_equal(first[2], second[2])
    assert (first[2] != other[2]).any()


@pytest.mark.parametrize("steps, lines", [(1, 1), (7, 7), (19, 10), (1000, 10)])
def test_progress_is_ten_lines_at_most(run, small, steps, lines):
    _, _, err = run("--data-dir", small, "--steps", steps)
    found = re.findall(
        r"^step +(\d+)  cross-entropy \d+\.\d{4}  validation accuracy 0\.\d{4}$",
        err,
        re.MULTILINE,
    )
    assert len(found) == lines and int(found[-1]) == steps


def test_diverged_run_ends_without_an_accuracy(refused, small):
    code, message = refused("--data-dir", small, "--learning-rate", "1e38")
    assert code == 1
    assert re.search(r"at step \d+ .* --learning-rate 1e\+38 is too large", message)


def test_divergence_in_the_last_step_is_noticed(refused, small):
    argv = ("--data-dir", small, "--learning-rate", "3e38", "--steps", 1)
    assert "at step 1 " in refused(*argv)[1]


# The picture


def test_draw_weights_colours():
    W = np.zeros((784, 10), np.float32)
    W[0, 0], W[27, 4], W[783, 9], W[756, 5] = 2, -2, 1, -1
    pixels = train_softmax.draw_weights(W)
    assert pixels.shape == (224, 560, 3) and pixels.dtype == np.uint8
    corners = [pixels[0, 0], pixels[0, -1], pixels[-1, -1], pixels[-1, 0]]
    blue, red, pale_blue, pale_red = (
        [0, 0, 255],
        [255, 0, 0],
        [128, 128, 255],
        [255, 128, 128],
    )
    np.testing.assert_array_equal(corners, [blue, red, pale_blue, pale_red])
    assert (pixels.reshape(-1, 3) == 255).all(axis=1).sum() == 224 * 560 - 4 * 16


def test_weights_png(run, tmp_path):
    path = tmp_path / "W.png"
    path.write_text("the picture of an earlier run")
    session, _, _ = run("--fake-data", "--steps", 20, "--weights-png", path)
    with session.graph.as_default():
        pixels = session.run(tf.io.decode_png(path.read_bytes()))
    W = session.run(session.graph.get_collection("variables")[0])
    np.testing.assert_array_equal(pixels, train_softmax.draw_weights(W))
    assert list(tmp_path.iterdir()) == [path]


def test_picture_that_does_not_fit_leaves_the_old_one(tmp_path):
    path = tmp_path / "W.png"
    path.write_text("the picture of an earlier run")
    code = "import resource, sys, train_softmax as t; "
    code += "resource.setrlimit(resource.RLIMIT_FSIZE, (99, 99)); "
    code += "t.train = lambda args: t.save(bytes(1000), args.weights_png); t.main()"
    done = subprocess.run(
        [sys.executable, "-c", code, "--weights-png", str(path)],
        check=False,
        capture_output=True,
        text=True,
        cwd=ROOT,
    )
    assert done.returncode == 1
    assert done.stderr == f"error: cannot write {path}: File too large\n"
    assert path.read_text() == "the picture of an earlier run"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("path", ["no/such/folder/W.png", "", "."])
def test_weights_png_is_refused_before_training(refused, tmp_path, path, monkeypatch):
    monkeypatch.setattr(train_softmax, "train", None)
    code, message = refused("--weights-png", f"{tmp_path}/{path}")
    assert code == 2 and "--weights-png: cannot write" in message
    assert list(tmp_path.iterdir()) == []


# Flags and errors


@pytest.mark.parametrize(
    "flag, value, allowed",
    [
        ("--steps", "0", "1 or more"),
        ("--steps", "1.5", "1 or more"),
        ("--batch-size", "0", "from 1 to 55000"),
        ("--batch-size", "55001", "from 1 to 55000"),
        ("--learning-rate", "0", "above 0"),
        ("--learning-rate", "-0.5", "above 0"),
        ("--learning-rate", "nan", "finite"),
        ("--learning-rate", "inf", "finite"),
        ("--learning-rate", "fast", "finite"),
        ("--seed", "-1", "0 or more"),
    ],
)
def test_flags_out_of_range(refused, flag, value, allowed):
    code, message = refused(flag, value)
    assert code == 2
    assert re.search(f"argument {flag}: '{value}' is not .*{allowed}", message)


def test_every_flag_has_help(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["train_softmax.py", "--help"])
    with pytest.raises(SystemExit):
        train_softmax.parse_args()
    text = " ".join(capsys.readouterr().out.split())
    for said in ("MNIST_data/", "(1000)", "(0.5)", "(100)", "(a fresh order each run)"):
        assert said in text


def test_damaged_file(refused, small):
    path = small / data.FILES[0]
    path.write_bytes(path.read_bytes()[:1000])
    code, message = refused("--data-dir", small)
    assert code == 1 and message.startswith(f"error: {path}: not a whole gzip file")


def test_batch_larger_than_a_small_training_set(refused, small):
    code, message = refused("--data-dir", small, "--batch-size", 301)
    assert (code, message) == (1, "error: batch_size is 1 to 300, not 301")


def test_file_where_the_folder_should_be(refused, tmp_path):
    path = tmp_path / "MNIST_data"
    path.touch()
    code, message = refused("--data-dir", path)
    assert code == 1 and message.startswith(f"error: cannot write into {path}")
    assert "\n" not in message


def test_source_url(run, server, tmp_path):
    server.files = small_files()
    argv = ("--data-dir", tmp_path / "new", "--source-url", server.url())
    run(*argv, "--steps", 1)
    assert len(list((tmp_path / "new").iterdir())) == 4


def test_missing_package_names_the_way_out(refused, small, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorflow.compat.v1", None)
    code, message = refused("--data-dir", small)
    assert code == 1 and "pip install -r requirements.txt" in message


@pytest.mark.parametrize("defect", [ValueError, KeyError, ZeroDivisionError])
def test_a_defect_shows_its_traceback(run, monkeypatch, defect):
    def broken(*args, **kwargs):
        raise defect("ours")

    monkeypatch.setattr(data, "read_data_sets", broken)
    with pytest.raises(defect):
        run()


# The script as a reader runs it


def test_script_on_mnist(real):
    """One line on standard output; nothing of TensorFlow's that it can silence."""
    done = python(SCRIPT, "--data-dir", real, "--seed", 1)
    assert re.fullmatch(r"test accuracy: 0\.\d{4}\n", done.stdout)
    assert "deprecat" not in done.stderr.lower()
    lines = done.stderr.splitlines()
    assert sum(line.startswith("step ") for line in lines) == 10

    bare = "import tensorflow.compat.v1 as tf; tf.disable_eager_execution(); "
    bare += "tf.Session().run(tf.constant(1.0) + tf.placeholder_with_default(1.0, []))"
    noise = python("-c", bare, level="3").stderr.splitlines()
    assert len(lines) - 10 <= len(noise)


def test_log_level_of_the_user_stays(small):
    argv = (SCRIPT, "--data-dir", small, "--steps", 1)
    chatty, quiet = python(*argv, level="0"), python(*argv)
    assert len(chatty.stderr.splitlines()) > len(quiet.stderr.splitlines())


@pytest.mark.skipif(sys.platform == "win32", reason="signals are POSIX's")
def test_ctrl_c(small):
    process = subprocess.Popen(
        [sys.executable, SCRIPT, "--data-dir", str(small), "--steps", "20000"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    for line in process.stderr:
        if line.startswith("step"):
            break
    process.send_signal(signal.SIGINT)
    out, err = process.communicate()
    assert process.returncode == 130
    assert out == "" and "Traceback" not in err
