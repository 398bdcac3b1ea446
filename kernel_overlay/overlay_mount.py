"""Mount one overlay: layer by layer through fsopen(2), else by mount(2).

The new mount API takes each layer by itself: no page that cuts, no escaping, 500
layers; and it makes the mount before anybody sees it, so a mount that came out wrong
is never attached.
"""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterator

from snapfs import syscalls
from snapfs.errors import (
    FailedPreconditionError,
    InvalidArgumentError,
    ResourceExhaustedError,
    UnavailableError,
)
from snapfs.kernel_overlay import context, id_map
from snapfs.kernel_overlay.failures import translate, undo_mount
from snapfs.kernel_overlay.overlay import Overlay, mount_data
from snapfs.light_typing import Final
from snapfs.logs import Log
from snapfs.overlay_format import OVERLAYFS_MAGIC

_LOG: Final = Log(__name__)

# fs/fsopen.c: strndup_user(value, 256), the NUL included.
_STRING_MAX: Final = 255
_INCOMPATIBLE: Final = "work/incompat"


def mount_overlay(overlay: Overlay, target_fd: int, where: str) -> None:
    """Mount ``overlay`` on the open directory ``target_fd``, whose path is ``where``.

    Afterwards it is mounted and, where it has an upperdir, writable; on any error
    nothing is mounted.

    Raises:
        SnapfsError: The narrowest class for what the kernel said.
    """
    doing = f"cannot mount an overlay on {where!r}"
    with _explained(doing):
        layer_by_layer = context.takes_layers()
    if layer_by_layer:
        with detached(overlay, where) as fd, _explained(doing):
            syscalls.move_mount(fd, target_fd)
    else:
        _mount_at_once(overlay, target_fd, where)


@contextlib.contextmanager
def detached(overlay: Overlay, where: str) -> Iterator[int]:
    """Give the descriptor of a new mount that is attached nowhere yet.

    In the end it is closed; if nobody has attached the mount, it is gone then.

    Raises:
        SnapfsError: As for :func:`mount_overlay`, which names ``where`` likewise.
    """
    fd = _create(overlay, where)
    try:
        _check_writable(overlay, os.fstatvfs(fd), where)
        yield fd
    finally:
        # overlayfs holds upperdir "in use" while the descriptor is open.
        os.close(fd)


def _create(overlay: Overlay, where: str) -> int:
    """Create the overlay, attached nowhere; return the mount's descriptor."""
    doing = f"cannot mount an overlay on {where!r}"
    with contextlib.ExitStack() as stack:
        with _explained(doing):
            fd = stack.enter_context(context.overlay_context())
        with _explained(doing, fd):
            syscalls.fsconfig_string(fd, "source", overlay.source)
        for word in (*overlay.words.parameters, *overlay.words.data):
            with _explained(doing, fd, f"option {word!r}"):
                _set_word(fd, word)
        _set_directories(overlay, fd, stack, doing)
        with _refusal_explained(overlay, doing, fd):
            syscalls.fsconfig_create(fd)
            return syscalls.fsmount(fd, overlay.words.attributes)


def _set_directories(
    overlay: Overlay, fd: int, stack: contextlib.ExitStack, doing: str
) -> None:
    userns_fd = None
    if overlay.id_maps:
        with _explained(doing, detail="identity mapping"):
            userns_fd = stack.enter_context(id_map.user_namespace(*overlay.id_maps))
    for key, path in overlay.directories:
        with _explained(doing, fd, f"{_role(key)} {path!r}", overlay):
            if userns_fd is not None and key == "lowerdir+":
                tree = id_map.mapped_clone(path, userns_fd, recursive=False)
                # Open until the overlay has its own clone: closing a detached mount
                # takes it out of its namespace, and then it has no use.
                stack.callback(os.close, tree)
                _set_descriptor(fd, key, tree)
            else:
                _set_directory(fd, key, path)


def _role(key: str) -> str:
    return key.rstrip("+")


def _set_word(fd: int, word: str) -> None:
    name, equals, value = word.partition("=")
    if equals:
        syscalls.fsconfig_string(fd, name, value)
    else:
        syscalls.fsconfig_flag(fd, name)


