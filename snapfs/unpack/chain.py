"""The chain while it grows: open directories of all layers that count so far."""

from __future__ import annotations

import os
from collections.abc import Sequence

from snapfs.closing import Closing
from snapfs.layer.form import OverlayForm
from snapfs.layer.lower_needs import LowerNeeds
from snapfs.layer.lower_settle import implied_attributes, settle_with_lower

_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC


class Chain(Closing):
    """The content of the layers below the next one; closes them at the end.

    Below a layer with an opaque root nothing counts, and nothing is kept open.
    """

    def __init__(self, form: OverlayForm, *, keep_owners: bool) -> None:
        self._form = form
        self._keep_owners = keep_owners
        self._layers: list[tuple[str, int]] = []  # lowest first

    def __contains__(self, content: str) -> bool:
        """Whether the directory ``content`` is one of the layers."""
        return any(path == content for path, _ in self._layers)

    def add(self, content: str, *, root_opaque: bool = False) -> None:
        """Put a complete layer on top.

        Raises:
            OSError: Its directory cannot be opened.
        """
        descriptor = os.open(content, _FLAGS)
        if root_opaque:
            self.close()
        self._layers.append((content, descriptor))

    def settle(self, descriptor: int, needs: LowerNeeds) -> str | None:
        """Give a layer what it takes from these; return what that is, as a key.

        Raises:
            SnapfsError: As :func:`settle_with_lower`.
        """
        key = settle_with_lower(
            descriptor,
            needs,
            self._descriptors(),
            self._form,
            keep_owners=self._keep_owners,
        )
        return None if key is None else self._placed(key, needs)

    def key(self, needs: LowerNeeds) -> str | None:
        """Return what :meth:`settle` would, and change nothing.

        Raises:
            SnapfsError: As :func:`implied_attributes`.
        """
        if needs.links:
            return None
        found = implied_attributes(needs.implied, self._descriptors(), self._form)
        return self._placed(found.key, needs)

    def close(self) -> None:
        """Let go of all layers; it may be called twice."""
        while self._layers:
            os.close(self._layers.pop()[1])

    def _placed(self, key: str, needs: LowerNeeds) -> str:
        """Return a key that tells the lowest layer from others, if it matters."""
        return f"{key} lowest" if needs.hides and not self._layers else key

    def _descriptors(self) -> Sequence[int]:
        """Return the layers' directories, highest first."""
        return [descriptor for _, descriptor in reversed(self._layers)]
