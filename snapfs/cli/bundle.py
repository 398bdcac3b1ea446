"""``bundle`` and ``run``: a mounted tree as an OCI runtime bundle.

The bundle is what runc and crun take: a directory with ``config.json`` and the
mounted ``rootfs``.
"""

from __future__ import annotations

import dataclasses
import os
import secrets
import shutil
import subprocess
import tempfile
from typing import Final

import click

from snapfs.cli.access import Access, Selection
from snapfs.cli.access_options import (
    access_options,
    selection_options,
    throwaway_options,
)
from snapfs.cli.changes import Changes, new_temporary
from snapfs.cli.keys import WHAT
from snapfs.cli.lazy import Command, examples
from snapfs.cli.mount_plan import tell_mounted
from snapfs.cli.namespace import NamespaceRun, run_in_namespace, without_dashes
from snapfs.cli.oci_config import (
    ContainerProcess,
    runtime_config,
    set_user,
    write_config,
)
from snapfs.cli.oci_process import (
    ProcessOptions,
    container_process,
    container_user,
    on_a_terminal,
    process_options,
)
from snapfs.cli.oci_user import find_user
from snapfs.cli.session import Session, pass_session
from snapfs.cli.signals import ended_by_sigterm
from snapfs.cli.what import resolve
from snapfs.errors import (
    AlreadyExistsError,
    InvalidArgumentError,
    PermissionDeniedError,
    UnavailableError,
)

RUNTIMES: Final = ("runc", "crun")
_CONFIG: Final = "config.json"


@click.command(
    cls=Command,
    short_help="Make an OCI runtime bundle.",
    epilog=examples(
        "snapfs bundle oci:app /tmp/box",
        "snapfs bundle work /tmp/box --rw",
        "runc run --bundle /tmp/box box1; snapfs umount /tmp/box/rootfs",
    ),
)
@click.argument("what", type=WHAT)
@click.argument("directory", metavar="DIR", type=click.Path(readable=False))
@click.option(
    "--terminal/--no-terminal", default=False, help="Whether it gets a terminal."
)
@access_options
@selection_options
@process_options
@pass_session
def bundle(
    session: Session,
    what: str,
    directory: str,
    terminal: bool,
    access: Access,
    selection: Selection,
    options: ProcessOptions,
) -> None:
    """Make the OCI runtime bundle DIR: config.json, and WHAT mounted on rootfs.

    DIR must be empty or missing. The container runs what the image says, with its
    environment and user, or /bin/sh; edit config.json to run something else. Unmount
    DIR/rootfs when done.
    """
    is_new = not os.path.lexists(directory)
    if not is_new and not os.path.isdir(directory):
        raise InvalidArgumentError(f"bundle directory {directory!r} is no directory")
    if not is_new and os.listdir(directory):
        raise AlreadyExistsError(f"bundle directory {directory!r} is not empty")
    access = dataclasses.replace(access, is_local=True)
    plan = resolve(session, what, access, selection)
    rootfs = os.path.join(directory, "rootfs")
    is_mounted = False
    try:
        process = container_process(plan, options, has_terminal=terminal)
        wanted = container_user(plan, options)
        _write_bundle(directory, process, is_read_only=not plan.is_writable)
        session.library.mount_all(plan.mounts, os.path.realpath(rootfs))
        is_mounted = True
        set_user(os.path.join(directory, _CONFIG), find_user(rootfs, wanted))
    except BaseException:
        if is_mounted:
            session.library.unmount(os.path.realpath(rootfs), False)
        _remove_bundle(directory, with_directory=is_new)
        plan.discard()
        raise
    tell_mounted(session.output, plan, rootfs)
    if session.output.as_json:
        session.output.document(
            {"bundle": os.path.abspath(directory), "rootfs": os.path.abspath(rootfs)}
        )


