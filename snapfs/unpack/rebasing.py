"""Layers that are applied before anybody says what they will lie on.

containerd applies all layers of an image at once, each to a snapshot without a parent,
and commits them in order, each on the one before (``core/unpack/unpacker.go``,
"rebase"). So a layer of such a snapshot keeps its whiteouts, and what it takes from
lower ones is written down beside it until the commit.
"""

from __future__ import annotations

import contextlib
import os
from typing import Final

import msgspec

from snapfs.errors import DataLossError
from snapfs.layer.form import OverlayForm
from snapfs.layer.limits import Policy
from snapfs.layer.lower_needs import LowerNeeds
from snapfs.layer.marks_removal import LayerMarks, remove_marks
from snapfs.model import SnapshotDetails
from snapfs.snapshotter import LayerTargets
from snapfs.unpack.chain import Chain
from snapfs.unpack.messages import Applied

# containerd names what it unpacks into "extract-UNIQUE CHAIN-ID", below its namespace
# and a number (core/snapshots, UnpackKeyFormat).
_KEY_PREFIX: Final = "extract-"

# Beside the content of a snapshot, and gone with it.
_FILE: Final = "unsettled.json"

_NEW: Final = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
_DIRECTORY: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class _Unsettled(msgspec.Struct, frozen=True):
    """What is still to be done with a layer once its place is known."""

    needs: LowerNeeds
    marks: LayerMarks


def may_be_rebased(target: SnapshotDetails) -> bool:
    """Tell whether a commit may put an active snapshot on another one."""
    name = target.info.name.rpartition("/")[2]
    return not target.info.parent and name.startswith(_KEY_PREFIX)


class LayerRebaser:
    """Settles layers when they are committed; see :class:`snapfs.differ.Settler`."""

    def __init__(
        self, targets: LayerTargets, form: OverlayForm, policy: Policy
    ) -> None:
        self._targets = targets
        self._form = form
        self._policy = policy

    def note(self, target: SnapshotDetails, applied: Applied) -> None:
        """Write down what the applied layer of ``target`` needs, for its commit.

        Raises:
            OSError: It cannot be written.
        """
        unsettled = _Unsettled(applied.needs, applied.marks)
        path = os.path.join(target.directory, _FILE)
        with open(os.open(path, _NEW, 0o600), "wb") as file:
            file.write(msgspec.json.encode(unsettled))

    def forget(self, target: SnapshotDetails) -> None:
        """Drop what was written down, if anything was.

        Raises:
            OSError: It cannot be removed.
        """
        with contextlib.suppress(FileNotFoundError):
            os.unlink(os.path.join(target.directory, _FILE))

    def settle(self, active: SnapshotDetails, parent: SnapshotDetails | None) -> None:
        """See :meth:`snapfs.differ.Settler.settle`."""
        unsettled = _read(active)
        if unsettled is None:
            return
        content = os.open(active.content, _DIRECTORY)
        try:
            if parent is None:
                remove_marks(content, unsettled.marks, self._form)
                if unsettled.marks.whiteouts:
                    self._targets.note_usage(active, None)
            with Chain(self._form, keep_owners=self._policy.keep_owners) as chain:
                if parent is not None:
                    for lower in reversed((parent.content, *parent.lowerdirs)):
                        chain.add(lower)
                chain.settle(content, unsettled.needs)
        finally:
            os.close(content)
        if parent is not None and unsettled.needs.root_opaque:
            self._targets.hide_below(active.info.name)
        self.forget(active)


def _read(active: SnapshotDetails) -> _Unsettled | None:
    try:
        with open(os.path.join(active.directory, _FILE), "rb") as file:
            text = file.read()
    except FileNotFoundError:
        return None
    try:
        return msgspec.json.decode(text, type=_Unsettled)
    except msgspec.DecodeError as error:
        raise DataLossError(
            f"snapshot {active.info.name!r}: what its layer takes from lower ones"
            " cannot be read; remove it, and unpack the image again"
        ) from error
