"""MNIST as TensorFlow's retired `input_data` helper served it.

    import data as input_data
    mnist = input_data.read_data_sets("MNIST_data/", one_hot=True)
    batch_xs, batch_ys = mnist.train.next_batch(100)

MNIST is 70,000 handwritten digits of 28 x 28 pixels in four gzipped IDX files: a
header of big-endian 4-byte numbers (a magic number, then the length of each
dimension), followed by one byte for each pixel or label.
"""

import concurrent.futures
import gzip
import hashlib
import io
import operator
import os
import sys
import threading
import urllib.request
import uuid
import zlib
from collections import namedtuple
from pathlib import Path

import numpy as np

# Digests of the unpacked files, compared only when something is downloaded.
SHA256 = {
    "train-images-idx3-ubyte.gz": "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
    "train-labels-idx1-ubyte.gz": "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
    "t10k-images-idx3-ubyte.gz": "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    "t10k-labels-idx1-ubyte.gz": "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
}
FILES = tuple(SHA256)
MIRRORS = [
    "https://storage.googleapis.com/cvdf-datasets/mnist/",
    "https://ossci-datasets.s3.amazonaws.com/mnist/",
]
COPY = Path(__file__).absolute().parent / "tests" / "mnist"
if COPY.is_dir():  # missing where data.py was copied alone
    MIRRORS.append(COPY.as_uri())
TIMEOUT_SECONDS = 10  # for an address to answer, and then for every 10 kB
MAX_BYTES = 200_000_000  # in a file, packed or unpacked; MNIST's largest has 47 million
Datasets = namedtuple("Datasets", ["train", "validation", "test"])


def read_data_sets(
    train_dir,
    fake_data=False,
    one_hot=False,
    dtype="float32",
    reshape=True,
    validation_size=5000,
    seed=None,
    source_url=None,
):
    """Return MNIST as a named tuple (train, validation, test) of `DataSet`s.

    Args:
      train_dir: folder of the four files. Only missing ones are downloaded into it,
        whatever `source_url` is, so every data set needs a folder of its own.
      fake_data: read no file. All 70,000 images have pixels 1.0 (or 255) and label 0.
      one_hot: return labels as float32 rows (n, 10) with a single 1, not as int (n,).
      dtype: type of the images, float32 in [0, 1] or uint8 in [0, 255].
      reshape: return the images as (n, 784), not as (n, 28, 28, 1).
      validation_size: how many of the first training images, from 0 to all, become
        the validation set. Of MNIST's 60,000 images, 55,000 stay to train on.
      seed: int of 0 or more that fixes the order of batches.
      source_url: base URL to ask instead of `MIRRORS`, for MNIST or data in its format.

    Raises ValueError if a file is damaged or of another data set, or an argument out of
    range; TypeError for another `dtype`; OSError if a file cannot be fetched or saved.
    """
    dtype = np.dtype(getattr(dtype, "as_numpy_dtype", dtype))  # tf.float32 has it
    if dtype not in (np.float32, np.uint8):
        raise TypeError(f"dtype must be float32 or uint8, not {dtype}")
    if seed is not None and seed < 0:
        raise ValueError(f"seed (--seed) must be 0 or more, not {seed}")
    if fake_data:
        images, labels = np.full((60_000, 28, 28), 255, np.uint8), np.zeros(60_000, int)
        test_images, test_labels = images[:10_000], labels[:10_000]
    else:
        folder = Path(os.path.expanduser(train_dir))
        images, labels, test_images, test_labels = _read_files(folder, source_url)
    size = validation_size
    if not 0 <= size <= len(images):
        raise ValueError(f"{train_dir}: validation_size {size}, not 0 to {len(images)}")
    shape = (-1, 784) if reshape else (-1, 28, 28, 1)
    # Arrays from files are read-only. Multiplied, even by 1, they are new arrays.
    scale = np.float32(1 / 255) if dtype == np.float32 else 1
    images, test_images = (a.reshape(shape) * scale for a in (images, test_images))
    table = np.eye(10, dtype=np.float32) if one_hot else np.arange(10)
    labels, test_labels = table[labels], table[test_labels]  # label k becomes table[k]
    seeds = np.random.SeedSequence(seed).spawn(3)  # an independent one for each part
    return Datasets(
        train=DataSet(images[size:], labels[size:], seeds[0]),
        validation=DataSet(images[:size], labels[:size], seeds[1]),
        test=DataSet(test_images, test_labels, seeds[2]),
    )


