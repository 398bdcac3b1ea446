"""What a layer left on disk, in words."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from snapfs.overlay_format import XattrPrefix

_FLAGS: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_SHOWN_BYTES: Final = 40
_USUAL: Final = {stat.S_IFDIR: 0o755, stat.S_IFLNK: 0o777}
_WORDS: Final = {
    stat.S_IFDIR: "directory",
    stat.S_IFREG: "file",
    stat.S_IFLNK: "symlink",
    stat.S_IFIFO: "fifo",
}


@dataclass(frozen=True, slots=True)
class Found:
    """One object of a layer's directory."""

    status: os.stat_result
    content: bytes
    xattrs: dict[bytes, bytes]

    @property
    def kind(self) -> int:
        """Return the type bits of the mode."""
        return stat.S_IFMT(self.status.st_mode)

    @property
    def mode(self) -> int:
        """Return the permission bits."""
        return stat.S_IMODE(self.status.st_mode)

    @property
    def is_whiteout(self) -> bool:
        """Whether overlayfs takes it for a whiteout."""
        return self.kind == stat.S_IFCHR and not self.status.st_rdev


def found_below(root: int) -> dict[bytes, Found]:
    """Return all objects of an open directory by their paths, itself as b""."""
    found = {b"": Found(os.fstat(root), b"", _xattrs(root, b"."))}
    for path, directory, name in _walk(root):
        status = os.stat(name, dir_fd=directory, follow_symlinks=False)
        content = b""
        if stat.S_ISLNK(status.st_mode):
            content = os.readlink(name, dir_fd=directory)
        elif stat.S_ISREG(status.st_mode):
            content = _head(name, directory)
        found[path] = Found(status, content, _xattrs(directory, name))
    return found


def _walk(root: int) -> Iterator[tuple[bytes, int, bytes]]:
    """Yield path, directory and name of all; one descriptor is open, at any depth."""
    at = os.open(b".", _FLAGS, dir_fd=root)
    try:
        pending = [(b"", iter(sorted(map(os.fsencode, os.listdir(at)))))]
        while pending:
            prefix, names = pending[-1]
            name = next(names, None)
            if name is None:
                pending.pop()
                if pending:
                    at = _moved(at, b"..")
                continue
            yield prefix + name, at, name
            if stat.S_ISDIR(os.stat(name, dir_fd=at, follow_symlinks=False).st_mode):
                at = _moved(at, name)
                names = iter(sorted(map(os.fsencode, os.listdir(at))))
                pending.append((prefix + name + b"/", names))
    finally:
        os.close(at)


def _moved(at: int, name: bytes) -> int:
    fd = os.open(name, _FLAGS, dir_fd=at)
    os.close(at)
    return fd


def _head(name: bytes, directory: int) -> bytes:
    fd = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=directory)
    with open(fd, "rb") as stream:
        return stream.read(_SHOWN_BYTES + 1)


def _xattrs(directory: int, name: bytes) -> dict[bytes, bytes]:
    path = b"/proc/self/fd/%d/%s" % (directory, name)
    return {
        os.fsencode(key): os.getxattr(path, key, follow_symlinks=False)
        for key in os.listxattr(path, follow_symlinks=False)
    }


def in_words(found: dict[bytes, Found], prefix: XattrPrefix) -> dict[str, str]:
    """Return each path with what is there, what is usual left out.

    Usual are 0755 of directories and 0644 of all else, the owner 0:0 or the caller's,
    and no xattrs. The root is shown if it is not usual; of several names of one file
    all but the first show which that is: ``=path``.
    """
    first: dict[int, bytes] = {}
    words = {}
    for path, item in found.items():
        text = "whiteout" if item.is_whiteout else _text(item, prefix)
        name = os.fsdecode(path) or "."
        if item.kind != stat.S_IFDIR and item.status.st_nlink > 1:
            original = first.setdefault(item.status.st_ino, path)
            text += "" if original == path else f" ={os.fsdecode(original)}"
        words[name] = text
    if words["."] == "directory":
        del words["."]
    return words


def _text(item: Found, prefix: XattrPrefix) -> str:
    status = item.status
    words = [_WORDS.get(item.kind, "")]
    if item.kind in (stat.S_IFCHR, stat.S_IFBLK):
        kind = "char" if item.kind == stat.S_IFCHR else "block"
        major, minor = os.major(status.st_rdev), os.minor(status.st_rdev)
        words = [f"{kind} {major}:{minor}"]
    elif item.kind == stat.S_IFREG and len(item.content) > _SHOWN_BYTES:
        words.append(f"of {status.st_size} bytes")
    elif item.content:
        words.append(os.fsdecode(item.content))
    if item.mode != _USUAL.get(item.kind, 0o644):
        words.append(f"{item.mode:04o}")
    if (status.st_uid, status.st_gid) not in ((0, 0), (os.geteuid(), os.getegid())):
        words.append(f"{status.st_uid}:{status.st_gid}")
    private = os.fsencode(prefix.attribute(""))
    for key, value in sorted(item.xattrs.items()):
        shown = b"overlay:" + key.removeprefix(private) if private in key else key
        words.append(f"{os.fsdecode(shown)}={os.fsdecode(value)}")
    return " ".join(words)
