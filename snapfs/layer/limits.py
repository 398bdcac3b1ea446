"""What a layer may ask of us, and what of it is kept."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from snapfs.errors import InvalidArgumentError

_MOST: Final = 1 << 31


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds against hostile layers; exceeding one is an ``UnsafeLayerError``.

    Attributes:
        plain_bytes: Of one layer's uncompressed tar.
        ratio: Plain bytes for each stored byte, beyond the first
            ``ratio_free_bytes``.
        ratio_free_bytes: Plain bytes for which the ratio does not matter.
        entries: In one layer.
        extension_bytes: One PAX, long name or sparse header; also what sparse
            maps may take.
        path_bytes: One normalised path.
        component_bytes: One name (NAME_MAX).
        depth: Components of one path.
        link_target_bytes: A symlink's target (PATH_MAX less the final NUL).
        xattr_bytes: One value (XATTR_SIZE_MAX).
        xattrs: Of one entry.
        xattrs_bytes: All names and values of one entry.
        text_bytes: Names, targets, xattrs and sparse maps of one layer together;
            the default is room for four million names of 128 bytes.
        symlink_steps: Components that all paths of one layer may pass through by
            way of its symlinks; the default is far above what real layers need,
            and bounds the time that hostile ones can take.
        zstd_window_bytes: What a zstd frame may ask for.
    """

    plain_bytes: int = 64 << 30
    ratio: int = 1000
    ratio_free_bytes: int = 1 << 30
    entries: int = 4_000_000
    extension_bytes: int = 1 << 20
    path_bytes: int = 1 << 16
    component_bytes: int = 255
    depth: int = 1024
    link_target_bytes: int = 4095
    xattr_bytes: int = 64 << 10
    xattrs: int = 256
    xattrs_bytes: int = 1 << 20
    text_bytes: int = 512 << 20
    symlink_steps: int = 20_000_000
    zstd_window_bytes: int = 128 << 20

    def __post_init__(self) -> None:
        """Refuse what the tree's 32-bit columns could not hold.

        Raises:
            InvalidArgumentError: ``entries`` or ``text_bytes`` is above 2 GiB.
        """
        for name in ("entries", "text_bytes"):
            if getattr(self, name) > _MOST:
                raise InvalidArgumentError(
                    f"the limit {name.replace('_', '-')} is {_MOST} at most, not"
                    f" {getattr(self, name)}"
                )


class DevicePolicy(StrEnum):
    """What becomes of device nodes in a layer."""

    ALLOW = "allow"
    SKIP = "skip"
    PLACEHOLDER = "placeholder"  # an empty file, as umoci does without privileges


class SetuidPolicy(StrEnum):
    """What becomes of setuid and setgid bits of files in a layer."""

    KEEP = "keep"
    STRIP = "strip"


# What is kept of a layer's xattrs by default. ``trusted.overlay.*`` and
# ``user.overlay.*`` are never stored raw, whatever the policy says: as they are,
# overlayfs would obey them.
DEFAULT_XATTRS = (
    "user.*",
    "security.capability",
    "system.posix_acl_access",
    "system.posix_acl_default",
)


@dataclass(frozen=True, slots=True)
class Policy:
    """What of a layer reaches the disk.

    Attributes:
        devices: Device nodes; a character device 0:0 is never made, overlayfs
            would take it for a whiteout.
        setuid: Setuid and setgid bits.
        xattrs: Names that are kept; a final ``*`` stands for any rest.
        clamp: Paths with ``..`` are read within the root instead of refused.
        keep_owners: Owners are set; False without privileges.
    """

    devices: DevicePolicy = DevicePolicy.ALLOW
    setuid: SetuidPolicy = SetuidPolicy.KEEP
    xattrs: tuple[str, ...] = DEFAULT_XATTRS
    clamp: bool = False
    keep_owners: bool = True
