"""read_data_sets, DataSet, and the files that they come from."""

import gzip
import hashlib
import inspect
import os
import re
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


def test_unshaped_uint8_and_dtype_as_tensorflow_names_it(small):
    import tensorflow as tf  # here, as the others need no such long import

    for dtype in (np.uint8, tf.uint8, "uint8"):
        train = data.read_data_sets(small, dtype=dtype, reshape=False).train
        assert train.images.dtype == train.next_batch(1)[0].dtype == np.uint8
        np.testing.assert_array_equal(train.images[..., 0], small_arrays()[0][5000:])
        assert train.next_batch(3)[0].shape == (3, 28, 28, 1)
    assert data.read_data_sets(small, dtype=tf.float32).test.images.max() == 1
    with pytest.raises(TypeError, match="float64"):
        data.read_data_sets(small, dtype=tf.float64)


@pytest.mark.parametrize("size", [-1, 0, 10, TRAIN, TRAIN + 1])
def test_validation_size(small, size):
    if 0 <= size <= TRAIN:
        mnist = data.read_data_sets(small, validation_size=size)
        assert [part.num_examples for part in mnist] == [TRAIN - size, size, TEST]
    else:
        message = f"size is {size}, not 0 to {TRAIN} (training images)"
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


@pytest.mark.parametrize("size", [30, TEST - 1, TEST, TEST + 1, 2 * TEST])
def test_each_epoch_is_an_order_of_its_own(small, size):
    test = data.read_data_sets(small).test
    calls = 3 * TEST // size + 1
    shown = batch_indices(test, size, calls)
    epochs = [shown[start : start + TEST] for start in range(0, 3 * TEST, TEST)]
    for epoch in epochs:
        assert sorted(epoch) == list(range(TEST))
    assert len({*map(tuple, epochs)}) == 3 and sorted(epochs[2]) not in epochs
    assert test.epochs_completed == (calls * size - 1) // TEST


def test_next_batch_has_the_helpers_arguments(small):
    """fake_data comes second, and whatever it is, batches are shuffled."""
    signature = str(inspect.signature(data.DataSet.next_batch))
    assert signature == "(self, batch_size, fake_data=False, shuffle=True)"
    one, other = (data.read_data_sets(small, seed=1).test for _ in range(2))
    images = one.next_batch(TEST)[0]
    assert (images != one.images).any()
    np.testing.assert_array_equal(other.next_batch(TEST, True, True)[0], images)


def test_a_new_epoch_is_shuffled_as_its_call_says(small):
    test = data.read_data_sets(small).test
    batch_indices(test, 150, 1)
    mixed = batch_indices(test, 150, 1, shuffle=False)
    assert mixed[50:] == list(range(100))
    assert batch_indices(test, 100, 1) == list(range(100, 200))


