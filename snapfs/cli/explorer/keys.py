"""The keys of the main screen, and the page that explains all keys."""

from __future__ import annotations

from typing import Final

from textual.binding import Binding, BindingType

BINDINGS: Final[list[BindingType]] = [
    Binding("question_mark", "help", "keys"),
    Binding("tab", "focus_next", "pane", show=False),
    Binding("slash", "search", "find"),
    Binding("v", "view", "view"),
    Binding("c", "filter", "changes"),
    Binding("b", "history", "blame"),
    Binding("w", "waste", "waste"),
    Binding("d", "diff", "diff"),
    Binding("e", "extract", "extract"),
    Binding("n", "again", "again", show=False),
    Binding("s", "size", "size", show=False),
    Binding("q", "quit", "quit"),
]

HELP: Final = """\
up down k j   page up/down   home end g G   move
right left l h   open, close, into, out of a directory
tab     from the layers to the tree, and back
enter   a directory's contents; a file's content
  x     its content as text or hex; left right: its ends
v       the tree up to this layer, or this layer alone
c       only what this layer changes, or all
b       blame: what each layer did to this path
s       how much a directory holds
/       find names; * ? [] match, a / looks at paths
n       what was found last
w       waste: what the image could spare
d       mark a layer; at another: what differs
e       extract: copy this out of the image
escape  back          q   back, or out

+ added   ~ changed   - removed   . changed below"""

OF_MAIN_SCREEN: Final = frozenset(
    (
        *("help", "search", "view", "filter", "history", "waste", "diff"),
        *("extract", "again", "size", "quit"),
    )
)
