"""``unpack``: from an image, wherever it is, to committed snapshots."""

from __future__ import annotations

import click

from snapfs.cli.image_sources import open_image_source, read_source
from snapfs.cli.lazy import Command, examples
from snapfs.cli.session import Session, pass_session
from snapfs.cli.unpack_options import (
    SIZE,
    limit_options,
    limits_of,
    policy_of,
    policy_options,
)
from snapfs.cli.unpack_results import (
    summary,
    tell_times,
    tell_warnings,
    unpacked_shape,
)
from snapfs.cli.unpack_running import (
    USUAL_MEMORY_BYTES,
    unpack_with_progress,
    usual_jobs,
)
from snapfs.image.platform import parse_platform
from snapfs.image.resolve import open_image
from snapfs.model import Durability
from snapfs.overlay_format import XattrPrefix, fitting_prefix
from snapfs.unpack.settings import UnpackSettings


@click.command(
    cls=Command,
    short_help="Unpack an image into committed snapshots.",
    epilog=examples(
        "snapfs unpack docker://debian:12 --name debian",
        "snapfs unpack oci:DIR:TAG --platform linux/arm64",
        "docker save app -o app.tar && snapfs unpack docker-archive:app.tar",
    ),
)
@click.argument("source", metavar="SOURCE")
@click.option(
    "--name", default="", help="One more name for the whole image; it is printed then."
)
@click.option(
    "--platform",
    metavar="OS/ARCH",
    help="The image to take of several. Default: this machine's.",
)
@click.option(
    "--jobs",
    metavar="N",
    type=click.IntRange(1, 64),
    default=usual_jobs,
    show_default="one a core",
    help="Layers to unpack side by side.",
)
@click.option(
    "--memory",
    metavar="SIZE",
    type=SIZE,
    default=USUAL_MEMORY_BYTES,
    show_default="2G",
    help="What all layers at work may take together; at less, fewer are at work.",
)
@click.option(
    "--durability",
    type=click.Choice([str(Durability.NONE), str(Durability.IMAGE)]),
    default=str(Durability.IMAGE),
    show_default=True,
    help="'image': all is on disk before the snapshots exist, by one sync.",
)
@click.option("--times", is_flag=True, help="Show where the time went (also by -v).")
@policy_options
@limit_options
@click.pass_context
@pass_session
def unpack(
    session: Session,
    ctx: click.Context,
    source: str,
    name: str,
    platform: str | None,
    jobs: int,
    memory: int,
    durability: str,
    times: bool,
    devices: str | None,
    setuid: str,
    xattrs: tuple[str, ...],
    clamp: bool,
    max_bytes: int,
    max_entries: int,
    max_ratio: int,
    limits: tuple[str, ...],
) -> None:
    """Make a committed snapshot of each layer of the image SOURCE; print the top one.

    Snapshots are named by their chain IDs. What the store has already is reused. On
    any error, and on Ctrl-C, nothing is left behind.

    SOURCE is oci:DIR[:TAG], oci-archive:FILE[:TAG], docker-archive:FILE[:TAG],
    tar:FILE, docker://NAME[:TAG|@DIGEST], containerd:NAME, or the path of any of
    these files and directories.
    """
    is_privileged = fitting_prefix() is XattrPrefix.TRUSTED
    settings = UnpackSettings(
        jobs=jobs,
        limits=limits_of(max_bytes, max_entries, max_ratio, limits),
        policy=policy_of(devices, setuid, xattrs, clamp, is_privileged=is_privileged),
        durability=Durability(durability),
        name=name,
        memory_bytes=memory,
    )
    wanted = parse_platform(platform) if platform else None
    with open_image_source(read_source(session, source)) as opened:
        image = open_image(opened, wanted)
        if not is_privileged:
            left_out = "" if devices else ", device nodes are left out"
            session.output.note(f"without root all files become yours{left_out}")
        with session.store(create=True) as store:
            unpacked, elapsed_s = unpack_with_progress(
                session.output, store, opened, image, settings
            )
    if not session.output.is_quiet:
        tell_warnings(image, unpacked)
    if times or ctx.find_root().params.get("verbose"):
        tell_times(session.output, image, unpacked)
    session.output.note(summary(unpacked, elapsed_s))
    if session.output.as_json:
        session.output.document(unpacked_shape(image, unpacked))
    else:
        session.output.line(unpacked.name)
