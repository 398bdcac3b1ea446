"""What this host can do, tried out, with the evidence for each answer.

Nothing is concluded from a version number: kernels are patched and configured. Every
probe cleans up after itself; mounts are made detached, so that none can be left over.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import os
from collections.abc import Callable, Iterator
from typing import Final

from snapfs import mountinfo, syscalls
from snapfs.driver import Feature
from snapfs.errors import SnapfsError
from snapfs.kernel_overlay import context, storage
from snapfs.kernel_overlay.mounting import mount_all, unmount
from snapfs.kernel_overlay.overlay import parse
from snapfs.kernel_overlay.overlay_mount import detached
from snapfs.kernel_overlay.storage import check_storage
from snapfs.model import Mount
from snapfs.overlay_format import XattrPrefix

__all__ = ["Feature", "check_storage", "probe_features"]

_PARAMETERS: Final = "/sys/module/overlay/parameters"
_MAPPED_ROOT: Final = 100_000  # any identity but 0 shows that the mapping works
_NO_DESCRIPTOR: Final = -1

_Answer = tuple[bool, str]


def probe_features(directory: str) -> list[Feature]:
    """Try out all that the kernel driver and its stores can make use of.

    Works without privileges too; then more is not available.

    Args:
        directory: Where a store is or would be; scratch directories are made in it.
    """
    found = [_probed(name, probe) for name, probe in _HOST_PROBES]
    for name, in_place in _STORAGE_PROBES:
        found.append(_probed(name, functools.partial(in_place, directory)))
    return found


def _probed(name: str, probe: Callable[[], _Answer]) -> Feature:
    try:
        available, evidence = probe()
    except OSError as error:
        code = errno.errorcode.get(error.errno or 0, "?")
        return Feature(name, False, f"{error.strerror} ({code})")
    except SnapfsError as error:
        return Feature(name, False, str(error))
    return Feature(name, available, evidence)


def _filesystem(name: str) -> _Answer:
    with open("/proc/filesystems", encoding="ascii") as file:
        known = {line.split()[-1] for line in file}
    where = "in /proc/filesystems"
    return name in known, f"{name} is {where}" if name in known else f"not {where}"


def _parser() -> _Answer:
    if context.has_parser():
        return True, "fsopen takes overlay, and refuses a made-up parameter"
    return False, "fsopen takes overlay, but checks no parameter (before Linux 6.5)"


def _layers() -> _Answer:
    return _taken(context.takes_string("lowerdir+", "/"), "lowerdir+=/")


def _descriptors() -> _Answer:
    fd = os.open("/", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        return _taken(context.takes_descriptor("lowerdir+", fd), "lowerdir+ by fd")
    finally:
        os.close(fd)


def _volatile() -> _Answer:
    return _taken(context.takes_flag("volatile"), "volatile")


def _taken(taken: bool, word: str) -> _Answer:
    return taken, f"fsconfig {'takes' if taken else 'refuses'} {word!r}"


def _default(name: str) -> Callable[[], _Answer]:
    def probe() -> _Answer:
        path = f"{_PARAMETERS}/{name}"
        with open(path, encoding="ascii") as file:
            value = file.read().strip()
        return value == "Y", f"{path} is {value}"

    return probe


def _syncfs() -> _Answer:
    # A real call would flush the whole disk; a bad descriptor is refused only by a
    # kernel that has the call.
    try:
        syscalls.syncfs(_NO_DESCRIPTOR)
    except OSError as error:
        if error.errno != errno.EBADF:
            raise
    return True, "the call exists"


def _mount_overlay(directory: str) -> _Answer:
    return _mounted(directory)


def _mount_userxattr(directory: str) -> _Answer:
    return _mounted(directory, "userxattr")


def _mounted(directory: str, *words: str) -> _Answer:
    with storage.scratch_directory(directory) as scratch, _layered(scratch, *words):
        return True, f"mounted one with an upperdir in {directory}"


def _mapped(directory: str) -> _Answer:
    text = f"0:{_MAPPED_ROOT}:1"
    with storage.scratch_directory(directory) as scratch:
        words = _layer_words(scratch, f"uidmap={text}", f"gidmap={text}")
        mount = Mount("overlay", "overlay", options=words)
        with detached(parse(mount), scratch) as fd:
            uid = os.stat("made-by-me", dir_fd=fd, follow_symlinks=False).st_uid
    return uid == os.getuid() + _MAPPED_ROOT, f"uid {os.getuid()} is seen as {uid}"


@contextlib.contextmanager
def _layered(scratch: str, *words: str) -> Iterator[None]:
    """Mount an overlay of new directories in ``scratch``, and unmount it."""
    mount = Mount("overlay", "overlay", options=_layer_words(scratch, *words))
    if context.takes_layers():
        with detached(parse(mount), scratch):
            yield
        return
    target = os.path.join(scratch, "merged")
    os.mkdir(target)
    mount_all([mount], target)
    try:
        yield
    finally:
        unmount(target, lazy=True)


def _layer_words(scratch: str, *words: str) -> tuple[str, ...]:
    for name in ("lower", "upper", "work"):
        os.mkdir(os.path.join(scratch, name))
    os.mkdir(os.path.join(scratch, "lower", "made-by-me"))
    # Without volatile, unmounting would flush the whole filesystem of the upperdir.
    with contextlib.suppress(OSError):  # then the mount below says why
        if context.takes_flag("volatile"):
            words = (*words, "volatile")
    return (
        f"workdir={scratch}/work",
        f"upperdir={scratch}/upper",
        *words,
        f"lowerdir+={scratch}/lower",
    )


def _storage_filesystem(directory: str) -> _Answer:
    entry = mountinfo.containing(directory)
    name = entry.type if entry else f"{syscalls.statfs_type(directory):#x}"
    if storage.lies_on_overlay(directory):
        return False, f"{name}, which cannot hold an upperdir"
    return True, name


def _d_type(directory: str) -> _Answer:
    with storage.scratch_directory(directory) as scratch:
        has = storage.has_d_type(scratch)
    return has, f"a listing gives {'the type' if has else 'no type'} of an entry"


def _rename_whiteout(directory: str) -> _Answer:
    with storage.scratch_directory(directory) as scratch:
        left = storage.renames_with_whiteout(scratch)
    return left, f"a rename left {'a' if left else 'no'} whiteout behind"


def _attributes(prefix: XattrPrefix) -> Callable[[str], _Answer]:
    def probe(directory: str) -> _Answer:
        with storage.scratch_directory(directory) as scratch:
            storage.set_attribute(scratch, prefix)
        return True, f"set {prefix.attribute('opaque')} on a directory"

    return probe


def _unnamed_file(directory: str) -> _Answer:
    with storage.scratch_directory(directory) as scratch:
        storage.open_unnamed_file(scratch)
    return True, "opened a file without a name"


def _project_quota(directory: str) -> _Answer:
    option = storage.quota_option(directory)
    if option:
        return True, f"the filesystem is mounted with {option}"
    return False, "the filesystem is not mounted with prjquota or pquota"


_HOST_PROBES: Final[tuple[tuple[str, Callable[[], _Answer]], ...]] = (
    ("kernel-overlay", lambda: _filesystem("overlay")),
    ("new-mount-api", _parser),
    ("layer-by-layer", _layers),
    ("layer-descriptors", _descriptors),
    ("volatile", _volatile),
    ("index-default", _default("index")),
    ("metacopy-default", _default("metacopy")),
    ("redirect-dir-default", _default("redirect_dir")),
    ("erofs", lambda: _filesystem("erofs")),
    ("syncfs", _syncfs),
)
_STORAGE_PROBES: Final[tuple[tuple[str, Callable[[str], _Answer]], ...]] = (
    ("overlay-mount", _mount_overlay),
    ("userxattr-mount", _mount_userxattr),
    ("mapped-layers", _mapped),
    ("storage-filesystem", _storage_filesystem),
    ("d-type", _d_type),
    ("rename-whiteout", _rename_whiteout),
    ("trusted-xattrs", _attributes(XattrPrefix.TRUSTED)),
    ("user-xattrs", _attributes(XattrPrefix.USER)),
    ("unnamed-files", _unnamed_file),
    ("project-quota", _project_quota),
)
