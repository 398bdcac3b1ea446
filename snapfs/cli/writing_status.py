"""What a person sees while layers are written: a line that says how far it is."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable, Iterator
from typing import Final

from snapfs.cli.output import Output
from snapfs.cli.wording import human_bytes, printable

_SILENT_S: Final = 0.5
"""How long it takes before anything is shown of it."""


@contextlib.contextmanager
def writing_status(output: Output) -> Iterator[Callable[[str, int], None]]:
    """Yield what is to be told of each block that is written.

    It shows on standard error, for a person, once it has taken half a second.
    """
    if output.is_quiet or not sys.stderr.isatty():
        yield lambda _label, _stored_bytes: None
        return
    begun_s = time.monotonic()
    with contextlib.ExitStack() as held:
        show: Callable[[str], None] | None = None

        def tell(label: str, stored_bytes: int) -> None:
            nonlocal show
            if show is None:
                if time.monotonic() - begun_s < _SILENT_S:
                    return
                show = _begin(held)
            show(f"writing {printable(label)}: {human_bytes(stored_bytes)}")

        yield tell


def _begin(held: contextlib.ExitStack) -> Callable[[str], None]:
    from rich.console import Console
    from rich.markup import escape

    status = held.enter_context(Console(stderr=True).status(""))
    return lambda text: status.update(escape(text))
