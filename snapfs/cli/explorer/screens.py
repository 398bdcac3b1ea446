"""What comes over the main screen: a file, a list of findings, a question, the help."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import ClassVar

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.screen import ModalScreen, Screen
from textual.widgets import Footer, Input, Static

from snapfs.cli.explorer.background import Background
from snapfs.cli.explorer.content import (
    LIMIT_BYTES,
    hex_line,
    hex_line_count,
    is_binary,
    text_lines,
)
from snapfs.cli.explorer.rows import Rows
from snapfs.cli.wording import human_bytes

_BACK = Binding("escape,q", "back", "back")


class ContentRows(Rows):
    """A file's lines; its ends are looked at by moving to the right."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("right,l", "aside(1)", "right", show=False),
        Binding("left,h", "aside(-1)", "left", show=False),
    ]

    def __init__(self) -> None:
        super().__init__()
        self._content = b""
        self._lines: list[str] = []
        self.is_hex = False

    def show(self, content: bytes, *, is_hex: bool) -> None:
        """Show a content from its beginning."""
        self._content = content
        self.is_hex = is_hex
        self._lines = [] if is_hex else text_lines(content)
        self.rows_changed(0)

    def row_count(self) -> int:
        """See :class:`Rows`."""
        return hex_line_count(self._content) if self.is_hex else len(self._lines)

    def row_text(self, number: int) -> Text:
        """See :class:`Rows`."""
        if self.is_hex:
            return Text(hex_line(self._content, number), no_wrap=True)
        return Text(self._lines[number], no_wrap=True)

    def row_width(self) -> int:
        """See :class:`Rows`."""
        return 0 if self.is_hex else max(map(len, self._lines), default=0)

    def action_aside(self, steps: int) -> None:
        """Move what is seen sideways."""
        by = steps * max(1, self.size.width // 2)
        self.scroll_relative(x=by, animate=False, force=True)


class ContentScreen(Screen[None]):
    """The content of a file.

    Args:
        title: Of the file.
        size_bytes: Of all of it.
        read: Reads as much as is shown; runs on a thread of its own.
        background: Which it belongs to.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        _BACK,
        Binding("x", "other_form", "text/hex"),
    ]

    def __init__(
        self,
        title: str,
        size_bytes: int,
        read: Callable[[], bytes],
        background: Background,
    ) -> None:
        super().__init__()
        self._background = background
        self._title = title
        self._size_bytes = size_bytes
        self._read = read
        self._content: bytes | None = None

    def compose(self) -> ComposeResult:
        """Make the parts."""
        yield Static(self._title, id="title", markup=False)
        yield ContentRows()
        yield Footer()

    def on_mount(self) -> None:
        """Begin to read."""
        self.query_one(ContentRows).loading = True
        self._background.run(self._read, self._show, self._fail)

    def _fail(self, text: str) -> None:
        if not self.is_current:
            return  # the user has gone on
        self.query_one(ContentRows).loading = False
        self.query_one("#title", Static).update(text)

    def _show(self, content: bytes) -> None:
        if not self.is_current:
            return  # the user has gone on
        self._content = content
        rows = self.query_one(ContentRows)
        rows.loading = False
        rows.show(content, is_hex=is_binary(content))
        rows.focus()
        self._tell()

    def _tell(self) -> None:
        form = "hex" if self.query_one(ContentRows).is_hex else "text"
        part = ""
        if self._size_bytes > LIMIT_BYTES:
            part = f"the first {human_bytes(LIMIT_BYTES)} of "
        size = human_bytes(self._size_bytes)
        self.query_one("#title", Static).update(
            f"{self._title}  {part}{size}, as {form}"
        )

    def action_other_form(self) -> None:
        """Show it the other way."""
        rows = self.query_one(ContentRows)
        if self._content is not None:
            rows.show(self._content, is_hex=not rows.is_hex)
            self._tell()

    def action_back(self) -> None:
        """Go back to the main screen."""
        self.dismiss(None)


@dataclasses.dataclass(frozen=True, slots=True)
class Finding:
    """One line of a list of findings.

    Attributes:
        text: What is shown.
        path: Where the tree goes when it is chosen; None for nowhere.
        layer: The layer to show there, from 1; 0 for the one that is shown.
    """

    text: Text
    path: bytes | None = None
    layer: int = 0


class FindingRows(Rows):
    """The findings."""

    def __init__(self) -> None:
        super().__init__()
        self.findings: Sequence[Finding] = ()

    def row_count(self) -> int:
        """See :class:`Rows`."""
        return len(self.findings)

    def row_text(self, number: int) -> Text:
        """See :class:`Rows`."""
        return self.findings[number].text


@dataclasses.dataclass(frozen=True, slots=True)
class Findings:
    """What a search, a comparison and the like came to."""

    summary: str
    lines: Sequence[Finding]


class FindingsScreen(Screen[Finding | None]):
    """A list of findings; the one that is chosen is the result.

    Args:
        title: What was asked.
        find: Finds them; runs on a thread of its own.
        background: Which it belongs to.
    """

    BINDINGS: ClassVar[list[BindingType]] = [_BACK]

    def __init__(
        self, title: str, find: Callable[[], Findings], background: Background
    ) -> None:
        super().__init__()
        self._background = background
        self._title = title
        self._find = find
        self._found: Findings | None = None

    def compose(self) -> ComposeResult:
        """Make the parts."""
        yield Static(self._title, id="title", markup=False)
        yield FindingRows()
        yield Footer()

    def on_mount(self) -> None:
        """Begin to look."""
        self.query_one(FindingRows).loading = True
        self._background.run(self._find, self._show, self._fail)

    def _fail(self, text: str) -> None:
        self._show(Findings(text, ()))

    def _show(self, found: Findings) -> None:
        self._found = found
        if not self.is_current:
            return  # the user has gone on
        rows = self.query_one(FindingRows)
        rows.loading = False
        rows.findings = found.lines
        rows.rows_changed(0)
        rows.focus()
        self.query_one("#title", Static).update(f"{self._title}: {found.summary}")

    def again(self) -> FindingsScreen:
        """Return a screen with the same findings, which are not looked for again."""
        found = self._found
        find = self._find if found is None else lambda: found
        return FindingsScreen(self._title, find, self._background)

    def on_rows_chosen(self, message: Rows.Chosen) -> None:
        """Go to what was chosen."""
        message.stop()
        finding = self.query_one(FindingRows).findings[message.rows.cursor]
        if finding.path is not None:
            self.dismiss(finding)

    def action_back(self) -> None:
        """Go back to the main screen."""
        self.dismiss(None)


class Question(ModalScreen[str | None]):
    """One line of input; the result is None if the user thinks better of it."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "back", "back")]

    def __init__(self, question: str, answer: str = "") -> None:
        super().__init__()
        self._question = question
        self._answer = answer

    def compose(self) -> ComposeResult:
        """Make the parts."""
        yield Static(self._question, id="question", markup=False)
        yield Input(self._answer)

    def on_input_submitted(self, message: Input.Submitted) -> None:
        """Return the answer."""
        self.dismiss(message.value or None)

    def action_back(self) -> None:
        """Return nothing."""
        self.dismiss(None)


class HelpScreen(ModalScreen[None]):
    """The keys."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q,question_mark,enter", "back", "back")
    ]

    def __init__(self, text: str) -> None:
        super().__init__()
        self._text = text

    def compose(self) -> ComposeResult:
        """Make the parts."""
        yield Static(self._text, id="help", markup=False)

    def action_back(self) -> None:
        """Go back."""
        self.dismiss(None)
