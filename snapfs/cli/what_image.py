"""WHAT as an image: what the store does not have is unpacked, then it is mounted."""

from __future__ import annotations

from snapfs.cli.access import Access, Selection
from snapfs.cli.image_sources import open_image_source
from snapfs.cli.mount_plan import ImagePart, MountPlan
from snapfs.cli.session import Session
from snapfs.cli.stacked import plan_directories
from snapfs.errors import NotFoundError
from snapfs.image.platform import parse_platform
from snapfs.image.reference import SourceReference
from snapfs.image.resolve import Image, open_image
from snapfs.image.source import ImageSource
from snapfs.model import Kind
from snapfs.overlay_format import XattrPrefix
from snapfs.snapshotter import Store
from snapfs.values import replace


def plan_image(
    session: Session,
    what: str,
    reference: SourceReference,
    access: Access,
    selection: Selection,
) -> MountPlan:
    """Return the mounts that show an image, or some of its layers.

    Layers above those that are shown are not unpacked.

    Raises:
        InvalidArgumentError: It has no such layer.
        SnapfsError: It cannot be read or unpacked.
        click.Abort: The user interrupted it; nothing is left behind.
    """
    wanted = parse_platform(selection.platform) if selection.platform else None
    with open_image_source(reference) as source:
        image = open_image(source, wanted)
        last = selection.last(len(image.layers), source.name)
        needed = replace(image, layers=image.layers[:last])
        with session.store(create=True) as store:
            unpacked = _unpack(session, store, source, needed)
            details = store.details(str(needed.layers[-1].chain_id))
            prefix = XattrPrefix(store.status().xattr_prefix)
    first = last if selection.layer else 1
    below = () if selection.layer else details.lowerdirs
    lowerdirs = (details.content, *below)
    plan = plan_directories(session, what, lowerdirs, access, prefix)
    part = ImagePart(image, first, last, unpacked)
    return replace(plan, part=part)


def _unpack(session: Session, store: Store, source: ImageSource, image: Image) -> int:
    """Unpack what is missing; return how many layers that was.

    Whatever the options that a chain was unpacked with: it is the one that there is.
    """
    if image.layers and _is_there(store, str(image.layers[-1].chain_id)):
        return 0
    # Here: what is unpacked already needs none of this.
    from snapfs.cli.unpack_results import summary, tell_warnings
    from snapfs.cli.unpack_running import (
        WITHOUT_ROOT,
        unpack_with_progress,
        usual_settings,
    )

    settings = usual_settings()
    if not settings.policy.keep_owners:
        session.output.note(WITHOUT_ROOT)
    unpacked, elapsed_s = unpack_with_progress(
        session.output, store, source, image, settings
    )
    if not session.output.is_quiet:
        tell_warnings(image, unpacked)
    session.output.note(summary(unpacked, elapsed_s))
    return len(unpacked.made)


def _is_there(store: Store, name: str) -> bool:
    try:
        return store.stat(name).kind is Kind.COMMITTED
    except NotFoundError:
        return False
