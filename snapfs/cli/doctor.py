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

    from snapfs.driver import Feature

# What the kernel driver cannot do without, by the place of a store's marks.
_KERNEL_NEEDS = {
    XattrPrefix.TRUSTED: ("overlay-mount", "d-type", "trusted-xattrs"),
    XattrPrefix.USER: ("userxattr-mount", "d-type", "user-xattrs"),
}
# What the FUSE driver needs; containerd needs "fuse-helper" as well.
_FUSE_NEEDS = ("fuse-device", "fuse-mount", "fuse-storage")


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
    The exit code is 6 where no driver works. For containers on the FUSE driver,
    "fuse-helper" must be there too: see `snapfs install-helper`.
    """
    directory = _existing(session.root)
    features = session.library.probe_features(directory)
    prefix = fitting_prefix()
    found = {feature.name: feature for feature in features}
    driver, reason = _chosen(session.driver, prefix, found)
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


def _chosen(
    wanted: str, prefix: XattrPrefix, found: Mapping[str, Feature]
) -> tuple[str, str]:
    """Return the driver that works, "" if none does, and why."""
    missing = {
        "kernel": _missing(found, _KERNEL_NEEDS[prefix]),
        "fuse": _missing(found, _FUSE_NEEDS),
    }
    tried = ("kernel", "fuse") if wanted == "auto" else (wanted,)
    for driver in tried:
        if not missing[driver]:
            instead = "; ".join(missing["kernel"]) if driver != tried[0] else ""
            return driver, _why(driver, prefix, instead)
    return "", "; ".join(f"{d} driver: {'; '.join(missing[d])}" for d in tried)


def _why(driver: str, prefix: XattrPrefix, instead: str) -> str:
    marks = f"with marks in {prefix}* attributes"
    if driver == "kernel":
        return f"the kernel mounts overlays here, {marks}"
    if instead:
        return f"FUSE mounts work here, {marks}; kernel driver: {instead}"
    return f"FUSE mounts work here, {marks}"


def _missing(found: Mapping[str, Feature], needs: tuple[str, ...]) -> list[str]:
    """Return what a driver needs and does not have, with the evidence."""
    return [
        f"{name}: {found[name].evidence if name in found else 'not probed'}"
        for name in needs
        if name not in found or not found[name].available
    ]
