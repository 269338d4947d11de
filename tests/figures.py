"""Print each figure of the README that takes longer than a test, as it says and as it is now.

    python tests/figures.py

It takes a few minutes, and draws `.readme/weights.png` anew.
"""

import contextlib
import io
import re
import sys
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parent.parent)]

import numpy as np
from helpers import CODE, PAGE, REAL, ROOT, SCRIPT, edit, rate, seed, steps
from pages import LOOK_CLOSER, README, better_changes, blocks, page_changes

SGD = "tf.train.GradientDescentOptimizer(0.5)"
FIRST_V = "tf.random_normal([784, 100], stddev=0.1, seed=0)"
PAGES_SEED = "one_hot=True"


def run(*changes, code=CODE):
    """Run a program in silence; return its names, and the accuracy that it printed."""
    names, out = {"__name__": "__main__"}, io.StringIO()
    with contextlib.redirect_stdout(out):
        exec(compile(edit(code, REAL, *changes), SCRIPT, "exec"), names)  # noqa: S102
    return names, float(out.getvalue().split()[-1])


def accuracies(seeds, *changes):
    results = []
    for number in seeds:
        names, accuracy = run(seed(number), *changes)
        names["sess"].close()
        results.append(accuracy)
    return np.array(results)


def mean(seeds, *changes, digits=4):
    return f"{accuracies(seeds, *changes).mean():.{digits}f}"


def show(what, pattern, *now):
    """Print what the README says at the groups of a pattern, and what is so now."""
    said = re.search(pattern, " ".join(README.split())).groups()
    print(f"{what:32} README {' '.join(said):28} now {' '.join(now)}", flush=True)


def main():
    names, _ = run()
    (drawing,) = blocks(LOOK_CLOSER, "python", "W.png")
    picture = (ROOT / ".readme" / "weights.png").as_posix()
    exec(edit(drawing, ("W.png", picture)), names)  # noqa: S102
    names["sess"].close()
    number = r"([\d.]*\d)"
    show(
        "100 steps", rf"100 steps reach: {number}", mean(range(5), steps(100), digits=3)
    )
    results = accuracies(range(20))
    now = f"{results.mean():.4f}", f"{results.std(ddof=1):.4f}"
    show("1,000 steps", rf"1,000 reach {number} \(.*? deviation {number}\)", *now)
    show("10,000 steps", rf"10,000 reach {number}", mean(range(5), steps(10_000)))
    now = [mean(range(3), rate(r)) for r in (0.01, 0.1, 0.5, 2)]
    four = ", ".join([number] * 4)
    show("rates 0.01, 0.1, 0.5, 2", rf"0.5, 2 reach {four}", *now)
    results = accuracies(range(10), rate(10))
    now = f"{results.min():.4f}", f"{results.max():.4f}"
    show("rate 10, least and most", rf"rate 10 about {number} to {number}", *now)
    adam = SGD, "tf.train.AdamOptimizer(0.5)"
    show(
        "Adam at 0.5",
        rf"\(at 0.5 it reaches about {number}\)",
        mean(range(3), adam, digits=2),
    )
    better = better_changes()
    show("better model", rf"reaches {number}, and", mean(range(3), *better, digits=3))
    now = mean(range(3), *better, steps(3000), digits=3)
    show("the same, 3,000 steps", rf"3,000 steps {number}", now)
    now = mean([0], *better, (FIRST_V, "tf.zeros([784, 100])"))
    show("the same, V at zero", rf"would learn \({number}\)", now)
    nan = 0
    for k in range(5):
        seeded = PAGES_SEED, f"{PAGES_SEED}, seed={k}"
        names, _ = run(*page_changes(), seeded, rate(2), code=PAGE)
        nan += bool(np.isnan(names["W"].eval()).any())
        names["sess"].close()
    show("page's program at rate 2: NaN", r"with (\w+ of five) seeds", f"{nan} of 5")


if __name__ == "__main__":
    main()
