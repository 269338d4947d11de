"""MNIST as TensorFlow's retired `input_data` helper served it.

    import data as input_data
    mnist = input_data.read_data_sets("MNIST_data/", one_hot=True)
    batch_xs, batch_ys = mnist.train.next_batch(100)

MNIST is 70,000 handwritten digits of 28 x 28 pixels in four gzipped IDX files: a
header of big-endian 4-byte numbers (a magic number, then the length of each
dimension), followed by one byte for each pixel or label.
"""

import collections
import functools
import gzip
import hashlib
import http.client
import io
import operator
import os
import sys
import tempfile
import threading
import time
import urllib.request
import zlib
from pathlib import Path

import numpy as np

SHA256 = {
    "train-images-idx3-ubyte.gz": "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
    "train-labels-idx1-ubyte.gz": "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
    "t10k-images-idx3-ubyte.gz": "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
    "t10k-labels-idx1-ubyte.gz": "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
}
FILES = tuple(SHA256)
MIRRORS = [
    "https://storage.googleapis.com/cvdf-datasets/mnist/",
    "https://ossci-datasets.s3.amazonaws.com/mnist/",
]
COPY = Path(__file__).resolve().parent / "tests" / "mnist"
if COPY.is_dir():  # not there where data.py was copied alone
    MIRRORS.append(COPY.as_uri() + "/")
TIMEOUT_SECONDS = 10  # give up on an address silent this long, or then below 1 kB/s
MAX_BYTES = 100_000_000  # in a file, packed or unpacked; MNIST's largest has 47 million
_FAILURES = (OSError, ValueError, http.client.HTTPException)  # of a download

Datasets = collections.namedtuple("Datasets", ["train", "validation", "test"])


