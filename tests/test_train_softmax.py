"""The tutorial's program: its graph, what it learns, and its command line."""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from helpers import MNIST, POSIX, ROOT, SCRIPT, contents, python

import data

tf = pytest.importorskip("tensorflow.compat.v1")


@pytest.fixture
def refused(run, capsys):
    """Run the script with what it must refuse; return its message."""

    def refused(*argv):
        with pytest.raises(SystemExit) as caught:
            run(*argv)
        code = caught.value.code  # 2 from argparse, or the message that Python prints
        return capsys.readouterr().err.splitlines()[-1] if code == 2 else code

    return refused


# The page's names


def test_names_of_the_page_in_its_order(run, small):
    names, *_ = run("--data-dir", small, "--steps", 1)
    page = ["mnist", "x", "W", "b", "y", "y_", "cross_entropy", "train_step", "sess"]
    page += ["batch_xs", "batch_ys", "correct_prediction", "accuracy"]
    assert [name for name in vars(names) if name in page] == page


def test_headings_are_the_pages():
    text = Path(SCRIPT).read_text(encoding="utf-8")
    headings = re.findall("^# === (.*) ===$", text, re.MULTILINE)
    assert headings[:-1] == [
        "What is TensorFlow MNIST Dataset?",
        "Implementation of MNIST Dataset in TensorFlow",
        "TensorFlow MNIST – Training",
        "Checking Accuracy With Test Dataset",
    ]


# The graph


@pytest.fixture
def graph(run, small):
    """One step on the small files: session, x, W, b, y, y_, cross_entropy."""
    names, *_ = run("--data-dir", small, "--steps", 1, "--seed", 3)
    tensors = names.x, names.W, names.b, names.y, names.y_, names.cross_entropy
    return names.sess, *tensors


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


def test_cross_entropy_is_the_pages_and_stays_finite(graph):
    ours, pages, exact = losses(graph, 0.1)
    assert exact > 1
    np.testing.assert_allclose([ours, pages], exact, rtol=1e-5)
    ours, pages, exact = losses(graph, 10)
    assert np.isnan(pages)
    np.testing.assert_allclose(ours, exact, rtol=1e-5)


# What it learns


def printed_accuracy(out):
    return float(re.search(r"(?m)^test accuracy: (0\.\d{4})\n\Z", out).group(1))


def test_five_seeds_on_mnist(run):
    """The accuracy that the README promises, also as a mean."""
    accuracies = []
    for seed in range(5):
        names, out, _ = run("--data-dir", MNIST, "--seed", seed)
        accuracies.append(printed_accuracy(out))
        feed_dict = {
            names.x: names.mnist.test.images,
            names.y_: names.mnist.test.labels,
        }
        correct = names.sess.run(names.correct_prediction, feed_dict)
        assert f"{correct.mean():.4f}" == f"{accuracies[-1]:.4f}"
    assert 0.905 <= min(accuracies) and max(accuracies) <= 0.927
    assert 0.9147 <= np.mean(accuracies) <= 0.9207


def test_same_seed_same_run(run, small):
    def learned(seed):
        argv = ("--data-dir", small, "--steps", 50, "--seed", seed)
        names, out, _ = run(*argv)
        return out, names.sess.run(names.W)

    first, second, other = learned(7), learned(7), learned(8)
    assert first[0] == second[0]
    np.testing.assert_array_equal(first[1], second[1])
    assert (first[1] != other[1]).any()


@pytest.mark.parametrize("steps, lines", [(1, 1), (7, 7), (19, 10), (100, 10)])
def test_progress_is_ten_lines_at_most(run, small, steps, lines):
    _, out, err = run("--data-dir", small, "--steps", steps)
    line = r"step +(\d+)  validation cross-entropy \d+\.\d{4}  accuracy 0\.\d{4}"
    *reports, accuracy = out.splitlines()
    numbers = [re.fullmatch(line, report).group(1) for report in reports]
    assert len(numbers) == lines and int(numbers[-1]) == steps
    assert accuracy.startswith("test accuracy: ") and "step" not in err


def test_progress_is_of_the_validation_images(run, small):
    argv = ("--data-dir", small, "--steps", 3, "--learning-rate", 1e-3)
    names, out, _ = run(*argv)
    images = names.mnist.validation.images
    with names.sess.as_default():
        probabilities = names.y.eval({names.x: images})
    truth = names.mnist.validation.labels
    loss = -np.log(probabilities[truth == 1]).mean()
    correct = (probabilities.argmax(1) == truth.argmax(1)).mean()
    *_, printed_loss, _, printed_correct = out.splitlines()[-2].split()
    assert [float(printed_loss), float(printed_correct)] == [
        pytest.approx(loss, abs=1e-4),
        pytest.approx(correct, abs=1e-4),
    ]


