"""The project's pages, and what they have a reader paste or change."""

import re

from helpers import ROOT

README = (ROOT / "README.md").read_text(encoding="utf-8")
INSTALLATION, OLD_PROGRAMS, LOOK_CLOSER = (
    (ROOT / ".readme" / f"{name}.md").read_text(encoding="utf-8")
    for name in ("installation", "old-programs", "your-own-digit")
)


def section(heading):
    return re.search(
        rf"^## {heading}\n(.*?)(?=^## |\Z)", README, re.MULTILINE | re.DOTALL
    ).group(1)


def blocks(text, language, part=""):
    """Return the code blocks of a language with `part` in them."""
    fenced = rf"^```{language}\n(.*?)^```$"
    found = re.findall(fenced, text, re.MULTILINE | re.DOTALL)
    return [block for block in found if part in block]


(FOUR_LINES,) = blocks(section("Beside the tutorial"), "python")
(DIFF,) = blocks(section("Next steps"), "diff")


def page_changes():
    """Return what lets the page's own program run, as changes for `helpers.edit`."""
    helper, tensorflow, graph, initializer = FOUR_LINES.splitlines()
    session = "sess = tf.InteractiveSession()"
    return [
        ("from tensorflow.examples.tutorials.mnist import input_data", helper),
        ("import tensorflow as tf", f"{tensorflow}\n{graph}"),
        (session, f"{session}\n{initializer}"),
    ]


def better_changes():
    """Return the lines of the better model, as changes for `helpers.edit`."""
    pairs = re.findall(r"^-(.*\n)((?:\+.*\n)+)", DIFF, re.MULTILINE)
    return [(old, re.sub(r"(?m)^\+", "", new)) for old, new in pairs]
