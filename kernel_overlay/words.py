"""fstab-style words that are flags of a mount, not data of its filesystem.

One table gives each word its meaning in both mount APIs: a bit of mount(2), and an
attribute of fsmount(2) or a parameter of the filesystem. The set is containerd's
(``parseMountOptions`` in ``core/mount/mount_linux.go``), so that the same list of
words means the same whoever mounts it.
"""

from __future__ import annotations

from collections.abc import Sequence
from types import MappingProxyType

from snapfs import syscalls
from snapfs.light_typing import Final
from snapfs.values import dataclass

_MS_MANDLOCK: Final = 0x40

# word -> (bit of mount(2), whether the word clears it)
FLAG_WORDS: Final = MappingProxyType(
    {
        "async": (syscalls.MS_SYNCHRONOUS, True),
        "atime": (syscalls.MS_NOATIME, True),
        "bind": (syscalls.MS_BIND, False),
        "dev": (syscalls.MS_NODEV, True),
        "diratime": (syscalls.MS_NODIRATIME, True),
        "dirsync": (syscalls.MS_DIRSYNC, False),
        "exec": (syscalls.MS_NOEXEC, True),
        "mand": (_MS_MANDLOCK, False),
        "noatime": (syscalls.MS_NOATIME, False),
        "nodev": (syscalls.MS_NODEV, False),
        "nodiratime": (syscalls.MS_NODIRATIME, False),
        "noexec": (syscalls.MS_NOEXEC, False),
        "nomand": (_MS_MANDLOCK, True),
        "norelatime": (syscalls.MS_RELATIME, True),
        "nostrictatime": (syscalls.MS_STRICTATIME, True),
        "nosuid": (syscalls.MS_NOSUID, False),
        "rbind": (syscalls.MS_BIND | syscalls.MS_REC, False),
        "relatime": (syscalls.MS_RELATIME, False),
        "remount": (syscalls.MS_REMOUNT, False),
        "ro": (syscalls.MS_RDONLY, False),
        "rw": (syscalls.MS_RDONLY, True),
        "strictatime": (syscalls.MS_STRICTATIME, False),
        "suid": (syscalls.MS_NOSUID, True),
        "sync": (syscalls.MS_SYNCHRONOUS, False),
    }
)

_ATTRIBUTES: Final = (
    (syscalls.MS_RDONLY, syscalls.MOUNT_ATTR_RDONLY),
    (syscalls.MS_NOSUID, syscalls.MOUNT_ATTR_NOSUID),
    (syscalls.MS_NODEV, syscalls.MOUNT_ATTR_NODEV),
    (syscalls.MS_NOEXEC, syscalls.MOUNT_ATTR_NOEXEC),
    (syscalls.MS_NODIRATIME, syscalls.MOUNT_ATTR_NODIRATIME),
)
# These concern the filesystem, not the single mount: parameters of fsconfig(2).
_PARAMETERS: Final = (
    (syscalls.MS_RDONLY, "ro"),
    (syscalls.MS_SYNCHRONOUS, "sync"),
    (syscalls.MS_DIRSYNC, "dirsync"),
    (_MS_MANDLOCK, "mand"),
)


@dataclass(frozen=True, slots=True)
class Words:
    """The words of one mount, sorted out.

    Attributes:
        flags: ``MS_*`` bits.
        data: What is left for the filesystem, in its order.
    """

    flags: int
    data: tuple[str, ...]

    @property
    def is_read_only(self) -> bool:
        """Whether the mount was asked to refuse writes."""
        return bool(self.flags & syscalls.MS_RDONLY)

    @property
    def attributes(self) -> int:
        """``MOUNT_ATTR_*`` bits for fsmount(2) and mount_setattr(2)."""
        bits = sum(attribute for flag, attribute in _ATTRIBUTES if self.flags & flag)
        return bits | self.atime_attribute

    @property
    def atime_attribute(self) -> int:
        """The choice of access times: ``noatime`` wins over ``strictatime``."""
        if self.flags & syscalls.MS_NOATIME:
            return syscalls.MOUNT_ATTR_NOATIME
        if self.flags & syscalls.MS_STRICTATIME:
            return syscalls.MOUNT_ATTR_STRICTATIME
        return syscalls.MOUNT_ATTR_RELATIME

    @property
    def has_atime_choice(self) -> bool:
        """Whether any word chose how access times are kept."""
        choices = syscalls.MS_NOATIME | syscalls.MS_RELATIME | syscalls.MS_STRICTATIME
        return bool(self.flags & choices)

    @property
    def parameters(self) -> tuple[str, ...]:
        """The flags that fsconfig(2) sets by name."""
        return tuple(name for flag, name in _PARAMETERS if self.flags & flag)


def sort_out(options: Sequence[str]) -> Words:
    """Split fstab-style options into flags and the filesystem's own data.

    A later word wins over an earlier one.
    """
    flags = 0
    data = []
    for option in options:
        known = FLAG_WORDS.get(option)
        if known is None:
            data.append(option)
            continue
        bit, clears = known
        flags = flags & ~bit if clears else flags | bit
    return Words(flags, tuple(data))
