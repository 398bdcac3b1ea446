"""The driver: a stack of directories becomes a mount of the FUSE union filesystem."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence

from snapfs.driver import EXTRACTION_LABEL, single_directory
from snapfs.errors import InvalidArgumentError, ResourceExhaustedError
from snapfs.light_typing import Final
from snapfs.model import Kind, Mount, Stack
from snapfs.overlay_format import (
    GID_MAPPING_LABEL,
    UID_MAPPING_LABEL,
    XattrPrefix,
    mapped_root,
    size_limit,
)

HELPER: Final = "snapfs-fuse"
"""The program that mount.fuse3 runs, and the subtype of its mounts."""

MODE_LABEL: Final = "snapfs.io/fuse-mode"
"""Chooses the mode of a snapshot's mounts, over the one that is configured."""

MODES: Final = ("auto", "fast", "io")

# execve(2) takes no longer argument (MAX_ARG_STRLEN), and mount.fuse3 makes one of all
# options, with the mount point, for a shell.
_LONGEST_OPTIONS: Final = 120 << 10

_UNSYNCED: Final = frozenset(("volatile", "fsync=0", "fsync=volatile"))


class FuseDriver:
    """Mounts stacks through ``snapfs-fuse``; see ``snapfs.driver.Driver``.

    Args:
        xattr_prefix: The store's: ``trusted.`` or ``user.``, which adds
            ``userxattr`` to every mount.
        mount_options: Further options of the helper.
        max_size: What an active snapshot may occupy without a label that says so, in
            bytes; 0 for any. Its server counts.
        remap_ids: Show identities as a snapshot's mapping labels say. The server
            does that itself: it takes no identity-mapped mount.

    Raises:
        InvalidArgumentError: An option is unknown, or names a directory.
    """

    def __init__(
        self,
        *,
        xattr_prefix: XattrPrefix,
        mount_options: Sequence[str] = (),
        remap_ids: bool = False,
        max_size: int = 0,
    ) -> None:
        if mount_options:
            _check(mount_options)
        marks = ("userxattr",) if xattr_prefix is XattrPrefix.USER else ()
        self._prefix = xattr_prefix
        self._options = (*mount_options, *marks)
        self._remap_ids = remap_ids
        self._max_size = max_size

    @property
    def name(self) -> str:
        """The word for snapshots of this driver."""
        return "fuse"

    @property
    def stores_host_owners(self) -> bool:
        """See :class:`snapfs.driver.Driver`; a server that maps stores the others."""
        return not self._remap_ids

    def mounts(self, stack: Stack) -> list[Mount]:
        """Return the one mount that shows ``stack``, as containerd will mount it.

        One directory is a bind mount, unless its identities are mapped. A snapshot
        that containerd unpacks a layer into is written down as an overlay: nobody
        mounts it, containerd writes straight into the upperdir
        (``core/diff/apply/apply_linux.go``). It does so only outside of user
        namespaces, where the marks are ``trusted.``.

        Raises:
            InvalidArgumentError: An identity mapping label or the mode label cannot
                be read, or the stack is not one that is mounted.
            ResourceExhaustedError: The options are longer than a program's argument
                can be.
        """
        single = single_directory(stack)
        id_maps = self._id_maps(stack)
        limit = self._limit(stack)
        if single is not None and not id_maps and not limit:
            source, mode = single
            return [Mount("bind", source, options=(mode, "rbind"))]
        if self._is_written_directly(stack):
            return [_extraction_mount(stack)]
        return self._union(stack, id_maps)

    def local_mounts(self, stack: Stack) -> list[Mount]:
        """Return the mount for this project's own mounting: FUSE in every case.

        An ordinary user can mount nothing else, not even a bind mount.

        Raises:
            InvalidArgumentError, ResourceExhaustedError: As for :meth:`mounts`.
        """
        single_directory(stack)
        return self._union(stack, self._id_maps(stack))

    def _union(self, stack: Stack, id_maps: Sequence[str]) -> list[Mount]:
        configured = self._options
        if EXTRACTION_LABEL in stack.labels:
            # A layer that is unpacked must survive a crash, or it is lost for all.
            configured = tuple(o for o in configured if o not in _UNSYNCED)
        options = (
            *configured,
            *_mode(stack),
            *id_maps,
            *self._limit(stack),
            *_directories(stack),
        )
        if sum(len(option) + 1 for option in options) > _LONGEST_OPTIONS:
            raise ResourceExhaustedError(
                f"{len(stack.lowerdirs)} layers need longer mount options than a"
                f" program can be given ({_LONGEST_OPTIONS} bytes); use a shorter"
                " --root"
            )
        return [Mount(f"fuse3.{HELPER}", "snapfs", options=options)]

    def _id_maps(self, stack: Stack) -> tuple[str, ...]:
        """Return the mappings as the helper reads them: stored:shown:size[:...].

        What is stored are the container's identities; who looks at the mount from
        outside of its user namespace sees the host's. With colons for the label's
        commas, at which mount.fuse3 would split.
        """
        if not self._remap_ids or mapped_root(stack.labels) is None:
            return ()
        uids, gids = (
            stack.labels[label].replace(",", ":")
            for label in (UID_MAPPING_LABEL, GID_MAPPING_LABEL)
        )
        return f"uidmapping={uids}", f"gidmapping={gids}"

    def _limit(self, stack: Stack) -> tuple[str, ...]:
        """Return the option that limits what a container may write.

        A layer that is unpacked is no container's; its own limits are others.
        """
        if stack.kind is not Kind.ACTIVE or EXTRACTION_LABEL in stack.labels:
            return ()
        limit = size_limit(stack.labels, self._max_size)
        if limit and stack.labels.get(MODE_LABEL) == "io":
            raise InvalidArgumentError(
                f"label {MODE_LABEL}=io goes not with a size limit: the kernel writes"
                " files by itself there, and nobody counts"
            )
        return (f"max_size={limit}",) if limit else ()

    def _is_written_directly(self, stack: Stack) -> bool:
        return (
            EXTRACTION_LABEL in stack.labels
            and self._prefix is XattrPrefix.TRUSTED
            and stack.kind is Kind.ACTIVE
            and bool(stack.lowerdirs)
        )