@click.command(
    cls=Command,
    short_help="Run a container on WHAT with runc or crun.",
    epilog=examples(
        "snapfs run docker://alpine                  # as its image says",
        "snapfs run base",
        "snapfs run base /bin/ls -l /",
        "snapfs run --rw --net host work /bin/sh -c 'apt-get update'",
    ),
    context_settings={"allow_interspersed_args": False},
)
@throwaway_options
@selection_options
@process_options
@click.option(
    "--runtime", metavar="NAME", help="The runtime. Default: runc, else crun."
)
@click.argument("what", type=WHAT)
@click.argument("command", metavar="[CMD...]", nargs=-1, type=click.UNPROCESSED)
@click.pass_context
@pass_session
def run(
    session: Session,
    ctx: click.Context,
    what: str,
    command: tuple[str, ...],
    runtime: str | None,
    access: Access,
    selection: Selection,
    options: ProcessOptions,
) -> None:
    """Run a container whose root filesystem is WHAT, as WHAT's image says.

    CMD takes the place of the image's arguments, its entrypoint stays, as in Docker;
    without an image, and where that says nothing, it is the command, or /bin/sh.

    The container may write; its changes are thrown away, unless --rw leaves them in
    the active snapshot WHAT or --upper DIR keeps them. --ro refuses them. Nothing of
    the container remains. The exit code is that of CMD. Options stand before WHAT.
    """
    program = _find_runtime(runtime)
    options = dataclasses.replace(options, command=without_dashes(command))
    with ended_by_sigterm():
        code = _run(session, program, what, access, selection, options)
    ctx.exit(code)


def _run(
    session: Session,
    program: str,
    what: str,
    access: Access,
    selection: Selection,
    options: ProcessOptions,
) -> int:
    """Run a container in a directory of its own, and leave nothing of either."""
    directory = tempfile.mkdtemp(prefix="snapfs-run-")
    passing = None if access.is_read_only or access.is_writable else new_temporary()
    try:
        plan = resolve(session, what, _lasting(access, passing), selection)
        process = container_process(plan, options, has_terminal=on_a_terminal())
        wanted = container_user(plan, options)
        rootfs = _write_bundle(directory, process, is_read_only=not plan.is_writable)
        run = NamespaceRun(plan.mounts, rootfs, (), directory, user=wanted)
        return _run_container(program, run)
    finally:
        # The root filesystem was never mounted in this namespace.
        shutil.rmtree(directory)
        if passing is not None:
            passing.discard()


def _lasting(access: Access, passing: Changes | None) -> Access:
    """Return ``access``; where nobody said anything, changes go to ``passing``."""
    if passing is None:
        return dataclasses.replace(access, is_kept=True)
    return Access(is_writable=True, upper=passing.directory)


def _run_container(program: str, run: NamespaceRun) -> int:
    """Run the bundle in ``run.directory`` to its end; return its exit code."""
    container = os.path.basename(run.directory) + "-" + secrets.token_hex(4)
    words = [program, "run", "--bundle", run.directory, container]
    try:
        return run_in_namespace(dataclasses.replace(run, command=words))
    finally:
        # Does nothing after an orderly end; a runtime that was killed has left
        # its state and its cgroup.
        subprocess.run(  # noqa: S603  # the runtime that was found
            [program, "delete", "--force", container],
            check=False,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )


def _find_runtime(name: str | None) -> str:
    if os.geteuid() != 0:
        raise PermissionDeniedError(
            "a container needs root here; 'snapfs shell' works without"
        )
    for candidate in (name,) if name else RUNTIMES:
        program = shutil.which(candidate)
        if program:
            return program
    wanted = repr(name) if name else "neither runc nor crun"
    found = "is not found" if name else "is installed"
    raise UnavailableError(f"{wanted} {found}; a container needs a runtime")


def _write_bundle(
    directory: str, process: ContainerProcess, *, is_read_only: bool
) -> str:
    """Make the bundle; return the path where its root filesystem is to be mounted."""
    hostname = os.path.basename(os.path.abspath(directory)) or "snapfs"
    config = runtime_config(process, hostname=hostname, is_read_only=is_read_only)
    rootfs = os.path.join(directory, "rootfs")
    os.makedirs(rootfs, mode=0o755)
    write_config(os.path.join(directory, _CONFIG), config)
    return rootfs


def _remove_bundle(directory: str, *, with_directory: bool) -> None:
    """Remove what there is of a bundle that is not mounted."""
    if os.path.exists(os.path.join(directory, "rootfs")):
        os.rmdir(os.path.join(directory, "rootfs"))
    if os.path.exists(os.path.join(directory, _CONFIG)):
        os.unlink(os.path.join(directory, _CONFIG))
    if with_directory and os.path.exists(directory):
        os.rmdir(directory)
