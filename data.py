"""MNIST as TensorFlow's retired `input_data` helper served it.

    import data as input_data
    mnist = input_data.read_data_sets("MNIST_data/", one_hot=True)
    batch_xs, batch_ys = mnist.train.next_batch(100)

MNIST is 70,000 handwritten digits of 28 x 28 pixels in four gzipped IDX files: a
header of big-endian 4-byte numbers (a magic number, then the length of each
dimension), followed by one byte for each pixel or label.
"""

import collections
import gzip
import hashlib
import io
import math
import operator
import os
import sys
import threading
import time
import urllib.request
import zlib
from pathlib import Path

import numpy as np

# A digest is looked at when a file comes into a folder, not in every run.
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
COPY = Path(__file__).absolute().parent / "tests" / "mnist"
if COPY.is_dir():  # not there where data.py was copied alone
    MIRRORS.append(COPY.as_uri() + "/")
TIMEOUT_SECONDS = 10  # give up an address that sends less than 1 kB/s for so long
MAX_BYTES = 100_000_000  # in a file, packed or unpacked; MNIST's largest has 47 million

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
      fake_data: for trying a program without files: as many images as MNIST has, all
        white (1.0), all labelled 0. Nothing is read or downloaded.
      one_hot: labels as float32 rows (n, 10), not as uint8 class numbers (n,).
      dtype: of the images: float32 in [0, 1], or uint8 in [0, 255].
      reshape: images as (n, 784), not as (n, 28, 28, 1).
      validation_size: how many of the first training images, from 0 to all, become
        the validation set. MNIST has 60,000, which leaves 55,000 to train on.
      seed: int of 0 or more that fixes the order of batches.
      source_url: a base URL to use instead of `MIRRORS`, or several, which must be
        mirrors of one data set: MNIST or another one in the same format.

    Raises DataError, a ValueError, for a file that is damaged or of another data set
    than the rest, or a `validation_size` out of range; TypeError for another `dtype`;
    OSError if a file cannot be downloaded or written.
    """
    dtype = np.dtype(getattr(dtype, "as_numpy_dtype", dtype))  # tf.float32 has it
    if dtype not in (np.float32, np.uint8):
        raise TypeError(f"dtype must be float32 or uint8, not {dtype}")
    if fake_data:
        images, labels = np.full((60_000, 28, 28), 255, np.uint8), np.zeros(60_000, int)
        test_images, test_labels = images[:10_000], labels[:10_000]
    else:
        arrays = _read_files(Path(train_dir), source_url)
        images, labels, test_images, test_labels = arrays
    size = validation_size
    if not 0 <= size <= len(images):
        raise DataError(f"validation_size must be 0 to {len(images)}, not {size}")
    shape = (-1, 784) if reshape else (-1, 28, 28, 1)
    images, test_images = images.reshape(shape), test_images.reshape(shape)
    # Row k is what becomes of the label k.
    rows = np.eye(10, dtype=np.float32) if one_hot else np.arange(10, dtype=np.uint8)
    labels, test_labels = rows[labels], rows[test_labels]
    seeds = np.random.SeedSequence(seed).spawn(3)  # an independent one for each part
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
        self._scale = 1 if dtype == np.uint8 else np.float32(1 / 255)
        self._rng = np.random.default_rng(seed)
        self._rest = np.arange(0)  # of this epoch: the examples still to be shown
        self._shown = 0

    @property
    def images(self):
        """All images in file order: (n, 784) or (n, 28, 28, 1), float32 or uint8."""
        # From here on batches come from these, and show what the reader changes.
        if self._scale:
            self._pixels, self._scale = np.multiply(self._pixels, self._scale), None
        return self._pixels

    def next_batch(self, batch_size, fake_data=False, shuffle=True):
        """Return the next `batch_size` images and labels, each a new array.

        An epoch shows every example once, in a random order of its own, or in file
        order without `shuffle`. At its end a batch takes the rest from the next epoch.
        `fake_data` has no effect: old programs pass it, but `read_data_sets` decides
        on it. Raises DataError unless 1 <= `batch_size` <= n.
        """
        size = operator.index(batch_size)  # a NumPy uint8 would overflow
        n = self.num_examples
        if not 1 <= size <= n:
            raise DataError(f"batch_size (--batch-size) must be 1 to {n}, not {size}")
        chosen, self._rest = self._rest[:size], self._rest[size:]
        lacking = size - len(chosen)
        if lacking:
            order = self._rng.permutation(n) if shuffle else np.arange(n)
            chosen = np.concatenate([chosen, order[:lacking]])
            self._rest = order[lacking:]
        self._shown += size
        self.epochs_completed = (self._shown - 1) // n
        return np.multiply(self._pixels[chosen], self._scale or 1), self.labels[chosen]


def _read_files(folder, source_url):
    """Return the contents of the four files, in the order of `FILES`."""
    files = {n: _load(folder / n) for n in FILES if os.path.lexists(folder / n)}
    if len(files) < len(FILES):
        _download_missing(folder, files, source_url)
    arrays = [files[name][1] for name in FILES]
    for k in (0, 2):
        if len(arrays[k]) != len(arrays[k + 1]):
            raise DataError(
                f"{folder / FILES[k]} has {len(arrays[k])} images, but "
                f"{folder / FILES[k + 1]} has {len(arrays[k + 1])} labels. "
                "Delete the wrong one to fetch it again."
            )
    return arrays


def _load(path):
    """Return the bytes of the IDX file at `path`, and its content as an array."""
    try:
        if not path.is_file():  # a pipe, say, which would have us wait
            raise DataError("not a file")
        with open(path, "rb") as file:
            body = file.read(MAX_BYTES)
        return body, _parse_idx(body, path.name)
    except (OSError, DataError) as error:
        reason = getattr(error, "strerror", error)
        raise DataError(f"{path}: {reason}; delete it to fetch it again") from None


def _parse_idx(body, name):
    """Return a gzipped IDX file's uint8 labels (n,) or pixels (n, 28, 28)."""
    shape = (28, 28) if "images" in name else ()
    header_size = 8 + 4 * len(shape)
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(body)) as stream:
            content = stream.read(MAX_BYTES + 1)
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise DataError(f"not a whole gzip file ({error})") from None
    if len(content) > MAX_BYTES:
        raise DataError(f"more than {MAX_BYTES} bytes when unpacked")
    header = content[:header_size].ljust(header_size, b"\0")
    found = [*np.frombuffer(header, ">u4").tolist(), len(content) - header_size]
    n = max(1, found[-1] // math.prod(shape))
    # The magic number: 8 for unsigned bytes, then 1 or 3 for how many dimensions.
    expected = [0x801 + len(shape), n, *shape, n * math.prod(shape)]
    if found != expected:
        raise DataError(f"header and bytes after it are {found}, expected {expected}")
    array = np.frombuffer(content, np.uint8, offset=header_size).reshape(n, *shape)
    if not shape and array.max() > 9:
        raise DataError(f"label {array.max()}, expected 0 to 9")
    return array


def _is_mnist(name, body):
    return hashlib.sha256(body).hexdigest() == SHA256[name]


def _download_missing(folder, files, source_url):
    """Add what is missing to `files` and to `folder`, from one address or the next."""
    missing = [name for name in FILES if name not in files]
    # What was there and what comes must all be MNIST's, or nothing of it.
    mnists = [name for name in files if _is_mnist(name, files[name][0])]
    others = [name for name in files if name not in mnists]
    addresses = source_url or MIRRORS
    addresses = [addresses] if isinstance(addresses, str) else list(addresses)
    failures = []
    part = folder / f".{os.urandom(8).hex()}.part"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        part.touch()  # fail now, not after a download
        part.unlink()
        while missing and addresses:
            name = missing[0]
            url = f"{addresses[0].rstrip('/')}/{name}"
            try:
                body = _get(url)
                is_mnist = _is_mnist(name, body)
                if not (is_mnist or source_url):
                    raise DataError(f"not MNIST's file, it starts with {body[:15]}")
                files[name] = body, _parse_idx(body, name)
            except (OSError, DataError) as error:
                _show(f"{error}\n")
                failures.append(f"{url}: {error}")
                addresses.pop(0)
                continue
            strangers = others if is_mnist else mnists
            if strangers:
                raise DataError(
                    f"{folder / strangers[0]} is {'not ' * is_mnist}MNIST's, unlike "
                    f"{url}: delete it, or take another folder (--data-dir) or "
                    "another address, with source_url= (--source-url)."
                )
            _save(body, part, folder / name)
            missing.pop(0)
    except OSError as error:
        raise OSError(f"cannot write into folder {folder}: {error.strerror}") from None
    if missing:
        names = ", ".join(missing)
        raise OSError(
            "\n  ".join([f"no address serves {names}:", *failures])
            + f"\nTwo ways on:\n  put {names} into {folder};\n"
            "  give another address with source_url= (--source-url)."
        )


def _save(body, part, path):
    """Write `part` and rename it to `path`: that is there whole or not at all."""
    try:
        part.write_bytes(body)
        if not os.path.lexists(path):
            os.rename(part, path)
    except FileExistsError:  # Windows says so of the rename
        pass  # what has come there meanwhile, from the reader or another run, stays
    finally:
        part.unlink(missing_ok=True)


def _show(text):
    """Print on a terminal, and nowhere else."""
    if sys.stderr and sys.stderr.isatty():
        print(text, end="", file=sys.stderr, flush=True)


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follows a redirect without reading its body, which may be without end."""

    def redirect_request(self, request, response, code, reason, headers, url):
        response.close()
        if not url.startswith(("http:", "https:")):
            raise OSError(f"redirects to {url}")
        return super().redirect_request(request, response, code, reason, headers, url)


def _get(url):
    """Return the bytes that `url` serves, with a progress bar on a terminal.

    The time-out of `open` starts again with each byte and each IP address, so it
    waits in a thread of its own, while this one looks at the clock.
    """
    _show(f"Fetching {url}\n")
    body, size, error = bytearray(), 0, None

    def receive():
        nonlocal size, error
        try:
            opener = urllib.request.build_opener(_Redirects)
            with opener.open(url, timeout=TIMEOUT_SECONDS) as response:
                size = int(response.headers.get("Content-Length", 0))
                while not error and (piece := response.read1(1 << 16)):
                    body.extend(piece)
                    if len(body) > MAX_BYTES:
                        raise OSError(f"more than {MAX_BYTES} bytes came")
            if len(body) < size:
                raise OSError(f"cut short at {len(body)} of {size} bytes")
        except Exception as failure:  # noqa: BLE001 (it is raised below)
            if hasattr(failure, "close"):  # an HTTPError is an open response
                failure.close()
            error = failure

    thread = threading.Thread(target=receive, daemon=True)
    thread.start()
    start, counted, running = time.monotonic(), 0, True
    while running and not error:
        thread.join(0.1)
        running = thread.is_alive()
        seconds, came = time.monotonic() - start, len(body) - counted
        if running and seconds > TIMEOUT_SECONDS:
            if came < 1000 * seconds:
                error = OSError(f"only {came} bytes in {seconds:.0f} seconds")
            start, counted = start + seconds, counted + came
        bar = "#" * min(30, 30 * len(body) // (size or MAX_BYTES))
        _show(f"\r[{bar:30}]")
    _show("\n")
    if error:
        # A server may have written this text: keep what can be printed.
        words = "".join(filter(str.isprintable, str(error))).strip()
        raise OSError((words or repr(error))[:200])
    return bytes(body)
