"""The layers of a snapshot and of all below it."""

from __future__ import annotations

from collections.abc import Sequence

from snapfs.errors import FailedPreconditionError, NotFoundError
from snapfs.model import Kind, SnapshotDetails
from snapfs.snapshotter import Store


def chain_of(store: Store, key: str) -> list[SnapshotDetails]:
    """Return the committed snapshots that ``key`` stands on, lowest first.

    A committed snapshot is the last of them itself; of a view and of an active
    snapshot it is the parent.

    Raises:
        NotFoundError: There is no snapshot ``key``.
    """
    details = store.details(key)
    name = key if details.info.kind is Kind.COMMITTED else details.info.parent
    chain = []
    while name:
        chain.append(store.details(name))
        name = chain[-1].info.parent
    return chain[::-1]


def is_root_opaque(details: SnapshotDetails) -> bool:
    """Tell whether a committed snapshot hides all that is below it."""
    return bool(details.info.parent) and not details.lowerdirs


def check_chain(store: Store, chain: Sequence[SnapshotDetails]) -> None:
    """Refuse what was read of snapshots that are not there any more.

    A removed snapshot loses its files bit by bit, and a walk of them misses some
    without an error. Its row goes first; so what was read before this call is whole
    if all rows are still there.

    Raises:
        FailedPreconditionError: One of them was removed since.
    """
    for known in chain:
        name = known.info.name
        try:
            is_same = store.details(name).content == known.content
        except NotFoundError:
            is_same = False
        if not is_same:
            raise FailedPreconditionError(
                f"snapshot {name!r} was removed while it was read"
            )


def base_config(chain: Sequence[SnapshotDetails]) -> bytes | None:
    """Return the config of the image that the lowest snapshots of a chain are.

    Of several images the one with the most layers counts.

    Raises:
        DataLossError: What the snapshots say of it is no image config.
    """
    # Here: what compares two trees asks for chains, and needs no images.
    from snapfs.image.config import parse_config
    from snapfs.image.config_labels import labelled_config

    for number in range(len(chain), 0, -1):
        content = labelled_config(chain[number - 1].info.labels)
        if content is not None:
            known = parse_config(content, f"{chain[number - 1].info.name}: config")
            if len(known.diff_ids) == number:
                return content
    return None
