"""What opening a store gives; loaded by nobody who only opens one."""

from __future__ import annotations

from types import TracebackType

from snapfs.light_typing import Protocol, Self
from snapfs.snapshotter import Store


class OpenStore(Store, Protocol):
    """What :func:`snapfs.assembly.open_store` gives: closed at the end of ``with``."""

    def __enter__(self) -> Self:
        """Return the store itself."""
        ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close the store."""
        ...
