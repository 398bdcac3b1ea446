"""The user of a container by name, as the tree's own ``/etc/passwd`` has it.

The rules are those of the OCI image specification (``config.md``, "User") and of
runc's ``libcontainer/user``: a name or a number, a group likewise; without a group the
user's own, and all that list the user as a member.
"""

from __future__ import annotations

import dataclasses
import os
import stat
from collections.abc import Iterator
from typing import Final

import click

from snapfs.errors import NotFoundError
from snapfs.file_syscalls import open_in_root

_LIMIT_BYTES: Final = 16 << 20  # of a file that an image brings
_LAST_ID: Final = (1 << 31) - 1
_ID_DIGITS: Final = 10


@dataclasses.dataclass(frozen=True, slots=True)
class ContainerUser:
    """Who a container runs as.

    Attributes:
        uid: The user.
        gid: Its group.
        groups: Further groups.
    """

    uid: int = 0
    gid: int = 0
    groups: tuple[int, ...] = ()


def check_user(text: str) -> None:
    """Refuse what is no ``USER[:GROUP]``, each a name or a number.

    Raises:
        click.BadParameter: It is none.
    """
    user, colon, group = text.partition(":")
    if text and not all(map(_is_word, (user, group) if colon else (user,))):
        raise click.BadParameter(f"{text!r} is not of the form USER[:GROUP]")


def _is_number(text: str) -> bool:
    """Whether the kernel has such numbers; int() refuses thousands of digits."""
    return text.isascii() and text.isdecimal() and len(text) <= _ID_DIGITS


def _is_word(text: str) -> bool:
    if text.isdecimal():
        return _is_number(text) and int(text) <= _LAST_ID
    return bool(text) and not text.startswith("-") and ":" not in text


def find_user(rootfs: str, text: str) -> ContainerUser:
    """Return who ``text`` is in the tree at ``rootfs``; "" is root.

    No symbolic link in the tree leads out of it.

    Raises:
        NotFoundError: The tree has no user or group of that name.
        OSError: One of its files cannot be read.
    """
    if not text:
        return ContainerUser()
    name, _, group = text.partition(":")
    root_fd = os.open(rootfs, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        users = list(_fields(root_fd, "passwd", 4))
        groups = list(_fields(root_fd, "group", 3))
    finally:
        os.close(root_fd)
    login, uid, gid = _user(users, name)
    if group:
        return ContainerUser(uid, _group(groups, group))
    further = (
        int(item[2])
        for item in groups
        if login and len(item) > 3 and login in item[3].split(",")
    )
    return ContainerUser(uid, gid, tuple(sorted({*further} - {gid})))


def _user(users: list[list[str]], name: str) -> tuple[str, int, int]:
    """Return the name, number and group; a number need not be listed."""
    for item in users:
        if name in (item[0], item[2]):
            return item[0], int(item[2]), int(item[3])
    if _is_number(name):
        return "", int(name), 0
    raise NotFoundError(f"the tree has no user {name!r} in its /etc/passwd")


def _group(groups: list[list[str]], name: str) -> int:
    for item in groups:
        if name in (item[0], item[2]):
            return int(item[2])
    if _is_number(name):
        return int(name)
    raise NotFoundError(f"the tree has no group {name!r} in its /etc/group")


def _fields(root_fd: int, name: str, least: int) -> Iterator[list[str]]:
    """Yield the fields of each line that has the numbers it must have."""
    try:
        fd = open_in_root(
            root_fd, b"etc/" + os.fsencode(name), os.O_RDONLY | os.O_NONBLOCK
        )
    except (FileNotFoundError, NotADirectoryError):
        return
    with open(fd, "rb") as file:
        is_file = stat.S_ISREG(os.fstat(fd).st_mode)
        content = file.read(_LIMIT_BYTES) if is_file else b""
    for line in os.fsdecode(content).splitlines():
        fields = line.strip().split(":")
        if len(fields) >= least and all(map(_is_number, fields[2:least])):
            yield fields
