"""MNIST for the tutorials that imported TensorFlow's retired `input_data`.

    import data as input_data
    mnist = input_data.read_data_sets("MNIST_data/", one_hot=True)
    batch_xs, batch_ys = mnist.train.next_batch(100)

MNIST is 70,000 handwritten digits of 28 x 28 pixels, in four files. Their
format, IDX, is described at http://yann.lecun.com/exdb/mnist/. This module
fetches the files once, reads them whole, checks what it reads, and needs
NumPy alone.
"""

import collections
import contextlib
import functools
import gzip
import hashlib
import http.client
import io
import os
import struct
import sys
import tempfile
import urllib.error
import urllib.request
import uuid
import zlib
from pathlib import Path

import numpy as np

# Where the files are looked for, in this order. A mirror is trusted no further
# than the digests below, so plain HTTP will do.
MIRRORS = (
    "https://storage.googleapis.com/cvdf-datasets/mnist/",
    "https://ossci-datasets.s3.amazonaws.com/mnist/",
    "http://yann.lecun.com/exdb/mnist/",
)
SHA256 = {
    "train-images-idx3-ubyte.gz": "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
    "train-labels-idx1-ubyte.gz": "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
    "t10k-images-idx3-ubyte.gz": "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
    "t10k-labels-idx1-ubyte.gz": "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
}
TIMEOUT_SECONDS = 30  # of silence, after which a mirror is given up

FILES = tuple(SHA256)
Datasets = collections.namedtuple("Datasets", ["train", "validation", "test"])


