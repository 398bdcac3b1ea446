"""The command line of ``snapfs-fuse``, as mount.fuse3 and fuse-overlayfs write it."""

from __future__ import annotations

import enum
import os
from collections.abc import Sequence

from snapfs.errors import InvalidArgumentError
from snapfs.fuse.helper.options import apply_options
from snapfs.fuse.mount_config import MountConfig
from snapfs.light_typing import Final

_FLAGS: Final = frozenset(("-f", "-d", "--debug", "-h", "--help", "-V", "--version"))


class Wanted(enum.Enum):
    """What the command line asks for."""

    MOUNT = enum.auto()
    HELP = enum.auto()
    VERSION = enum.auto()


class Arguments:
    """A command line that was read.

    Attributes:
        wanted: What to do; the rest counts only for a mount.
        config: The mount.
        is_foreground: The server stays the caller's child and keeps its output.
    """

    __slots__ = ("config", "is_foreground", "wanted")

    def __init__(self) -> None:
        self.wanted = Wanted.MOUNT
        self.config = MountConfig()
        self.is_foreground = False


def parse(words: Sequence[str]) -> Arguments:
    """Read "[-f] [-d] [-o OPTIONS]... [SOURCE] MOUNTPOINT" in any order.

    Raises:
        InvalidArgumentError: It has another form, or an option is refused; the
            message names the word.
    """
    arguments = Arguments()
    places: list[bytes] = []
    rest = iter(words)
    for word in rest:
        if word == "--":
            places += map(os.fsencode, rest)
        elif word.startswith("-o"):
            text = word[2:] or next(rest, "")
            if not text:
                raise InvalidArgumentError("-o takes a list of options")
            apply_options(arguments.config, os.fsencode(text))
        elif word.startswith("-") and len(word) > 1:
            _apply_flag(arguments, word)
        else:
            places.append(os.fsencode(word))
    # As in libfuse: a trace needs the stream that a server in the background drops.
    arguments.is_foreground |= arguments.config.is_debugging
    if arguments.wanted is Wanted.MOUNT:
        _apply_places(arguments.config, places)
        _check(arguments.config)
    return arguments


def _apply_flag(arguments: Arguments, word: str) -> None:
    if word not in _FLAGS:
        raise InvalidArgumentError(f"unknown option {word!r}; see snapfs-fuse --help")
    if word == "-f":
        arguments.is_foreground = True
    elif word in ("-d", "--debug"):
        arguments.config.is_debugging = True
    elif word in ("-h", "--help"):
        arguments.wanted = Wanted.HELP
    else:
        arguments.wanted = Wanted.VERSION


def _apply_places(config: MountConfig, places: Sequence[bytes]) -> None:
    if len(places) not in (1, 2):
        raise InvalidArgumentError(
            f"{len(places)} places given; it takes [SOURCE] MOUNTPOINT"
        )
    config.mountpoint = places[-1]
    if len(places) == 2 and places[0]:
        config.source = places[0]


def _check(config: MountConfig) -> None:
    if not config.lowerdirs and config.upperdir is None:
        raise InvalidArgumentError("option lowerdir is missing")
    if config.datadirs and not config.lowerdirs:
        raise InvalidArgumentError("option datadir+ takes a lowerdir with it")
    if config.workdir is None and config.upperdir is not None:
        if not config.is_read_only:
            raise InvalidArgumentError("option upperdir takes a workdir with it")
    elif config.workdir is not None and config.upperdir is None:
        raise InvalidArgumentError("option workdir takes an upperdir with it")
    if config.max_bytes and config.mode == "io":
        raise InvalidArgumentError(
            "option max_size goes not with mode=io: the kernel writes files by itself"
            " there, and nobody counts"
        )
