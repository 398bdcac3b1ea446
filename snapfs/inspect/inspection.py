"""One image under inspection: its layers and the trees they show."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

from snapfs.errors import InvalidArgumentError, NotFoundError
from snapfs.image.resolve import Image
from snapfs.image.source import ImageSource
from snapfs.inspect.contents import Files, LayerContents
from snapfs.inspect.merged import MergedTree, Place
from snapfs.inspect.resolution import resolve
from snapfs.layer.index import LayerIndex
from snapfs.layer.kinds import Kind

_SUGGESTION_LIMIT: Final = 1_000  # difflib takes up to 0.2 ms for each

Body: TypeAlias = tuple[int, int]
"""A layer, from 0, and there the number of a file."""


@dataclass(frozen=True, slots=True)
class Layer:
    """One layer under inspection.

    Attributes:
        number: From 1, the lowest.
        digest: Of the stored blob; "" for a directory.
        diff_id: Of the plain tar; "" for a directory.
        chain_id: Of this layer on all below; "" for a directory.
        size_bytes: Of the stored blob; 0 for a directory.
        command: What made it; the directory's path for a directory.
    """

    number: int
    digest: str
    diff_id: str
    chain_id: str
    size_bytes: int
    command: str
    index: LayerIndex
    contents: LayerContents


class Inspection:
    """The layers of one image, the lowest first.

    Args:
        name: What messages call it.
        layers: The lowest first.
        image: Its documents; None for directories.
        source: Where its blobs are; None for directories.
    """

    def __init__(
        self,
        name: str,
        layers: Sequence[Layer],
        image: Image | None = None,
        source: ImageSource | None = None,
    ) -> None:
        self.name = name
        self.layers = tuple(layers)
        self.image = image
        self.source = source

    def tree(self, *, at: int | None = None, layer: int | None = None) -> MergedTree:
        """Return the merged tree, that of the first ``at`` layers, or one layer's.

        That of one layer shows its whiteouts.

        Raises:
            InvalidArgumentError: There is no layer of that number.
        """
        if layer is not None:
            self._check(layer)
            index = self.layers[layer - 1].index
            return MergedTree([index], layer - 1, shows_whiteouts=True)
        if at is not None:
            self._check(at)
        return MergedTree([layer.index for layer in self.layers[:at]])

    def find(self, tree: MergedTree, path: bytes, *, follows_last: bool) -> Place:
        """Return what ``tree`` shows at ``path``.

        Raises:
            NotFoundError: Nothing; the message says where the path ends.
        """
        found = resolve(tree, path, follows_last=follows_last)
        if found.place is not None:
            return found.place
        wanted, end = _shown(path), _shown(found.path)
        where = "" if wanted == end else f" (it leads to {end})"
        near = self.near(tree, found.path)
        raise NotFoundError(f"{self.name}: no {wanted}{where}: {found.problem}{near}")

    def read(self, tree: MergedTree, place: Place) -> Iterator[bytes]:
        """Yield the content of a file.

        Raises:
            InvalidArgumentError: It is no file.
            NotFoundError: It links to a file that no lower layer has.
        """
        body = tree.body(place)
        if body is None:
            raise NotFoundError(
                f"{self.name}: {_shown(place.path)} links to a file of a lower layer,"
                " and none has it"
            )
        layer, node = body
        index = tree.indexes[layer]
        kind = index.kind(node)
        if kind is not Kind.FILE:
            raise InvalidArgumentError(
                f"{self.name}: {_shown(place.path)} is {kind.words}, not a file"
            )
        contents = self.layers[tree.first + layer].contents
        return contents.read(index.path(node), index.entry(node))

    def digests(self, bodies: Iterable[Body]) -> dict[Body, bytes]:
        """Return the SHA-256 of files; each layer is read in one pass.

        Raises:
            SnapfsError: As :class:`LayerContents` does.
        """
        return dict(
            self._read_all(bodies, lambda contents, files: contents.digests(files))
        )

    def heads(
        self, bodies: Iterable[Body], size_bytes: int
    ) -> Iterator[tuple[Body, bytes]]:
        """Yield how files begin, up to ``size_bytes`` of each, as ``digests``."""
        return self._read_all(
            bodies, lambda contents, files: contents.heads(files, size_bytes)
        )

    def _read_all(
        self,
        bodies: Iterable[Body],
        read: Callable[[LayerContents, Files], Iterable[tuple[int, bytes]]],
    ) -> Iterator[tuple[Body, bytes]]:
        wanted: defaultdict[int, dict[int, list[int]]] = defaultdict(dict)
        for number, node in set(bodies):
            # Names of one file are one body.
            group = self.layers[number].index.groups[node]
            wanted[number].setdefault(-group if group else node, []).append(node)
        for number, groups in sorted(wanted.items()):
            layer = self.layers[number]
            alike = {nodes[0]: nodes for nodes in groups.values()}
            files = {n: (layer.index.path(n), layer.index.entry(n)) for n in alike}
            for node, answer in read(layer.contents, files):
                for name in alike[node]:
                    yield (number, name), answer

    @staticmethod
    def near(tree: MergedTree, path: bytes) -> str:
        """Return a clause with the names nearest to one that is not there, or ""."""
        import difflib

        parent, _, name = path.rpartition(b"/")
        directory = tree.lookup(parent)
        if directory is None or not directory.is_directory:
            return ""
        names = [
            place.path.decode(errors="surrogateescape")
            for place in tree.children(directory)[:_SUGGESTION_LIMIT]
        ]
        wanted = path.decode(errors="surrogateescape")
        near = difflib.get_close_matches(wanted, names, n=3) if name else []
        return (
            f"; did you mean {' or '.join(repr('/' + n) for n in near)}?"
            if near
            else ""
        )

    def _check(self, number: int) -> None:
        if not 1 <= number <= len(self.layers):
            raise InvalidArgumentError(
                f"{self.name} has the layers 1 to {len(self.layers)}; there is no"
                f" layer {number}"
            )


def _shown(path: bytes) -> str:
    return repr("/" + path.decode(errors="surrogateescape").lstrip("/"))