class DataError(ValueError):
    """What the caller can mend: a damaged file, an argument out of its range."""


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
      train_dir: folder of the four files; those missing are downloaded into it.
      fake_data: draw made-up digits instead; no file is touched or fetched.
      one_hot: labels as float32 rows (n, 10) holding a single 1, in place of
        uint8 class numbers (n,).
      dtype: of the images: float32 in [0, 1], or uint8 in [0, 255], given as
        NumPy or TensorFlow names it.
      reshape: images as (n, 784); else as (n, 28, 28, 1).
      validation_size: how many of the first training images make the
        validation set. MNIST has 60,000, so 55,000 are left to train on.
      seed: non-negative int that fixes the order of the batches, and the
        made-up digits; None for new ones each time.
      source_url: a base URL, or several, to use in place of `MIRRORS`. Files
        from there may differ from MNIST's digests, but not from its format.

    Raises:
      ValueError: a file is damaged, or an argument out of its range.
      TypeError: `dtype` is neither float32 nor uint8.
      OSError: no address serves a file, or the folder cannot be used.
    """
    dtype = np.dtype(getattr(dtype, "as_numpy_dtype", dtype))  # tf.float32 has it
    if dtype not in (np.float32, np.uint8):
        raise TypeError(f"dtype is float32 or uint8, not {dtype}")

    if fake_data:
        arrays = _draw_digits(np.random.default_rng(seed))
    else:
        arrays = _read_files(Path(train_dir), source_url)
    images, labels, test_images, test_labels = arrays
    if not 0 <= validation_size <= len(images):
        raise DataError(f"validation_size is 0 to {len(images)}, not {validation_size}")

    seeds = iter(np.random.SeedSequence(seed).spawn(3))

    def part(images, labels):
        pixels = images.reshape((-1, 784) if reshape else (-1, 28, 28, 1))
        if one_hot:
            labels = np.eye(10, dtype=np.float32)[labels]
        return DataSet(pixels, labels, dtype, next(seeds))

    return Datasets(
        train=part(images[validation_size:], labels[validation_size:]),
        validation=part(images[:validation_size], labels[:validation_size]),
        test=part(test_images, test_labels),
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
        # uint8, a quarter of float32's size: only what is asked for is converted.
        self._pixels = pixels
        self._dtype = dtype
        self._rng = np.random.default_rng(seed)
        self._order = None
        self._index_in_epoch = 0

    @functools.cached_property
    def images(self):
        """All images in file order, (n, 784) or (n, 28, 28, 1), converted once.

        float32 in [0, 1], or uint8 in [0, 255].
        """
        return self._convert(self._pixels)

    def next_batch(self, batch_size, shuffle=True):
        """Return the next `batch_size` images and labels, each a new array.

        An epoch shows every example exactly once, in an order of its own, or
        in file order without `shuffle`. A batch that crosses the end of an
        epoch is filled from the next one, which goes by that call's `shuffle`.

        Raises:
          ValueError: `batch_size` is not in 1 to `num_examples`.
        """
        if not 1 <= batch_size <= self.num_examples:
            raise DataError(f"batch_size is 1 to {self.num_examples}, not {batch_size}")
        if self._order is None:
            self._order = self._new_order(shuffle)
        start, end = self._index_in_epoch, self._index_in_epoch + batch_size
        chosen = self._order[start:end]
        if end > self.num_examples:
            end -= self.num_examples
            self._order = self._new_order(shuffle)
            self.epochs_completed += 1
            chosen = np.concatenate([chosen, self._order[:end]])
        self._index_in_epoch = end
        return self._convert(self._pixels[chosen]), self.labels[chosen]

    def _new_order(self, shuffle):
        n = self.num_examples
        return self._rng.permutation(n) if shuffle else np.arange(n)

    def _convert(self, pixels):
        if self._dtype == np.uint8:
            return pixels
        # TensorFlow reads an array where it lies if that is a multiple of 64 bytes,
        # and copies any other; NumPy promises less, so the start is chosen here.
        memory = np.empty(4 * pixels.size + 64, np.uint8)
        start = -memory.ctypes.data % 64
        images = memory[start : start + 4 * pixels.size].view(np.float32)
        # The helper's own rounding: a product with 1/255, not a division.
        return np.multiply(
            pixels, np.float32(1 / 255), out=images.reshape(pixels.shape)
        )


# Files


def _read_files(folder, source_url):
    """Return the contents of the four files, in the order of `FILES`."""
    contents, origins = {}, {name: folder / name for name in FILES}
    for name, path in origins.items():
        if os.path.lexists(path):
            contents[name] = _load(path)
    missing = [name for name in FILES if name not in contents]
    if missing:
        _refuse_unwritable(folder)
    downloads = {}
    for name in missing:
        url, body, content = _download(name, folder, source_url)
        origins[name], downloads[name], contents[name] = url, body, content
    for images, labels in (FILES[:2], FILES[2:]):
        if len(contents[images]) != len(contents[labels]):
            raise DataError(
                f"{origins[images]} has {len(contents[images])} images, but "
                f"{origins[labels]} has {len(contents[labels])} labels. Delete the "
                f"wrong one from {folder}, and the next run fetches it again."
            )
    if downloads:
        _save(downloads, folder)
    return [contents[name] for name in FILES]


def _load(path):
    """Return the content of the IDX file at `path`; a ValueError names it."""
    try:
        with open(path, "rb") as file:
            return _parse_idx(file, path.name)
    except DataError as error:
        raise DataError(
            f"{path}: {error}. Delete it, and the next run fetches it again."
        ) from None


def _parse_idx(file, name):
    """Return a gzipped IDX file's uint8 labels (n,) or pixels (n, 28, 28)."""
    shape = (28, 28) if "images" in name else ()
    header = struct.Struct(f">{2 + len(shape)}I")
    try:
        with gzip.GzipFile(fileobj=file) as stream:
            head = stream.read(header.size)
            if len(head) < header.size:
                raise DataError(f"ends within its header of {header.size} bytes")
            magic, n, *size = header.unpack(head)
            # 8 stands for unsigned bytes, the rest counts the dimensions.
            if magic != 0x801 + len(shape):
                raise DataError(f"not this IDX file, its magic number is {magic}")
            if tuple(size) != shape:
                raise DataError(f"has images of {size[0]} x {size[1]}, not 28 x 28")
            promised = n * int(np.prod(shape))
            # Read to the end, where gzip's checksum is, but in pieces: what the
            # header promises may be damaged too, and is not worth memory yet.
            content = bytearray()
            while len(content) <= promised and (piece := stream.read(1 << 18)):
                content += piece
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise DataError(f"not a whole gzip file ({error})") from None
    if len(content) != promised:
        than = "more" if len(content) > promised else "fewer"
        raise DataError(f"has {than} bytes than the {promised} its header promises")
    array = np.frombuffer(content, np.uint8).reshape(n, *shape)
    if not shape and array.max(initial=0) > 9:
        raise DataError(f"has a label {array.max()}, and labels are 0 to 9")
    return array


# Downloads


