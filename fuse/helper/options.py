"""The options of ``-o``, one table: what each word means for the mount.

A word that is not in the table is refused by its name; a union that silently lacks
what was asked for would be worse than none.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from types import MappingProxyType

from snapfs.errors import InvalidArgumentError
from snapfs.fuse.helper import words
from snapfs.fuse.mount_config import MAX_WRITE, MountConfig
from snapfs.light_typing import Final, TypeAlias
from snapfs.overlay_format import XattrPrefix

Setter: TypeAlias = Callable[[MountConfig, str, bytes], None]
Switch: TypeAlias = Callable[[MountConfig, bool], None]

# A page: below it the kernel refuses the mount (FUSE_MIN_READ_BUFFER, less headers).
_MIN_MAX_WRITE: Final = 4096

# What mount(2) or fusermount3 takes; the later of two that contradict wins.
_MOUNT_PAIRS: Final = (
    ("suid", "nosuid"),
    ("dev", "nodev"),
    ("exec", "noexec"),
    ("atime", "noatime"),
    ("diratime", "nodiratime"),
    ("relatime", "norelatime"),
    ("strictatime", "nostrictatime"),
)
_OPPOSITES: Final[Mapping[str, str]] = MappingProxyType(
    {a: b for pair in _MOUNT_PAIRS for a, b in (pair, pair[::-1])}
)

# For fstab and mount(8), not for the filesystem; some callers leave them in.
_FOR_OTHERS: Final = frozenset(
    (
        "async",
        "defaults",
        "auto",
        "noauto",
        "nofail",
        "_netdev",
        "user",
        "nouser",
        "users",
    )
) | frozenset(("owner", "group"))

# True of every union of ours, or without meaning for it; the value is checked.
_ALREADY_SO: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {
        "threaded": ("0", "1"),  # slow calls always have threads
        "fast_ino": ("0", "1"),  # inode numbers never cost a system call
        "writeback": ("0", "1"),  # each change is in the upperdir before its reply
        "xattr_permissions": ("0",),  # the others keep owners in attributes
        "index": ("off",),
        "metacopy": ("off",),
        "nfs_export": ("off",),
        "uuid": ("auto", "null", "off"),
    }
)

_REFUSED: Final[Mapping[str, str]] = MappingProxyType(
    {
        "remount": "a live mount takes no options; for ro and rw alone use mount -i",
        "auto_unmount": "a server that dies is replaced; unmount it yourself",
        "plugins": "there are no plugins here",
        "allow_root": "cached names cannot be kept from others; use allow_other",
        "ino32_t": "inode numbers have 64 bits",
        "sync": "changes are in the upperdir before the reply, not on its disk",
        "dirsync": "changes are in the upperdir before the reply, not on its disk",
    }
)


def apply_options(config: MountConfig, text: bytes) -> None:
    """Set what one value of ``-o`` asks for.

    Raises:
        InvalidArgumentError: A word is unknown, or has a wrong value; named.
    """
    for word in words.split(text, b","):
        if word:
            _apply(config, word)


def _apply(config: MountConfig, word: bytes) -> None:
    raw_name, equals, value = word.partition(b"=")
    name = raw_name.decode(errors="backslashreplace")
    if name in _VALUED and equals:
        _VALUED[name](config, name, value)
    elif name in _SWITCHES:
        _SWITCHES[name](config, words.switch(name, value if equals else None))
    elif name in _ALREADY_SO:
        words.choice(name, value if equals else b"1", _ALREADY_SO[name])
    elif name in _VALUED:
        raise InvalidArgumentError(f"option {name} takes a value")
    else:
        _apply_plain(config, name, bool(equals))


def _apply_plain(config: MountConfig, name: str, has_value: bool) -> None:
    if name in _REFUSED:
        raise InvalidArgumentError(f"option {name} is refused: {_REFUSED[name]}")
    if name in _FOR_OTHERS or name.startswith(("x-", "comment")):
        return
    if has_value or name not in _PLAIN:
        raise InvalidArgumentError(f"unknown option {name!r}; see snapfs-fuse --help")
    kept = [word for word in config.mount_words if word != _OPPOSITES.get(name)]
    if name not in kept:
        kept.append(name)
    config.mount_words = tuple(kept)


def _set_lowerdir(config: MountConfig, _name: str, value: bytes) -> None:
    config.lowerdirs, config.datadirs = words.directories(value)


def _add_lowerdir(config: MountConfig, _name: str, value: bytes) -> None:
    # As in the kernel's "lowerdir+": one layer a word, colons are plain.
    config.lowerdirs += (words.unescape(value),)


def _add_datadir(config: MountConfig, _name: str, value: bytes) -> None:
    config.datadirs += (words.unescape(value),)


def _set_upperdir(config: MountConfig, name: str, value: bytes) -> None:
    config.upperdir = _directory(name, value)


def _set_workdir(config: MountConfig, name: str, value: bytes) -> None:
    config.workdir = _directory(name, value)


def _directory(name: str, value: bytes) -> bytes:
    if not value:
        raise InvalidArgumentError(f"option {name} has an empty directory name")
    return words.unescape(value)


def _set_mode(config: MountConfig, name: str, value: bytes) -> None:
    config.mode = words.choice(name, value, ("auto", "fast", "io"))


def _set_redirect(config: MountConfig, name: str, value: bytes) -> None:
    allowed = ("on", "off", "follow", "nofollow")
    config.redirect = words.choice(name, value, allowed)


def _set_prefix(config: MountConfig, name: str, value: bytes) -> None:
    config.prefix = XattrPrefix(words.choice(name, value, ("trusted", "user")) + ".")


def _set_fsync(config: MountConfig, name: str, value: bytes) -> None:
    allowed = ("0", "1", "volatile", "auto")
    config.is_volatile = words.choice(name, value, allowed) in ("0", "volatile")


def _set_uid_ranges(config: MountConfig, name: str, value: bytes) -> None:
    config.uid_ranges = words.id_ranges(name, value)


def _set_gid_ranges(config: MountConfig, name: str, value: bytes) -> None:
    config.gid_ranges = words.id_ranges(name, value)


def _set_squash_uid(config: MountConfig, name: str, value: bytes) -> None:
    config.squash_uid = words.identity(name, value)


def _set_squash_gid(config: MountConfig, name: str, value: bytes) -> None:
    config.squash_gid = words.identity(name, value)


def _set_xino(config: MountConfig, name: str, value: bytes) -> None:
    config.xino = words.choice(name, value, ("off", "auto", "on"))


def _set_timeout(config: MountConfig, name: str, value: bytes) -> None:
    config.timeout_s = words.seconds(name, value)


def _set_max_write(config: MountConfig, name: str, value: bytes) -> None:
    found = words.number(name, value)
    if not _MIN_MAX_WRITE <= found <= MAX_WRITE:
        raise InvalidArgumentError(
            f"option {name}={found} is not within {_MIN_MAX_WRITE} and {MAX_WRITE}"
        )
    config.max_write = found


def _set_max_size(config: MountConfig, name: str, value: bytes) -> None:
    config.max_bytes = words.number(name, value)
    if not config.max_bytes:
        raise InvalidArgumentError(f"option {name}=0 leaves no room for anything")


def _set_source(config: MountConfig, _name: str, value: bytes) -> None:
    config.source = words.unescape(value)


def _ignore(_config: MountConfig, _name: str, _value: bytes) -> None:
    """Take ``subtype``: the type in the mount table is always fuse.snapfs-fuse."""


def _refuse_context(_config: MountConfig, name: str, _value: bytes) -> None:
    # podman passes one on every host; without SELinux it means nothing.
    if os.path.exists("/sys/fs/selinux/enforce"):
        raise InvalidArgumentError(
            f"option {name} is refused: labels are kept per file where SELinux is on"
        )


def _set_read_only(config: MountConfig, is_on: bool) -> None:
    config.is_read_only = is_on


def _set_writable(config: MountConfig, is_on: bool) -> None:
    config.is_read_only = not is_on


def _set_volatile(config: MountConfig, is_on: bool) -> None:
    config.is_volatile = is_on


def _set_userxattr(config: MountConfig, is_on: bool) -> None:
    config.prefix = XattrPrefix.USER if is_on else None


def _set_squash_to_root(config: MountConfig, is_on: bool) -> None:
    # squash_to_uid and squash_to_gid come first, wherever they stand.
    if is_on and config.squash_uid is None:
        config.squash_uid = 0
    if is_on and config.squash_gid is None:
        config.squash_gid = 0


def _set_noacl(config: MountConfig, is_on: bool) -> None:
    config.has_acls = not is_on


def _set_noxattrs(config: MountConfig, is_on: bool) -> None:
    config.has_xattrs = not is_on


def _set_static_nlink(config: MountConfig, is_on: bool) -> None:
    config.has_static_nlink = is_on


def _set_provenance(config: MountConfig, is_on: bool) -> None:
    config.has_provenance = is_on


def _set_debug(config: MountConfig, is_on: bool) -> None:
    config.is_debugging = is_on


_VALUED: Final[Mapping[str, Setter]] = MappingProxyType(
    {
        "lowerdir": _set_lowerdir,
        "lowerdir+": _add_lowerdir,
        "datadir+": _add_datadir,
        "upperdir": _set_upperdir,
        "workdir": _set_workdir,
        "mode": _set_mode,
        "redirect_dir": _set_redirect,
        "xattr_prefix": _set_prefix,
        "fsync": _set_fsync,
        "uidmapping": _set_uid_ranges,
        "gidmapping": _set_gid_ranges,
        "squash_to_uid": _set_squash_uid,
        "squash_to_gid": _set_squash_gid,
        "xino": _set_xino,
        "timeout": _set_timeout,
        "max_write": _set_max_write,
        "max_size": _set_max_size,
        "fsname": _set_source,
        "subtype": _ignore,
        "context": _refuse_context,
    }
)

_SWITCHES: Final[Mapping[str, Switch]] = MappingProxyType(
    {
        "ro": _set_read_only,
        "rw": _set_writable,
        "volatile": _set_volatile,
        "userxattr": _set_userxattr,
        "squash_to_root": _set_squash_to_root,
        "noacl": _set_noacl,
        "noxattrs": _set_noxattrs,
        "static_nlink": _set_static_nlink,
        "provenance": _set_provenance,
        "debug": _set_debug,
    }
)

_PLAIN: Final = frozenset(_OPPOSITES) | {"allow_other", "default_permissions"}
