"""read_data_sets, DataSet, and the files that they come from."""

import gzip
import hashlib
import inspect
import os
import re
import struct
import subprocess
import sys
import tracemalloc

import numpy as np
import pytest
from conftest import MNIST, ROOT, TEST, TRAIN, idx, link, small_arrays

import data


def test_signature_is_the_helpers():
    said = "train_dir fake_data one_hot dtype reshape validation_size seed source_url"
    assert list(inspect.signature(data.read_data_sets).parameters) == said.split()


def test_splits_and_default_arrays(small):
    images, labels, test_images, test_labels = small_arrays()
    mnist = data.read_data_sets(small)
    assert mnist._fields == ("train", "validation", "test")
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
    tf = pytest.importorskip("tensorflow")
    for dtype in (tf.float32, tf.uint8):
        part = data.read_data_sets(small, dtype=dtype).test
        assert part.images.dtype == dtype.as_numpy_dtype
    with pytest.raises(TypeError, match="float64"):
        data.read_data_sets(small, dtype=tf.float64)


@pytest.mark.parametrize("size", [0, 10, TRAIN])
def test_validation_size(small, size):
    mnist = data.read_data_sets(small, validation_size=size)
    assert [part.num_examples for part in mnist] == [TRAIN - size, size, TEST]
    assert len(mnist.validation.images) == len(mnist.validation.labels) == size


@pytest.mark.parametrize("size", [-1, TRAIN + 1])
def test_validation_size_out_of_range(small, size):
    with pytest.raises(data.DataError, match=f"must be 0 to {TRAIN}, not {size}"):
        data.read_data_sets(small, validation_size=size)


def positions(part, batch_size, batches, **how):
    """Return which examples of `part` the next batches hold, in their order."""
    place = {image.tobytes(): k for k, image in enumerate(part.images)}
    shown = []
    for _ in range(batches):
        images, labels = part.next_batch(batch_size, **how)
        assert len(images) == len(labels) == batch_size
        chosen = [place[image.tobytes()] for image in images]
        np.testing.assert_array_equal(labels, part.labels[chosen])
        shown += chosen
    return shown


def test_each_epoch_is_an_order_of_its_own(small):
    test = data.read_data_sets(small).test
    shown = positions(test, 30, 20)  # 600: three epochs, two ends within a batch
    epochs = [shown[start : start + TEST] for start in range(0, 3 * TEST, TEST)]
    for epoch in epochs:
        assert sorted(epoch) == list(range(TEST))
    assert epochs[0] != epochs[1] != epochs[2] != sorted(epochs[2])
    assert test.epochs_completed == 2
    test.next_batch(1)
    assert test.epochs_completed == 3


def test_without_shuffle_batches_are_in_file_order(small):
    test = data.read_data_sets(small).test
    shown = positions(test, 150, 4, shuffle=False)
    assert shown == 3 * list(range(TEST))


def test_next_batch_takes_the_helpers_arguments(small):
    """fake_data comes second, and whatever it is, batches are shuffled."""
    parameters = inspect.signature(data.DataSet.next_batch).parameters
    assert list(parameters)[1:] == ["batch_size", "fake_data", "shuffle"]
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
    positions(test, 150, 1)
    mixed = positions(test, 150, 1, shuffle=False)
    assert mixed[50:] == list(range(100))
    assert positions(test, 100, 1) == list(range(100, 200))


def test_seed_fixes_the_order(small):
    def order(seed):
        return positions(data.read_data_sets(small, seed=seed).test, 50, 8)

    assert order(1) == order(1)
    assert order(1) != order(2)
    assert order(None) != order(None)


def test_each_part_has_an_order_of_its_own(small):
    mnist = data.read_data_sets(small, validation_size=TEST, seed=1)
    assert positions(mnist.validation, TEST, 1) != positions(mnist.test, TEST, 1)


@pytest.mark.parametrize("size", [0, -1, TEST + 1])
def test_batch_size_out_of_range(small, size):
    with pytest.raises(data.DataError, match=f"must be 1 to {TEST}, not {size}"):
        data.read_data_sets(small).test.next_batch(size)


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