def _set_directory(fd: int, key: str, path: str) -> None:
    """Name a directory by its path, or open it where the path is too long."""
    # The kernel takes backslashes out of upperdir and workdir, but not out of
    # lowerdir+ (fs/overlayfs/params.c, ovl_mount_dir and ovl_mount_dir_noesc).
    text = path if key == "lowerdir+" else path.replace("\\", "\\\\")
    if len(os.fsencode(text)) <= _STRING_MAX:
        syscalls.fsconfig_string(fd, key, text)
        return
    directory = os.open(path, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        _set_descriptor(fd, key, directory)
    finally:
        os.close(directory)


def _set_descriptor(fd: int, key: str, directory: int) -> None:
    try:
        syscalls.fsconfig_fd(fd, key, directory)
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
        # Before Linux 6.13 only strings are taken; this one leads to the same place.
        context.read_log(fd)
        syscalls.fsconfig_string(fd, key, f"/proc/self/fd/{directory}")


def _mount_at_once(overlay: Overlay, target_fd: int, where: str) -> None:
    """Mount by mount(2), whose data must fit into a page."""
    doing = f"cannot mount an overlay on {where!r}"
    if overlay.id_maps:
        raise UnavailableError(f"{doing}: this kernel takes no identity-mapped layers")
    data = mount_data(overlay)
    if len(data) > syscalls.MOUNT_DATA_MAX:
        raise ResourceExhaustedError(
            f"{doing}: its options take {len(data)} bytes; mount(2) reads only"
            f" {syscalls.MOUNT_DATA_MAX}"
        )
    target = f"/proc/self/fd/{target_fd}"
    with _refusal_explained(overlay, doing):
        syscalls.mount(overlay.source, target, "overlay", overlay.words.flags, data)
    try:
        _check_writable(overlay, os.statvfs(where), where)
    except BaseException:
        undo_mount(where)
        raise


def _check_writable(overlay: Overlay, state: os.statvfs_result, where: str) -> None:
    # Where overlayfs cannot clear workdir/work (content three levels deep, say) it
    # mounts read-only, says so in the kernel's log alone, and reports success.
    if overlay.must_be_writable and state.f_flag & os.ST_RDONLY:
        raise FailedPreconditionError(
            f"the overlay for {where!r} became read-only: the kernel could not clear"
            f" {overlay.workdir + '/work'!r}, or its filesystem is read-only"
        )


@contextlib.contextmanager
def _refusal_explained(
    overlay: Overlay, doing: str, fd: int | None = None
) -> Iterator[None]:
    """Say why the kernel refuses to create the overlay, where that can be found out."""
    marks = os.path.join(overlay.workdir, _INCOMPATIBLE) if overlay.upperdir else ""
    was_volatile = bool(marks) and os.path.lexists(f"{marks}/volatile")
    try:
        yield
    except OSError as error:
        if marks and not was_volatile:
            _remove_volatile_mark(f"{marks}/volatile")
        if error.errno == errno.EINVAL and was_volatile:
            raise FailedPreconditionError(
                f"{doing}: it was mounted volatile before and may have lost data in a"
                f" crash; if it has not, remove {marks + '/volatile'!r}"
            ) from error
        _explain_directories(overlay, error, doing)
        log = "" if fd is None else context.read_log(fd)
        raise translate(error, doing, log) from error


def _remove_volatile_mark(mark: str) -> None:
    """Take away what the kernel leaves when it fails after marking the workdir."""
    try:
        os.unlink(f"{mark}/dirty")
        os.rmdir(mark)
    except FileNotFoundError:
        pass  # it failed before, or the overlay is not volatile
    except OSError:
        _LOG.exception("cannot remove %r; the next mount will be refused", mark)


def _explain_directories(overlay: Overlay, error: OSError, doing: str) -> None:
    for key, path in overlay.directories:
        if error.errno == errno.ENOENT and not os.path.lexists(path):
            raise translate(error, f"{doing}: {_role(key)} {path!r}") from error
        if error.errno in (errno.EINVAL, errno.ENOTDIR) and not os.path.isdir(path):
            raise InvalidArgumentError(
                f"{doing}: {_role(key)} {path!r} is no directory"
            ) from error
    on_overlay = (
        error.errno == errno.EINVAL
        and overlay.upperdir
        and syscalls.statfs_type(overlay.upperdir) == OVERLAYFS_MAGIC
    )
    if on_overlay:
        raise UnavailableError(
            f"{doing}: upperdir {overlay.upperdir!r} lies on an overlay, which the"
            " kernel does not take; put it on another filesystem"
        ) from error


@contextlib.contextmanager
def _explained(
    doing: str, fd: int | None = None, detail: str = "", overlay: Overlay | None = None
) -> Iterator[None]:
    """Translate the error of one step, with the kernel's words from ``fd``."""
    try:
        yield
    except OSError as error:
        if overlay:
            _explain_directories(overlay, error, doing)
        log = "" if fd is None else context.read_log(fd)
        step = f"{doing}: {detail}" if detail else doing
        raise translate(error, step, log) from error
