"""read_data_sets, DataSet, and the files that they come from."""

import gzip
import hashlib
import inspect
import os
import re
import runpy
import struct
import tracemalloc

import numpy as np
import pytest
from helpers import MNIST, POSIX, TEST, TRAIN, idx, link, small_arrays

import data

IMAGES, LABELS, TEST_IMAGES, TEST_LABELS = data.FILES


def test_signature_is_the_helpers():
    assert str(inspect.signature(data.read_data_sets)) == (
        "(train_dir, fake_data=False, one_hot=False, dtype='float32', reshape=True, "
        "validation_size=5000, seed=None, source_url=None)"
    )


def test_splits_and_default_arrays(small):
    images, labels, test_images, test_labels = small_arrays()
    mnist = data.read_data_sets(small)
    assert re.match(r"Datasets\(train=.*, validation=.*, test=.*\)$", str(mnist))
    assert [part.num_examples for part in mnist] == [TRAIN - 5000, 5000, TEST]
    for part, pixels, classes in [
        (mnist.train, images[5000:], labels[5000:]),
        (mnist.validation, images[:5000], labels[:5000]),
        (mnist.test, test_images, test_labels),
    ]:
        assert part.images.dtype == np.float32
        np.testing.assert_allclose(part.images, pixels.reshape(-1, 784) / 255, 1e-6)
        assert part.images.min() == 0 and part.images.max() == 1
        np.testing.assert_array_equal(part.labels, classes)


def test_one_hot(small):
    labels = small_arrays()[1]
    train = data.read_data_sets(small, one_hot=True).train
    assert train.labels.shape == (TRAIN - 5000, 10)
    assert set(np.unique(train.labels)) == {0, 1}
    np.testing.assert_array_equal(train.labels.sum(axis=1), 1)
    np.testing.assert_array_equal(train.labels.argmax(axis=1), labels[5000:])


def test_unshaped_uint8(small):
    images = small_arrays()[0]
    train = data.read_data_sets(small, dtype=np.uint8, reshape=False).train
    assert train.images.dtype == np.uint8
    np.testing.assert_array_equal(train.images, images[5000:, :, :, np.newaxis])
    batch, _ = train.next_batch(3)
    assert batch.shape == (3, 28, 28, 1) and batch.dtype == np.uint8


def test_dtype_as_tensorflow_names_it(small):
    import tensorflow as tf  # here, as the others need no such long import

    for dtype in (tf.float32, tf.uint8):
        part = data.read_data_sets(small, dtype=dtype).test
        assert part.images.dtype == part.next_batch(1)[0].dtype == dtype.as_numpy_dtype
    with pytest.raises(TypeError, match="float64"):
        data.read_data_sets(small, dtype=tf.float64)


@pytest.mark.parametrize("size", [0, 10, TRAIN])
def test_validation_size(small, size):
    mnist = data.read_data_sets(small, validation_size=size)
    assert [part.num_examples for part in mnist] == [TRAIN - size, size, TEST]
    assert len(mnist.validation.images) == len(mnist.validation.labels) == size


@pytest.mark.parametrize("size", [-1, TRAIN + 1])
def test_validation_size_out_of_range(small, size):
    message = f"must be 0 to {TRAIN} (the training images), not {size}"
    with pytest.raises(ValueError, match=re.escape(message)):
        data.read_data_sets(small, validation_size=size)


def batch_indices(part, batch_size, batches, **arguments):
    """Return which examples of `part` the next batches hold, in their order."""
    index = {image.tobytes(): k for k, image in enumerate(part.images)}
    indices = []
    for _ in range(batches):
        images, labels = part.next_batch(batch_size, **arguments)
        assert len(images) == len(labels) == batch_size
        new = [index[image.tobytes()] for image in images]
        np.testing.assert_array_equal(labels, part.labels[new])
        indices += new
    return indices


def test_each_epoch_is_an_order_of_its_own(small):
    test = data.read_data_sets(small).test
    shown = batch_indices(test, 30, 20)  # 600: three epochs, two ends within a batch
    epochs = [shown[start : start + TEST] for start in range(0, 3 * TEST, TEST)]
    for epoch in epochs:
        assert sorted(epoch) == list(range(TEST))
    assert epochs[0] != epochs[1] != epochs[2] != sorted(epochs[2])
    assert test.epochs_completed == 2
    test.next_batch(1)
    assert test.epochs_completed == 3