def test_a_step_fetches_nothing_but_itself(run, small, monkeypatch):
    fetched = []
    original = tf.InteractiveSession.run

    def spy(self, fetches, *args, **kwargs):
        fetched.append(fetches)
        return original(self, fetches, *args, **kwargs)

    monkeypatch.setattr(tf.InteractiveSession, "run", spy)
    names, *_ = run("--data-dir", small, "--steps", 40)
    assert fetched.count(names.train_step) == 40
    assert len(fetched) == 1 + 40 + 10 + 1  # initialiser, steps, reports, accuracy


def test_diverged_run_ends_without_an_accuracy(refused, small):
    argv = ("--data-dir", small, "--learning-rate")
    message = r"error: cross-entropy (nan|inf) at step \d+: lower --learning-rate"
    assert re.fullmatch(message, refused(*argv, "1e38"))
    assert " at step 1:" in refused(*argv, "3e38", "--steps", 1)
    assert re.fullmatch(message, refused(*argv, "inf"))


# The picture


def test_draw_weights_colours(run, small):
    names, *_ = run("--data-dir", small, "--steps", 1)
    W = np.zeros((784, 10), np.float32)
    assert (names.draw_weights(W) == 255).all()
    W[0, 0], W[27, 4], W[783, 9], W[756, 5] = 2, -2, 1, -1
    pixels = names.draw_weights(W)
    assert pixels.shape == (224, 560, 3) and pixels.dtype == np.uint8
    corners = [pixels[0, 0], pixels[0, -1], pixels[-1, -1], pixels[-1, 0]]
    blue_red = [[0, 0, 255], [255, 0, 0]]
    pale = [[128, 128, 255], [255, 128, 128]]
    np.testing.assert_array_equal(corners, blue_red + pale)
    assert (pixels.reshape(-1, 3) == 255).all(axis=1).sum() == 224 * 560 - 4 * 16


@pytest.mark.parametrize("name", ["W.png", "a/W.png", "~/W.png"])
def test_weights_png(run, small, tmp_path, monkeypatch, name):
    (tmp_path / "a").mkdir()
    monkeypatch.setenv("HOME", str(tmp_path / "a"))
    monkeypatch.setenv("USERPROFILE", str(tmp_path / "a"))
    monkeypatch.chdir(tmp_path)
    path = tmp_path / name.replace("~", "a")
    path.write_text("the picture of an earlier run")
    names, out, _ = run("--data-dir", small, "--steps", 20, "--weights-png", name)
    assert re.search(rf"\ntest accuracy: .*\nwrote {name}\n\Z", out)
    with names.sess.graph.as_default():
        pixels = names.sess.run(tf.io.decode_png(path.read_bytes()))
    W = names.sess.run(names.W)
    np.testing.assert_array_equal(pixels, names.draw_weights(W))


@pytest.mark.parametrize("path", ["no/such/folder/W.png", "."])
def test_picture_that_cannot_be_written(run, small, tmp_path, path, capsys):
    path = tmp_path / path
    with pytest.raises(SystemExit, match=f"^error: {re.escape(str(path))}: \\w"):
        run("--data-dir", small, "--steps", 1, "--weights-png", path)
    assert printed_accuracy(capsys.readouterr().out) >= 0


# Flags and errors


@pytest.mark.parametrize(
    "flag, value, message",
    [
        ("--steps", "0", "--steps and .*must be above 0"),
        ("--steps", "1.5", "--steps: invalid int value: '1.5'"),
        ("--learning-rate", "0", "--learning-rate must be above 0"),
        ("--learning-rate", "-0.5", "--learning-rate must be above 0"),
        ("--learning-rate", "nan", "--learning-rate must be above 0"),
        ("--seed", "-1", "--seed 0 or more"),
        ("--batch-size", "0", "--batch-size must be 1 to 600"),
        ("--batch-size", "601", "--batch-size must be 1 to 600"),
        ("--stepps", "1", "unrecognized arguments: --stepps 1"),
    ],
)
def test_flags_out_of_range(refused, small, flag, value, message):
    assert re.search(message, refused("--data-dir", small, flag, value))


def test_boundary_values_are_accepted(run, small):
    argv = ("--data-dir", small, "--steps", 1, "--seed", 0, "--learning-rate", "1e-9")
    for size in (1, 600):
        names, out, _ = run(*argv, "--batch-size", size)
        assert len(names.batch_xs) == len(names.batch_ys) == size
        assert printed_accuracy(out) >= 0


def test_every_flag_has_help_and_its_default():
    text = " ".join(python(SCRIPT, "--help").stdout.split())
    flags = re.findall(r"(--[\w-]+) [A-Z_]+ \w+ \w+ [^(]*\(default: (.*?)\)", text)
    assert " ".join(f"{flag}={default}" for flag, default in flags) == (
        "--data-dir=MNIST_data/ --steps=1000 --learning-rate=0.5 --batch-size=100 "
        "--seed=None --source-url=None --weights-png=None"
    )