@pytest.mark.parametrize("dtype", ["float32", "uint8"])
def test_batches_show_what_the_reader_changed(small, dtype):
    test = data.read_data_sets(small, dtype=dtype).test
    images, labels = test.next_batch(TEST, shuffle=False)
    test.images[5] = 0.5 if dtype == "float32" else 7
    test.labels[5] = 3
    assert (images[5] != test.images[5]).any()
    images[5], labels[5] = test.images[5], 3
    changed = test.next_batch(TEST, shuffle=False)
    np.testing.assert_array_equal(changed[0], images)
    np.testing.assert_array_equal(changed[1], labels)
    assert changed[0].dtype == dtype
    with pytest.raises(
        AttributeError
    ):  # as the helper has it: batches would not follow
        test.images = images


@pytest.mark.parametrize("one_hot", [True, False])
def test_fake_data_is_white_and_touches_no_file(tmp_path, monkeypatch, one_hot):
    monkeypatch.setattr(data, "MIRRORS", ())
    mnist = data.read_data_sets(tmp_path / "none", True, one_hot)
    assert not (tmp_path / "none").exists()
    assert [part.num_examples for part in mnist] == [55000, 5000, 10000]
    images, labels = mnist.test.next_batch(100)
    assert images.shape == (100, 784) and images.dtype == np.float32
    assert (images == 1).all() and (mnist.test.images == 1).all()
    label = [1, *9 * [0]] if one_hot else 0
    np.testing.assert_array_equal(labels, 100 * [label])
    assert labels.dtype == (np.float32 if one_hot else np.uint8)


def test_imports_without_tensorflow():
    code = "import sys, data; sys.exit('tensorflow' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)


# Files that are not what they should be


def parse_error(small, name, body):
    """Return what read_data_sets says of `body` as file `name`."""
    (small / name).write_bytes(body)
    with pytest.raises(ValueError) as caught:
        data.read_data_sets(small)
    message = str(caught.value)
    assert str(small / name) in message
    assert "elete" in message and "to fetch it again" in message
    assert (small / name).read_bytes() == body
    return message


IMAGES, LABELS, TEST_IMAGES, TEST_LABELS = data.FILES


@pytest.mark.parametrize(
    "found",
    [
        [2049, 1, 28, 28, 784],
        [2051, 1, 14, 56, 784],
        [2051, 2, 28, 28, 784],
        [2051, 1, 28, 28, 785],
        [2051, 1, 28, 28, 783],
        [2051, 0, 28, 28, 0],
        [2051, 2**32 - 1, 28, 28, 784],
    ],
)
def test_images_that_are_not_idx(small, found):
    content = struct.pack(">IIII", *found[:4]) + bytes(found[4])
    message = parse_error(small, TEST_IMAGES, gzip.compress(content))
    assert f"are {found}, expected [2051, 1, 28, 28, 784]" in message


def test_a_single_example(small):
    for name, array in [
        (TEST_IMAGES, np.full((1, 28, 28), 255, np.uint8)),
        (TEST_LABELS, np.full(1, 9, np.uint8)),
    ]:
        (small / name).write_bytes(gzip.compress(idx(array)))
    test = data.read_data_sets(small).test
    assert test.num_examples == 1
    assert (test.images == 1).all() and test.labels.tolist() == [9]


def test_labels_that_are_no_digits(small):
    labels = np.full(TEST, 10, np.uint8)
    message = parse_error(small, TEST_LABELS, gzip.compress(idx(labels)))
    assert "label 10" in message


def test_as_many_labels_as_images(small):
    labels = np.zeros(TEST - 1, np.uint8)
    message = parse_error(small, TEST_LABELS, gzip.compress(idx(labels)))
    assert f"{TEST} images" in message and f"{TEST - 1} labels" in message


def test_empty_file_and_web_page(small):
    parse_error(small, LABELS, b"")
    parse_error(small, LABELS, b"<html>Please log in</html>")
    assert "[0, 0, -8]" in parse_error(small, LABELS, gzip.compress(b""))
    assert "[1633837824, 0, -5]" in parse_error(small, LABELS, gzip.compress(b"abc"))


LIMIT = 10_000_000


def peak_memory(folder, says):
    """Return how many bytes Python's objects had at most until `folder` was refused."""
    tracemalloc.start()
    try:
        with pytest.raises(data.DataError, match=says):
            data.read_data_sets(folder)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_a_gzip_bomb_is_unpacked_to_the_limit(small, monkeypatch):
    monkeypatch.setattr(data, "MAX_BYTES", LIMIT)
    header = struct.pack(">IIII", 2051, 1, 28, 28)
    (small / IMAGES).write_bytes(gzip.compress(header + bytes(10 * LIMIT), 1))
    assert peak_memory(small, f"more than {LIMIT} bytes") < 4 * LIMIT