def _check(options: Sequence[str]) -> None:
    """Have the helper's own reader refuse what it would refuse at each mount."""
    from snapfs.fuse.helper.options import apply_options
    from snapfs.fuse.mount_config import MountConfig

    config = MountConfig()
    for option in options:
        apply_options(config, os.fsencode(option))
    if config.lowerdirs or config.upperdir or config.workdir:
        raise InvalidArgumentError("a snapshot's directories are no mount options")


def _mode(stack: Stack) -> tuple[str, ...]:
    mode = stack.labels.get(MODE_LABEL, "")
    if not mode:
        return ()
    if mode not in MODES:
        raise InvalidArgumentError(
            f"label {MODE_LABEL}={mode!r} is none of {', '.join(MODES)}"
        )
    return (f"mode={mode}",)


def _directories(stack: Stack) -> Iterator[str]:
    """Yield the words for the directories, the longest last."""
    lowerdirs = stack.lowerdirs
    if stack.kind is Kind.VIEW:
        yield "ro"
        lowerdirs = lowerdirs or (stack.upperdir,)
    else:
        # A stack of one directory has no layer below and perhaps no workdir.
        yield f"workdir={_escaped(stack.workdir)}"
        yield f"upperdir={_escaped(stack.upperdir)}"
    if lowerdirs:
        yield "lowerdir=" + ":".join(
            _escaped(path).replace(":", "\\:") for path in lowerdirs
        )


def _escaped(path: str) -> str:
    return path.replace("\\", "\\\\").replace(",", "\\,")


def _extraction_mount(stack: Stack) -> Mount:
    options = (
        f"workdir={stack.workdir}",
        f"upperdir={stack.upperdir}",
        f"lowerdir={':'.join(stack.lowerdirs)}",
    )
    return Mount("overlay", "overlay", options=options)