def test_failed_download(refused, server, tmp_path):
    argv = ("--data-dir", tmp_path, "--source-url", server.url("403"))
    assert refused(*argv).startswith("error: cannot download train-images")


def test_damaged_file_is_told_before_tensorflow_is_imported(small):
    path = small / data.FILES[0]
    path.write_bytes(path.read_bytes()[:1000])
    done = python("-X", "importtime", SCRIPT, "--data-dir", small, check=False)
    assert done.returncode == 1
    last_line = done.stderr.splitlines()[-1]
    assert last_line.startswith(f"error: {path}: not a whole gzip file")
    assert re.search(r"\| +numpy\n", done.stderr)
    assert "tensorflow" not in done.stderr and "Traceback" not in done.stderr


def test_source_url(run, server, tmp_path, monkeypatch):
    monkeypatch.setattr(data, "MIRRORS", [])
    argv = ("--data-dir", tmp_path / "new", "--source-url", server.url())
    run(*argv, "--steps", 1)
    assert contents(tmp_path / "new") == server.files


@pytest.mark.parametrize("level", [None, "0"])
def test_log_level_of_the_user_stays(run, small, monkeypatch, level):
    monkeypatch.delenv("TF_CPP_MIN_LOG_LEVEL")
    if level:
        monkeypatch.setenv("TF_CPP_MIN_LOG_LEVEL", level)
    run("--data-dir", small, "--steps", 1)
    assert os.environ["TF_CPP_MIN_LOG_LEVEL"] == (level or "3")


# The script as readers run it


def test_hooks_of_the_program_that_runs_the_script_stay(run, small):
    """As IDLE and Thonny do, whose shell lives on after the script."""
    before = sys.excepthook, signal.getsignal(signal.SIGINT)
    run("--data-dir", small, "--steps", 1)
    assert (sys.excepthook, signal.getsignal(signal.SIGINT)) == before


@pytest.mark.parametrize("options", ["-m", "-i", "-m pdb -c continue"])
def test_arguments_are_the_scripts(options):
    script = "train_softmax" if options == "-m" else SCRIPT
    done = python(*options.split(), script, "nonsense", cwd=ROOT, check=False)
    message = r"train_softmax(\.py)?: error: unrecognized arguments: nonsense"
    assert re.search(message, done.stderr)


# What a notebook's kernel does with a cell. Its arguments are not the script's.
KERNEL = "import sys; exec(compile(sys.stdin.read(), '<cell>', 'exec'), {names})"


@pytest.mark.parametrize(
    "options",
    [
        ["-c", KERNEL.format(names={}), "-f", "kernel.json"],
        ["-c", KERNEL.format(names={"__file__": SCRIPT}), "-f", "kernel.json"],
        ["-i"],
    ],
)
def test_pasted_script_ignores_arguments(small, options):
    text = Path(SCRIPT).read_text(encoding="utf-8").replace("=1000", "=20")
    env = {**os.environ, "PYTHONPATH": os.path.dirname(SCRIPT)}
    # The MNIST_data of this folder is the small files.
    done = python(*options, typed=text, cwd=small.parent, env=env)
    assert printed_accuracy(done.stdout) >= 0


def test_each_report_is_shown_at_once_also_in_a_pipe(small):
    argv = [SCRIPT, "--data-dir", small, "--steps", "5000"]
    with subprocess.Popen(
        [sys.executable, *argv], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout.readline().startswith("step    500 ")
        process.kill()
        assert "test accuracy" not in process.stdout.read()


# Ctrl-C between two steps: within one, TensorFlow's own code crashes now and then.
INTERRUPTED = f"""
import signal, sys
sys.path.insert(0, {os.path.dirname(SCRIPT)!r})
import data
next_batch = data.DataSet.next_batch
def interrupted(self, batch_size):
    if self._epochs_completed == 200:
        signal.raise_signal(signal.SIGINT)
    return next_batch(self, batch_size)
data.DataSet.next_batch = interrupted
exec(open({SCRIPT!r}, encoding="utf-8").read())
"""


@POSIX
def test_ctrl_c_at_a_prompt_ends_the_run_alone(small):
    program = small.parent / "interrupted.py"
    program.write_text(INTERRUPTED)
    process = subprocess.Popen(
        [sys.executable, "-i", program, "--data-dir", small, "--steps", "5000"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    out, err = process.communicate("print(W.eval().shape, step < 5000)\n")
    # From Python 3.14 on it remembers Ctrl-C when it is left.
    assert process.returncode in (0, -signal.SIGINT)
    assert out.startswith("step    500 ") and out.endswith("\n(784, 10) True\n")
    assert err.count("Traceback") == 1 and "\nKeyboardInterrupt" in err
