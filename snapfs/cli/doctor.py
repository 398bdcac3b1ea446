"""``doctor``: what this host can do, how it was found out, what snapfs will use."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import click

from snapfs.cli.exit_codes import ExitCode
from snapfs.cli.lazy import Command, examples
from snapfs.cli.session import Session, pass_session
from snapfs.overlay_format import XattrPrefix, fitting_prefix

if TYPE_CHECKING:
    from collections.abc import Mapping

    from snapfs.kernel_overlay.features import Feature

# What the kernel driver cannot do without, by the place of a store's marks.
_NEEDS = {
    XattrPrefix.TRUSTED: ("overlay-mount", "d-type", "trusted-xattrs"),
    XattrPrefix.USER: ("userxattr-mount", "d-type", "user-xattrs"),
}


@click.command(
    cls=Command,
    short_help="Tell what this host can do.",
    epilog=examples("snapfs doctor", "snapfs doctor --json | jq .driver"),
)
@click.pass_context
@pass_session
def doctor(session: Session, ctx: click.Context) -> None:
    """Tell what this host can do for a store in the root, and how that was tried.

    Nothing is guessed from version numbers: each line names what was tried and seen.
    The exit code is 6 where no driver works.
    """
    directory = _existing(session.root)
    features = session.library.probe_features(directory)
    prefix = fitting_prefix()
    missing = _missing({feature.name: feature for feature in features}, prefix)
    driver = "" if missing or session.driver == "fuse" else "kernel"
    reason = _reason(session.driver, prefix, missing)
    if session.output.as_json:
        session.output.document(
            {
                "directory": directory,
                "features": [
                    {
                        "name": feature.name,
                        "available": feature.available,
                        "evidence": feature.evidence,
                    }
                    for feature in features
                ],
                "driver": driver,
                "reason": reason,
            }
        )
    else:
        rows = [
            (feature.name, "yes" if feature.available else "no", feature.evidence)
            for feature in features
        ]
        session.output.table(("FEATURE", "HERE", "EVIDENCE"), rows)
        session.output.line("")
        session.output.line(f"probed in {directory}")
        session.output.line(f"snapfs uses: {driver or 'nothing'} ({reason})")
    if not driver:
        ctx.exit(ExitCode.UNAVAILABLE)


def _existing(root: str) -> str:
    """Return ``root``, or the nearest directory above it that exists."""
    while not os.path.isdir(root):
        root = os.path.dirname(root)
    return root


def _missing(found: Mapping[str, Feature], prefix: XattrPrefix) -> list[str]:
    """Return what the kernel driver needs and does not have, with the evidence."""
    return [
        f"{name}: {found[name].evidence if name in found else 'not probed'}"
        for name in _NEEDS[prefix]
        if name not in found or not found[name].available
    ]


def _reason(driver: str, prefix: XattrPrefix, missing: list[str]) -> str:
    if driver == "fuse":
        return "the FUSE driver is not part of this version; use --driver kernel"
    if missing:
        return "kernel driver: " + "; ".join(missing)
    return f"the kernel mounts overlays here, with marks in {prefix}* attributes"
