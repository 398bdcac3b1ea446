"""Identity-mapped mounts: a user namespace to map by, and mapped bind mounts.

The words are containerd's: ``uidmap=`` and ``gidmap=`` with the value of a mapping
label (``core/mount/mount_idmapped_linux.go``). Mapped clones are never attached
anywhere, so there is nothing to unmount.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping

from snapfs import syscalls
from snapfs.errors import InvalidArgumentError, UnavailableError
from snapfs.overlay_format import parse_id_mappings


def pair(values: Mapping[str, str]) -> tuple[str, str] | None:
    """Return the two mappings among the words of a mount; None if there are none.

    Raises:
        InvalidArgumentError: Only one is given, or one cannot be read.
    """
    uid_map, gid_map = values.get("uidmap"), values.get("gidmap")
    if uid_map is None and gid_map is None:
        return None
    if uid_map is None or gid_map is None:
        raise InvalidArgumentError("uidmap and gidmap go together")
    for text in (uid_map, gid_map):
        parse_id_mappings(text)
    return uid_map, gid_map


@contextlib.contextmanager
def user_namespace(uid_map: str, gid_map: str) -> Iterator[int]:
    """Give the descriptor of a user namespace with these mappings.

    A namespace is made by a process that enters it; it is a child, since a process
    with threads cannot. The descriptor keeps the namespace when the child has ended.

    Raises:
        OSError: The kernel refuses the namespace or the mappings.
        UnavailableError: The program ``unshare`` is missing or fails.
    """
    import subprocess  # here, since few mounts need it and each pays for an import

    # cat answers only once unshare(1) is in the namespace and has become cat.
    try:
        child = subprocess.Popen(
            ["unshare", "--user", "--", "cat"],  # noqa: S607 - from util-linux, in PATH
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
    except FileNotFoundError as error:
        raise UnavailableError("identity mapping needs the program unshare") from error
    with child:
        assert child.stdin is not None
        assert child.stdout is not None
        with contextlib.suppress(BrokenPipeError):  # it failed; the answer says so
            child.stdin.write(b"\n")
            child.stdin.flush()
        if child.stdout.readline() != b"\n":
            raise UnavailableError("this host allows no user namespace to map by")
        for name, text in (("uid_map", uid_map), ("gid_map", gid_map)):
            _write_map(f"/proc/{child.pid}/{name}", text)
        fd = os.open(f"/proc/{child.pid}/ns/user", os.O_RDONLY | os.O_CLOEXEC)
    try:
        yield fd
    finally:
        os.close(fd)


def _write_map(path: str, text: str) -> None:
    lines = [
        f"{mapping.container_id} {mapping.host_id} {mapping.size}\n"
        for mapping in parse_id_mappings(text)
    ]
    fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(fd, "".join(lines).encode())  # the kernel takes one write only
    finally:
        os.close(fd)


def mapped_clone(path: str, userns_fd: int, *, recursive: bool) -> int:
    """Make a detached, identity-mapped bind mount of ``path``; return its descriptor.

    Raises:
        OSError: EINVAL where the filesystem cannot be mapped (Linux < 5.12, FUSE).
    """
    tree = syscalls.clone_tree(path, recursive=recursive)
    try:
        syscalls.mount_setattr(
            tree,
            set_=syscalls.MOUNT_ATTR_IDMAP,
            recursive=recursive,
            userns_fd=userns_fd,
        )
    except BaseException:
        os.close(tree)
        raise
    return tree