def test_the_limit_itself_is_allowed(small, monkeypatch):
    white = np.full((TRAIN, 28, 28), 255, np.uint8)
    (small / IMAGES).write_bytes(gzip.compress(idx(white), 1))
    size = 16 + TRAIN * 784
    monkeypatch.setattr(data, "MAX_BYTES", size)
    data.read_data_sets(small)
    monkeypatch.setattr(data, "MAX_BYTES", size - 1)
    with pytest.raises(data.DataError, match=f"more than {size - 1} bytes"):
        data.read_data_sets(small)


def test_a_huge_file_is_read_to_the_limit(small, monkeypatch):
    monkeypatch.setattr(data, "MAX_BYTES", LIMIT)
    with open(small / IMAGES, "wb") as file:
        file.truncate(10 * LIMIT)
    assert peak_memory(small, "not a whole gzip file") < 4 * LIMIT


@pytest.mark.parametrize("kind", ["folder", "pipe", "device", "nowhere", "itself"])
def test_what_is_no_file(small, kind):
    path = small / LABELS
    path.unlink()
    if kind == "folder":
        path.mkdir()
    elif kind == "pipe":
        if not hasattr(os, "mkfifo"):
            pytest.skip("no named pipes here")
        os.mkfifo(path)
    else:
        link(path, {"device": "/dev/zero", "nowhere": "none", "itself": path}[kind])
    with pytest.raises(data.DataError) as caught:
        data.read_data_sets(small)
    assert str(caught.value) == f"{path}: not a file; delete it to fetch it again"
    assert os.path.lexists(path)


def test_a_file_that_may_not_be_read(small, monkeypatch):
    def refuse(path, _):
        raise PermissionError(13, "Permission denied", path)

    monkeypatch.setattr(data, "open", refuse, raising=False)
    said = f"{small / IMAGES}: Permission denied; delete it to fetch it again"
    with pytest.raises(data.DataError, match=f"^{re.escape(said)}$"):
        data.read_data_sets(small)


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
    truth = {name: data._load(MNIST / name)[1][:500] for name in data.FILES[2:]}
    bodies = {name: gzip.compress(idx(array)) for name, array in truth.items()}
    errors = same = 0
    for kind, name, body in mutations(bodies, np.random.default_rng(0)):
        path = tmp_path / name
        path.write_bytes(body)
        try:
            _, array = data._load(path)
        except ValueError as error:
            assert str(path) in str(error), kind
            errors += 1
        else:
            np.testing.assert_array_equal(array, truth[name], kind)
            same += 1
    assert errors > 300 and same > 10


# MNIST itself


def test_real_files_are_mnist():
    for name, digest in data.SHA256.items():
        assert hashlib.sha256((MNIST / name).read_bytes()).hexdigest() == digest


def test_real_arrays_equal_an_independent_reading():
    def read(name, header, *shape):
        raw = gzip.decompress((MNIST / name).read_bytes())
        return np.frombuffer(raw, np.uint8, offset=header).reshape(-1, *shape)

    mnist = data.read_data_sets(MNIST, dtype="uint8")
    assert [part.num_examples for part in mnist] == [55000, 5000, 10000]
    images, labels = read(IMAGES, 16, 784), read(LABELS, 8)
    np.testing.assert_array_equal(mnist.validation.images, images[:5000])
    np.testing.assert_array_equal(mnist.validation.labels, labels[:5000])
    np.testing.assert_array_equal(mnist.train.images, images[5000:])
    np.testing.assert_array_equal(mnist.train.labels, labels[5000:])
    np.testing.assert_array_equal(mnist.test.images, read(TEST_IMAGES, 16, 784))
    np.testing.assert_array_equal(mnist.test.labels, read(TEST_LABELS, 8))


def test_real_epochs_are_permutations():
    train = data.read_data_sets(MNIST, dtype="uint8", seed=0).train
    # No two images are alike once the example's number is written into them.
    numbers = np.arange(55000, dtype="<u4").view(np.uint8).reshape(-1, 4)
    train._pixels = np.concatenate([numbers, train._pixels[:, 4:]], axis=1)
    orders = []
    for _ in range(3):
        batches = [train.next_batch(100)[0][:, :4] for _ in range(550)]
        orders.append(np.concatenate(batches).copy().view("<u4").ravel())
        np.testing.assert_array_equal(np.sort(orders[-1]), np.arange(55000))
    assert (orders[0] != orders[1]).any() and (orders[1] != orders[2]).any()
