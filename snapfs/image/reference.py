"""SOURCE: how the command line names an image, a tree or a snapshot."""

from __future__ import annotations

import os
from collections.abc import Collection
from typing import Final

from snapfs.errors import InvalidArgumentError, SnapfsError
from snapfs.image.recognise import Scheme, recognise
from snapfs.image.registry.name import RegistryName, parse_name
from snapfs.image.scheme_words import (
    CONTAINERD,
    DOCKER,
    LAYERS,
    SCHEMES,
    SNAPSHOT,
)
from snapfs.image.strict_json import shown
from snapfs.values import dataclass


@dataclass(frozen=True, slots=True)
class FileReference:
    """An image in a file or a directory; ``opening.open_source`` opens it."""

    scheme: Scheme
    path: str
    tag: str = ""

    def __str__(self) -> str:
        """Return the SOURCE; ``parse_source`` reads it back."""
        return f"{self.scheme}:{self.path}" + (f":{self.tag}" if self.tag else "")


@dataclass(frozen=True, slots=True)
class TreeReference:
    """Directories of unpacked layers, the highest first; nothing is to unpack."""

    paths: tuple[str, ...]

    def __str__(self) -> str:
        """Return the SOURCE; ``parse_source`` reads it back."""
        return f"{LAYERS}:{':'.join(p.replace(':', _ESCAPED) for p in self.paths)}"


@dataclass(frozen=True, slots=True)
class RegistryReference:
    """An image in a registry."""

    image: RegistryName

    def __str__(self) -> str:
        """Return the SOURCE; ``parse_source`` reads it back."""
        return f"{DOCKER}{self.image}"


@dataclass(frozen=True, slots=True)
class ContainerdReference:
    """An image by the name that containerd's image store has for it."""

    image: str

    def __str__(self) -> str:
        """Return the SOURCE; ``parse_source`` reads it back."""
        return f"{CONTAINERD}:{self.image}"


@dataclass(frozen=True, slots=True)
class SnapshotReference:
    """A snapshot by its key or name."""

    key: str

    def __str__(self) -> str:
        """Return the SOURCE; ``parse_source`` reads it back."""
        return f"{SNAPSHOT}:{self.key}"


SourceReference = (
    FileReference
    | TreeReference
    | RegistryReference
    | ContainerdReference
    | SnapshotReference
)

# As in overlayfs's lowerdir option, so that no path is beyond naming.
_ESCAPED: Final = "\\:"

_EXAMPLES: Final = "oci:DIR, docker-archive:FILE, docker://NAME or /PATH"


def parse_source(text: str, snapshots: Collection[str] = ()) -> SourceReference:
    """Read a SOURCE; ``snapshots`` are the keys and names that a bare word may be.

    A path, and what follows ``dir:``, is looked at to see what it is.

    Raises:
        InvalidArgumentError: It is no SOURCE; the message has suggestions.
        NotFoundError: It is a path, and nothing is there.
        DataLossError: It is the path of something that is damaged.
        UnimplementedError: It has a digest or a compression that is not ours.
    """
    scheme, colon, rest = text.partition(":")
    is_scheme = text.startswith(DOCKER) or (colon and scheme in SCHEMES)
    if is_scheme and not rest.removeprefix("//"):
        raise InvalidArgumentError(f"{text!r} names nothing after the scheme")
    if text.startswith(DOCKER):
        return RegistryReference(parse_name(text.removeprefix(DOCKER)))
    if is_scheme:
        return _with_scheme(scheme, rest)
    if text.startswith(("/", ".")):
        return _from_path(text)
    if text in snapshots:
        return SnapshotReference(text)
    raise InvalidArgumentError(_unknown(text, snapshots))


def _with_scheme(scheme: str, rest: str) -> SourceReference:
    if scheme == LAYERS:
        return TreeReference(_paths(rest))
    if scheme == CONTAINERD:
        return ContainerdReference(rest)
    if scheme == SNAPSHOT:
        return SnapshotReference(rest)
    if scheme == Scheme.SKOPEO_DIRECTORY:
        # A directory stands for itself here, whatever else it may be.
        is_image = recognise(rest) is Scheme.SKOPEO_DIRECTORY
        return (
            FileReference(Scheme(scheme), rest) if is_image else TreeReference((rest,))
        )
    if scheme == Scheme.TAR:
        return FileReference(Scheme.TAR, rest)
    return FileReference(Scheme(scheme), *_split_tag(rest))


def _split_tag(text: str) -> tuple[str, str]:
    """Split PATH:TAG, where both may hold colons, by what exists."""
    if os.path.lexists(text):
        return text, ""
    position = text.find(":")
    first = position
    while position >= 0:
        if os.path.lexists(text[:position]):
            return text[:position], text[position + 1 :]
        position = text.find(":", position + 1)
    if first < 0:
        return text, ""
    return text[:first], text[first + 1 :]


def _paths(text: str) -> tuple[str, ...]:
    marked = text.replace(_ESCAPED, "\0")
    paths = tuple(path.replace("\0", ":") for path in marked.split(":"))
    if not all(paths):
        raise InvalidArgumentError(f"{LAYERS}:{text} has an empty path")
    return paths


def _from_path(text: str) -> SourceReference:
    path, tag = _split_tag(text)
    form = recognise(path)
    if tag and form in (None, Scheme.TAR):
        raise InvalidArgumentError(
            f"{path!r} is no image with names, so that {shown(tag)} says nothing"
        )
    return TreeReference((path,)) if form is None else FileReference(form, path, tag)


def _unknown(text: str, snapshots: Collection[str]) -> str:
    said = f"{shown(text)} is neither a snapshot nor a SOURCE"
    import difflib  # only for who has made a mistake

    hints = difflib.get_close_matches(text, snapshots, 3)
    scheme, colon, _ = text.partition(":")
    if colon:
        near = difflib.get_close_matches(scheme, SCHEMES, 1)
        hints += [f"{word}:{text.partition(':')[2]}" for word in near]
    if os.path.lexists(text):
        hints.append(f"./{text}")
    try:
        parse_name(text)
    except SnapfsError:
        pass  # then it is not meant as one
    else:
        hints.append(f"{DOCKER}{text}")
    if not hints:
        return f"{said}; write one such as {_EXAMPLES}"
    return f"{said}; did you mean {' or '.join(ascii(h)[1:-1] for h in hints)}?"
