"""Text to HTML and SVG, escaped; numbers short enough to stay small."""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence


def text(value: object) -> str:
    """Return ``value`` as text that cannot be taken for markup."""
    return html.escape(str(value), quote=True)


def element(name: str, content: str = "", /, **attributes: object) -> str:
    """Return an element around ``content``, which is markup already.

    A trailing underscore in an attribute's name goes away (``class_``), others
    become hyphens. Attributes that are None are left out.
    """
    words = [name]
    for key, value in attributes.items():
        if value is not None:
            shown = number(value) if isinstance(value, float) else text(value)
            words.append(f'{key.rstrip("_").replace("_", "-")}="{shown}"')
    return f"<{' '.join(words)}>{content}</{name}>"


def number(value: float) -> str:
    """Return a coordinate: a tenth of a pixel is enough."""
    return f"{value:.1f}".removesuffix(".0")


def table(
    columns: Sequence[str],
    rows: Iterable[Sequence[str]],
    class_: str = "",
    row_names: Sequence[str] = (),
) -> str:
    """Return a table that scrolls sideways where it does not fit.

    Cells are markup. A column whose title begins with ``>`` is right-aligned. The
    rows carry ``row_names`` as ``data-target``.
    """
    ends = [title.startswith(">") for title in columns]
    head = "".join(
        element("th", text(title.removeprefix(">")), class_="n" if end else None)
        for title, end in zip(columns, ends, strict=True)
    )
    body = "".join(
        element(
            "tr",
            "".join(
                element("td", cell, class_="n" if end else None)
                for cell, end in zip(row, ends, strict=True)
            ),
            data_target=row_names[index] if row_names else None,
        )
        for index, row in enumerate(rows)
    )
    inner = f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody>"
    return element(
        "div",
        element("table", inner, class_=class_ or None),
        class_="scroll",
        tabindex="0",
    )
