"""overlayfs on disk: magic numbers, marks, and the rules for reading them.

Constants and pure rules that both drivers, the layer code and the store share; see
``Documentation/filesystems/overlayfs.rst`` and ``fs/overlayfs/overlayfs.h``. The
identity mappings of containerd's labels live here too, since they decide who owns
what is stored (containerd ``internal/userns/idmap.go``).
"""

from __future__ import annotations

import enum
import errno
import os
import stat
from collections.abc import Mapping

from snapfs.errors import InvalidArgumentError
from snapfs.light_typing import Final, NamedTuple

OVERLAYFS_MAGIC: Final = 0x794C7630
MAX_LOWERDIRS: Final = 500
"""``OVL_MAX_STACK``: the kernel mounts no more; the upperdir is not counted."""

OPAQUE: Final = "opaque"
WHITEOUT: Final = "whiteout"
REDIRECT: Final = "redirect"
METACOPY: Final = "metacopy"
ORIGIN: Final = "origin"

UID_MAPPING_LABEL: Final = "containerd.io/snapshot/uidmapping"
GID_MAPPING_LABEL: Final = "containerd.io/snapshot/gidmapping"
SIZE_LABEL: Final = "containerd.io/snapshot/max-size"
"""What an active snapshot may occupy, in bytes."""

_OPAQUE_YES: Final = b"y"  # "x" only says: xattr whiteouts may lie within
_WHITEOUT_DEVICE: Final = os.makedev(0, 0)
_CAP_SYS_ADMIN: Final = 21
# (uid_t) -1 is no identity, so the initial namespace maps one less than 2^32.
_ALL_IDS: Final = 2**32 - 1
_MAX_DIGITS: Final = 18
_UNITS: Final = {"": 0, "K": 10, "M": 20, "G": 30, "T": 40}


class XattrPrefix(enum.StrEnum):
    """Where overlayfs keeps its marks: the namespace of their extended attributes.

    One store uses one prefix for ever: under the other one the kernel does not see
    the marks, and deleted files reappear.
    """

    TRUSTED = "trusted."
    USER = "user."

    def attribute(self, name: str) -> str:
        """Return the full name of a mark: "trusted.overlay.opaque"."""
        return f"{self}overlay.{name}"


def fitting_prefix(proc: str = "/proc/self") -> XattrPrefix:
    """Return the prefix that this process can write and the kernel will read.

    ``trusted.`` attributes need CAP_SYS_ADMIN in the initial user namespace; within
    any other one overlayfs must be mounted with ``userxattr``.
    """
    if in_initial_user_namespace(proc) and has_sys_admin(proc):
        return XattrPrefix.TRUSTED
    return XattrPrefix.USER


def in_initial_user_namespace(proc: str = "/proc/self") -> bool:
    """Tell whether every identity is mapped to itself, as only the first one does.

    A kernel without user namespaces has no ``uid_map``.
    """
    try:
        with open(f"{proc}/uid_map", encoding="utf-8") as file:
            mapping = file.read().split()
    except FileNotFoundError:
        return True
    return mapping == ["0", "0", str(_ALL_IDS)]


def has_sys_admin(proc: str = "/proc/self") -> bool:
    """Tell whether a process has CAP_SYS_ADMIN, in its own user namespace."""
    with open(f"{proc}/status", "rb") as file:
        for line in file:
            name, _, value = line.partition(b":")
            if name == b"CapEff":
                return bool(int(value, 16) >> _CAP_SYS_ADMIN & 1)
    return False


def is_whiteout(status: os.stat_result) -> bool:
    """Tell whether an entry hides the lower name: a character device 0/0.

    Its mode means nothing. (The other form, an empty file with the ``whiteout``
    mark, counts only in lower layers; see :func:`is_xattr_whiteout`.)
    """
    return stat.S_ISCHR(status.st_mode) and status.st_rdev == _WHITEOUT_DEVICE


def is_xattr_whiteout(
    path: str | bytes | int, status: os.stat_result, prefix: XattrPrefix
) -> bool:
    """Tell whether an entry of a *lower* layer is a whiteout by its mark.

    Raises:
        OSError: The attribute cannot be read.
    """
    if not stat.S_ISREG(status.st_mode) or status.st_size:
        return False
    return _read_mark(path, prefix.attribute(WHITEOUT)) is not None


def make_whiteout(name: str | bytes, *, dir_fd: int | None = None) -> None:
    """Create the whiteout ``name``; needs no privilege since Linux 5.8.

    Raises:
        OSError: From mknod(2); EEXIST if there is an entry ``name``.
    """
    os.mknod(name, stat.S_IFCHR, _WHITEOUT_DEVICE, dir_fd=dir_fd)


