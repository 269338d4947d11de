"""The tutorial's program: its graph, what it learns, and its command line."""

import codeop
import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
import tensorflow.compat.v1 as tf
from helpers import ROOT, SCRIPT, contents, python

import data

SOURCE = Path(SCRIPT).read_text(encoding="utf-8")


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
    assert re.findall("^# === (.*) ===$", SOURCE, re.MULTILINE) == [
        "What is TensorFlow MNIST Dataset?",
        "Implementation of MNIST Dataset in TensorFlow",
        "TensorFlow MNIST - Training",
        "Checking Accuracy With Test Dataset",
    ]
    assert SOURCE.isascii()  # `open` on East Asian Windows fails at anything else


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


def test_same_seed_same_run(run, small):
    def learned(seed):
        names, out, _ = run("--data-dir", small, "--steps", 50, "--seed", seed)
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
    names, out, _ = run("--data-dir", small, "--steps", 3, "--learning-rate", 1e-3)
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


def test_diverged_run_ends_without_an_accuracy(refused, small):
    argv = ("--data-dir", small, "--learning-rate")
    message = r"error: cross-entropy (nan|inf) at step \d+: lower --learning-rate"
    assert re.fullmatch(message, refused(*argv, "1e38"))
    assert " at step 1:" in refused(*argv, "3e38", "--steps", 1)
    assert re.fullmatch(message, refused(*argv, "inf"))


# Flags and errors


@pytest.mark.parametrize(
    "flag, value, message",
    [
        ("--steps", "0", "--steps, .*must be above 0"),
        ("--steps", "1.5", "--steps: invalid int value: '1.5'"),
        ("--learning-rate", "0", "--learning-rate .*must be above 0"),
        ("--learning-rate", "-0.5", "--learning-rate .*must be above 0"),
        ("--learning-rate", "nan", "--learning-rate .*must be above 0"),
        ("--batch-size", "0", "--batch-size .*must be above 0"),
        ("--batch-size", "301", "--batch-size must be at most 300"),
        ("--seed", "-1", "--seed must be 0 or more"),
        ("--stepps", "1", "unrecognized arguments: --stepps 1"),
    ],
)
def test_flags_out_of_range(refused, small, flag, value, message):
    assert re.search(message, refused("--data-dir", small, flag, value))


def test_boundary_values_are_accepted(run, small):
    argv = ("--data-dir", small, "--steps", 1, "--seed", 0, "--learning-rate", "1e-9")
    for size in (1, 300):
        names, out, _ = run(*argv, "--batch-size", size)
        assert len(names.batch_xs) == len(names.batch_ys) == size
        assert printed_accuracy(out) >= 0


def test_every_flag_has_help_and_its_default():
    text = " ".join(python(SCRIPT, "--help").stdout.split())
    flags = re.findall(r"(--[\w-]+) [A-Z_]+ \w+ \w+ [^(]*\(default: (.*?)\)", text)
    assert " ".join(f"{flag}={default}" for flag, default in flags) == (
        "--data-dir=MNIST_data/ --steps=1000 --learning-rate=0.5 --batch-size=100 "
        "--seed=None --source-url=None"
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


def test_a_second_run_begins_anew(run, small, tmp_path):
    """In a notebook, `Saver` wrote the first run's variables, which it then lost."""
    for _ in range(2):
        names, *_ = run("--data-dir", small, "--steps", 5)
    assert names.sess.graph is tf.get_default_graph()
    path = tf.train.Saver().save(names.sess, str(tmp_path / "model"))
    saved = tf.train.load_checkpoint(path)
    assert len(saved.get_variable_to_shape_map()) == 2
    np.testing.assert_array_equal(saved.get_tensor("Variable"), names.W.eval())


SCRIPT_FILE = {"__file__": SCRIPT}
IMPORTED = {"__file__": SCRIPT, "__name__": "train_softmax"}


@pytest.mark.parametrize(
    "names, argv, steps",
    [
        (SCRIPT_FILE, "train_softmax.py --steps 7", 7),  # a terminal, %run
        (SCRIPT_FILE, "/kernel_launcher/train_softmax.py --steps 7", 7),
        ({}, "", 1000),  # pasted at a prompt; below, into a notebook
        ({}, "/lib/ipykernel_launcher.py -f kernel.json", 1000),
        (SCRIPT_FILE, "/lib/ipykernel_launcher.py -f kernel.json", 1000),  # by VS Code
        ({}, "/lib/spyder_kernels/console/__main__.py -f kernel.json", 1000),
        ({}, "/lib/pydevconsole.py --mode=client --port=5", 1000),  # PyCharm
        (IMPORTED, "pytest -q", 1000),
    ],
)
def test_arguments_of_others_are_ignored(monkeypatch, names, argv, steps):
    monkeypatch.setattr(sys, "argv", argv.split(" "))
    names = {"__name__": "__main__", **names}
    exec(SOURCE.split("\nos.environ")[0], names)  # noqa: S102
    assert names["args"].steps == steps


@pytest.mark.parametrize(
    "options",
    [
        [SCRIPT],
        ["-m", "train_softmax"],
        ["-i", SCRIPT],
        ["-m", "pdb", "-c", "continue", SCRIPT],
        ["-m", "cProfile", SCRIPT],
        ["-c", f"import runpy; runpy.run_path({SCRIPT!r}, run_name='__main__')"],
        ["app.zip"],
    ],
)
def test_arguments_are_the_scripts(tmp_path, options):
    with zipfile.ZipFile(tmp_path / "app.zip", "w") as app:
        app.writestr("__main__.py", SOURCE)
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = python(*options, "nonsense", cwd=tmp_path, env=env, check=False)
    assert "error: unrecognized arguments: nonsense" in done.stderr


def test_script_can_be_pasted_at_a_prompt():
    """Which wants an empty line after each block, or says SyntaxError."""
    compile_lines, lines = codeop.CommandCompiler(), []
    for line in SOURCE.splitlines():
        lines.append(line)
        if compile_lines("\n".join(lines)):
            lines = []
    assert not lines


def test_each_report_is_shown_at_once_also_in_a_pipe(small):
    argv = [SCRIPT, "--data-dir", small, "--steps", "5000"]
    with subprocess.Popen(
        [sys.executable, *argv], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout.readline().startswith("step    500 ")
        process.kill()
        assert "test accuracy" not in process.stdout.read()
