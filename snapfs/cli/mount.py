"""``mount``: show an image, a snapshot or directories at a place of one's choice."""

from __future__ import annotations

import click

from snapfs.cli.access import Access, Selection
from snapfs.cli.access_options import access_options, selection_options
from snapfs.cli.keys import WHAT
from snapfs.cli.lazy import Command, examples
from snapfs.cli.mounting import mount_at
from snapfs.cli.session import Session, pass_session
from snapfs.values import replace


@click.command(
    cls=Command,
    short_help="Mount an image, a snapshot or directories.",
    epilog=examples(
        "snapfs mount docker://debian:12 /mnt       # unpacks what is missing",
        "snapfs mount oci:app /mnt --at 2           # as the second layer left it",
        "snapfs mount base /mnt                     # look at a snapshot",
        "snapfs mount work /mnt --rw                # change the active snapshot",
        "snapfs mount oci:app /mnt --rw             # try changes, and forget them",
        "snapfs mount base /mnt --upper changes     # change a copy",
        "snapfs mount layers:top:middle:base /mnt   # highest first",
        "snapfs --driver fuse mount base /mnt       # not by the kernel's overlay",
    ),
)
@click.argument("what", type=WHAT)
@click.argument("target", type=click.Path(readable=False))
@access_options
@selection_options
@click.option(
    "--provenance",
    is_flag=True,
    help="Have unlisted attributes user.snapfs.* name each file's layer; by FUSE only.",
)
@pass_session
def mount(
    session: Session,
    what: str,
    target: str,
    access: Access,
    selection: Selection,
    provenance: bool,
) -> None:
    """Mount WHAT at the directory TARGET, read-only unless --rw or --upper is given.

    WHAT is an image (oci:DIR[:TAG], oci-archive:FILE, docker-archive:FILE, tar:FILE,
    docker://NAME, containerd:NAME, or a path), a key, the name of a committed
    snapshot, 'snapshot:KEY', 'dir:DIR' or 'layers:DIR:DIR:...' (highest first). Of an
    image, layers that the store does not have are unpacked first, as 'snapfs unpack'
    does. Only an active snapshot takes changes itself; for all others --upper DIR
    keeps them, and without it 'snapfs umount' removes them. Says which driver serves
    the mount and why: an ordinary user's mounts are FUSE, through fusermount3.
    """
    access = replace(access, is_local=True, has_provenance=provenance)
    mount_at(session, what, target, access, selection)