def is_opaque(path: str | bytes | int, prefix: XattrPrefix) -> bool:
    """Tell whether a directory hides the lower directories of its name.

    Only the exact value "y" does. The kernel ignores the mark on a layer's root.

    Raises:
        OSError: The attribute cannot be read.
    """
    return _read_mark(path, prefix.attribute(OPAQUE)) == _OPAQUE_YES


def set_opaque(path: str | bytes | int, prefix: XattrPrefix) -> None:
    """Make a directory hide the lower directories of its name.

    Raises:
        OSError: From setxattr(2).
    """
    os.setxattr(path, prefix.attribute(OPAQUE), _OPAQUE_YES, **_no_follow(path))


def _read_mark(path: str | bytes | int, attribute: str) -> bytes | None:
    try:
        return os.getxattr(path, attribute, **_no_follow(path))
    except OSError as error:
        # ENOTSUP: a filesystem without such attributes has no marks.
        if error.errno in (errno.ENODATA, errno.ENOTSUP):
            return None
        raise


def _no_follow(path: str | bytes | int) -> dict[str, bool]:
    # For a descriptor the os module refuses the argument.
    return {} if isinstance(path, int) else {"follow_symlinks": False}


class IdMapping(NamedTuple):
    """``size`` identities of a container from ``container_id`` on, and their host's.

    No dataclass: a FUSE server would need a megabyte more for the module.
    """

    container_id: int
    host_id: int
    size: int


def parse_id_mappings(text: str) -> tuple[IdMapping, ...]:
    """Parse "container:host:size[,...]", containerd's form of identity mappings.

    Raises:
        InvalidArgumentError: It has another form, or leaves the 32-bit range.
    """
    return tuple(_parse_id_mapping(part, text) for part in text.split(","))


def _parse_id_mapping(part: str, text: str) -> IdMapping:
    numbers = part.split(":")
    # isdecimal() alone would take digits of other scripts.
    if len(numbers) != 3 or not all(n.isascii() and n.isdecimal() for n in numbers):
        raise InvalidArgumentError(
            f"identity mapping {text!r} is not of the form container:host:size[,...]"
        )
    mapping = IdMapping(*(int(number) for number in numbers))
    last = max(mapping.container_id, mapping.host_id) + mapping.size
    if not mapping.size or last > _ALL_IDS:
        raise InvalidArgumentError(
            f"identity mapping {text!r} is empty or leaves the 32-bit range"
        )
    return mapping


def mapped_root(labels: Mapping[str, str]) -> tuple[int, int] | None:
    """Return the host's uid and gid for root, from a snapshot's mapping labels.

    None where the labels map nothing. The root directory of such a snapshot belongs
    to these two.

    Raises:
        InvalidArgumentError: One of the two labels is missing, cannot be read or
            does not map identity 0.
    """
    uid_text = labels.get(UID_MAPPING_LABEL)
    gid_text = labels.get(GID_MAPPING_LABEL)
    if uid_text is None and gid_text is None:
        return None
    if uid_text is None or gid_text is None:
        missing = UID_MAPPING_LABEL if uid_text is None else GID_MAPPING_LABEL
        raise InvalidArgumentError(f"label {missing!r} is missing; it takes both")
    return _host_root(uid_text), _host_root(gid_text)


def _host_root(text: str) -> int:
    for mapping in parse_id_mappings(text):
        if mapping.container_id == 0:
            return mapping.host_id
    raise InvalidArgumentError(f"identity mapping {text!r} does not map 0")


def parse_size(text: str) -> int:
    """Parse "10737418240", "10G", "10Gi" or "10GiB": bytes, by units of 1024.

    Raises:
        InvalidArgumentError: It is no size, or none above 0.
    """
    digits = text.rstrip("KMGTiB")
    unit = text[len(digits) :]
    if unit[:1] in _UNITS and unit[1:] in ("", "i", "B", "iB"):
        unit = unit[:1]
    # isdecimal() alone would take digits of other scripts.
    is_number = digits.isascii() and digits.isdecimal() and len(digits) <= _MAX_DIGITS
    size = int(digits) << _UNITS[unit] if is_number and unit in _UNITS else 0
    if not size:
        raise InvalidArgumentError(
            f"{text[:40]!r} is no size; write bytes, or a number with K, M, G or T"
        )
    return size


def size_limit(labels: Mapping[str, str], default: int) -> int:
    """Return what a snapshot may occupy, by its label or else ``default``; 0 for any.

    Raises:
        InvalidArgumentError: The label is no size.
    """
    text = labels.get(SIZE_LABEL)
    if text is None:
        return default
    try:
        return parse_size(text)
    except InvalidArgumentError as error:
        raise InvalidArgumentError(f"label {SIZE_LABEL}: {error}") from error