class DataSet:
    """One part of MNIST.

    images: float32 or uint8, (n, 784) or (n, 28, 28, 1), in the files' order.
    labels: float32 (n, 10) one-hot, or class numbers (n,), in the same order.
    num_examples: n.
    epochs_completed: how often `next_batch` has gone on into a new epoch.
    """

    def __init__(self, images, labels, seed):
        # The helper's own names: old programs set them, and `next_batch` uses them.
        self._images = images
        self._labels = labels
        self._num_examples = len(images)
        self._epochs_completed = 0
        self._index_in_epoch = 0
        self._order = np.arange(len(images))  # ours: the order of this epoch
        self._rng = np.random.default_rng(seed)

    images = property(lambda self: self._images)
    labels = property(lambda self: self._labels)
    num_examples = property(lambda self: self._num_examples)
    epochs_completed = property(lambda self: self._epochs_completed)

    def next_batch(self, batch_size, fake_data=False, shuffle=True):
        """Return the next `batch_size` images and labels, each a new array.

        An epoch shows every example once, in a random order of its own, or in file
        order if it begins without `shuffle`. A batch may go on into the next epoch.
        `fake_data` is ignored here: only `read_data_sets` obeys it. Raises
        ValueError unless 1 <= `batch_size` <= 2 n, the most that the helper gave.
        """
        n, size = self._num_examples, operator.index(batch_size)
        if not 1 <= size <= 2 * n:
            raise ValueError(f"batch_size must be 1 to {2 * n}, not {size}")
        new_order = self._rng.permutation if shuffle else np.arange
        # A new order begins before the first batch, when a program sets the index to 0
        # (in a later epoch only without `shuffle`), and when it changes n.
        begins = self._index_in_epoch == 0 and not (shuffle and self._epochs_completed)
        if begins or len(self._order) != n:
            self._order = new_order(n)
        start = min(self._index_in_epoch, n)
        end = start + size
        chosen = self._order[start:end]
        while end > n:
            self._epochs_completed += 1
            self._order = new_order(n)
            end -= n
            chosen = np.concatenate([chosen, self._order[:end]])
        self._index_in_epoch = end
        return self._images[chosen], self._labels[chosen]


def _read_files(folder, source_url):
    """Return the arrays in the four files of `folder`, in the order of `FILES`."""
    if _missing(folder):
        _download(folder, source_url)
    elif source_url:
        _show(f"{folder} has all four files: {source_url} is not asked\n")
    arrays = [_read(folder / name)[1] for name in FILES]
    for k in (0, 2):
        if len(arrays[k]) != len(arrays[k + 1]):
            raise ValueError(
                f"{folder}: {len(arrays[k])} images in {FILES[k]}, {len(arrays[k + 1])} "
                f"labels in {FILES[k + 1]}; delete the wrong one to fetch it again"
            )
    return arrays


def _missing(folder):
    return [name for name in FILES if not os.path.lexists(folder / name)]


def _read(path):
    """`_parse` the file at `path`; an error names it and the way out."""
    try:
        return _parse(path.read_bytes(), path.name)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", error)
        raise ValueError(f"{path}: {reason}; delete it to fetch it again") from None


