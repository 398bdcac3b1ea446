"""WHAT: how the word that names something to mount becomes mounts.

``snapshot:KEY`` and the forms of SOURCE say what they are; a word that begins with
``/`` or ``.`` is a path, whose content decides; any other is a key or a name.
"""

from __future__ import annotations

from snapfs.cli.access import Access, Selection
from snapfs.cli.directories import existing_directory, snapshot_directories
from snapfs.cli.mount_plan import MountPlan
from snapfs.cli.session import Session, near_keys, suggesting
from snapfs.cli.stacked import (
    active_stack,
    changes_of,
    local_mounts,
    other_driver,
    plan_directories,
    stack_of,
)
from snapfs.errors import NotFoundError
from snapfs.light_typing import TYPE_CHECKING
from snapfs.model import Kind
from snapfs.overlay_format import XattrPrefix, fitting_prefix

if TYPE_CHECKING:
    from snapfs.image.reference import SourceReference
    from snapfs.snapshotter import Store

_WHOLE = Selection()


def resolve(
    session: Session, what: str, access: Access, selection: Selection = _WHOLE
) -> MountPlan:
    """Return the mounts that show ``what``; make the directory for its changes.

    Of an image, what the store does not have is unpacked first. Whoever does not mount
    the plan discards it.

    Raises:
        click.UsageError: ``what`` is neither a known form nor a key.
        NotFoundError: A snapshot that is named as such, an image or a directory is
            missing.
        InvalidArgumentError: It cannot be mounted like this, or has no such layer.
        SnapfsError: An image cannot be read or unpacked.
    """
    if what.startswith("snapshot:"):
        key = what.removeprefix("snapshot:")
        with session.store() as store, suggesting(store, key):
            return _snapshot(session, store, what, key, access, selection)
    if not (what.startswith(("/", ".")) or _has_scheme(what)):
        return _word(session, what, access, selection)
    from snapfs.image.reference import parse_source

    return _source(session, what, parse_source(what), access, selection)


def _has_scheme(what: str) -> bool:
    if ":" not in what:
        return False
    # Here: a plain key needs nothing of images.
    from snapfs.image.scheme_words import has_scheme

    return has_scheme(what)


def _word(
    session: Session, what: str, access: Access, selection: Selection
) -> MountPlan:
    """Return the mounts of a key; a word that is none may be meant otherwise."""
    try:
        with session.store() as store:
            try:
                return _snapshot(session, store, what, what, access, selection)
            except NotFoundError as error:
                near = near_keys(store, what)
                if near:
                    import click  # here: loading it takes longer than all else

                    raise click.UsageError(f"{what!r} is no snapshot{near}") from error
    except NotFoundError:
        pass  # no store, no snapshots
    from snapfs.image.reference import parse_source

    parse_source(what)  # says what it might be
    raise AssertionError("unreachable")


def _source(
    session: Session,
    what: str,
    reference: SourceReference,
    access: Access,
    selection: Selection,
) -> MountPlan:
    from snapfs.image.reference import TreeReference

    if not isinstance(reference, TreeReference):
        from snapfs.cli.what_image import plan_image

        return plan_image(session, what, reference, access, selection)
    paths = selection.of(reference.paths, what)
    lowerdirs = tuple(existing_directory(path) for path in paths)
    return plan_directories(session, what, lowerdirs, access, fitting_prefix())


def _snapshot(
    session: Session,
    store: Store,
    what: str,
    key: str,
    access: Access,
    selection: Selection,
) -> MountPlan:
    details = store.details(key)
    prefix = XattrPrefix(store.status().xattr_prefix)
    if not selection.is_whole:
        lowerdirs = selection.of(snapshot_directories(details), what)
        return plan_directories(session, what, lowerdirs, access, prefix)
    choice = other_driver(session, details, access)
    labels = details.info.labels
    driver = details.driver if choice is None else choice.name
    why = f"recorded when {key!r} was prepared" if choice is None else choice.reason
    if access.is_writable and not access.upper and details.info.kind is Kind.ACTIVE:
        if choice is None:
            mounts = tuple(store.mounts(key))
        else:
            mounts = local_mounts(driver, prefix, active_stack(details), access)
        return MountPlan(what, mounts, driver, why, active=key, labels=labels)
    every = snapshot_directories(details)
    with changes_of(access, what, every[0]) as changes:
        if choice is not None:
            stack = stack_of(every, changes)
            mounts = local_mounts(driver, prefix, stack, access)
        elif changes is None:
            mounts = tuple(store.browse_mounts(key))
        else:
            made = store.browse_mounts(
                key, upperdir=changes.upperdir, workdir=changes.workdir
            )
            mounts = tuple(made)
    return MountPlan(what, mounts, driver, why, changes, labels=labels)
