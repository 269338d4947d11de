"""The tutorial's program: its graph, what it learns, and its command line."""

import os
import re
import shutil
import signal
import subprocess
import sys

import numpy as np
import pytest
from conftest import MNIST, POSIX, SCRIPT, contents

import data

tf = pytest.importorskip("tensorflow.compat.v1")


@pytest.fixture
def refused(run, capsys):
    """Run the script with what it must refuse; return exit status and message."""

    def refused(*argv):
        with pytest.raises(BaseException) as caught:
            run(*argv)
        status = 1
        if caught.type is SystemExit:
            status = caught.value.code  # or the words that Python then prints
        else:
            sys.excepthook(caught.type, caught.value, caught.tb)
        out, err = capsys.readouterr()
        assert out == ""
        return status, err

    return refused


def python(*argv, check=True):
    """Run Python in a process of its own."""
    return subprocess.run(
        [sys.executable, *map(str, argv)], check=check, capture_output=True, text=True
    )


# The page's names


def test_names_of_the_page_in_its_order(run, small):
    names, *_ = run("--data-dir", small, "--steps", 1)
    page = ["mnist", "x", "W", "b", "y", "y_", "cross_entropy", "train_step", "sess"]
    page += ["batch_xs", "batch_ys", "correct_prediction", "accuracy"]
    assert [name for name in names if name in page] == page


def test_headings_are_the_pages():
    with open(SCRIPT, encoding="utf-8") as script:
        headings = re.findall("^# === (.*) ===$", script.read(), re.MULTILINE)
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
    return [names[k] for k in ("sess", "x", "W", "b", "y", "y_", "cross_entropy")]


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


def printed_accuracy(out):
    return float(re.fullmatch(r"test accuracy: (0\.\d{4})\n", out).group(1))


def test_five_seeds_on_mnist(run):
    accuracies = []
    for seed in range(5):
        names, out, _ = run("--data-dir", MNIST, "--seed", seed)
        accuracies.append(printed_accuracy(out))
        right = names["sess"].run(
            names["correct_prediction"],
            {
                names["x"]: names["mnist"].test.images,
                names["y_"]: names["mnist"].test.labels,
            },
        )
        assert f"{right.mean():.4f}" == f"{accuracies[-1]:.4f}"
    assert 0.905 <= min(accuracies) and max(accuracies) <= 0.927
    assert 0.9147 <= np.mean(accuracies) <= 0.9207


def test_same_seed_same_run(run, small):
    def learned(seed):
        argv = ("--data-dir", small, "--steps", 50, "--seed", seed)
        names, out, err = run(*argv)
        return out, err, names["sess"].run(names["W"])

    first, second, other = learned(7), learned(7), learned(8)
    assert first[:2] == second[:2]
    np.testing.assert_array_equal(first[2], second[2])
    assert (first[2] != other[2]).any()


@pytest.mark.parametrize("steps, lines", [(1, 1), (7, 7), (19, 10), (100, 10)])
def test_progress_is_ten_lines_at_most(run, small, steps, lines):
    _, _, err = run("--data-dir", small, "--steps", steps)
    line = r"^step +(\d+)  validation cross-entropy \d+\.\d{4}  accuracy 0\.\d{4}$"
    found = re.findall(line, err, re.MULTILINE)
    assert len(found) == lines and int(found[-1]) == steps


def test_progress_is_of_the_validation_images(run, small):
    argv = ("--data-dir", small, "--steps", 3, "--learning-rate", 1e-3)
    names, _, err = run(*argv)
    images = names["mnist"].validation.images
    with names["sess"].as_default():
        probabilities = names["y"].eval({names["x"]: images})
    truth = names["mnist"].validation.labels
    loss = -np.log(probabilities[truth == 1]).mean()
    right = (probabilities.argmax(1) == truth.argmax(1)).mean()
    *_, printed_loss, _, printed_right = err.splitlines()[-1].split()
    assert [float(printed_loss), float(printed_right)] == [
        pytest.approx(loss, abs=1e-4),
        pytest.approx(right, abs=1e-4),
    ]


def test_a_step_fetches_nothing_but_itself(run, small, monkeypatch):
    fetched = []
    original = tf.InteractiveSession.run

    def spy(self, fetches, *args, **kwargs):
        fetched.append(fetches)
        return original(self, fetches, *args, **kwargs)

    monkeypatch.setattr(tf.InteractiveSession, "run", spy)
    names, *_ = run("--data-dir", small, "--steps", 40)
    assert fetched.count(names["train_step"]) == 40
    assert len(fetched) == 1 + 40 + 10 + 1  # initialiser, steps, reports, accuracy


