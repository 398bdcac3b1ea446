"""The words of an overlay mount: which are allowed, in which order, how long.

containerd, not snapfs, mounts for containers: it joins the words with commas and
passes them to mount(2), which reads one page and cuts the rest off in silence. So
the length is computed here as containerd will compute it, prefix compaction
included, and a list that would be cut is refused.
"""

from __future__ import annotations

import functools
import os
import posixpath
from collections.abc import Sequence

from snapfs import syscalls
from snapfs.errors import InvalidArgumentError, ResourceExhaustedError
from snapfs.kernel_overlay.words import FLAG_WORDS
from snapfs.light_typing import Final
from snapfs.overlay_format import MAX_LOWERDIRS, XattrPrefix

_ON_OFF: Final = ("on", "off")
# Documentation/filesystems/overlayfs.rst and fs/overlayfs/params.c; None stands for
# a word without a value, an empty tuple for any value.
_KNOWN: Final[dict[str, tuple[str, ...] | None]] = {
    "default_permissions": None,
    "fsync": ("auto", "strict", "volatile"),
    "index": _ON_OFF,
    "metacopy": _ON_OFF,
    "nfs_export": _ON_OFF,
    "nooverride_creds": None,
    "override_creds": None,
    "redirect_dir": ("on", "off", "follow", "nofollow"),
    "userxattr": None,
    "uuid": ("on", "off", "auto", "null"),
    "verity": ("on", "off", "require"),
    "volatile": None,
    "xino": ("on", "off", "auto"),
    # The labels of security modules, which any filesystem takes.
    "context": (),
    "defcontext": (),
    "fscontext": (),
    "rootcontext": (),
}
_FROM_THE_SNAPSHOT: Final = frozenset(
    (
        *("bind", "rbind", "ro", "rw", "remount", "uidmap", "gidmap"),
        *("lowerdir", "lowerdir+", "datadir+", "upperdir", "workdir"),
    )
)
_VOLATILE: Final = frozenset(("volatile", "fsync=volatile"))
# In a user namespace, where userxattr belongs, the kernel refuses both: a user
# could forge what they point to.
_NEVER_WITH_USERXATTR: Final = frozenset(("redirect_dir=on", "metacopy=on"))

# containerd: core/mount/mount_linux.go, "512 is a buffer during pagesize check".
_COMPACTION_MARGIN: Final = 512
_LOWERDIR: Final = b"lowerdir="


def validate_options(options: Sequence[str], prefix: XattrPrefix) -> tuple[str, ...]:
    """Return configured mount options as they are, if overlayfs will take them.

    Raises:
        InvalidArgumentError: An option is unknown, has a wrong value, belongs to
            the single snapshot, or contradicts ``prefix``.
    """
    for option in options:
        _validate_option(option)
    if "userxattr" in options and prefix is not XattrPrefix.USER:
        raise InvalidArgumentError(
            "mount option 'userxattr' contradicts a store with trusted. attributes"
        )
    refused = _NEVER_WITH_USERXATTR.intersection(options)
    if refused and prefix is XattrPrefix.USER:
        raise InvalidArgumentError(
            f"mount option {min(refused)!r} cannot be combined with userxattr"
        )
    return tuple(options)


def _validate_option(option: str) -> None:
    name, equals, value = option.partition("=")
    if name in _FROM_THE_SNAPSHOT:
        raise InvalidArgumentError(
            f"mount option {name!r} follows from each snapshot; it is not configured"
        )
    if option in FLAG_WORDS:
        return
    if name not in _KNOWN:
        raise InvalidArgumentError(f"mount option {name!r} is none of overlayfs's")
    values = _KNOWN[name]
    if values is None:
        if equals:
            raise InvalidArgumentError(f"mount option {name!r} takes no value")
    elif not value or "," in value or (values and value not in values):
        raise InvalidArgumentError(
            f"mount option {name!r} cannot have the value {value!r}"
            + (f"; it takes {', '.join(values)}" if values else "")
        )


def without_volatile(options: Sequence[str]) -> tuple[str, ...]:
    """Return the options without the promise to lose data in a crash."""
    return tuple(option for option in options if option not in _VOLATILE)