def test_without_shuffle_batches_are_in_file_order(small):
    test = data.read_data_sets(small).test
    shown = batch_indices(test, 150, 4, shuffle=False)
    assert shown == 3 * list(range(TEST))


def test_next_batch_has_the_helpers_arguments(small):
    """fake_data comes second, and whatever it is, batches are shuffled."""
    signature = str(inspect.signature(data.DataSet.next_batch))
    assert signature == "(self, batch_size, fake_data=False, shuffle=True)"
    first, *others = [data.read_data_sets(small, seed=1).test for _ in range(4)]
    images, _ = first.next_batch(TEST)
    assert (images != first.images).any()
    for part, arguments in zip(others, [(False,), (True,), (False, True)]):
        np.testing.assert_array_equal(part.next_batch(TEST, *arguments)[0], images)
    np.testing.assert_array_equal(
        others[0].next_batch(TEST, False, False)[0], first.images
    )


def test_a_new_epoch_is_shuffled_as_its_call_says(small):
    test = data.read_data_sets(small).test
    batch_indices(test, 150, 1)
    mixed = batch_indices(test, 150, 1, shuffle=False)
    assert mixed[50:] == list(range(100))
    assert batch_indices(test, 100, 1) == list(range(100, 200))


def test_seed_fixes_the_order(small):
    def order(seed):
        return batch_indices(data.read_data_sets(small, seed=seed).test, 50, 8)

    assert order(1) == order(1)
    assert order(1) != order(2)
    assert order(None) != order(None)


