"""The tutorial's program: its lines, its graph, what it learns, and how it is run."""

import codeop
import os
import re

import numpy as np
import pytest
import tensorflow.compat.v1 as tf
from helpers import CODE, PAGE, SOURCE

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
    """Where they are not as on the page, a comment quotes them whole."""
    page, code, source = (t.replace(" ", "") for t in (PAGE, CODE, SOURCE))
    places = [code.find(f"\n{line}\n") for line in page.splitlines()[1:]]
    same = [place for place in places if place >= 0]
    assert len(same) >= 11 and same == sorted(same)
    for line, place in zip(page.splitlines()[1:], places):
        assert place >= 0 or re.search(rf"\n#(Thepage:)?{re.escape(line)}\n", source)


# The graph


def test_shapes_and_initial_values(run, small):
    names, _ = run(steps=0)
    tensors = names.x, names.W, names.b, names.y, names.y_, names.cross_entropy
    shapes = [tensor.shape.as_list() for tensor in tensors]
    assert shapes == [[None, 784], [784, 10], [10], [None, 10], [None, 10], []]
    assert {tensor.dtype.base_dtype for tensor in tensors} == {tf.float32}
    assert not names.W.eval().any() and not names.b.eval().any()


def test_one_step_is_numpys(run, small):
    names, _ = run(seed=3, steps=1)
    train = data.read_data_sets(small, one_hot=True, seed=3).train
    images, labels = train.next_batch(100)
    error = (0.1 - labels) / 100  # softmax of zeros, minus the truth
    np.testing.assert_allclose(names.W.eval(), -0.5 * images.T @ error, atol=1e-6)
    np.testing.assert_allclose(names.b.eval(), -0.5 * error.sum(axis=0), atol=1e-6)


@pytest.mark.parametrize("scale", [0.1, 10])
def test_cross_entropy_is_the_pages_and_stays_finite(run, small, scale):
    """The page's is NaN where large weights make probabilities of 0."""
    names, _ = run(steps=0)
    weights = scale * np.random.default_rng(0).standard_normal((784, 10), np.float32)
    tf.assign(names.W, weights).eval()
    y, y_ = names.y, names.y_
    page = tf.reduce_mean(-tf.reduce_sum(y_ * tf.log(y), axis=1))
    images, labels = names.mnist.test.next_batch(50)
    feed_dict = {names.x: images, y_: labels}
    ours, pages = names.sess.run([names.cross_entropy, page], feed_dict)
    logits = images.astype(float) @ weights
    loss = np.log(np.exp(logits - logits.max(1, keepdims=True)).sum(1))
    loss += logits.max(1) - logits[labels == 1]
    assert ours == pytest.approx(loss.mean(), rel=1e-4) and ours > 1
    assert np.isnan(pages) if scale == 10 else pages == pytest.approx(ours, rel=1e-4)


# What it learns and prints


def test_same_seed_same_run(run, small):
    outs, weights = [], []
    for number in (7, 7, 8):
        names, out = run(seed=number, steps=50)
        outs.append(out)
        weights.append(names.W.eval())
    assert outs[0] == outs[1] and (weights[0] == weights[1]).all()
    assert (weights[0] != weights[2]).any()


def test_numbers_of_a_reader_are_taken(run, small):
    """Two steps on one image each, with a rate that changes little."""
    names, _ = run(steps=2, batch=1, rate=1e-9)
    assert len(names.batch_xs) == len(names.batch_ys) == 1
    assert names.mnist.train._index_in_epoch == 2
    assert 0 < abs(names.W.eval()).max() < 1e-8


@pytest.mark.parametrize("number, shown", [(1, 1), (100, 1), (101, 2), (1000, 10)])
def test_every_hundredth_step_is_shown(run, small, number, shown):
    _, out = run(steps=number)
    line = r"(?m)^step +(\d+)  validation cross-entropy \d+\.\d{4}$"
    assert [int(step) for step in re.findall(line, out)] == [*range(0, number, 100)]
    assert out.startswith("step   0  validation cross-entropy 2.3026\n")
    assert len(out.splitlines()) == shown + 1
    assert re.search(r"\ntest accuracy: 0\.\d{1,4}\n\Z", out)


def test_what_is_shown_is_of_the_validation_images(run, small):
    names, _ = run(steps=100)
    images, labels = names.mnist.validation.images, names.mnist.validation.labels
    loss = -np.log(names.y.eval({names.x: images})[labels == 1]).mean()
    _, out = run(steps=101)
    assert float(out.splitlines()[1].split()[-1]) == pytest.approx(loss, abs=1e-4)


# As readers run it


@pytest.mark.parametrize(
    "numbers, message",
    [
        ({"batch": 0}, "batch_size is 0, not 1 to 600"),
        ({"batch": 601}, "batch_size is 601, not 1 to 600"),
        ({"seed": -1}, "seed must be 0 or more, not -1"),
    ],
)
def test_edited_to_what_cannot_be(run, small, numbers, message):
    with pytest.raises(ValueError, match=message):
        run(**numbers)


def test_the_log_is_short_unless_the_reader_wants_it(run, small, monkeypatch):
    monkeypatch.setenv("TF_CPP_MIN_LOG_LEVEL", "0")
    run(steps=0)
    assert os.environ["TF_CPP_MIN_LOG_LEVEL"] == "0"
    monkeypatch.delenv("TF_CPP_MIN_LOG_LEVEL")
    run(steps=0)
    assert os.environ["TF_CPP_MIN_LOG_LEVEL"] == "3"


def test_a_second_run_begins_anew(run, small, tmp_path):
    """In a notebook, `Saver` wrote the first run's variables, which it then lost."""
    for _ in range(2):
        names, _ = run(steps=5)
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
