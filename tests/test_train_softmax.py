"""The tutorial's program: its lines, its graph, what it learns, and how it is run."""

import codeop
import os
import re

import numpy as np
import pytest
import tensorflow.compat.v1 as tf
from helpers import CODE, PAGE, SCRIPT, SOURCE, batch, python, rate, seed, steps

import data

# The page's lines and names


def test_headings_are_the_pages():
    assert re.findall("^# === (.*) ===$", SOURCE, re.MULTILINE) == [
        "What is TensorFlow MNIST Dataset?",
        "Implementation of MNIST Dataset in TensorFlow",
        "TensorFlow MNIST - Training",
        "Checking Accuracy With Test Dataset",
    ]
    assert SOURCE.isascii()  # `open` on East Asian Windows fails at anything else


def test_lines_are_the_pages_in_its_order():
    """Quoted in a comment where they are not as on the page, but for the cross-entropy."""
    page, code, source = (t.replace(" ", "") for t in (PAGE, CODE, SOURCE))
    places = [code.find(f"\n{line}\n") for line in page.splitlines()[1:]]
    same = [place for place in places if place >= 0]
    assert len(same) >= 11 and same == sorted(same)
    for line, place in zip(page.splitlines()[1:], places):
        assert place >= 0 or re.search(rf"\n#(Thepage:)?{re.escape(line)}\n", source)


def test_names_of_the_page_in_its_order(run, small):
    names, _ = run(steps(1))
    page = ["mnist", "x", "W", "b", "y", "y_", "cross_entropy", "train_step", "sess"]
    page += ["batch_xs", "batch_ys", "correct_prediction", "accuracy"]
    assert [name for name in vars(names) if name in page] == page


# The graph


@pytest.fixture
def graph(run, small):
    """One step on the small files: session, x, W, b, y, y_, cross_entropy."""
    names, _ = run(seed(3), steps(1))
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


# What it learns and prints


def test_same_seed_same_run(run, small):
    def learned(number):
        names, out = run(seed(number), steps(50))
        return out, names.sess.run(names.W)

    first, second, other = learned(7), learned(7), learned(8)
    assert first[0] == second[0]
    np.testing.assert_array_equal(first[1], second[1])
    assert (first[1] != other[1]).any()


def test_numbers_of_a_reader_are_taken(run, small):
    """Two steps on one image each, with a rate that changes little."""
    names, _ = run(steps(2), batch(1), rate(1e-9))
    assert len(names.batch_xs) == len(names.batch_ys) == 1
    assert names.mnist.train._index_in_epoch == 2
    assert 0 < abs(names.W.eval()).max() < 1e-8


@pytest.mark.parametrize("number, shown", [(1, 1), (100, 1), (101, 2), (1000, 10)])
def test_every_hundredth_step_is_shown(run, small, number, shown):
    _, out = run(steps(number))
    *reports, result = out.splitlines()
    assert reports[0] == "step   0  validation cross-entropy 2.3026"
    line = r"step +(\d+)  validation cross-entropy \d+\.\d{4}"
    found = [int(re.fullmatch(line, report).group(1)) for report in reports]
    assert found == list(range(0, 100 * shown, 100))
    assert re.fullmatch(r"test accuracy: 0\.\d{1,4}", result)


def test_what_is_shown_is_of_the_validation_images(run, small):
    names, _ = run(steps(100))
    images, labels = names.mnist.validation.images, names.mnist.validation.labels
    loss = -np.log(names.y.eval({names.x: images})[labels == 1]).mean()
    _, out = run(steps(101))
    assert float(out.splitlines()[1].split()[-1]) == pytest.approx(loss, abs=1e-4)


def test_accuracy_is_of_the_test_images(run, small):
    names, out = run(steps(20))
    read = names.y.eval({names.x: names.mnist.test.images}).argmax(1)
    share = (read == names.mnist.test.labels.argmax(1)).mean()
    assert float(out.split()[-1]) == pytest.approx(share, abs=1e-6)


# As readers run it


@pytest.mark.parametrize(
    "change, message",
    [
        (batch(0), "batch_size must be 1 to 600, not 0"),
        (batch(601), "batch_size must be 1 to 600, not 601"),
        (seed(-1), "seed must be 0 or more, not -1"),
    ],
)
def test_edited_to_what_cannot_be(run, small, change, message):
    with pytest.raises(ValueError, match=message):
        run(change)


def test_damaged_file_is_told_before_tensorflow_is_imported(small):
    path = small / data.FILES[0]
    path.write_bytes(path.read_bytes()[:1000])
    done = python("-X", "importtime", SCRIPT, cwd=small.parent, check=False)
    assert done.returncode == 1
    name = os.path.join(small.name, path.name)
    last_line = done.stderr.splitlines()[-1]
    assert last_line.startswith(f"ValueError: {name}: not a whole gzip file")
    assert re.search(r"\| +numpy\n", done.stderr)
    assert not re.search(r"\| +tensorflow", done.stderr)


@pytest.mark.parametrize("level", [None, "0"])
def test_log_level_of_the_user_stays(run, small, monkeypatch, level):
    monkeypatch.delenv("TF_CPP_MIN_LOG_LEVEL")
    if level:
        monkeypatch.setenv("TF_CPP_MIN_LOG_LEVEL", level)
    run(steps(1))
    assert os.environ["TF_CPP_MIN_LOG_LEVEL"] == (level or "3")


def test_a_second_run_begins_anew(run, small, tmp_path):
    """In a notebook, `Saver` wrote the first run's variables, which it then lost."""
    for _ in range(2):
        names, _ = run(steps(5))
    assert names.sess.graph is tf.get_default_graph()
    path = tf.train.Saver().save(names.sess, str(tmp_path / "model"))
    saved = tf.train.load_checkpoint(path)
    assert len(saved.get_variable_to_shape_map()) == 2
    np.testing.assert_array_equal(saved.get_tensor("Variable"), names.W.eval())


def test_script_can_be_pasted_at_a_prompt():
    """Which wants an empty line after each block, or says SyntaxError."""
    compile_lines, lines = codeop.CommandCompiler(), []
    for line in SOURCE.splitlines():
        lines.append(line)
        if compile_lines("\n".join(lines)):
            lines = []
    assert not lines