def _parse(body, name):
    """Return a gzipped IDX file unpacked, and its labels (n,) or pixels (n, 28, 28)."""
    try:
        with gzip.open(io.BytesIO(body)) as stream:
            content = stream.read(MAX_BYTES + 1)
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise ValueError(f"not a whole gzip file ({error})") from None
    if not 0 < len(content) <= MAX_BYTES:
        raise ValueError(f"unpacked {len(content)} bytes, expected 1 to {MAX_BYTES}")
    shape, size, start = ((28, 28), 784, 16) if "images" in name else ((), 1, 8)
    header = np.frombuffer(content[:start].ljust(start, b"\0"), ">u4").tolist()
    found = [*header, len(content) - start]
    n = max(1, header[1])  # from the header; 0 examples are an error
    # The magic number: 8 for unsigned bytes, then 1 or 3 for how many dimensions.
    expected = [0x801 + len(shape), n, *shape, n * size]
    if found != expected:
        raise ValueError(f"header and bytes after it are {found}, expected {expected}")
    array = np.frombuffer(content, np.uint8, offset=start).reshape(n, *shape)
    if not shape and array.max() > 9:
        raise ValueError(f"label {array.max()}, expected 0 to 9")
    return content, array


def _is_mnist(content, name):
    return hashlib.sha256(content).hexdigest() == SHA256[name]


def _download(folder, source_url):
    """Fetch what is missing in `folder`, from one address or the next."""
    there = [name for name in FILES if name not in _missing(folder)]
    genuine = {name: _is_mnist(_read(folder / name)[0], name) for name in there}
    reasons = []
    for address in [source_url] if source_url else MIRRORS:
        for name in _missing(folder):
            url = f"{address.rstrip('/')}/{name}"
            _show(f"Fetching {url}\n[")
            try:
                body = _get(url)
                is_mnist = _is_mnist(_parse(body, name)[0], name)
                if not (is_mnist or source_url):
                    raise ValueError("not MNIST's")
            except (OSError, ValueError) as error:
                _show(f"\n{error}\n")
                reasons.append(f"{url}: {error}")
                break
            _show("]\n")
            # This file and those that were there must all be MNIST's, or none of them.
            for other in there:
                if genuine[other] != is_mnist:
                    words = "is MNIST's" if genuine[other] else "is not MNIST's"
                    raise ValueError(
                        f"{folder / other} {words}, unlike {url}: delete it, or take "
                        "another folder or source_url"
                    )
            _save(body, folder, name)
        else:
            return
    names = ", ".join(_missing(folder))
    raise OSError(
        f"no address serves {names}; put them into {folder} by hand, or give another "
        "address, as source_url (--source-url)\n  " + "\n  ".join(reasons)
    )


def _save(body, folder, name):
    """Make `folder` and write the file `name` into it, whole or not at all."""
    hidden = folder / f".{name}.{uuid.uuid4()}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        try:
            hidden.write_bytes(body)
            os.rename(hidden, folder / name)
        except FileExistsError:  # on Windows: another process was faster
            pass
        finally:
            hidden.unlink(missing_ok=True)
    except OSError as error:
        raise OSError(f"cannot write into {folder}: {error.strerror}") from None


def _get(url):
    """Return the bytes that `url` serves; show up to 30 marks on the way."""
    response = _in_time(urllib.request.urlopen, url)
    size = int(response.headers.get("Content-Length", 0)) or MAX_BYTES
    body = bytearray()
    try:
        while piece := _in_time(response.read, 10_000):
            marks = 30 * len(body) // size
            body += piece
            _show("#" * (30 * len(body) // size - marks))
            if len(body) > MAX_BYTES:
                raise OSError(f"more than {MAX_BYTES} bytes came")
    finally:  # not waited for, since FTP may never answer
        threading.Thread(target=response.close, daemon=True).start()
    return body


def _in_time(call, *arguments):
    """Return what `call` returns, or give it up after `TIMEOUT_SECONDS`."""
    # The time-out of `urlopen` itself starts again with each byte and each IP address.
    answer = concurrent.futures.Future()

    def wait():
        try:
            answer.set_result(call(*arguments))
        except Exception as error:  # noqa: BLE001 (it is raised below)
            # A server may have written this text: keep what can be printed.
            words = "".join(filter(str.isprintable, str(error))).strip()
            answer.set_exception(OSError((words or repr(error))[:200]))

    threading.Thread(target=wait, daemon=True).start()
    try:
        return answer.result(TIMEOUT_SECONDS)
    except concurrent.futures.TimeoutError:
        raise OSError(f"nothing much came for {TIMEOUT_SECONDS} seconds") from None


def _show(text):
    print(text, end="", file=sys.stderr, flush=True)
