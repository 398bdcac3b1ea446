"""An unpack as commands run it: with bars, and stopped in good order by Ctrl-C."""

from __future__ import annotations

import os
import time
from typing import Final

from snapfs.cli.orderly import in_order
from snapfs.cli.output import Output
from snapfs.cli.unpack_options import policy_of
from snapfs.cli.unpack_progress import progress_of
from snapfs.image.resolve import Image
from snapfs.image.source import ImageSource
from snapfs.layer.limits import SetuidPolicy
from snapfs.overlay_format import XattrPrefix, fitting_prefix
from snapfs.snapshotter import Store
from snapfs.stopping import Stop
from snapfs.unpack.results import Unpacked
from snapfs.unpack.settings import UnpackSettings
from snapfs.unpack.unpacking import unpack_image

USUAL_MEMORY_BYTES: Final = 2 << 30
WITHOUT_ROOT: Final = "without root all files become yours, device nodes are left out"


def usual_jobs() -> int:
    """Return how many layers are unpacked side by side unless told: one a core."""
    return max(2, min(8, len(os.sched_getaffinity(0))))


def usual_settings() -> UnpackSettings:
    """Return what ``snapfs unpack`` without options works by."""
    is_privileged = fitting_prefix() is XattrPrefix.TRUSTED
    keep = str(SetuidPolicy.KEEP)
    return UnpackSettings(
        jobs=usual_jobs(),
        policy=policy_of(None, keep, (), clamp=False, is_privileged=is_privileged),
        memory_bytes=USUAL_MEMORY_BYTES,
    )


def unpack_with_progress(
    output: Output,
    store: Store,
    source: ImageSource,
    image: Image,
    settings: UnpackSettings,
) -> tuple[Unpacked, float]:
    """Unpack an image; return what it came to and how long it took, in seconds.

    Raises:
        click.Abort: The user interrupted it; nothing is left behind.
        SnapfsError: As :func:`snapfs.unpack.unpacking.unpack_image`.
    """
    stop = Stop()
    begun_s = time.monotonic()
    with progress_of(output, image) as observer:
        unpacked = in_order(
            lambda: unpack_image(store, source, image, settings, observer, stop),
            stop.ask,
        )
    return unpacked, time.monotonic() - begun_s
