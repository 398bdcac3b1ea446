"""What ``mount`` does, whoever has read its words."""

from __future__ import annotations

import os

from snapfs.cli.access import Access, Selection
from snapfs.cli.mount_plan import plan_shape, tell_mounted
from snapfs.cli.session import Session
from snapfs.cli.what import resolve
from snapfs.errors import InvalidArgumentError, NotFoundError


def mount_at(
    session: Session, what: str, target: str, access: Access, selection: Selection
) -> None:
    """Mount ``what`` at the directory ``target``, and tell of it.

    Raises:
        SnapfsError: It cannot be had, or not be mounted there.
    """
    _check_target(target)
    plan = resolve(session, what, access, selection)
    try:
        session.library.mount_all(plan.mounts, os.path.realpath(target))
    except BaseException:
        plan.discard()
        raise
    tell_mounted(session.output, plan, target)
    if session.output.as_json:
        session.output.document(plan_shape(plan, os.path.realpath(target)))


def _check_target(target: str) -> None:
    if not os.path.lexists(target):
        raise NotFoundError(
            f"mount point {target!r} is no existing directory; make it first"
        )
    if not os.path.isdir(target):
        raise InvalidArgumentError(f"mount point {target!r} is not a directory")
