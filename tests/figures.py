"""Print each figure of the README that takes longer than a test, as it says and as it is now.

    python tests/figures.py

It takes a minute or two, and draws `.readme/weights.png` anew.
"""

import contextlib
import io
import re
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # for data.py

import numpy as np
from helpers import (
    CODE,
    PAGE,
    README,
    REAL,
    ROOT,
    YOUR_OWN_DIGIT,
    better_changes,
    blocks,
    edit,
    page_changes,
)


@contextlib.contextmanager
def run(*changes, code=CODE, **numbers):
    """Run a program; give its names, with the accuracy that it printed as `printed`."""
    names, out = {"__name__": "__main__"}, io.StringIO()
    with contextlib.redirect_stdout(out):
        exec(edit(code, REAL, *changes, **numbers), names)  # noqa: S102
    names["printed"] = float(out.getvalue().split()[-1])
    yield names
    names["sess"].close()


def accuracies(seeds, *changes, **numbers):
    results = []
    for number in range(seeds):
        with run(*changes, seed=number, **numbers) as names:
            results.append(names["printed"])
    return np.array(results)


def show(what, pattern, *now, digits=4):
    """Print what the README says at the groups of a pattern, and what is so now."""
    said = re.search(pattern.replace("N", r"([\d.]*\d|\w+)"), " ".join(README.split()))
    now = " ".join(f"{figure:.{digits}f}" for figure in now)
    print(f"{what:23} README {' '.join(said.groups()):28} now {now}", flush=True)


def mean(seeds, *changes, **numbers):
    return accuracies(seeds, *changes, **numbers).mean()


with run() as names:
    (drawing,) = blocks(YOUR_OWN_DIGIT, "python", "W.png")
    picture = (ROOT / ".readme" / "weights.png").as_posix()
    exec(edit(drawing, ("W.png", picture)), names)  # noqa: S102
show("100 steps", "100 steps reach: mean N", mean(5, steps=100), digits=3)
results = accuracies(20)
deviation = r"1,000 reach N \(.*? deviation N\)"
show("1,000 steps", deviation, results.mean(), results.std(ddof=1))
show("10,000 steps", "10,000 reach N", mean(5, steps=10_000))
rates = [mean(3, rate=number) for number in (0.01, 0.1, 0.5, 2)]
show("rates 0.01, 0.1, 0.5, 2", "0.5, 2 reach N, N, N, N", *rates)
results = accuracies(10, rate=10)
show("rate 10", "rate 10 about N to N", results.min(), results.max())
adam = "tf.train.GradientDescentOptimizer(0.5)", "tf.train.AdamOptimizer(0.5)"
show("Adam at 0.5", "at 0.5 it reaches about N", mean(3, adam), digits=2)
better = better_changes()
show("better model", "This reaches N,", mean(3, *better), digits=3)
show("the same, 3,000 steps", "3,000 steps N", mean(3, *better, steps=3000), digits=3)
zero_v = "tf.random_normal([784, 100], stddev=0.1, seed=0)", "tf.zeros([784, 100])"
show("the same, V at zero", r"would learn \(N\)", mean(1, *better, zero_v))
nan = 0
for number in range(5):
    seeded = "one_hot=True", f"one_hot=True, seed={number}"
    with run(*page_changes(), seeded, rate=2, code=PAGE) as names:
        nan += np.isnan(names["W"].eval()).any()
show("the page's, rate 2: NaN", "with N of N seeds", nan, 5, digits=0)
