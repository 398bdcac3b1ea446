"""``snapfs-fuse``: mount a union and return once it is live.

The mount is served by a process of its own, which holds nothing of the caller's:
no terminal, no working directory and none of the standard streams, since whoever
collects the output of a mount command (containerd does) waits for their end.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from types import MappingProxyType

from snapfs import errors
from snapfs.fuse import handover
from snapfs.fuse.helper.arguments import Arguments, Wanted, parse
from snapfs.fuse.mount_config import MountConfig
from snapfs.fuse.serving import go_on, serve_mount
from snapfs.light_typing import Final, TextIO

_USAGE: Final = """\
usage: snapfs-fuse [-f] [-d] [-o OPTIONS] [SOURCE] MOUNTPOINT

Mount directories as one tree, in overlayfs's format. Returns once it is live.

  -f             stay in the foreground
  -d, -o debug   stay in the foreground and trace each message
  -h, -V         show this, or the version

options (a backslash makes a comma or colon part of a directory's name):
  lowerdir=A:B[::C]        what is merged, highest first; then layers of data only
  upperdir=U,workdir=W     what takes the changes; without them it is read-only
  ro, rw                   refuse changes although there is an upperdir; or not
  volatile, fsync=0        never sync: after a crash of the host the upper is void
  mode=auto|fast|io        fast: opens cost nothing; io: the kernel moves the data
  redirect_dir=on|off|follow|nofollow
  userxattr, xattr_prefix=trusted|user
                           where the marks of overlayfs are kept
  uidmapping, gidmapping=HOST:CONTAINER:SIZE[:...]
  squash_to_root, squash_to_uid=N, squash_to_gid=N
  noacl, noxattrs, static_nlink, xino=off|auto|on
  provenance               unlisted attributes user.snapfs.* name a file's layer
  timeout=SECONDS          how long names and attributes are kept; default endless
  max_write=BYTES          the most that one message writes
  allow_other, default_permissions, suid, dev, exec, atime, ... and their opposites

example:
  snapfs-fuse -o lowerdir=/l2:/l1,upperdir=/u,workdir=/w overlay /mnt
"""

_DONE: Final = 0
_FAILED: Final = 1
# As snapfs itself ends; see the table of exit codes of the command line.
_EXIT_CODES: Final[Mapping[type[BaseException], int]] = MappingProxyType(
    {
        errors.InvalidArgumentError: 2,
        errors.NotFoundError: 3,
        errors.AlreadyExistsError: 4,
        errors.FailedPreconditionError: 5,
        errors.UnavailableError: 6,
        errors.UnimplementedError: 6,
        errors.DataLossError: 7,
        FileNotFoundError: 3,
        FileExistsError: 4,
        KeyboardInterrupt: 130,  # 128 + SIGINT, as shells report it
    }
)


def main() -> int:
    """Run the program on ``sys.argv``; return its exit status."""
    _open_missing_streams()
    words = sys.argv[1:]
    told = None
    if handover.OPTION in words[-2:-1]:
        words, told = words[:-2], words[-1]
    try:
        arguments = parse(words)
    except errors.InvalidArgumentError as error:
        return _complain(*_verdict(error))
    if arguments.wanted is Wanted.HELP:
        sys.stdout.write(_USAGE)
        return _DONE
    if arguments.wanted is Wanted.VERSION:
        # The top package is loaded; naming it here would be an import that points up.
        version = sys.modules["snapfs"].__version__
        sys.stdout.write(f"snapfs-fuse {version}\n")
        return _DONE
    if told is not None:
        return _go_on(arguments.config, told)
    if arguments.is_foreground:
        return _serve(arguments.config, lambda: None, _complain)
    return _serve_in_background(arguments)


def _open_missing_streams() -> None:
    """Have no other file take the numbers of streams that the caller has closed.

    The device would, and end with the streams.
    """
    for stream in (0, 1, 2):
        try:
            os.fstat(stream)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest free number
    # A stream that was closed is None; then there is nobody to be told.
    sys.stdout = sys.stdout or _to_nobody()
    sys.stderr = sys.stderr or _to_nobody()


def _to_nobody() -> TextIO:
    return open(os.devnull, "w", encoding="utf-8")


def _go_on(config: MountConfig, word: str) -> int:
    if handover.is_question(word):
        return _DONE if handover.is_understood(word) else _FAILED
    return _DONE if go_on(config, word, say=_say) else _FAILED


def _serve(
    config: MountConfig,
    on_ready: Callable[[], None],
    complain: Callable[[int, str], int],
) -> int:
    try:
        is_well = serve_mount(config, on_ready=on_ready, say=_say)
    except (errors.SnapfsError, OSError, KeyboardInterrupt) as error:
        return complain(*_verdict(error))
    return _DONE if is_well else _FAILED


def _say(text: str) -> None:
    """Tell the log, and a terminal, what happens to a live mount."""
    import syslog  # only now: a mount to which nothing happens need not load it

    syslog.openlog("snapfs-fuse", syslog.LOG_PID, syslog.LOG_DAEMON)
    for line in text.splitlines():
        syslog.syslog(syslog.LOG_ERR, line)
    sys.stderr.write(f"snapfs-fuse: {text}\n")


def _serve_in_background(arguments: Arguments) -> int:
    """Start the server; return when it is live, or with what kept it from that."""
    reader, writer = os.pipe()
    if os.fork() == 0:
        os.close(reader)
        # A child never returns: above are the caller's own clean-ups.
        os._exit(_be_the_server(arguments.config, writer))
    os.close(writer)
    with open(reader, "rb") as report:
        found = report.read()
    if not found:
        return _complain(_FAILED, "the server ended before the mount was live")
    if found[0]:
        return _complain(found[0], os.fsdecode(found[1:]))
    # Nothing is open and nothing to be written: spare the caller the 10 ms in which
    # the interpreter takes itself apart.
    os._exit(_DONE)


def _be_the_server(config: MountConfig, report: int) -> int:
    os.setsid()

    def tell(status: int, text: str) -> int:
        os.write(report, bytes((status,)) + os.fsencode(text))
        return status

    def on_ready() -> None:
        os.chdir("/")
        _drop_streams()
        tell(_DONE, "")
        os.close(report)

    return _serve(config, on_ready, tell)


def _drop_streams() -> None:
    nothing = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
    for stream in (0, 1, 2):
        os.dup2(nothing, stream)
    os.close(nothing)


def _verdict(error: BaseException) -> tuple[int, str]:
    """Return the exit status and the one line for ``error``."""
    status = next(
        (_EXIT_CODES[base] for base in type(error).__mro__ if base in _EXIT_CODES),
        _FAILED,
    )
    if isinstance(error, KeyboardInterrupt):
        return status, "interrupted"
    if isinstance(error, OSError) and error.filename is not None:
        name = os.fsdecode(error.filename)
        return status, f"{name}: {error.strerror}"
    return status, str(error)


def _complain(status: int, text: str) -> int:
    sys.stderr.write(f"snapfs-fuse: {text}\n")
    return status
