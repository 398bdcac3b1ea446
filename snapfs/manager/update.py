"""Which labels a snapshot has after an update."""

from __future__ import annotations

from collections.abc import Sequence

from snapfs.errors import InvalidArgumentError
from snapfs.light_typing import Final
from snapfs.metadata.labels import checked_labels
from snapfs.model import Info

_LABEL_PATH: Final = "labels."


def updated_labels(
    old: Info, wanted: Info, fieldpaths: Sequence[str]
) -> dict[str, str]:
    """Return the labels after ``update(wanted, fieldpaths)``.

    Raises:
        InvalidArgumentError: A path is none of labels, or a label is too long.
    """
    if not fieldpaths:
        return checked_labels(wanted.labels)
    labels = dict(old.labels)
    for path in fieldpaths:
        if path == "labels":
            labels = dict(wanted.labels)
        elif path.startswith(_LABEL_PATH):
            key = path.removeprefix(_LABEL_PATH)
            labels[key] = wanted.labels.get(key, "")
        else:
            # The words of containerd's storage/bolt.go, which people search for.
            raise InvalidArgumentError(
                f"cannot update {path!r} field on snapshot {old.name!r}; only labels"
                " can change"
            )
    return checked_labels(labels)
