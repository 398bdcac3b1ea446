"""The values that cross module boundaries: frozen, comparable, no input or output."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from types import MappingProxyType

from snapfs.light_typing import Final
from snapfs.values import dataclass, field

NO_LABELS: Final[Mapping[str, str]] = MappingProxyType({})


class Kind(enum.StrEnum):
    """What a snapshot is; the values are the words of containerd's filters."""

    VIEW = "view"
    ACTIVE = "active"
    COMMITTED = "committed"


class Owner(enum.StrEnum):
    """Who made a snapshot, and so whose collection may remove it."""

    CONTAINERD = "containerd"
    LOCAL = "local"


class Durability(enum.StrEnum):
    """When the data of a committed snapshot is on disk.

    ``NONE``: some time later, as with containerd's own snapshotter. ``LAYER``:
    before ``commit`` returns. ``IMAGE``: before the last ``commit`` of an unpacked
    image returns; for a single ``commit`` it means the same as ``LAYER``.
    """

    NONE = "none"
    LAYER = "layer"
    IMAGE = "image"


@dataclass(frozen=True, slots=True)
class Info:
    """What a snapshotter tells about one snapshot.

    Attributes:
        name: The key of an active snapshot or a view, the name of a committed one.
        parent: The name of the committed snapshot below; "" for none.
        kind: View, active or committed.
        created_ns: When it was prepared or committed, in ns since the epoch.
        updated_ns: When its labels last changed; equal to ``created_ns`` at first.
        labels: Never holds an empty value: containerd deletes a label that way.
    """

    name: str
    parent: str = ""
    kind: Kind = Kind.ACTIVE
    created_ns: int = 0
    updated_ns: int = 0
    labels: Mapping[str, str] = field(default_factory=lambda: NO_LABELS)


@dataclass(frozen=True, slots=True)
class Usage:
    """Disk space of one snapshot without its parents: allocated bytes, inodes."""

    size_bytes: int = 0
    inodes: int = 0


@dataclass(frozen=True, slots=True)
class Mount:
    """One mount(2) call, written down as containerd's ``types.Mount``.

    Attributes:
        type: A filesystem type, or "bind".
        source: A device or directory; by convention "overlay" for overlayfs.
        target: A path below the mount point; "" for the mount point itself.
        options: fstab-style words; nothing in them is escaped.
    """

    type: str
    source: str
    target: str = ""
    options: tuple[str, ...] = ()

    @property
    def is_read_only(self) -> bool:
        """Whether nothing can be written through this mount.

        As containerd's ``Mount.ReadOnly``: the last of ``ro`` and ``rw`` counts;
        an overlay without an upperdir is read-only too.
        """
        if self.type == "overlay" and not any(
            option.startswith("upperdir=") for option in self.options
        ):
            return True
        modes = [option for option in self.options if option in ("ro", "rw")]
        return bool(modes) and modes[-1] == "ro"


@dataclass(frozen=True, slots=True)
class Stack:
    """The directories of one snapshot, as a driver mounts them.

    Attributes:
        kind: What the snapshot is.
        lowerdirs: Committed layers, highest first; may be empty.
        upperdir: The writable directory; "" for a view that has parents. A view
            with no parent has its own empty ``upperdir``, to be bound read-only.
        workdir: overlayfs's scratch directory beside ``upperdir``; "" for views.
        labels: The snapshot's labels (identity mappings, driver hints).
    """

    kind: Kind
    lowerdirs: tuple[str, ...] = ()
    upperdir: str = ""
    workdir: str = ""
    labels: Mapping[str, str] = field(default_factory=lambda: NO_LABELS)


@dataclass(frozen=True, slots=True)
class NewLayer:
    """A committed snapshot to be, whose content lies in a staged directory.

    Attributes:
        name: Of the committed snapshot.
        snapshot_id: The number of the directory under ``staging``.
        parent: The committed snapshot below; "" for none. It may be one that is
            published in the same call, before this one.
        labels: Of the committed snapshot.
        shares: The committed snapshot whose content is this one's too, so that the
            staged directory has none of its own; "" for none.
        root_opaque: Nothing below this layer shows.
        usage: What the content occupies; None where that is not known.
        index_generation: Of the directory index beside the content; 0 for none.
    """

    name: str
    snapshot_id: int
    parent: str = ""
    labels: Mapping[str, str] = field(default_factory=lambda: NO_LABELS)
    shares: str = ""
    root_opaque: bool = False
    usage: Usage | None = None
    index_generation: int = 0


@dataclass(frozen=True, slots=True)
class IdMaps:
    """Which of the host's identities stand for a container's in a snapshot's files.

    In containerd's form: ``container:host:size[,...]``.

    Attributes:
        uids: Of users.
        gids: Of groups.
    """

    uids: str
    gids: str


@dataclass(frozen=True, slots=True)
class SnapshotDetails:
    """What the store knows of a snapshot beyond the contract's :class:`Info`.

    Attributes:
        info: The contract's part.
        owner: Who made it.
        directory: Its numbered directory, absolute.
        content: The ``fs`` directory of its own content; another snapshot's where
            it shares a layer.
        lowerdirs: The ``fs`` directories below it, highest first.
        driver: The driver that was chosen when it was prepared.
        durability: How the data of a committed snapshot was written.
        usage: Known usage; None where nobody has asked yet.
        id_maps: How the owners of its files were stored; None where they are those
            that a container sees.
    """

    info: Info
    owner: Owner
    directory: str
    content: str
    lowerdirs: tuple[str, ...]
    driver: str
    durability: Durability
    usage: Usage | None = None
    id_maps: IdMaps | None = None


@dataclass(frozen=True, slots=True)
class Garbage:
    """One thing that ``cleanup`` reclaims.

    Attributes:
        path: What it is, absolute.
        reason: Why nobody needs it, as a clause.
        usage: What it occupies; None where that was not asked for.
    """

    path: str
    reason: str
    usage: Usage | None = None


class Severity(enum.StrEnum):
    """How bad a finding of ``check`` is."""

    WARNING = "warning"
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class Finding:
    """One contradiction that ``check`` found.

    Attributes:
        severity: ``ERROR`` where data or a promise of the contract is lost.
        code: A stable word for scripts, such as ``missing-directory``.
        subject: The key, name or path that it is about.
        detail: One line: what contradicts what, and the way out.
    """

    severity: Severity
    code: str
    subject: str
    detail: str


@dataclass(frozen=True, slots=True)
class StoreStatus:
    """Who serves a store, and how.

    Attributes:
        root: The state directory, absolute.
        store_id: The UUID that the store got when it was made.
        format_version: Of the on-disk format.
        xattr_prefix: ``trusted.`` or ``user.``: where overlayfs marks are kept.
        driver: The driver for new snapshots.
        durability: The mode for commits.
        pid: The process that owns the root.
        snapshots: How many there are.
        trash_entries: How many removed directories still wait to be reclaimed.
    """

    root: str
    store_id: str
    format_version: int
    xattr_prefix: str
    driver: str
    durability: Durability
    pid: int
    snapshots: int
    trash_entries: int