class DataError(ValueError):
    """An error the user can fix: a damaged file, or an argument out of range."""


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
      train_dir: folder of the four files; missing ones are downloaded into it. Files
        already there win over `source_url`: other data needs a folder of its own.
      fake_data: draw made-up digits instead; no file is read or downloaded.
      one_hot: labels as float32 rows (n, 10), not as uint8 class numbers (n,).
      dtype: of the images: float32 in [0, 1], or uint8 in [0, 255].
      reshape: images as (n, 784), not as (n, 28, 28, 1).
      validation_size: how many of the first training images, from 0 to all, become
        the validation set. MNIST has 60,000, which leaves 55,000 to train on.
      seed: int of 0 or more that fixes the order of batches and the made-up digits.
      source_url: a base URL, or several, to use instead of `MIRRORS`; the files may
        have other content than MNIST's, in the same format.

    Raises DataError, a ValueError, for a damaged file or a `validation_size` out of
    range; TypeError for another `dtype`; OSError if a file cannot be downloaded, read
    or written.
    """
    dtype = np.dtype(getattr(dtype, "as_numpy_dtype", dtype))  # tf.float32 has it
    if dtype not in (np.float32, np.uint8):
        raise TypeError(f"dtype must be float32 or uint8, not {dtype}")
    if fake_data:
        arrays = _draw_digits(np.random.default_rng(seed))
    else:
        arrays = _read_files(Path(train_dir), source_url)
    images, labels, test_images, test_labels = arrays
    size = validation_size
    if not 0 <= size <= len(images):
        raise DataError(f"validation_size is 0 to {len(images)}, not {size}")
    shape = (-1, 784) if reshape else (-1, 28, 28, 1)
    images, test_images = images.reshape(shape), test_images.reshape(shape)
    if one_hot:
        rows = np.eye(10, dtype=np.float32)
        labels, test_labels = rows[labels], rows[test_labels]
    seeds = np.random.SeedSequence(seed).spawn(3)
    return Datasets(
        train=DataSet(images[size:], labels[size:], dtype, seeds[0]),
        validation=DataSet(images[:size], labels[:size], dtype, seeds[1]),
        test=DataSet(test_images, test_labels, dtype, seeds[2]),
    )


class DataSet:
    """One part of MNIST.

    labels: float32 (n, 10) one-hot, or uint8 (n,) class numbers, in file order.
    num_examples: n.
    epochs_completed: how often `next_batch` has gone on into a new epoch.
    """

    def __init__(self, pixels, labels, dtype, seed):
        self.labels = labels
        self.num_examples = len(pixels)
        self.epochs_completed = 0
        self._pixels = pixels  # uint8, a quarter of the memory of float32
        self._scale = np.uint8(1) if dtype == np.uint8 else np.float32(1 / 255)
        self._rng = np.random.default_rng(seed)
        self._rest = np.arange(0)  # of this epoch: the examples still to be shown
        self._shown = 0

    @functools.cached_property
    def images(self):
        """All images in file order: (n, 784) or (n, 28, 28, 1), float32 or uint8."""
        return np.multiply(self._pixels, self._scale)

    def next_batch(self, batch_size, fake_data=False, shuffle=True):
        """Return the next `batch_size` images and labels, each a new array.

        An epoch shows every example once, in a random order of its own, or in file
        order without `shuffle`. A batch that reaches its end goes on into the next.
        `fake_data` has no effect: old programs pass it, but `read_data_sets` decides
        whether digits are made up. Raises DataError unless 1 <= `batch_size` <= n.
        """
        batch_size = operator.index(batch_size)  # a NumPy uint8 would overflow
        n = self.num_examples
        if not 1 <= batch_size <= n:
            raise DataError(f"batch_size (--batch-size) is 1 to {n}, not {batch_size}")
        chosen, self._rest = self._rest[:batch_size], self._rest[batch_size:]
        lacking = batch_size - len(chosen)
        if lacking:
            order = self._rng.permutation(n) if shuffle else np.arange(n)
            chosen = np.concatenate([chosen, order[:lacking]])
            self._rest = order[lacking:]
        self._shown += batch_size
        self.epochs_completed = (self._shown - 1) // n
        return np.multiply(self._pixels[chosen], self._scale), self.labels[chosen]


def _read_files(folder, source_url):
    """Return the contents of the four files, in the order of `FILES`."""
    if _missing(folder):
        _download_missing(folder, source_url)
    arrays = [_load(folder / name) for name in FILES]
    for k in (0, 2):
        if len(arrays[k]) != len(arrays[k + 1]):
            raise DataError(
                f"{folder / FILES[k]} has {len(arrays[k])} images, but "
                f"{folder / FILES[k + 1]} has {len(arrays[k + 1])} labels. "
                "Delete the wrong one to fetch it again."
            )
    return arrays


def _missing(folder):
    return [name for name in FILES if not os.path.lexists(folder / name)]


def _load(path):
    """Return the content of the IDX file at `path`; a DataError names it."""
    try:
        with open(path, "rb") as file:
            return _parse_idx(file, path.name)
    except DataError as error:
        raise DataError(f"{path}: {error}; delete it to fetch it again") from None


def _parse_idx(file, name):
    """Return a gzipped IDX file's uint8 labels (n,) or pixels (n, 28, 28)."""
    shape = (28, 28) if "images" in name else ()
    expected_magic = 0x801 + len(shape)  # 8: unsigned bytes; 1 or 3: dimensions
    try:
        with gzip.GzipFile(fileobj=file) as stream:
            header = stream.read(8 + 4 * len(shape))
            if len(header) < 8 + 4 * len(shape):
                raise DataError("ends within its header")
            magic, n, *size = np.frombuffer(header, ">u4").tolist()
            if magic != expected_magic:
                raise DataError(f"magic number {magic}, expected {expected_magic}")
            if tuple(size) != shape:
                raise DataError(f"images of {size[0]} x {size[1]}, expected 28 x 28")
            promised = n * int(np.prod(shape))
            if not 0 < promised <= MAX_BYTES:
                raise DataError(f"{n} examples, expected 1 or more, in 100 MB at most")
            # In pieces, since the header may lie; to the end, where a checksum stands.
            content = bytearray()
            while len(content) <= promised and (piece := stream.read(1 << 18)):
                content += piece
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise DataError(f"not a whole gzip file ({error})") from None
    if len(content) != promised:
        than = "more" if len(content) > promised else "fewer"
        raise DataError(f"has {than} bytes than the {promised} its header promises")
    array = np.frombuffer(content, np.uint8).reshape(n, *shape)
    if not shape and array.max() > 9:
        raise DataError(f"label {array.max()}, expected 0 to 9")
    return array


def _download_missing(folder, source_url):
    """Ask one address after the other for the files that `folder` lacks."""
    if not source_url:
        _refuse_other_data(folder)
    addresses = source_url or MIRRORS
    failures = []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()  # fail now, not after a download
        for address in [addresses] if isinstance(addresses, str) else addresses:
            failures.append(_download_from(address, folder, bool(source_url)))
            if not _missing(folder):
                return
    except OSError as error:
        raise OSError(f"cannot write into {folder}: {error.strerror}") from None
    missing = ", ".join(_missing(folder))
    raise OSError(
        "\n  ".join([f"no address serves {missing}:", *failures])
        + f"\nThree ways on:\n  put {missing} into {folder};\n"
        "  give another address with source_url= (--source-url);\n"
        "  train on made-up digits with fake_data=True (--fake-data)."
    )