def _download(name, folder, source_url):
    """Return the first address that serves file `name` whole, the file, its content."""
    bases = source_url or MIRRORS
    failures = []
    for base in [bases] if isinstance(bases, str) else bases:
        url = base.rstrip("/") + "/" + name
        try:
            body = _get(url)
            if not source_url and hashlib.sha256(body).hexdigest() != SHA256[name]:
                raise DataError(f"not MNIST's file, it starts with {bytes(body[:15])}")
            return url, body, _parse_idx(io.BytesIO(body), name)
        except (OSError, ValueError, http.client.HTTPException) as error:
            is_status = isinstance(error, urllib.error.HTTPError)
            reason = error if is_status else getattr(error, "reason", error)
            failures.append(f"  {url}: {str(reason) or type(reason).__name__}")
    raise OSError(
        "\n".join([f"no address serves {name}:", *failures])
        + f"""
Three ways on:
  put {", ".join(FILES)} into {folder};
  give another address, --source-url (in code, source_url=);
  train on made-up digits, --fake-data (in code, fake_data=True)."""
    )


def _get(url):
    """Return what `url` serves, all of it, with a bar where someone watches."""
    watched = sys.stderr.isatty()
    if watched:
        print(f"Downloading {url}", file=sys.stderr)
    try:
        with urllib.request.urlopen(url, timeout=TIMEOUT_SECONDS) as response:
            size = int(response.headers.get("Content-Length", 0))
            body = bytearray()
            while piece := response.read(1 << 16):
                body += piece
                if watched and size:
                    bar = "#" * (30 * len(body) // size)
                    print(f"\r[{bar:30}]", end="", file=sys.stderr, flush=True)
    finally:
        if watched:
            print(file=sys.stderr)
    if len(body) < size:
        raise OSError(f"cut short, {len(body)} of {size} bytes came")
    return body


def _refuse_unwritable(folder):
    """Raise OSError before the download, not after, if `folder` takes no files."""
    places = (folder.absolute(), *folder.absolute().parents)
    try:
        with tempfile.TemporaryFile(dir=next(f for f in places if f.exists())):
            pass
    except OSError as error:
        raise OSError(f"cannot write into {folder}: {error.strerror}") from None


def _save(downloads, folder):
    """Write all `downloads` beside their names, then rename them: all or none."""
    made = [f for f in (folder, *folder.parents) if not f.exists()]
    parts = {name: folder / f".{name}.{uuid.uuid4().hex}.part" for name in downloads}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, part in parts.items():
            part.write_bytes(downloads[name])
        for name, part in parts.items():
            # What has come there meanwhile, from the reader or another run, stays.
            if not os.path.lexists(folder / name):
                os.replace(part, folder / name)
    except OSError as error:
        raise OSError(f"cannot write into {folder}: {error.strerror}") from None
    finally:
        for part in parts.values():
            part.unlink(missing_ok=True)
        for empty in made:
            with contextlib.suppress(OSError):
                empty.rmdir()


# Made-up digits

_GLYPHS = """
 ###    #    ###   ###     #  #####  ###  #####  ###   ###
#   #  ##   #   # #   #   ##  #     #         # #   # #   #
#   # # #       #     #  # #  ####  #        #  #   # #   #
#   #   #      #    ##  #  #      # ####    #    ###   ####
#   #   #     #       # #####     # #   #   #   #   #     #
#   #   #    #    #   #    #  #   # #   #   #   #   #     #
 ###  ##### #####  ###     #   ###   ###    #    ###   ###
"""


def _draw_digits(rng):
    """Return 60,000 + 10,000 drawn digits: images, labels, images, labels.

    Images are uint8 (n, 28, 28), labels uint8 (n,), as the files hold them.
    Each is a glyph in one of three weights, up to 3 pixels off centre, paler or
    darker, with 15 % of its pixels replaced at random.
    """
    rows = [list(line.ljust(60)) for line in _GLYPHS.strip("\n").split("\n")]
    cells = (np.array(rows) == "#").reshape(7, 10, 6)[:, :, :5].swapaxes(0, 1)
    glyphs = np.pad(np.kron(cells, np.ones((3, 3), bool)), ((0, 0), (3, 4), (6, 7)))
    lighter = glyphs & np.roll(glyphs, (1, 1), (1, 2))
    bolder = glyphs | np.roll(glyphs, (1, 1), (1, 2))
    stencils = np.array(
        [
            np.roll(weight, (down, right), (1, 2))
            for weight in (lighter, glyphs, bolder)
            for down in range(-3, 4)
            for right in range(-3, 4)
        ]
    )

    def draw(n):
        labels = rng.integers(10, size=n, dtype=np.uint8)
        ink = rng.integers(100, 256, size=(n, 1, 1), dtype=np.uint8)
        images = stencils[rng.integers(len(stencils), size=n), labels] * ink
        noisy = rng.integers(256, size=images.shape, dtype=np.uint8) < 0.15 * 256
        images[noisy] = rng.integers(256, size=noisy.sum(), dtype=np.uint8)
        return images, labels

    return draw(60_000) + draw(10_000)
