"""Where other programs give another view than the conformance table, and why.

The same table stands in ``docs/layers.md``; ``python -m layers.peer_results`` from
``tests/`` prints it.
"""

from __future__ import annotations

import dataclasses
import sys
from typing import Final


@dataclasses.dataclass(frozen=True, slots=True)
class Difference:
    """Cases in which a peer differs for one reason.

    Attributes:
        umoci: What umoci shows; "" where it shows what the case says.
        containerd: What both containerds show; likewise.
        why: Why the case says something else.
    """

    cases: tuple[str, ...]
    umoci: str
    containerd: str
    why: str

    def concerns(self, peer: str) -> bool:
        """Whether ``peer`` differs."""
        return bool(self.umoci if peer == "umoci" else self.containerd)


DIFFERENCES: Final = (
    Difference(
        ("file-then-whiteout", "directory-then-whiteout"),
        "",
        "refuses the image (EEXIST)",
        "whiteouts act on lower layers only, in any order (image-spec)",
    ),
    Difference(
        ("whiteout-then-directory",),
        "",
        "the deleted children show again",
        "a directory beside its whiteout is a new one: opaque",
    ),
    Difference(
        (
            "whiteout-then-child-without-directory",
            "whiteout-of-a-directory-that-holds-whiteouts",
            "opaque-mark-and-whiteout-without-directory",
        ),
        "",
        "refuses the image: it has made a device of that name",
        "as above, with the directory implied, or not needed",
    ),
    Difference(
        (
            "whiteout-of-nothing-in-a-new-directory",
            "opaque-directory-with-whiteouts",
            "whiteouts-below-an-opaque-directory",
        ),
        "",
        "names that are listed, and are not there",
        "overlayfs lists the whiteouts of a directory that is not merged: they are"
        " left out, or the directory is marked",
    ),
    Difference(
        ("opaque-root", "opaque-root-last", "layer-on-an-opaque-root"),
        "",
        "the lower layers show",
        "overlayfs ignores the mark on a root: the chain ends at the layer",
    ),
    Difference(
        ("opaque-root-without-entry",),
        "",
        "the lower layers show; the root is 0755 of root",
        "as above; the root itself is not deleted, and stays as it was",
    ),
    Difference(
        ("attributes-of-the-root", "root-spelled-slash"),
        "",
        "the root has other attributes than its entry says",
        "an entry of the root is an entry of a directory",
    ),
    Difference(
        ("directory-then-symlink",),
        "",
        "refuses the image: a symlink cannot replace a directory that is not empty",
        "the last entry wins",
    ),
    Difference(
        ("hard-links",),
        "",
        "owner and group of the entry of the link",
        "the attributes of a file are those of its own entry",
    ),
    Difference(
        ("hard-link-to-a-lower-file", "two-hard-links-to-a-lower-file"),
        "links the lower file itself: it writes all layers to one directory",
        "refuses the image",
        "a link cannot lead into another layer: the file is copied, as in copy-up,"
        " and the old name stays what it was",
    ),
    Difference(
        ("through-a-lower-symlink",),
        "follows the symlink and writes to its target",
        "a directory as here, with the attributes of the symlink's target",
        "overlayfs does not follow: a directory shadows the symlink, and a symlink"
        " has no attributes for it",
    ),
    Difference(
        ("whiteout-through-a-lower-symlink",),
        "deletes in the symlink's target",
        "as above, and a name that is listed, and is not there",
        "as above",
    ),
    Difference(
        ("access-lists",),
        "",
        "files inherit the default list of the directory that they are in",
        "an entry without a list has none",
    ),
    Difference(
        ("times",),
        "",
        "times before 1970 are 1970",
        "filesystems hold negative times",
    ),
    Difference(
        ("xattrs-of-the-host-are-left-out",),
        "sets `trusted.mine` and `security.ima`",
        "sets `security.ima`",
        "the policy names what is kept, and these speak for the host",
    ),
    Difference(
        ("leftovers-of-aufs",),
        "shows `.wh..wh.plnk`",
        "shows `.wh..wh.plnk`",
        "names of AUFS are no content",
    ),
    Difference(
        ("device-0-0",),
        "makes it",
        "makes it, and it hides the lower file",
        "overlayfs would take it for a whiteout",
    ),
    Difference(
        ("path-with-two-dots", "path-with-two-dots-inside"),
        "reads it within the root",
        "reads it within the root",
        "refused unless the policy says `clamp`: no tool writes such names",
    ),
    Difference(
        ("root-that-is-a-symlink",),
        "",
        "ignores the entry",
        "the root is a directory: refused",
    ),
)


def differing(peer: str) -> frozenset[str]:
    """Return the cases in which ``peer`` differs."""
    return frozenset(
        case for found in DIFFERENCES if found.concerns(peer) for case in found.cases
    )


def as_markdown() -> str:
    """Return the table as it stands in ``docs/layers.md``."""
    lines = [
        "| case | umoci 0.4.7 | containerd 1.6 and 2.4 | why snapfs differs |",
        "| --- | --- | --- | --- |",
    ]
    for found in DIFFERENCES:
        cases = ", ".join(f"`{case}`" for case in found.cases)
        cells = (cases, found.umoci or "=", found.containerd or "=", found.why)
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.stdout.write(as_markdown())