def _refuse_other_data(folder):
    """Raise DataError if a file in `folder` is not MNIST's: the rest would not fit."""
    for name in sorted(set(FILES).difference(_missing(folder))):
        path = folder / name
        if hashlib.sha256(path.read_bytes()).hexdigest() != SHA256[name]:
            raise DataError(
                f"{path} is not MNIST's, and other files are missing: fetch them from "
                "its own address with source_url= (--source-url), or delete it."
            )


def _download_from(address, folder, is_other_data):
    """Save the files that are missing, up to the first failure, and return that."""
    for name in _missing(folder):
        url = f"{address.rstrip('/')}/{name}"
        try:
            body = _get(url)
            if is_other_data:
                _parse_idx(io.BytesIO(body), name)
            elif hashlib.sha256(body).hexdigest() != SHA256[name]:
                raise DataError(f"not MNIST's file, it starts with {bytes(body[:15])}")
        except _FAILURES as error:
            # Such words can be a server's own.
            words = filter(str.isprintable, str(error) or repr(error))
            return f"{url}: {''.join(words)[:200]}"
        _save(body, folder / name)


def _save(body, path):
    """Write the file beside its name and rename it: it is there whole or not at all."""
    part = path.with_name(f".{path.name}.{os.urandom(8).hex()}.part")
    try:
        part.write_bytes(body)
        # What has come there meanwhile, from the reader or another run, stays.
        if not os.path.lexists(path):
            os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


def _get(url):
    """Return what `url` serves, with a progress bar on a terminal.

    The time-out of `urlopen` starts again with each byte and each IP address, so it
    waits in a thread of its own, while this one looks at the clock.
    """
    screen = sys.stderr if sys.stderr and sys.stderr.isatty() else io.StringIO()
    print(f"Fetching {url}", file=screen)
    body, size, error, start = bytearray(), 0, None, time.monotonic()

    def receive():
        nonlocal size, error
        try:
            with urllib.request.urlopen(url, timeout=TIMEOUT_SECONDS) as response:
                length = response.headers.get("Content-Length", "0")
                if not length.isdecimal():
                    raise OSError(f"Content-Length is not a number: {length}")
                size = int(length)
                while not error and (piece := response.read1(1 << 16)):
                    body.extend(piece)
                    if len(body) > MAX_BYTES:
                        raise OSError(f"more than {MAX_BYTES} bytes came")
            if len(body) < size:
                raise OSError(f"cut short at {len(body)} of {size} bytes")
        except _FAILURES as failure:
            if hasattr(failure, "close"):  # an HTTPError is an open response
                failure.close()
            error = failure

    thread = threading.Thread(target=receive, daemon=True)
    thread.start()
    running = True
    while running and not error:
        thread.join(0.1)
        running, seconds = thread.is_alive(), time.monotonic() - start
        if running and seconds > TIMEOUT_SECONDS and len(body) < 1000 * seconds:
            error = OSError(f"only {len(body)} bytes in {seconds:.0f} seconds")
        bar = "#" * min(30, 30 * len(body) // (size or MAX_BYTES))
        print(f"\r[{bar:30}]", end="", file=screen, flush=True)
    print(file=screen)
    if error:
        raise error
    return body


_GLYPHS = """
### .#. ### ### #.# ### ### ### ### ###
#.# ##. ..# ..# #.# #.. #.. ..# #.# #.#
#.# .#. ### ### ### ### ### ..# ### ###
#.# .#. #.. ..# ..# ..# #.# ..# #.# ..#
### ### ### ### ..# ### ### ..# ### ###
"""


def _draw_digits(rng):
    """Return 60,000 + 10,000 made-up digits: images, labels, images, labels.

    As in the files, images are uint8 (n, 28, 28) and labels uint8 (n,). An image is a
    glyph, thin to bold, up to 2 pixels off centre, with 25 % of noise.
    """
    cells = np.array([list(row) for row in _GLYPHS.split()]) == "#"
    cells = cells.reshape(5, 10, 3).swapaxes(0, 1)
    glyphs = np.pad(np.kron(cells, np.ones((4, 4), np.uint8)), ((0, 0), (4, 4), (8, 8)))
    shadows = np.roll(glyphs, (1, 1), (1, 2))
    weights = (glyphs & shadows, glyphs, glyphs | shadows)
    moves = [(down, right) for down in range(-2, 3) for right in range(-2, 3)]
    stencils = np.array([np.roll(w, move, (1, 2)) for w in weights for move in moves])
    labels = rng.integers(10, size=70_000, dtype=np.uint8)
    images = 255 * stencils[rng.integers(len(stencils), size=70_000), labels]
    noisy = rng.integers(256, size=images.shape, dtype=np.uint8) < 0.25 * 256
    images[noisy] = rng.integers(256, size=noisy.sum(), dtype=np.uint8)
    return images[:60_000], labels[:60_000], images[60_000:], labels[60_000:]