@pytest.mark.parametrize("one, other", [(0, 1), (0, 2), (1, 2)])
def test_each_part_has_an_order_of_its_own(small, one, other):
    size = {1: TRAIN // 2, 2: TEST if one else TRAIN - TEST}[other]  # equal parts
    mnist = data.read_data_sets(small, validation_size=size, seed=1)
    one, other = mnist[one], mnist[other]
    n = one.num_examples
    assert batch_indices(one, n, 1) != batch_indices(other, n, 1)


@pytest.mark.parametrize("size", [0, -1, 2 * TEST + 1])
def test_batch_size_out_of_range(small, size):
    with pytest.raises(ValueError, match=f"must be 1 to {2 * TEST}, not {size}"):
        data.read_data_sets(small).test.next_batch(size)


@pytest.mark.parametrize("size", [TEST - 1, TEST, TEST + 1, 2 * TEST])
def test_batch_as_large_as_two_epochs(small, size):
    test = data.read_data_sets(small).test
    shown = batch_indices(test, size, 5)
    whole = 5 * size // TEST * TEST
    for start in range(0, whole, TEST):
        assert sorted(shown[start : start + TEST]) == list(range(TEST))
    assert test.epochs_completed == (5 * size - 1) // TEST


def test_batch_size_is_any_integer(small):
    test = data.read_data_sets(small).test
    for _ in range(5):
        assert len(test.next_batch(np.uint8(100))[0]) == 100
    assert test.epochs_completed == 2
    with pytest.raises(TypeError):
        test.next_batch(100.5)


def test_batches_are_the_callers_own(small):
    test = data.read_data_sets(small, dtype="uint8").test
    before = test.images.copy(), test.labels.copy()
    for array in test.next_batch(TEST, shuffle=False):
        array[:] = 0
    np.testing.assert_array_equal(test.images, before[0])
    np.testing.assert_array_equal(test.labels, before[1])
    test.images[:] = 7  # so are the images, to change them in place
    assert (test.next_batch(3)[0] == 7).all()


@pytest.mark.parametrize("more", [(), (False,), (False, True)])
def test_calls_written_for_the_helpers_class_are_refused(more):
    """It scaled pixels to [0, 1] and flattened them. Here a caller does that."""
    images, labels = np.full((4, 28, 28, 1), 255, np.uint8), np.arange(4)
    with pytest.raises(TypeError):
        data.DataSet(images, labels, *more)
    with pytest.raises(TypeError):
        data.DataSet(images, labels, *more, seed=3)
    part = data.DataSet(images.reshape(4, 784) / 255, labels, rng=None)
    assert part.next_batch(4)[0].sum() == 4 * 784


# Small old programs that know the helper from inside, each with what it printed with
# TensorFlow 1.15.5 and its own helper, on the files of `small`. Before each stood
#     train = input_data.read_data_sets("MNIST_data", one_hot=True).train
OLD_PROGRAMS = """
## steps of an epoch: 7 6 6
for _ in range(3):
    steps, before = 0, train.epochs_completed
    while train.epochs_completed == before:
        train.next_batch(50)
        steps += 1
    print(steps)
## a start again: 7 7 7
for _ in range(3):
    train._epochs_completed = train._index_in_epoch = steps = 0
    while train._epochs_completed == 0:
        train.next_batch(50)
        steps += 1
    print(steps)
## where it is: 70 0 140 0 210 0 280 0 50 1 120 1
for _ in range(6):
    train.next_batch(70)
    print(train._index_in_epoch, train._epochs_completed)
## a start again in the files' order, after an epoch: True True 300 1
train.next_batch(300), train.next_batch(50)
train._index_in_epoch = 0
images, labels = train.next_batch(300, shuffle=False)
print((images == train.images).all(), (labels == train.labels).all())
print(train._index_in_epoch, train._epochs_completed)
## from a place on, in the files' order: True 250
train._index_in_epoch = 200
images, _ = train.next_batch(50, shuffle=False)
print((images == train.images[200:250]).all(), train._index_in_epoch)
## a smaller training set: 60 60 3
train._num_examples = 60
shown = {image.tobytes() for _ in range(20) for image in train.next_batch(10)[0]}
print(len(shown), train.num_examples, train.epochs_completed)
## fewer images and labels: 40 10 2 120.0
train._images, train._labels = train._images[:40], train._labels[:40]
train._num_examples = 40
labels = sum(train.next_batch(40)[1] for _ in range(3))
print(*labels.shape, train._epochs_completed, labels.sum())
## other images: 0.25 0.25
train._images = np.full((300, 784), 0.25, np.float32)
print(train.next_batch(4)[0].mean(), train.images.mean())
## class numbers: 10 255 40 50 80
digits = input_data.read_data_sets("MNIST_data").test.labels
print(max(digits) + 1, 255 * digits[digits == 9][0] // 9, *10 * digits[:3])
"""


@pytest.mark.parametrize(
    "program", OLD_PROGRAMS.split("\n## ")[1:], ids=lambda text: text.split(":")[0]
)
def test_old_programs_count_as_with_the_helper(small, monkeypatch, capsys, program):
    (small.parent / "old.py").write_text("## " + program)
    monkeypatch.chdir(small.parent)
    train = data.read_data_sets("MNIST_data", one_hot=True).train
    runpy.run_path("old.py", {"train": train, "np": np, "input_data": data})
    printed = program.splitlines()[0].split(": ")[1]
    assert capsys.readouterr().out.split() == printed.split()


def test_a_smaller_set_within_an_epoch_gives_whole_batches(small):
    """The helper gave 60 images, whatever was asked for."""
    train = data.read_data_sets(small).train
    train.next_batch(200)
    train._num_examples = 60
    for _ in range(8):
        images, labels = train.next_batch(10)
        assert len(images) == len(labels) == 10


def test_public_names_are_read_only(small):
    """As the helper has it: `mnist.train.images = noise` would mislead."""
    test = data.read_data_sets(small).test
    for name in ("images", "labels", "num_examples", "epochs_completed"):
        with pytest.raises(AttributeError):
            setattr(test, name, 0)


@pytest.mark.parametrize("one_hot", [True, False])
def test_fake_data_is_white_and_touches_no_file(tmp_path, monkeypatch, one_hot):
    monkeypatch.setattr(data, "MIRRORS", ())
    mnist = data.read_data_sets(tmp_path / "none", True, one_hot)
    assert not (tmp_path / "none").exists()
    assert [part.num_examples for part in mnist] == [55000, 5000, 10000]
    assert [len(part.labels) for part in mnist] == [55000, 5000, 10000]
    images, labels = mnist.test.next_batch(100)
    assert images.shape == (100, 784) and images.dtype == np.float32
    assert (images == 1).all() and (mnist.test.images == 1).all()
    label = [1, *9 * [0]] if one_hot else 0
    np.testing.assert_array_equal(labels, 100 * [label])
    assert labels.dtype == (np.float32 if one_hot else int)


# Files that are not what they should be


def parse_error(small, name, body):
    """Return what read_data_sets says of `body` as file `name`."""
    (small / name).write_bytes(body)
    with pytest.raises(ValueError) as caught:
        data.read_data_sets(small)
    message = str(caught.value)
    assert str(small / name) in message
    assert message.endswith("; move it away to fetch MNIST's")
    assert (small / name).read_bytes() == body
    return message


@pytest.mark.parametrize(
    "header, size, message",
    [
        ([2049, 1, 28, 28], 784, "header is [2049, 1, 28, 28], expected [2051, 1,"),
        ([2051, 1, 14, 56], 784, "[2051, 1, 14, 56], expected [2051, 1, 28, 28]"),
        ([2051, 2, 28, 28], 784, "array of size 784 into shape (2,28,28)"),
        ([2051, 1, 28, 28], 785, "array of size 785 into shape (1,28,28)"),
        ([2051, 1, 28, 28], 783, "array of size 783 into shape (1,28,28)"),
        ([2051, 2**32 - 1, 28, 28], 784, "into shape (4294967295,28,28)"),
        ([2051, 0, 28, 28], 784, "array of size 784 into shape (0,28,28)"),
    ],
)
def test_images_that_are_not_idx(small, header, size, message):
    content = struct.pack(">IIII", *header) + bytes(size)
    assert message in parse_error(small, TEST_IMAGES, gzip.compress(content))


def test_one_example_and_none(small):
    for n in (1, 0):
        images, labels = np.full((n, 28, 28), 255, np.uint8), np.full(n, 9, np.uint8)
        (small / TEST_IMAGES).write_bytes(gzip.compress(idx(images)))
        if n == 0:
            with pytest.raises(ValueError, match="0 images, but 1 labels"):
                data.read_data_sets(small)
        (small / TEST_LABELS).write_bytes(gzip.compress(idx(labels)))
        if n == 1:
            test = data.read_data_sets(small).test
            assert test.images.tolist() == [784 * [1]] and test.labels.tolist() == [9]
    with pytest.raises(ValueError, match="zero-size array"):
        data.read_data_sets(small)


def test_labels_that_are_no_digits(small):
    labels = np.full(TEST, 10, np.uint8)
    message = parse_error(small, TEST_LABELS, gzip.compress(idx(labels)))
    assert "label 10" in message


@pytest.mark.parametrize("size, count", [(5000, TRAIN - 1), (TRAIN, TRAIN + 1)])
def test_files_with_more_or_fewer_labels(small, capfd, size, count):
    """Which file is to blame is told before."""
    labels = np.zeros(count, np.uint8)
    (small / LABELS).write_bytes(gzip.compress(idx(labels)))
    message = f"{TRAIN - size} images, but {count - size} labels"
    with pytest.raises(ValueError, match=message):
        data.read_data_sets(small, validation_size=size)
    assert LABELS in capfd.readouterr().err


def test_as_many_labels_as_images():
    """The helper asserted it. Pairs of a filtered array and a whole one are wrong."""
    with pytest.raises(ValueError, match="^240 images, but 300 labels$"):
        data.DataSet(np.zeros((240, 784)), np.zeros((300, 10)), rng=0)


def test_empty_file_and_web_page(small):
    parse_error(small, LABELS, b"<html>Please log in</html>")
    for body in (b"", gzip.compress(b""), gzip.compress(b"abc")):
        assert "buffer is smaller than" in parse_error(small, LABELS, body)


def test_a_gzip_bomb_is_unpacked_to_the_limit(small, monkeypatch):
    limit = 10_000_000
    monkeypatch.setattr(data, "MAX_BYTES", limit)
    header = struct.pack(">IIII", 2051, 1, 28, 28)
    bomb = gzip.compress(header + bytes(10 * limit), 1)
    tracemalloc.start()
    try:
        parse_error(small, IMAGES, bomb)
        assert tracemalloc.get_traced_memory()[1] < 4 * limit
    finally:
        tracemalloc.stop()


def test_the_limit_itself_is_allowed(small, monkeypatch):
    size = 16 + TRAIN * 784
    monkeypatch.setattr(data, "MAX_BYTES", size)
    data.read_data_sets(small)
    monkeypatch.setattr(data, "MAX_BYTES", size - 1)
    with pytest.raises(ValueError, match=f"unpacks to more than {size - 1} bytes"):
        data.read_data_sets(small)


@POSIX
def test_of_a_sparse_terabyte_little_is_read(small):
    os.truncate(small / LABELS, 0)
    os.truncate(small / LABELS, 1 << 40)
    with pytest.raises(ValueError, match="not a whole gzip file"):
        data.read_data_sets(small)


@pytest.mark.parametrize("kind", ["folder", "link to nowhere"])
def test_what_cannot_be_read_stays(small, kind):
    """To move it away is no advice here: it may be whole."""
    path = small / LABELS
    path.unlink()
    if kind == "folder":
        path.mkdir()
    else:
        link(path, "none")
    with pytest.raises(OSError) as caught:
        data.read_data_sets(small)
    message = rf"cannot read {re.escape(str(path))}: \w[\w ]+"
    assert re.fullmatch(message, str(caught.value))
    assert os.path.lexists(path)


def mutations(bodies, rng):
    """Yield seeded damage to two files as (kind, name, body)."""
    for name, body in bodies.items():
        for k in range(150):
            # Every third hits gzip's own header or checksum, few bytes of many.
            places = [*range(18), *range(-9, 0)] if k % 3 == 0 else range(len(body))
            flipped = bytearray(body)
            flipped[rng.choice(places)] ^= 1 << rng.integers(8)
            yield "flip", name, bytes(flipped)
        for _ in range(25):
            yield "cut", name, body[: rng.integers(len(body))]
            yield "tail", name, body + rng.bytes(rng.integers(1, 20))
        content = gzip.decompress(body)
        for _ in range(15):
            header = bytearray(content[:16])
            header[rng.integers(8)] ^= 1 << rng.integers(8)
            yield "header", name, gzip.compress(bytes(header) + content[16:], 1)
        yield "gzip of something else", name, gzip.compress(rng.bytes(10_000))
        yield "uncompressed", name, content
    images, labels = bodies
    yield "swapped", images, bodies[labels]
    yield "swapped", labels, bodies[images]


def test_no_damage_reads_as_other_arrays(tmp_path):
    """Tried on 500 of MNIST's examples, which are read quickly."""
    truth = {name: data._read(MNIST / name)[:500] for name in data.FILES[2:]}
    bodies = {name: gzip.compress(idx(array)) for name, array in truth.items()}
    errors = same = 0
    for kind, name, body in mutations(bodies, np.random.default_rng(0)):
        path = tmp_path / name
        path.write_bytes(body)
        try:
            array = data._read(path)
        except ValueError as error:
            assert str(path) in str(error), kind
            errors += 1
        else:
            np.testing.assert_array_equal(array, truth[name], kind)
            same += 1
    assert errors > 300 and same > 10


# MNIST itself


def test_real_files_are_mnist():
    readme = (MNIST / "README.md").read_text(encoding="utf-8")
    for name, digest in data.SHA256.items():
        content = gzip.decompress((MNIST / name).read_bytes())
        header = 16 if "images" in name else 8
        assert hashlib.sha256(content[header:]).hexdigest() == digest
        assert f"{digest}  {name}\n" in readme


def test_real_arrays_equal_an_independent_reading(capfd):
    def read(name, header, *shape):
        raw = gzip.decompress((MNIST / name).read_bytes())
        return np.frombuffer(raw, np.uint8, offset=header).reshape(-1, *shape)

    mnist = data.read_data_sets(MNIST, dtype="uint8")
    assert capfd.readouterr() == ("", "")
    assert [part.num_examples for part in mnist] == [55000, 5000, 10000]
    images, labels = read(IMAGES, 16, 784), read(LABELS, 8)
    np.testing.assert_array_equal(mnist.validation.images, images[:5000])
    np.testing.assert_array_equal(mnist.validation.labels, labels[:5000])
    np.testing.assert_array_equal(mnist.train.images, images[5000:])
    np.testing.assert_array_equal(mnist.train.labels, labels[5000:])
    np.testing.assert_array_equal(mnist.test.images, read(TEST_IMAGES, 16, 784))
    np.testing.assert_array_equal(mnist.test.labels, read(TEST_LABELS, 8))