def test_diverged_run_ends_without_an_accuracy(refused, small):
    argv = ("--data-dir", small, "--learning-rate")
    said = r"error: at step \d+ .* --learning-rate 1e\+38 is too large"
    assert re.match(said, refused(*argv, "1e38")[0])
    assert "at step 1 " in refused(*argv, "3e38", "--steps", 1)[0]


# The picture


def test_draw_weights_colours(run, small):
    names, *_ = run("--data-dir", small, "--steps", 1)
    W = np.zeros((784, 10), np.float32)
    W[0, 0], W[27, 4], W[783, 9], W[756, 5] = 2, -2, 1, -1
    pixels = names["draw_weights"](W)
    assert pixels.shape == (224, 560, 3) and pixels.dtype == np.uint8
    corners = [pixels[0, 0], pixels[0, -1], pixels[-1, -1], pixels[-1, 0]]
    blue_red = [[0, 0, 255], [255, 0, 0]]
    pale = [[128, 128, 255], [255, 128, 128]]
    np.testing.assert_array_equal(corners, blue_red + pale)
    assert (pixels.reshape(-1, 3) == 255).all(axis=1).sum() == 224 * 560 - 4 * 16


@pytest.mark.parametrize("name", ["W.png", "a/W.png"])
def test_weights_png(run, small, tmp_path, monkeypatch, name):
    (tmp_path / "a").mkdir()
    (tmp_path / name).write_text("the picture of an earlier run")
    monkeypatch.chdir(tmp_path)
    names, out, err = run("--data-dir", small, "--steps", 20, "--weights-png", name)
    assert err.endswith(f"\nwrote {name}\n") and "png" not in out
    with names["sess"].graph.as_default():
        pixels = names["sess"].run(tf.io.decode_png((tmp_path / name).read_bytes()))
    W = names["sess"].run(names["W"])
    np.testing.assert_array_equal(pixels, names["draw_weights"](W))


@pytest.mark.parametrize("path", ["no/such/folder/W.png", "."])
def test_picture_that_cannot_be_written(run, small, tmp_path, path, capsys):
    argv = ("--data-dir", small, "--steps", 1, "--weights-png", tmp_path / path)
    with pytest.raises(OSError) as caught:
        run(*argv)
    out, _ = capsys.readouterr()
    assert out.startswith("test accuracy: ")
    sys.excepthook(caught.type, caught.value, caught.tb)
    message = capsys.readouterr().err
    assert message.startswith("error: ") and message.count("\n") == 1
    assert path.strip(".") in message


# Flags and errors


@pytest.mark.parametrize(
    "flag, value, says",
    [
        ("--steps", "0", "--steps .*must be 1 or more"),
        ("--steps", "1.5", "--steps: invalid int value: '1.5'"),
        ("--batch-size", "0", "--batch-size must be 1 or more"),
        ("--learning-rate", "0", "--learning-rate must be a finite number above 0"),
        ("--learning-rate", "-0.5", "finite number above 0"),
        ("--learning-rate", "nan", "finite number above 0"),
        ("--learning-rate", "inf", "finite number above 0"),
        ("--learning-rate", "fast", "--learning-rate: invalid float value: 'fast'"),
        ("--seed", "-1", "--seed must be 0 or more"),
    ],
)
def test_flags_out_of_range(refused, flag, value, says):
    code, message = refused(flag, value)
    assert code == 2
    assert re.search(says, message)


def test_boundary_values_are_accepted(run, small):
    argv = ("--data-dir", small, "--steps", 1, "--seed", 0, "--learning-rate", "1e-9")
    for size in (1, 300):
        names, out, _ = run(*argv, "--batch-size", size)
        assert len(names["batch_xs"]) == len(names["batch_ys"]) == size
        assert printed_accuracy(out) >= 0


def test_every_flag_has_help_and_its_default():
    text = " ".join(python(SCRIPT, "--help").stdout.split())
    found = re.findall(r"(--[\w-]+) [A-Z_]+ \w+ \w+ [^(]*\(default: (.*?)\)", text)
    assert found == [
        ("--data-dir", "MNIST_data/"),
        ("--steps", "1000"),
        ("--learning-rate", "0.5"),
        ("--batch-size", "100"),
        ("--seed", "None"),
        ("--source-url", "None"),
        ("--weights-png", "None"),
    ]


def test_damaged_file(refused, small):
    path = small / data.FILES[0]
    path.write_bytes(path.read_bytes()[:1000])
    code, message = refused("--data-dir", small)
    assert code == 1 and message.startswith(f"error: {path}: not a whole gzip file")


