"""What a layer takes from the layers below it, once those are there.

Implied directories look like the merged directory of their path, as if they had been
copied up; links to files that only lower layers have become copies of those files.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from snapfs.errors import UnimplementedError, UnsafeLayerError
from snapfs.layer.admission import ROOT
from snapfs.layer.copying import copy_object
from snapfs.layer.entry_errors import entry_error
from snapfs.layer.form import OverlayForm
from snapfs.layer.kinds import Flag
from snapfs.layer.lower import LowerAttributes, lower_attributes, lower_object
from snapfs.layer.lower_needs import LowerNeeds
from snapfs.layer.places import opened_below, unlocked
from snapfs.layer.raw_attributes import set_raw_attributes
from snapfs.layer.tree import LayerTree
from snapfs.tar.member import shown


@dataclass(frozen=True, slots=True)
class ImpliedAttributes:
    """What the layers below say of the directories that a layer only implies.

    Attributes:
        by_path: Of each path its attributes, None where nothing is below.
    """

    by_path: Mapping[bytes, LowerAttributes | None]

    @property
    def key(self) -> str:
        """A digest that is equal for equal attributes of the same paths.

        An applied layer serves on other lower layers too if they give the same key.
        """
        digest = hashlib.sha256()
        for path, found in sorted(self.by_path.items()):
            digest.update(b"%d:%s" % (len(path), path))
            if found is None:
                digest.update(b"-")
                continue
            numbers = (found.mode, found.uid, found.gid, found.mtime_ns)
            digest.update(repr((numbers, sorted(found.xattrs.items()))).encode())
        return digest.hexdigest()


def lower_needs(tree: LayerTree) -> LowerNeeds:
    """Return what an applied layer needs from the ones below it.

    An implied directory that is opaque hides what the lower ones of its path hold, and
    looks like them all the same; below it, and where a whiteout has hidden the path
    itself, there is nothing to look like.
    """
    settlement = tree.settle()
    links = tuple((tree.path_of(k.node), k.target) for k in settlement.lower_links)
    if settlement.root_opaque:
        implied = tuple(b"" for node in settlement.implied if node == ROOT)
        return LowerNeeds(implied, links, root_opaque=True)
    opaque = set(settlement.opaque)
    shows: dict[int, bool] = {ROOT: True}
    # Parents first: a directory's node is older than those of what it holds.
    for node in sorted((*settlement.directories, *settlement.implied)):
        shows[node] = shows[tree.parent_of(node)] and node not in opaque
    flags = tree.nodes.flags
    implied = tuple(
        tree.path_of(node)
        for node in settlement.implied
        if shows[tree.parent_of(node)] and not flags[node] & Flag.RENEWED
    )
    hides = bool(settlement.whiteouts or settlement.opaque)
    return LowerNeeds(implied, links, hides=hides)


def implied_attributes(
    paths: Iterable[bytes], lowers: Sequence[int], form: OverlayForm
) -> ImpliedAttributes:
    """Look up what the merged view of ``lowers``, highest first, has at ``paths``.

    Raises:
        SnapfsError: A lower layer cannot be read.
    """
    found: dict[bytes, LowerAttributes | None] = {}
    for path in paths:
        try:
            with lower_object(path, lowers, form) as below:
                is_there = below is not None and stat.S_ISDIR(below.status.st_mode)
                found[path] = (
                    lower_attributes(below, form) if below and is_there else None
                )
        except OSError as error:
            raise entry_error(path, error, "read it in a lower layer") from error
    return ImpliedAttributes(found)


def settle_with_lower(
    staging: int,
    needs: LowerNeeds,
    lowers: Sequence[int],
    form: OverlayForm,
    *,
    keep_owners: bool = True,
) -> str | None:
    """Finish an applied layer with what only the layers below can tell.

    ``lowers`` are open directories in overlayfs form, highest first, none of them
    below an opaque root. To be done once, and nobody else may write to ``staging``.

    Returns:
        The key of :class:`ImpliedAttributes`; None if the layer holds copies of
        lower files, and so belongs to these lower layers alone.

    Raises:
        UnsafeLayerError: A link leads to a file that is nowhere.
        UnimplementedError: It leads to a device.
        SnapfsError: From the disk; the message names the entry.
    """
    # What an opaque root hides can be no target, but the root is as the one below.
    visible = () if needs.root_opaque else lowers
    first_names: dict[bytes, bytes] = {}
    for path, target in needs.links:
        first = first_names.setdefault(target, path)
        try:
            if first != path:
                _link(staging, first, path)
            else:
                _copy(staging, path, target, visible, form, keep_owners)
        except OSError as error:
            raise entry_error(path, error) from error
    implied = implied_attributes(needs.implied, lowers, form)
    for path, found in implied.by_path.items():
        if found is None:
            continue
        try:
            with opened_below(staging, path) as directory:
                set_raw_attributes(directory, found, keep_owners)
        except OSError as error:
            raise entry_error(path or b"/", error, "set its attributes") from error
    return None if needs.links else implied.key


def _link(staging: int, first: bytes, path: bytes) -> None:
    """Make another name of a copy."""
    first_parent, _, first_name = first.rpartition(b"/")
    parent, _, name = path.rpartition(b"/")
    with (
        opened_below(staging, first_parent) as source,
        opened_below(staging, parent) as directory,
        unlocked(directory),
    ):
        os.link(
            first_name,
            name,
            src_dir_fd=source,
            dst_dir_fd=directory,
            follow_symlinks=False,
        )


def _copy(
    staging: int,
    path: bytes,
    target: bytes,
    lowers: Sequence[int],
    form: OverlayForm,
    keep_owners: bool,
) -> None:
    """Make ``path`` a copy of the lower file ``target``."""
    what = f"hard link {shown(path)} links to {shown(target)}"
    parent, _, name = path.rpartition(b"/")
    with lower_object(target, lowers, form) as found:
        if found is None:
            raise UnsafeLayerError(
                f"{what}, which neither this layer nor one below has"
            )
        file_type = stat.S_IFMT(found.status.st_mode)
        if file_type == stat.S_IFDIR:
            raise UnsafeLayerError(f"{what}, a directory of a lower layer")
        if file_type not in (stat.S_IFREG, stat.S_IFLNK):
            raise UnimplementedError(
                f"{what}, neither a file nor a symbolic link of a lower layer"
            )
        with opened_below(staging, parent) as directory, unlocked(directory):
            copy_object(found, name, directory, form, keep_owners)
