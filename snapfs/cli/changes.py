"""Where the changes of a mounted tree go: a directory of the user's, or a passing one.

A passing one holds a mark, and whoever takes the mount away by ``snapfs umount``
removes it: nothing else is to remember.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import stat
import tempfile
from collections.abc import Iterator
from typing import Final

from snapfs.cli.access import Access
from snapfs.errors import InvalidArgumentError, SnapfsError

_PREFIX: Final = "snapfs-changes-"
_MARK: Final = "removed-by-snapfs-umount"
# Kept on disk, and of any size: /tmp is often neither.
_USUAL_PLACE: Final = "/var/tmp"  # noqa: S108 - mkdtemp(3) makes a private directory


@dataclasses.dataclass(frozen=True, slots=True)
class Changes:
    """A directory for changes, with ``fs`` and ``work`` in it.

    Attributes:
        directory: Where it is, absolute.
        is_temporary: Whether it goes with the mount.
    """

    directory: str
    is_temporary: bool

    @property
    def upperdir(self) -> str:
        """Where overlayfs puts what is changed."""
        return os.path.join(self.directory, "fs")

    @property
    def workdir(self) -> str:
        """What overlayfs needs beside it."""
        return os.path.join(self.directory, "work")

    def told(self, end: str) -> str:
        """Return a clause for the user; ``end`` is what takes the mount away."""
        if self.is_temporary:
            return f"in {self.upperdir}, gone after {end}"
        return f"in {self.upperdir}"

    def discard(self) -> None:
        """Remove a temporary directory, with all that was changed.

        Raises:
            SnapfsError: Something of it stays.
        """
        if self.is_temporary:
            remove_temporary(self.directory)


@contextlib.contextmanager
def changes_for(access: Access, what: str, top: str) -> Iterator[Changes | None]:
    """Yield where the changes of ``what`` go, made; None if it takes none.

    A new one gets the attributes of ``top``, the highest directory below: it is the
    root that is seen. After the block, in which drivers may try out what the directory
    can hold. On an error there a temporary one is removed again.

    Raises:
        InvalidArgumentError: They must be kept, and nobody says where.
    """
    if not access.is_writable:
        yield None
    elif access.upper:
        os.makedirs(access.upper, mode=0o700, exist_ok=True)
        made = Changes(access.upper, is_temporary=False)
        is_new = _make(made)
        yield made
        if is_new:
            _dress(made, top)
    elif access.is_kept:
        raise InvalidArgumentError(
            f"{what!r} never changes itself; '--upper DIR' keeps the changes in DIR"
        )
    else:
        made = Changes(_temporary(), is_temporary=True)
        try:
            _make(made)
            yield made
            _dress(made, top)
        except BaseException:
            made.discard()
            raise


def temporary_changes(upperdir: str) -> Changes | None:
    """Return the temporary directory that ``upperdir`` belongs to, if it does.

    Only this user's own: the path may be anybody's word.
    """
    directory, name = os.path.split(upperdir)
    if name != "fs" or not os.path.basename(directory).startswith(_PREFIX):
        return None
    for path, is_kind in (
        (directory, stat.S_ISDIR),
        (os.path.join(directory, _MARK), stat.S_ISREG),
    ):
        try:
            status = os.lstat(path)
        except OSError:
            return None
        if status.st_uid != os.geteuid() or not is_kind(status.st_mode):
            return None
    return Changes(directory, is_temporary=True)


def remove_temporary(directory: str) -> None:
    """Remove a directory tree, whatever its modes; it may be gone already.

    Raises:
        SnapfsError: Something of it stays.
    """
    from snapfs.worker.removal import remove_trees

    above, name = os.path.split(directory)
    (removal,) = remove_trees(above, [name], measured=False)
    if removal.error is not None:
        raise SnapfsError(
            f"cannot remove the temporary directory {directory!r}:"
            f" {removal.error.strerror}: {removal.error.filename!r}"
        ) from removal.error


def _temporary() -> str:
    place = os.environ.get("TMPDIR") or _USUAL_PLACE
    if not os.access(place, os.W_OK | os.X_OK):
        place = tempfile.gettempdir()
    boot = _boot()
    _sweep(place, boot)
    made = tempfile.mkdtemp(prefix=_PREFIX, dir=place)
    mark = os.path.join(made, _MARK)
    with open(f"{mark}.new", "x", encoding="ascii") as file:
        file.write(boot)
    os.rename(f"{mark}.new", mark)  # no sweep must find it empty
    return os.path.realpath(made)


def _sweep(place: str, boot: str) -> None:
    """Remove this user's directories of mounts that ended with an earlier boot."""
    for name in os.listdir(place):
        found = temporary_changes(os.path.join(place, name, "fs"))
        if found is None:
            continue
        try:
            with open(os.path.join(found.directory, _MARK), encoding="ascii") as mark:
                is_of_now = mark.read() == boot
        except FileNotFoundError:
            continue  # another sweep, or its umount, was faster
        if not is_of_now:
            found.discard()


def _boot() -> str:
    """Return what the kernel calls its run since the host was started (random(4))."""
    with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
        return file.read().strip()


def _make(changes: Changes) -> bool:
    """Make ``fs`` and ``work``, with containerd's modes; return whether ``fs`` is new.

    What is there is left as it is.
    """
    is_new = not os.path.isdir(changes.upperdir)
    for path, mode in ((changes.upperdir, 0o755), (changes.workdir, 0o711)):
        if not os.path.isdir(path):
            os.mkdir(path)
            os.chmod(path, mode)  # whatever the umask
    return is_new


def _dress(changes: Changes, top: str) -> None:
    """Give ``fs`` the owner, mode and times of ``top``."""
    try:
        root = os.stat(top)
    except FileNotFoundError:
        return  # the mount will say so
    with contextlib.suppress(PermissionError):  # without root all is the user's anyway
        os.chown(changes.upperdir, root.st_uid, root.st_gid)
    os.chmod(changes.upperdir, stat.S_IMODE(root.st_mode))
    os.utime(changes.upperdir, ns=(root.st_atime_ns, root.st_mtime_ns))
