"""Which file a hard link of a layer means.

Its link name is a path from the layer's root (image-spec layer.md, "Hardlinks"), also
where it begins with a slash, as kaniko writes it. Directories on the way are resolved
as for any entry; a symlink at its end is not followed: link(2) names the symlink
itself. What this layer does not have at that moment is a lower layer's file.
"""

from __future__ import annotations

from snapfs.errors import UnimplementedError, UnsafeLayerError
from snapfs.layer.admission import ROOT
from snapfs.layer.kinds import Kind
from snapfs.layer.nodes import Nodes
from snapfs.layer.paths import AUFS_PREFIX, OPAQUE_NAME, WHITEOUT_PREFIX
from snapfs.layer.resolve import Resolver
from snapfs.tar.member import Member, shown


def link_target(
    member: Member, parts: list[bytes], resolver: Resolver, nodes: Nodes
) -> int | bytes:
    """Return the living name that a hard link means, or its path in a lower layer.

    ``parts`` is its link name.

    Raises:
        UnsafeLayerError: It means a directory, a whiteout, or something below a file.
        UnimplementedError: It leads into the pool of AUFS, whose files are no part of
            the image.
    """
    if any(part.startswith(AUFS_PREFIX) and part != OPAQUE_NAME for part in parts):
        raise UnimplementedError(
            f"hard link {shown(member.name)} leads into the pool of AUFS:"
            f" {shown(member.link_name)}"
        )
    if not parts:
        raise _bad_target(member, "the root of the layer")
    *directories, leaf = parts
    if leaf.startswith(WHITEOUT_PREFIX):
        raise _bad_target(member, "a whiteout")
    place = resolver.directory(directories, member.link_name)
    target = resolver.leaf(place, leaf)
    if not target:
        return resolver.path(place, leaf)
    if nodes.kinds[target] == Kind.DIRECTORY:
        raise _bad_target(member, "a directory")
    return target


def check_link(
    member: Member, parent: int, leaf: bytes, target: int | bytes, nodes: Nodes
) -> None:
    """Refuse a link to itself, and one whose target goes as it comes.

    Raises:
        UnsafeLayerError: It is one of those.
    """
    old = nodes.find(parent, leaf)
    if isinstance(target, bytes):
        path = nodes.path(parent)
        is_itself = target == (path + b"/" + leaf if path else leaf)
    else:
        is_itself = target == old
        while old and target not in (ROOT, old):
            target = nodes.parents[target]
        if old and target == old and not is_itself:
            raise UnsafeLayerError(
                f"hard link {shown(member.name)} replaces the directory that holds its"
                f" target {shown(member.link_name)}"
            )
    if is_itself:
        raise UnsafeLayerError(f"hard link {shown(member.name)} links to itself")


def _bad_target(member: Member, what: str) -> UnsafeLayerError:
    return UnsafeLayerError(
        f"hard link {shown(member.name)} links to {shown(member.link_name)}, {what}"
    )
