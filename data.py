"""MNIST as TensorFlow's retired `input_data` helper served it.

    import data as input_data
    mnist = input_data.read_data_sets("MNIST_data/", one_hot=True)

MNIST is 70,000 handwritten digits of 28 x 28 pixels in four gzipped IDX files. Each is
a header of big-endian 4-byte integers (a magic number, then the length of each
dimension), followed by one byte for each pixel or label.
"""

import gzip
import hashlib
import io
import operator
import os
import queue
import sys
import threading
import urllib.request
import uuid
import zlib
from collections import namedtuple
from pathlib import Path

import numpy as np

# Digests of the pixels or labels, without the header: they tell MNIST from other data.
SHA256 = {
    "train-images-idx3-ubyte.gz": "741c988805d008ac6e4c904b69001ba184c24b2c540a4ef403f4c71b676cf757",
    "train-labels-idx1-ubyte.gz": "1feba77c54802fa5339a11837ea4b2866434b83314ec45192930f1df69120c13",
    "t10k-images-idx3-ubyte.gz": "6d87418db22cc8025d05968bec9bd5c3932904b23485740db143a061a2c9d161",
    "t10k-labels-idx1-ubyte.gz": "ddeff807876a9661a1110d45c266c86239a3a1b7d37da0c3716a7a683c852ff5",
}
FILES = tuple(SHA256)
MIRRORS = [
    "https://storage.googleapis.com/cvdf-datasets/mnist/",
    "https://ossci-datasets.s3.amazonaws.com/mnist/",
    (Path(__file__).absolute().parent / "tests" / "mnist").as_uri(),
]
CHUNK_BYTES = 200_000
TIMEOUT_SECONDS = 10  # for each chunk; the first includes connecting
MAX_BYTES = 200_000_000  # of a download, and of a file unpacked (MNIST: 47 million)
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
      train_dir: folder of the four files. Missing ones are downloaded. Those already
        there stay, whatever `source_url` is: use one folder for each data set.
      fake_data: read no file. All 70,000 images have pixels 1.0 (or 255) and label 0.
        It keeps its place because old programs pass it by position.
      one_hot: return labels as float32 rows (n, 10) with a single 1, not as int (n,).
      dtype: type of the images, float32 in [0, 1] or uint8 in [0, 255].
      reshape: return the images as (n, 784), not as (n, 28, 28, 1).
      validation_size: how many of the first training images, from 0 to all, become
        the validation set. Of MNIST's 60,000 images, 55,000 stay to train on.
      seed: int of 0 or more that fixes the order of batches.
      source_url: base URL to ask instead of `MIRRORS`, for MNIST or data in its format.

    Raises ValueError if a file is damaged, if there are not as many labels as images,
    or if an argument is out of range; TypeError for another `dtype`; OSError if a file
    cannot be read, downloaded or saved. Prints downloads and what is not MNIST's.
    """
    dtype = np.dtype(getattr(dtype, "as_numpy_dtype", dtype))  # for tf.float32
    if dtype not in (np.float32, np.uint8):
        raise TypeError(f"dtype must be float32 or uint8, not {dtype}")
    if seed is not None and seed < 0:
        raise ValueError(f"seed must be 0 or more, not {seed}")
    seeds = np.random.SeedSequence(seed).spawn(3)  # an independent one for each part
    if fake_data:
        images, labels = np.full((60_000, 28, 28), 255, np.uint8), np.zeros(60_000, int)
        test_images, test_labels = images[:10_000], labels[:10_000]
    else:
        folder = Path(os.path.expanduser(train_dir))
        images, labels, test_images, test_labels = _read_files(folder, source_url)
    size, n = validation_size, len(images)
    if not 0 <= size <= n:
        raise ValueError(f"validation_size is {size}, not 0 to {n} (training images)")

    def part(images, labels, rng):
        images = images.reshape((-1, 784) if reshape else (-1, 28, 28, 1)).astype(dtype)
        if dtype == np.float32:
            images *= 1 / 255
        # As int: the file's uint8 would overflow in a program's arithmetic.
        labels = np.eye(10, dtype=np.float32)[labels] if one_hot else labels.astype(int)
        return DataSet(images, labels, rng=rng)

    return Datasets(
        train=part(images[size:], labels[size:], seeds[0]),
        validation=part(images[:size], labels[:size], seeds[1]),
        test=part(test_images, test_labels, seeds[2]),
    )


class DataSet:
    """One part of MNIST, with these properties:

    images: float32 or uint8, (n, 784) or (n, 28, 28, 1), in the files' order.
    labels: float32 (n, 10) one-hot, or class numbers (n,), in the same order.
    num_examples: n.
    epochs_completed: how often `next_batch` has come to the end and begun again.

    The argument `rng` is a seed for `np.random.default_rng`, which orders the batches.
    Raises ValueError if there are more images than labels, or fewer.
    """

    def __init__(self, images, labels, *, rng):
        if len(images) != len(labels):
            raise ValueError(f"a part has {len(images)} images, {len(labels)} labels")
        # The first five have the helper's names: old programs read and set them.
        self._images = images
        self._labels = labels
        self._num_examples = len(images)
        self._epochs_completed = 0
        self._index_in_epoch = 0
        self._order = []  # the examples' indices in this epoch's order; none yet
        self._rng = np.random.default_rng(rng)

    images = property(lambda self: self._images)
    labels = property(lambda self: self._labels)
    num_examples = property(lambda self: self._num_examples)
    epochs_completed = property(lambda self: self._epochs_completed)

    def next_batch(self, batch_size, fake_data=False, shuffle=True):
        """Return the next `batch_size` images and labels, each a new array.

        An epoch shows every example once, in a new random order, or in the files'
        order if the call that begins it has shuffle=False. A batch may go on into the
        next epochs. `fake_data` changes nothing: old programs pass it by position.
        Raises ValueError unless 1 <= `batch_size` <= 2 n. (TensorFlow's helper cut
        longer batches short without a word; if n is 0, the loop below would not end.)
        """
        n, size = self._num_examples, operator.index(batch_size)
        if not 1 <= size <= 2 * n:
            raise ValueError(f"batch_size is {size}, not 1 to {2 * n} (two epochs)")
        new_order = self._rng.permutation if shuffle else np.arange
        # First call, or a program changed `_num_examples` or zeroed `_index_in_epoch`:
        if self._index_in_epoch == 0 or len(self._order) != n:
            self._order = new_order(n)
        end = self._index_in_epoch + size
        indices = self._order[self._index_in_epoch : end]
        while len(indices) < size:  # go on into the next epoch
            self._epochs_completed += 1
            self._order = new_order(n)
            end = size - len(indices)
            indices = np.concatenate([indices, self._order[:end]])
        self._index_in_epoch = end
        return self._images[indices], self._labels[indices]


def _read_files(folder, source_url):
    """Return the arrays of `FILES` in `folder`; download those that are missing."""
    if _missing(folder):
        _download(folder, source_url)
    elif source_url:
        _tell(f"{folder} has all four files: {source_url} is not asked\n")
    arrays = [_read(folder / name) for name in FILES]
    not_mnist = ", ".join(n for a, n in zip(arrays, FILES) if not _is_mnist(a, n))
    if not_mnist:
        _tell(f"{folder}: not MNIST's: {not_mnist} (to fetch MNIST, move these away)\n")
    return arrays


def _missing(folder):
    # A broken link counts as present: a download would replace it.
    return [name for name in FILES if not os.path.lexists(folder / name)]


def _read(path):
    """Return the array in the file at `path`."""
    try:
        with open(path, "rb") as file:
            return _parse(file, path.name)
    except OSError as error:
        raise OSError(f"cannot read {path}: {error.strerror}") from None
    except ValueError as error:
        raise ValueError(f"{path}: {error}; move it away to fetch MNIST's") from None


def _parse(file, name):
    """Return uint8 labels (n,) or pixels (n, 28, 28) from an open gzipped IDX file."""
    try:
        content = gzip.GzipFile(fileobj=file).read(MAX_BYTES + 1)
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise ValueError(f"not a whole gzip file ({error})") from None
    if len(content) > MAX_BYTES:
        raise ValueError(f"unpacks to more than {MAX_BYTES} bytes")
    is_images = "images" in name
    header = np.frombuffer(content, ">u4", 4 if is_images else 2).tolist()
    n = header[1]
    # The magic number is 2048, for bytes, plus the number of dimensions.
    expected = [2051, n, 28, 28] if is_images else [2049, n]
    if header != expected:
        raise ValueError(f"the IDX header is {header}, expected {expected}")
    array = np.frombuffer(content, np.uint8, offset=4 * len(header)).reshape(header[1:])
    if not is_images and array.max() > 9:
        raise ValueError(f"label {array.max()}, expected 0 to 9")
    return array


def _is_mnist(array, name):
    return hashlib.sha256(array).hexdigest() == SHA256[name]


def _download(folder, source_url):
    """Download what is missing in `folder`, from one base URL or the next."""
    folder.mkdir(parents=True, exist_ok=True)
    for base_url in [str(source_url)] if source_url else MIRRORS:
        for name in _missing(folder):
            url = f"{base_url.rstrip('/')}/{name}"
            _tell(f"Fetching {url}\n[")
            try:
                body = _get(url)
                array = _parse(io.BytesIO(body), name)
                if not (source_url or _is_mnist(array, name)):
                    raise ValueError("not MNIST: the SHA-256 digest differs")
            except (OSError, ValueError) as error:
                _tell(f"\n{error}\n")
                break  # ask the next base URL
            _tell("]\n")
            _save(body, folder, name)
    if missing := ", ".join(_missing(folder)):
        by_hand = f"copy the files into {folder} from tests/mnist of this project"
        way_out = "for MNIST, leave source_url out" if source_url else by_hand
        raise OSError(f"cannot download {missing} (the reasons are above): {way_out}")


def _save(body, folder, name):
    """Write the file `name` into `folder`, whole or not at all."""
    # Not by `tempfile`, whose files only their owner can read.
    partial = folder / f".{name}.{uuid.uuid4()}"
    try:
        partial.write_bytes(body)
        os.rename(partial, folder / name)
    except OSError as error:
        if name in _missing(folder):  # else another process has saved it meanwhile
            raise OSError(f"cannot write into {folder}: {error.strerror}") from None
    finally:
        if os.path.lexists(partial):
            partial.unlink()


def _get(url):
    """Return the bytes that `url` serves, and show a mark for each chunk."""
    # In a thread, since `urlopen` may wait for ever: its time-out begins again with
    # each byte and each IP address, and does not cover the look-up of the host's name.
    # We can stop waiting for a thread; as a daemon it does not keep Python from ending.
    chunks = queue.Queue(maxsize=1)
    threading.Thread(target=_put_chunks, args=(url, chunks), daemon=True).start()
    body = bytearray()
    try:
        while chunk := chunks.get(timeout=TIMEOUT_SECONDS):
            if isinstance(chunk, OSError):
                raise chunk
            body += chunk
            if len(body) > MAX_BYTES:
                raise OSError(f"more than {MAX_BYTES} bytes")
            _tell("#")
    except queue.Empty:
        slow = f"less than {CHUNK_BYTES:,} bytes in {TIMEOUT_SECONDS} seconds"
        raise OSError(slow) from None
    return body


def _put_chunks(url, chunks):
    """Put what `url` serves into a queue: chunks, and then None or an OSError."""
    try:
        with urllib.request.urlopen(url) as response:
            # `readinto`: after an HTTP chunk size of -1, `read` would take it all.
            buffer = bytearray(CHUNK_BYTES)
            while count := response.readinto(buffer):
                chunks.put(buffer[:count])
            chunks.put(None)  # before the response is closed, which may take for ever
    except Exception as error:  # noqa: BLE001 (`_get` raises it)
        # `repr` escapes what cannot be printed: a server may have written this text.
        chunks.put(OSError(repr(error)[:200]))


def _tell(text):
    if sys.stderr:  # None where it is closed: `print` would take standard output
        print(text, end="", file=sys.stderr, flush=True)