def default_options(
    configured: Sequence[str], prefix: XattrPrefix, *, has_index: bool
) -> tuple[str, ...]:
    """Return the configured options after those that snapfs adds by itself.

    ``index=off`` where the kernel knows the parameter: with an index a leaked mount
    blocks the next one (EBUSY), and a copied upperdir cannot be mounted (ESTALE).
    Not with ``nfs_export=on``, which needs the index.
    """
    added = []
    names = {option.partition("=")[0] for option in configured}
    if has_index and "index" not in names and "nfs_export=on" not in configured:
        added.append("index=off")
    if prefix is XattrPrefix.USER and "userxattr" not in names:
        added.append("userxattr")
    return (*added, *configured)


# The same layers stand in most lists; a path that is refused is not remembered.
@functools.lru_cache(maxsize=4096)
def check_path(path: str) -> str:
    """Return ``path``, if a comma-joined option list can hold it.

    overlayfs would take a backslash before such bytes, but containerd splits and
    rewrites ``lowerdir`` without minding any.

    Raises:
        InvalidArgumentError: It is relative or not normalised, or holds a colon, comma
            or backslash.
    """
    # POSIX lets "//" at the start mean something; Linux and Go do not.
    is_absolute = path.startswith("/") and not path.startswith("//")
    if not is_absolute or path != posixpath.normpath(path):
        raise InvalidArgumentError(f"{path!r} is not a normalised absolute path")
    for sign, word in ((":", "colon"), (",", "comma"), ("\\", "backslash")):
        if sign in path:
            raise InvalidArgumentError(
                f"a path with a {word} cannot stand in mount options: {path!r}"
            )
    return path


def check_count(lowerdirs: Sequence[str]) -> None:
    """Refuse more lowerdirs than the kernel mounts.

    Raises:
        ResourceExhaustedError: There are more than 500.
    """
    if len(lowerdirs) > MAX_LOWERDIRS:
        raise ResourceExhaustedError(
            f"{len(lowerdirs)} layers; overlayfs mounts at most {MAX_LOWERDIRS}"
        )


def check_data_size(options: Sequence[str]) -> None:
    """Refuse options that mount(2) would cut when containerd passes them.

    Raises:
        ResourceExhaustedError: They are too long.
    """
    text = ",".join(options)
    if len(text) <= syscalls.MOUNT_DATA_MAX and text.isascii():
        return  # containerd makes it shorter, if anything
    size = containerd_data_size(options)
    if size > syscalls.MOUNT_DATA_MAX:
        raise ResourceExhaustedError(
            f"the mount options take {size} bytes; mount(2) reads only "
            f"{syscalls.MOUNT_DATA_MAX}: use fewer layers or a shorter root"
        )


def containerd_data_size(options: Sequence[str]) -> int:
    """Return the bytes of mount data that containerd makes of overlay ``options``.

    As ``Mount.mount`` in ``core/mount/mount_linux.go`` (2.x; 1.6 agrees for
    normalised paths): from a page less 512 bytes on, the common directory of the
    lowerdirs is taken off and becomes the working directory of the mounting thread.
    Then the words that are mount flags or identity mappings drop out.
    """
    words = [os.fsencode(option) for option in options]
    page = syscalls.MOUNT_DATA_MAX + 1
    if sum(map(len, words)) >= page - _COMPACTION_MARGIN:
        words = _compact(words)
    data = [
        word
        for word in words
        if os.fsdecode(word) not in FLAG_WORDS
        and not word.startswith((b"uidmap=", b"gidmap="))
    ]
    return len(b",".join(data))


def _compact(words: list[bytes]) -> list[bytes]:
    index = next((i for i, w in enumerate(words) if w.startswith(_LOWERDIR)), None)
    if index is None:
        return words
    lowerdirs = words[index][len(_LOWERDIR) :].split(b":")
    common = posixpath.dirname(_common_start(lowerdirs)).rstrip(b"/")
    start = len(common) + 1
    if len(lowerdirs) == 1 or not common or min(map(len, lowerdirs)) <= start:
        return words
    short = _LOWERDIR + b":".join(lowerdir[start:] for lowerdir in lowerdirs)
    return [*words[:index], *words[index + 1 :], short]


def _common_start(texts: list[bytes]) -> bytes:
    """Return the bytes that all begin with; they may end within a path component."""
    first, last = min(texts), max(texts)
    same = 0
    for one, other in zip(first, last, strict=False):
        if one != other:
            break
        same += 1
    return first[:same]
