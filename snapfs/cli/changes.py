"""Where the changes of a mounted tree go: a directory of the user's, or a passing one.

A passing one holds a mark, and whoever takes the mount away by ``snapfs umount``
removes it: nothing else is to remember. Its maker keeps the mark locked while it
lives; so ``snapfs cleanup`` knows one that is about to be mounted from one that was
left behind.
"""

from __future__ import annotations

import contextlib
import enum
import fcntl
import itertools
import os
import stat
from collections.abc import Iterator

from snapfs.cli.access import Access
from snapfs.errors import InvalidArgumentError, SnapfsError
from snapfs.light_typing import Final
from snapfs.values import dataclass

_PREFIX: Final = "snapfs-changes-"
_MARK: Final = "removed-by-snapfs-umount"
# Kept on disk, and of any size: /tmp is often neither.
_USUAL_PLACE: Final = "/var/tmp"  # noqa: S108 - mkdtemp(3) makes a private directory


@dataclass(frozen=True, slots=True)
class Changes:
    """A directory for changes, with ``fs`` and ``work`` in it.

    Attributes:
        directory: Where it is, absolute.
        is_temporary: Whether it goes with the mount.
        lock_fd: What keeps a temporary one from ``cleanup`` while its maker lives; -1
            for none. Never closed but by :meth:`discard`: it ends with the process.
    """

    directory: str
    is_temporary: bool
    lock_fd: int = -1

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
        if self.lock_fd >= 0:
            os.close(self.lock_fd)


@contextlib.contextmanager
def changes_for(access: Access, what: str, top: str) -> Iterator[Changes]:
    """Yield where the changes of ``what`` go, made.

    A new one gets the attributes of ``top``, the highest directory below: it is the
    root that is seen. After the block, in which drivers may try out what the directory
    can hold. On an error there a temporary one is removed again.

    Raises:
        InvalidArgumentError: They must be kept, and nobody says where.
    """
    if access.upper:
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
        made = new_temporary()
        try:
            _make(made)
            yield made
            _dress(made, top)
        except BaseException:
            made.discard()
            raise


def new_temporary() -> Changes:
    """Make a temporary directory for changes, still without ``fs`` and ``work``."""
    import tempfile  # most commands change nothing

    place = os.environ.get("TMPDIR") or _USUAL_PLACE
    if not os.access(place, os.W_OK | os.X_OK):
        place = tempfile.gettempdir()
    boot = _boot()
    for found in _marked(place):
        if _state(found, boot) is _State.EARLIER:
            found.discard()
    made = tempfile.mkdtemp(prefix=_PREFIX, dir=place)
    mark = os.path.join(made, _MARK)
    lock_fd = os.open(
        f"{mark}.new", os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    )
    fcntl.flock(lock_fd, fcntl.LOCK_EX)
    os.write(lock_fd, boot.encode())
    os.rename(f"{mark}.new", mark)  # nobody must find it empty, or free
    return Changes(os.path.realpath(made), is_temporary=True, lock_fd=lock_fd)


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


def left_changes() -> Iterator[tuple[Changes, str]]:
    """Yield this user's temporary directories that no mount needs, and why.

    They are looked for where they are made: in ``$TMPDIR``, ``/var/tmp`` and ``/tmp``.
    Left behind are those of mounts that ended with the host, or by another umount than
    ours, and of commands that were killed.
    """
    import tempfile

    from snapfs.assembly.upper_use import is_upper_used

    usual = (os.environ.get("TMPDIR"), _USUAL_PLACE, tempfile.gettempdir())
    places = {os.path.realpath(place) for place in usual if place}
    for found in itertools.chain.from_iterable(map(_marked, sorted(places))):
        state = _state(found, _boot())
        if state is _State.EARLIER:
            yield found, "changes of a mount that ended with an earlier boot"
        elif state is _State.LEFT and not is_upper_used(found.upperdir, found.workdir):
            yield found, "changes of a mount that is gone without 'snapfs umount'"


class _State(enum.Enum):
    EARLIER = "of an earlier boot"
    MADE = "its maker is at work"
    LEFT = "its maker has ended"
    GONE = "removed by now"


def _state(changes: Changes, boot: str) -> _State:
    try:
        with open(os.path.join(changes.directory, _MARK), encoding="ascii") as mark:
            if mark.read() != boot:
                return _State.EARLIER
            fcntl.flock(mark, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return _State.GONE
    except BlockingIOError:
        return _State.MADE
    return _State.LEFT


def _marked(place: str) -> list[Changes]:
    """Return this user's temporary directories in ``place``."""
    try:
        names = sorted(os.listdir(place))
    except OSError:  # not there, or not ours to list
        return []
    found = (temporary_changes(os.path.join(place, name, "fs")) for name in names)
    return [each for each in found if each is not None]


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