def test_seed_fixes_the_order_and_each_part_has_its_own(small):
    def orders(seed):
        found = []
        equal_parts = {(0, 1): TRAIN // 2, (1, 2): TEST, (0, 2): TRAIN - TEST}
        for pair, size in equal_parts.items():
            parts = data.read_data_sets(small, validation_size=size, seed=seed)
            n = parts[pair[0]].num_examples
            found.append([batch_indices(parts[k], n, 1) for k in pair])
        return found

    assert orders(1) == orders(1)
    assert orders(1) != orders(2) and orders(None) != orders(None)
    assert all(sorted(a) == sorted(b) and a != b for a, b in orders(1))


@pytest.mark.parametrize("size", [0, -1, 2 * TEST + 1])
def test_batch_size(small, size):
    test = data.read_data_sets(small).test
    with pytest.raises(ValueError, match=f"batch_size is {size}, not 1 to {2 * TEST} "):
        test.next_batch(size)
    with pytest.raises(TypeError):
        test.next_batch(100.5)
    for _ in range(5):  # a sum of uint8 would overflow
        assert len(test.next_batch(np.uint8(100))[0]) == 100
    empty = data.read_data_sets(small, validation_size=TRAIN).train
    with pytest.raises(ValueError, match="is 1, not 1 to 0 "):
        empty.next_batch(1)


def test_batches_are_the_callers_own(small):
    test = data.read_data_sets(small, dtype="uint8").test
    before = test.images.copy(), test.labels.copy()
    for array in test.next_batch(TEST, shuffle=False):
        array[:] = 0
    np.testing.assert_array_equal(test.images, before[0])
    np.testing.assert_array_equal(test.labels, before[1])
    test.images[:] = 7  # so are the images, to change them in place
    assert (test.next_batch(3)[0] == 7).all()


def test_calls_written_for_the_helpers_class_are_refused():
    """It scaled pixels to [0, 1] and flattened them. Here a caller does that."""
    for more, seed in [((), {}), ((False, True), {}), ((), {"seed": 3})]:
        with pytest.raises(TypeError):
            data.DataSet(np.zeros((4, 784)), np.arange(4), *more, **seed)


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
## class numbers: 10 255 40 50 80
digits = input_data.read_data_sets("MNIST_data").test.labels
print(max(digits) + 1, 255 * digits[digits == 9][0] // 9, *10 * digits[:3])
"""


@pytest.mark.parametrize(
    "program", OLD_PROGRAMS.split("\n## ")[1:], ids=lambda text: text.split(":")[0]
)
def test_old_programs_count_as_with_the_helper(small, monkeypatch, capsys, program):
    monkeypatch.chdir(small.parent)
    train = data.read_data_sets("MNIST_data", one_hot=True).train
    first, program = program.split("\n", 1)
    exec(program, {"train": train, "np": np, "input_data": data})  # noqa: S102
    assert capsys.readouterr().out.split() == first.split(": ")[1].split()


def test_a_smaller_set_within_an_epoch_gives_whole_batches(small):
    """The helper gave 60 images, whatever was asked for."""
    train = data.read_data_sets(small).train
    train.next_batch(200)
    train._num_examples = 60
    for _ in range(8):
        images, labels = train.next_batch(10)
        assert len(images) == len(labels) == 10


@pytest.mark.parametrize("one_hot", [True, False])
def test_fake_data_is_white_and_touches_no_file(tmp_path, one_hot):
    mnist = data.read_data_sets(tmp_path / "none", True, one_hot)
    assert not (tmp_path / "none").exists()
    for part, n in zip(mnist, (55000, 5000, 10000)):
        assert part.images.shape == (n, 784) and part.images.dtype == np.float32
        assert (part.images == 1).all()
        label = [1, *9 * [0]] if one_hot else 0
        np.testing.assert_array_equal(part.labels, n * [label])
        assert part.labels.dtype == (np.float32 if one_hot else int)


# Files that are not what they should be


def parse_error(small, name, body, expected):
    """Check what read_data_sets says of `body` as file `name`."""
    (small / name).write_bytes(body)
    with pytest.raises(ValueError) as caught:
        data.read_data_sets(small)
    message = str(caught.value)
    assert expected in message
    assert message.startswith(f"{small / name}: ")
    assert message.endswith("; move it away to fetch MNIST's")
    assert (small / name).read_bytes() == body


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
    parse_error(small, TEST_IMAGES, gzip.compress(content), message)


def test_labels_that_are_no_digits(small):
    labels = np.full(TEST, 10, np.uint8)
    parse_error(small, TEST_LABELS, gzip.compress(idx(labels)), ": label 10, expected")


@pytest.mark.parametrize("size, count", [(5000, TRAIN - 1), (TRAIN, TRAIN + 1)])
def test_files_with_more_or_fewer_labels(small, size, count):
    labels = np.zeros(count, np.uint8)
    (small / LABELS).write_bytes(gzip.compress(idx(labels)))
    message = f"a part has {TRAIN - size} images, {count - size} labels"
    with pytest.raises(ValueError, match=message):
        data.read_data_sets(small, validation_size=size)
    with pytest.raises(ValueError, match="^a part has 2 images, 1 labels$"):
        data.DataSet(np.zeros((2, 784)), np.zeros((1, 10)), rng=0)


def test_empty_file_web_page_and_no_label(small):
    parse_error(small, LABELS, b"<html>Log in</html>", "not a whole gzip file")
    for body in (b"", gzip.compress(b""), gzip.compress(b"abc")):
        parse_error(small, LABELS, body, "buffer is smaller than")
    none = gzip.compress(struct.pack(">II", 2049, 0))
    parse_error(small, LABELS, none, "zero-size array")


def test_a_gzip_bomb_is_unpacked_to_the_limit(small, monkeypatch):
    limit = 16 + TRAIN * 784
    monkeypatch.setattr(data, "MAX_BYTES", limit)
    data.read_data_sets(small)  # the limit itself is allowed
    monkeypatch.setattr(data, "MAX_BYTES", limit - 1)
    bomb = gzip.compress(struct.pack(">IIII", 2051, 1, 28, 28) + bytes(10 * limit), 1)
    tracemalloc.start()
    try:
        for body in (bomb, (small / IMAGES).read_bytes()):
            parse_error(small, IMAGES, body, f"unpacks to more than {limit - 1} bytes")
        assert tracemalloc.get_traced_memory()[1] < 6 * limit
    finally:
        tracemalloc.stop()


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
    path.mkdir() if kind == "folder" else link(path, "none")
    message = rf"^cannot read {re.escape(str(path))}: \w[\w ]+$"
    with pytest.raises(OSError, match=message):
        data.read_data_sets(small)
    assert os.path.lexists(path)


def mutations(body, rng):
    """Yield seeded damage to a file."""
    for k in range(150):
        # Every third hits gzip's own header or checksum, few bytes of many.
        places = [*range(18), *range(-9, 0)] if k % 3 == 0 else range(len(body))
        flipped = bytearray(body)
        flipped[rng.choice(places)] ^= 1 << rng.integers(8)
        yield bytes(flipped)
    for _ in range(25):
        yield body[: rng.integers(len(body))]
        yield body + rng.bytes(rng.integers(1, 20))
    content = gzip.decompress(body)
    for _ in range(15):
        header = bytearray(content[:16])
        header[rng.integers(8)] ^= 1 << rng.integers(8)
        yield gzip.compress(bytes(header) + content[16:], 1)
    yield from (gzip.compress(rng.bytes(10_000)), content)  # another file, unpacked


def test_no_damage_reads_as_another_array(tmp_path):
    """Tried on 500 of MNIST's examples, which are read quickly."""
    truth = {name: data._read(MNIST / name)[:500] for name in data.FILES[2:]}
    bodies = {name: gzip.compress(idx(array)) for name, array in truth.items()}
    errors = same = 0
    for name, other in zip(bodies, reversed(bodies)):
        path, rng = tmp_path / name, np.random.default_rng(0)
        for body in [*mutations(bodies[name], rng), bodies[other]]:
            path.write_bytes(body)
            try:
                array = data._read(path)
            except ValueError as error:
                assert str(path) in str(error)
                errors += 1
            else:
                np.testing.assert_array_equal(array, truth[name])
                same += 1
    assert errors > 300 and same > 10


# MNIST itself


def test_real_files_are_mnist_and_read_as_by_others(capfd):
    readme = (MNIST / "README.md").read_text(encoding="utf-8")
    train, validation, test = data.read_data_sets(MNIST, dtype="uint8")
    assert capfd.readouterr() == ("", "")
    sizes = [len(part.images) for part in (train, validation, test)]
    assert sizes == [55000, 5000, 10000]
    arrays = [
        np.concatenate([validation.images, train.images]),
        np.concatenate([validation.labels, train.labels]),
        test.images,
        test.labels,
    ]
    for (name, digest), array in zip(data.SHA256.items(), arrays):
        content = gzip.decompress((MNIST / name).read_bytes())
        content = content[16 if "images" in name else 8 :]
        assert hashlib.sha256(content).hexdigest() == digest
        assert f"{digest}  {name}\n" in readme
        assert array.astype(np.uint8).tobytes() == content
