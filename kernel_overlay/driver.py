"""The driver: a stack of directories becomes a bind or an overlay mount."""

from __future__ import annotations

import os
from collections.abc import Sequence

from snapfs.driver import EXTRACTION_LABEL, single_directory
from snapfs.errors import InvalidArgumentError
from snapfs.kernel_overlay import options as words
from snapfs.light_typing import Final
from snapfs.model import Kind, Mount, Stack
from snapfs.overlay_format import (
    GID_MAPPING_LABEL,
    UID_MAPPING_LABEL,
    XattrPrefix,
    mapped_root,
)

_INDEX_PARAMETER: Final = "/sys/module/overlay/parameters/index"


class OverlayDriver:
    """Mounts stacks through the kernel's overlayfs; see ``snapfs.driver.Driver``.

    The cases are those of containerd's overlay snapshotter
    (``plugins/snapshots/overlay/overlay.go``, ``mounts``): one directory needs no
    overlay, and overlayfs refuses a single lowerdir without an upperdir.

    Args:
        xattr_prefix: The store's: ``trusted.`` or ``user.``, which adds
            ``userxattr`` to every overlay.
        mount_options: Further options of overlayfs, for overlay mounts only.
        remap_ids: Pass a snapshot's identity mappings on as ``uidmap=`` and
            ``gidmap=``, the words for which containerd makes identity-mapped mounts.

    Raises:
        InvalidArgumentError: An option is unknown or contradicts another.
    """

    def __init__(
        self,
        *,
        xattr_prefix: str,
        mount_options: Sequence[str] = (),
        remap_ids: bool = False,
    ) -> None:
        prefix = _known_prefix(xattr_prefix)
        configured = words.validate_options(mount_options, prefix)
        has_index = os.path.exists(_INDEX_PARAMETER)
        self._options = words.default_options(configured, prefix, has_index=has_index)
        self._remap_ids = remap_ids

    @property
    def name(self) -> str:
        """The word for snapshots of this driver."""
        return "kernel"

    @property
    def stores_host_owners(self) -> bool:
        """See :class:`snapfs.driver.Driver`; upperdirs are not mapped."""
        return True

    def mounts(self, stack: Stack) -> list[Mount]:
        """Return the one mount that shows ``stack``, as containerd will mount it.

        Short words stand before ``lowerdir``, so that no cut can ever lose them.

        Raises:
            InvalidArgumentError: An identity mapping label cannot be read; a path
                holds a colon, comma or backslash; or the stack is not one that is
                mounted.
            ResourceExhaustedError: There are more than 500 lowerdirs, or the data
                for mount(2) would be longer than it reads.
        """
        single = self._bind(stack)
        if single is not None:
            return [single]
        lowerdirs = [words.check_path(path) for path in stack.lowerdirs]
        for path in filter(None, (stack.upperdir, stack.workdir)):
            words.check_path(path)
        options = (*self._short_options(stack), f"lowerdir={':'.join(lowerdirs)}")
        words.check_data_size(options)
        return [Mount("overlay", "overlay", options=options)]

    def local_mounts(self, stack: Stack) -> list[Mount]:
        """Return the mount for :func:`snapfs.kernel_overlay.mounting.mount_all`.

        It names each layer in a word of its own (``lowerdir+=``), so that neither
        the length nor a sign in a path matters. containerd does not know this form.

        Raises:
            InvalidArgumentError: As for :meth:`mounts`, but any path will do.
            ResourceExhaustedError: There are more than 500 lowerdirs.
        """
        single = self._bind(stack)
        if single is not None:
            return [single]
        layers = (f"lowerdir+={path}" for path in stack.lowerdirs)
        options = (*self._short_options(stack), *layers)
        return [Mount("overlay", "overlay", options=options)]

    def _bind(self, stack: Stack) -> Mount | None:
        """Return the bind mount of a stack that is one directory."""
        single = single_directory(stack)
        if single is None:
            return None
        source, mode = single
        return Mount("bind", source, options=(mode, "rbind", *self._id_maps(stack)))

    def _short_options(self, stack: Stack) -> tuple[str, ...]:
        words.check_count(stack.lowerdirs)
        if stack.kind is Kind.VIEW:
            return (*self._id_maps(stack), *words.without_volatile(self._options))
        configured = self._options
        if EXTRACTION_LABEL in stack.labels:
            # A layer that is unpacked must survive a crash, or it is lost for all.
            configured = words.without_volatile(configured)
        return (
            *self._id_maps(stack),
            f"workdir={stack.workdir}",
            f"upperdir={stack.upperdir}",
            *configured,
        )

    def _id_maps(self, stack: Stack) -> tuple[str, ...]:
        if not self._remap_ids or mapped_root(stack.labels) is None:
            return ()
        return (
            f"uidmap={stack.labels[UID_MAPPING_LABEL]}",
            f"gidmap={stack.labels[GID_MAPPING_LABEL]}",
        )


def _known_prefix(xattr_prefix: str) -> XattrPrefix:
    try:
        return XattrPrefix(xattr_prefix)
    except ValueError:
        raise InvalidArgumentError(
            f"attribute prefix {xattr_prefix!r} is neither 'trusted.' nor 'user.'"
        ) from None
