"""What the pipeline and its layer processes say to each other: JSON, a line each.

Each process has a channel of its own, a stream socket. The job comes first; the
descriptors for it came with the channel. Reports go back. :class:`Ended` is said by
the nursery, behind a line that may be torn.
"""

from __future__ import annotations

from typing import Final, TypeAlias

import msgspec

from snapfs import errors
from snapfs.errors import SnapfsError
from snapfs.layer.limits import Limits, Policy
from snapfs.layer.lower_needs import LowerNeeds
from snapfs.layer.marks_removal import LayerMarks

NO_MARKS: Final = LayerMarks()


class LayerJob(msgspec.Struct, frozen=True, kw_only=True):
    """One layer to apply.

    Attributes:
        label: What messages call the layer.
        offset: Where the stored bytes begin, in a file; -1 for a pipe. Whoever
            sends the job finds it, and ``end``.
        end: Where they end, in a file; what they should be is ``size_bytes`` long.
        size_bytes: How many there are; more or fewer are an error.
        digest: Of the stored bytes.
        diff_id: Of the plain tar; "" where nobody knows it before.
        is_lowest: There is no layer below, so that nothing is hidden.
        xattr_prefix: Of overlayfs's marks, as the store has it.
        cache: The directory that the layer's index is kept in; "" to keep none.
        memory_bytes: That the process may take; 0 for any.
        lists_marks: ``Applied.marks`` are wanted.
    """

    label: str
    offset: int = -1
    end: int = -1
    size_bytes: int
    digest: str
    diff_id: str
    is_lowest: bool
    xattr_prefix: str
    cache: str
    memory_bytes: int
    limits: Limits
    policy: Policy
    lists_marks: bool = False


class Progress(msgspec.Struct, frozen=True, tag="progress"):
    """How far a layer is.

    Attributes:
        stored_bytes: Read of the blob.
        plain_bytes: Taken from the tar.
        entries: Seen in the tar.
    """

    stored_bytes: int
    plain_bytes: int
    entries: int


class StageTimes(msgspec.Struct, frozen=True):
    """Seconds that each stage of one layer was at work, waiting left out.

    Stages overlap: the sum is more than the time that passed.

    Attributes:
        read_s: Reading and hashing the stored bytes.
        inflate_s: Decompressing.
        hash_s: Hashing the plain bytes.
        parse_s: Reading the tar and deciding: the writer's time in this program.
        write_s: Writing the files: the writer's time in the kernel.
        total_s: From the first byte to the last file.
    """

    read_s: float
    inflate_s: float
    hash_s: float
    parse_s: float
    write_s: float
    total_s: float


class Applied(msgspec.Struct, frozen=True, tag="applied"):
    """A layer that is complete on disk, but for what lower layers decide.

    Attributes:
        diff_id: Of the plain tar, as it was found.
        plain_bytes: Of the plain tar.
        entries: In the tar.
        size_bytes: That the content occupies.
        inodes: That it has.
        needs: What lower layers decide, for the pipeline to settle.
        warnings: What a user should know, a line each.
        times: Where the time went.
        marks: Where overlayfs's marks are, if the job asks for that.
    """

    diff_id: str
    plain_bytes: int
    entries: int
    size_bytes: int
    inodes: int
    needs: LowerNeeds
    warnings: tuple[str, ...]
    times: StageTimes
    marks: LayerMarks = NO_MARKS


class Failed(msgspec.Struct, frozen=True, tag="failed"):
    """A layer that could not be applied.

    Attributes:
        kind: The name of the error's class in ``snapfs.errors``.
        message: What went wrong, in one line.
    """

    kind: str
    message: str


class Ended(msgspec.Struct, frozen=True, tag="ended"):
    """The process has ended.

    Attributes:
        status: As exit(3) had it; below zero the signal that ended it.
        why: There was none to be had, for this reason; else "".
    """

    status: int = 0
    why: str = ""


Report: TypeAlias = Progress | Applied | Failed | Ended


def error_of(failed: Failed) -> SnapfsError:
    """Return the error that a worker reported, of its class."""
    error_class = getattr(errors, failed.kind, SnapfsError)
    assert issubclass(error_class, SnapfsError)
    return error_class(failed.message)