def test_data_is_read_before_tensorflow_is_imported(small):
    (small / data.FILES[0]).write_bytes(b"no")
    done = python("-X", "importtime", SCRIPT, "--data-dir", small, check=False)
    assert "not a whole gzip file" in done.stderr and re.search(
        r"\| +numpy\n", done.stderr
    )
    assert "tensorflow" not in done.stderr


def test_batch_larger_than_a_small_training_set(refused, small):
    code, message = refused("--data-dir", small, "--batch-size", 301)
    assert code == 1
    assert message == "error: batch_size (--batch-size) must be 1 to 300, not 301\n"


def test_file_where_the_folder_should_be(refused, tmp_path):
    path = tmp_path / "MNIST_data"
    path.touch()
    code, message = refused("--data-dir", path)
    assert code == 1 and message.startswith(f"error: cannot write into folder {path}")
    assert message.count("\n") == 1


def test_source_url(run, server, tmp_path, monkeypatch):
    monkeypatch.setattr(data, "MIRRORS", [])
    argv = ("--data-dir", tmp_path / "new", "--source-url", server.url())
    run(*argv, "--steps", 1)
    assert contents(tmp_path / "new") == server.files


@pytest.mark.parametrize("package", ["tensorflow", "numpy"])
def test_missing_package_names_the_way_out(refused, small, monkeypatch, package):
    monkeypatch.setitem(sys.modules, package, None)
    if package == "numpy":
        monkeypatch.delitem(sys.modules, "data")
    code, message = refused("--data-dir", small)
    assert code == 1 and message.startswith("error: ") and message.count("\n") == 1
    assert package in message and ".venv/bin/python train_softmax.py" in message


def test_missing_data_py_says_so(tmp_path):
    shutil.copy(SCRIPT, tmp_path)
    done = python(tmp_path / "train_softmax.py", check=False)
    said = "error: data.py must lie beside train_softmax.py\n"
    assert (done.returncode, done.stdout, done.stderr) == (1, "", said)


@pytest.mark.parametrize("defect", [ValueError, KeyError, ModuleNotFoundError])
def test_a_defect_shows_its_traceback(refused, monkeypatch, defect):
    def broken(*args, **kwargs):
        raise defect("ours")

    monkeypatch.setattr(data, "read_data_sets", broken)
    code, message = refused()
    assert code == 1 and message.startswith("Traceback") and "ours" in message
    assert "\nerror: " not in message


@pytest.mark.parametrize("of_the_user", [None, "0"])
def test_log_level_of_the_user_stays(run, small, monkeypatch, of_the_user):
    monkeypatch.delenv("TF_CPP_MIN_LOG_LEVEL")
    if of_the_user:
        monkeypatch.setenv("TF_CPP_MIN_LOG_LEVEL", of_the_user)
    run("--data-dir", small, "--steps", 1)
    assert os.environ["TF_CPP_MIN_LOG_LEVEL"] == (of_the_user or "3")


@pytest.mark.parametrize("at_a_prompt", [True, False])
@pytest.mark.parametrize("handler", [signal.default_int_handler, signal.SIG_IGN])
def test_what_ctrl_c_and_errors_do(run, small, monkeypatch, at_a_prompt, handler):
    """Python's own ways stay at a prompt; so does what a shell or user has set."""
    hook = sys.excepthook
    signal.signal(signal.SIGINT, handler)
    if at_a_prompt:
        monkeypatch.setattr(sys, "ps1", ">>> ", raising=False)
    run("--data-dir", small, "--steps", 1)
    assert (sys.excepthook is hook) == at_a_prompt
    ends_the_process = not at_a_prompt and handler is signal.default_int_handler
    expected = signal.SIG_DFL if ends_the_process else handler
    assert signal.getsignal(signal.SIGINT) == expected


# The script as a reader runs it


def begin(small, *python):
    """Start a long training; return the process once its first step is reported."""
    argv = [SCRIPT, "--data-dir", str(small), "--steps", "5000"]
    process = subprocess.Popen(
        [sys.executable, *python, *argv],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    for line in process.stderr:
        if line.startswith("step"):
            break
    return process


@POSIX
def test_ctrl_c_ends_the_process(small):
    process = begin(small)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate()
    assert process.returncode == -signal.SIGINT
    assert out == "" and "Traceback" not in err


@POSIX
def test_ctrl_c_at_a_prompt_ends_the_run_alone(small):
    process = begin(small, "-i")
    process.send_signal(signal.SIGINT)
    out, err = process.communicate("print(W.eval().shape, step < 5000)\nopen('no')\n")
    # From Python 3.14 on it remembers Ctrl-C when it is left.
    assert process.returncode in (0, -signal.SIGINT)
    assert out == "(784, 10) True\n"
    assert err.count("Traceback") == 2 and "FileNotFoundError: [Errno 2]" in err
