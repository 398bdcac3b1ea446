"""A list of lines with a cursor, of which only those on the screen are drawn."""

from __future__ import annotations

from abc import abstractmethod
from typing import ClassVar

from rich.segment import Segment
from rich.style import Style
from rich.text import Text
from textual import events
from textual.binding import Binding, BindingType
from textual.geometry import Size
from textual.message import Message
from textual.reactive import reactive
from textual.scroll_view import ScrollView
from textual.strip import Strip

_CURSOR = Style(reverse=True)
_UNFOCUSED = Style(underline=True)


class Rows(ScrollView, can_focus=True):
    """However many lines there are, a movement costs a screen of them.

    A subclass says how many there are and what each one is.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up,k", "move(-1)", "up", show=False),
        Binding("down,j", "move(1)", "down", show=False),
        Binding("pageup,ctrl+b", "page(-1)", "page up", show=False),
        Binding("pagedown,ctrl+f", "page(1)", "page down", show=False),
        Binding("home,g", "first", "first", show=False),
        Binding("end,G", "last", "last", show=False),
        Binding("enter", "choose", "open", show=False),
    ]
    DEFAULT_CSS = """
    Rows { height: 1fr; scrollbar-size-vertical: 1; }
    """

    cursor: reactive[int] = reactive(0, repaint=False)

    class Moved(Message):
        """The cursor is on another line, or the lines are others."""

        def __init__(self, rows: Rows) -> None:
            super().__init__()
            self.rows = rows

        @property
        def control(self) -> Rows:
            """The list."""
            return self.rows

    class Chosen(Moved):
        """Enter was pressed on a line, or a mouse button again."""

    @abstractmethod
    def row_count(self) -> int:
        """Return how many lines there are."""

    @abstractmethod
    def row_text(self, number: int) -> Text:
        """Return a line; what is too long for the screen is cut off."""

    def row_width(self) -> int:
        """Return how wide the lines are, if one may look at their ends; else 0."""
        return 0

    def rows_changed(self, cursor: int | None = None) -> None:
        """Draw all anew, with the cursor where it is or on another line."""
        count = self.row_count()
        self.virtual_size = Size(self.row_width(), count)
        wanted = self.cursor if cursor is None else cursor
        self.cursor = max(0, min(wanted, count - 1))
        self.refresh()
        self.call_after_refresh(self._show_cursor)
        self.post_message(self.Moved(self))

    def render_line(self, y: int) -> Strip:
        """Draw one line of the screen."""
        left, top = self.scroll_offset
        width = self.scrollable_content_region.width
        number = top + y
        if number >= self.row_count():
            return Strip.blank(width, self.rich_style)
        text = self.row_text(number)
        segments = list(text.render(self.app.console, end=""))
        strip = Strip(segments).crop_extend(left, left + width, self.rich_style)
        if number == self.cursor and self.has_focus:
            # One bar; the colours of the parts would make a patchwork of it.
            return Strip([Segment(strip.text, self.rich_style + _CURSOR)], width)
        strip = strip.apply_style(self.rich_style)
        return strip.apply_style(_UNFOCUSED) if number == self.cursor else strip

    def watch_cursor(self, before: int, now: int) -> None:
        """Draw the two lines concerned."""
        if before != now:
            self.refresh()
            self._show_cursor()
            self.post_message(self.Moved(self))

    def on_focus(self) -> None:
        """Draw the cursor of the list that has the keys."""
        self.refresh()

    def on_blur(self) -> None:
        """Draw the cursor of a list that has no keys."""
        self.refresh()

    def on_resize(self) -> None:
        """Keep the cursor on the screen."""
        self._show_cursor()

    def on_click(self, event: events.Click) -> None:
        """Move the cursor, or choose what it is on."""
        number = self.scroll_offset.y + event.y
        if number >= self.row_count():
            return
        if number == self.cursor:
            self.action_choose()
        self.cursor = number

    def action_move(self, lines: int) -> None:
        """Move the cursor."""
        self.cursor = max(0, min(self.cursor + lines, self.row_count() - 1))

    def action_page(self, pages: int) -> None:
        """Move the cursor by as much as the screen shows."""
        self.action_move(pages * max(1, self.scrollable_content_region.height - 1))

    def action_first(self) -> None:
        """Move the cursor to the first line."""
        self.action_move(-self.row_count())

    def action_last(self) -> None:
        """Move the cursor to the last line."""
        self.action_move(self.row_count())

    def action_choose(self) -> None:
        """Tell that the line was chosen."""
        if self.row_count():
            self.post_message(self.Chosen(self))

    def _show_cursor(self) -> None:
        height = self.scrollable_content_region.height
        top = self.scroll_offset.y
        if height <= 0:
            return
        if self.cursor < top:
            self.scroll_to(y=self.cursor, animate=False, force=True)
        elif self.cursor >= top + height:
            self.scroll_to(y=self.cursor - height + 1, animate=False, force=True)
