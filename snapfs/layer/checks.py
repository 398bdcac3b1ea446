"""What an entry may not say, and how much a layer may take."""

from __future__ import annotations

from typing import Final

from snapfs.errors import UnsafeLayerError
from snapfs.layer.kinds import Kind
from snapfs.layer.limits import Limits
from snapfs.layer.nodes import Nodes
from snapfs.tar.member import Member, shown

_XATTR_NAME_BYTES: Final = 255  # XATTR_NAME_MAX
_MAJORS: Final = 1 << 12  # MINORBITS and dev_t of 32 bits, linux/kdev_t.h
_MINORS: Final = 1 << 20


class Budget:
    """Counts what a layer's tree takes in."""

    __slots__ = ("_count", "_limits", "_nodes")

    def __init__(self, nodes: Nodes, limits: Limits) -> None:
        self._nodes = nodes
        self._limits = limits
        self._count = 0

    def count(self) -> None:
        """Count one more entry, or one directory that entries imply.

        Raises:
            UnsafeLayerError: There are too many, or their names take too much.
        """
        self._count += 1
        limits = self._limits
        if self._count > limits.entries:
            raise UnsafeLayerError(
                f"more than {limits.entries} entries, with the directories that they"
                " imply"
            )
        nodes = self._nodes
        # nodes.text_bytes, without a call for each entry
        if len(nodes.names) + len(nodes.texts) + len(nodes.extra.data) > (
            limits.text_bytes
        ):
            raise UnsafeLayerError(
                "the names, link targets and extended attributes of the layer take"
                f" more than {self._limits.text_bytes} bytes"
            )


def device_number(member: Member, kind: Kind) -> int:
    """Return ``major << 32 | minor`` of a device node.

    Raises:
        UnsafeLayerError: Linux has no such number, or it is the character device
            0:0, which overlayfs takes for a whiteout.
    """
    major, minor = member.device
    if not (0 <= major < _MAJORS and 0 <= minor < _MINORS):
        raise UnsafeLayerError(
            f"entry {shown(member.name)} has the device number {major}:{minor}, which"
            " Linux cannot represent"
        )
    if kind == Kind.CHARACTER_DEVICE and not major and not minor:
        raise UnsafeLayerError(
            f"entry {shown(member.name)} is the character device 0:0, which overlayfs"
            " would take for a whiteout"
        )
    return major << 32 | minor


def check_link_target(member: Member, limits: Limits) -> None:
    """Refuse a symlink that symlink(2) would refuse.

    Raises:
        UnsafeLayerError: The target is empty, too long or holds a NUL.
    """
    target = member.link_name
    if not target:
        raise UnsafeLayerError(f"symbolic link {shown(member.name)} has no target")
    if b"\0" in target:
        raise UnsafeLayerError(
            f"the target of symbolic link {shown(member.name)} holds a NUL"
        )
    if len(target) > limits.link_target_bytes:
        raise UnsafeLayerError(
            f"the target of symbolic link {shown(member.name)} has {len(target)} bytes;"
            f" the limit is {limits.link_target_bytes}"
        )


def check_xattrs(member: Member, limits: Limits) -> None:
    """Refuse more extended attributes than the limits allow.

    Raises:
        UnsafeLayerError: There are too many, they take too much, or a name is none.
    """
    xattrs = member.xattrs
    if len(xattrs) > limits.xattrs:
        raise UnsafeLayerError(
            f"entry {shown(member.name)} has {len(xattrs)} extended attributes; the"
            f" limit is {limits.xattrs}"
        )
    total = 0
    for name, value in xattrs.items():
        if not name or b"\0" in name or len(name) > _XATTR_NAME_BYTES:
            raise UnsafeLayerError(
                f"entry {shown(member.name)} has an extended attribute with the"
                f" impossible name {shown(name)}"
            )
        if len(value) > limits.xattr_bytes:
            raise UnsafeLayerError(
                f"extended attribute {shown(name)} of entry {shown(member.name)} has"
                f" {len(value)} bytes; the limit is {limits.xattr_bytes}"
            )
        total += len(name) + len(value)
    if total > limits.xattrs_bytes:
        raise UnsafeLayerError(
            f"the extended attributes of entry {shown(member.name)} take {total} bytes;"
            f" the limit is {limits.xattrs_bytes}"
        )
