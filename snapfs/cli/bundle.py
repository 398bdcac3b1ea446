"""``bundle`` and ``run``: a mounted tree as an OCI runtime bundle.

The bundle is what runc and crun take: a directory with ``config.json`` and the
mounted ``rootfs``.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from typing import Final, TypeVar

import click

from snapfs.cli.keys import KEY
from snapfs.cli.lazy import Command, examples
from snapfs.cli.namespace import NamespaceRun, run_in_namespace, without_dashes
from snapfs.cli.oci_config import ContainerProcess, runtime_config
from snapfs.cli.session import Session, pass_session
from snapfs.cli.what import (
    Access,
    access_options,
    parse_access,
    resolve,
    throwaway_options,
)
from snapfs.errors import (
    AlreadyExistsError,
    PermissionDeniedError,
    UnavailableError,
)

RUNTIMES: Final = ("runc", "crun")

_Function = TypeVar("_Function", bound=Callable[..., object])


def _process_options(function: _Function) -> _Function:
    """Add the options that describe the container's process."""
    for option in (
        click.option(
            "--net",
            type=click.Choice(["none", "host"]),
            default="none",
            help="Its network: only a loopback, or that of the host.",
        ),
        click.option(
            "--user", metavar="UID[:GID]", default="0:0", help="Who it runs as."
        ),
        click.option(
            "--cwd", metavar="DIR", default="/", help="Where in the tree it starts."
        ),
        click.option(
            "-e",
            "--env",
            "environment",
            metavar="NAME=VALUE",
            multiple=True,
            help="A variable of its environment; may be repeated.",
        ),
    ):
        function = option(function)
    return function


@click.command(
    cls=Command,
    short_help="Make an OCI runtime bundle.",
    epilog=examples(
        "snapfs bundle work /tmp/box --rw",
        "runc run --bundle /tmp/box box1; snapfs umount /tmp/box/rootfs",
    ),
)
@click.argument("what", type=KEY)
@click.argument("directory", metavar="DIR", type=click.Path(readable=False))
@click.option(
    "--terminal/--no-terminal", default=False, help="Whether it gets a terminal."
)
@access_options
@_process_options
@pass_session
def bundle(
    session: Session,
    what: str,
    directory: str,
    terminal: bool,
    read_only: bool,
    writable: bool,
    upper: str,
    environment: tuple[str, ...],
    cwd: str,
    user: str,
    net: str,
) -> None:
    """Make the OCI runtime bundle DIR: config.json, and WHAT mounted on rootfs.

    DIR must be empty or missing. The container runs /bin/sh; edit config.json to run
    something else. Unmount DIR/rootfs when done.
    """
    uid, gid = _parse_user(user)
    process = ContainerProcess(
        environment=environment,
        directory=cwd,
        uid=uid,
        gid=gid,
        has_terminal=terminal,
        has_host_network=net == "host",
    )
    plan = resolve(session, what, parse_access(read_only, writable, upper))
    is_new = not os.path.exists(directory)
    if not is_new and os.listdir(directory):
        raise AlreadyExistsError(f"bundle directory {directory!r} is not empty")
    rootfs = _write_bundle(directory, process, is_read_only=not plan.is_writable)
    try:
        session.library.mount_all(plan.mounts, os.path.realpath(rootfs))
    except BaseException:
        _remove_bundle(directory, with_directory=is_new)
        raise
    session.output.note(f"{what!r} is mounted at {rootfs!r}: {plan}")
    if session.output.as_json:
        session.output.document(
            {"bundle": os.path.abspath(directory), "rootfs": os.path.abspath(rootfs)}
        )


@click.command(
    cls=Command,
    short_help="Run a container on WHAT with runc or crun.",
    epilog=examples(
        "snapfs run base",
        "snapfs run base /bin/ls -l /",
        "snapfs run --rw --net host work /bin/sh -c 'apt-get update'",
    ),
    context_settings={"allow_interspersed_args": False},
)
@throwaway_options
@_process_options
@click.option(
    "--runtime", metavar="NAME", help="The runtime. Default: runc, else crun."
)
@click.argument("what", type=KEY)
@click.argument("command", metavar="[CMD...]", nargs=-1, type=click.UNPROCESSED)
@click.pass_context
@pass_session
def run(
    session: Session,
    ctx: click.Context,
    what: str,
    command: tuple[str, ...],
    runtime: str | None,
    read_only: bool,
    writable: bool,
    upper: str,
    environment: tuple[str, ...],
    cwd: str,
    user: str,
    net: str,
) -> None:
    """Run CMD, or /bin/sh, in a container whose root filesystem is WHAT.

    The container may write; its changes are thrown away, unless --rw leaves them in
    the active snapshot WHAT or --upper DIR keeps them. --ro refuses them. Nothing of
    the container remains. The exit code is that of CMD. Options stand before WHAT.
    """
    program = _find_runtime(runtime)
    uid, gid = _parse_user(user)
    process = ContainerProcess(
        command=without_dashes(command) or ("/bin/sh",),
        environment=environment,
        directory=cwd,
        uid=uid,
        gid=gid,
        has_terminal=sys.stdin.isatty() and sys.stdout.isatty(),
        has_host_network=net == "host",
    )
    access = parse_access(read_only, writable, upper)
    directory = tempfile.mkdtemp(prefix="snapfs-run-")
    try:
        if not (read_only or access.is_writable):
            access = Access(is_writable=True, upper=os.path.join(directory, "changes"))
        plan = resolve(session, what, access)
        rootfs = _write_bundle(directory, process, is_read_only=not plan.is_writable)
        container = os.path.basename(directory) + "-" + secrets.token_hex(4)
        words = [program, "run", "--bundle", directory, container]
        try:
            code = run_in_namespace(NamespaceRun(plan.mounts, rootfs, words, directory))
        finally:
            # Does nothing after an orderly end; a runtime that was killed has left
            # its state and its cgroup.
            subprocess.run(  # noqa: S603  # the runtime found above
                [program, "delete", "--force", container],
                check=False,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
    finally:
        # The root filesystem was never mounted in this namespace.
        shutil.rmtree(directory)
    ctx.exit(code)


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


def _parse_user(text: str) -> tuple[int, int]:
    uid, _, gid = text.partition(":")
    if not uid.isdecimal() or (gid and not gid.isdecimal()):
        raise click.BadParameter(
            f"{text!r} is not of the form UID[:GID]; names are not looked up"
        )
    return int(uid), int(gid or uid)


def _write_bundle(
    directory: str, process: ContainerProcess, *, is_read_only: bool
) -> str:
    """Make the bundle; return the path where its root filesystem is to be mounted."""
    hostname = os.path.basename(os.path.abspath(directory)) or "snapfs"
    config = runtime_config(process, hostname=hostname, is_read_only=is_read_only)
    rootfs = os.path.join(directory, "rootfs")
    os.makedirs(rootfs, mode=0o755)
    with open(os.path.join(directory, "config.json"), "w", encoding="utf-8") as file:
        json.dump(config, file, indent=2)
        file.write("\n")
    return rootfs


def _remove_bundle(directory: str, *, with_directory: bool) -> None:
    os.rmdir(os.path.join(directory, "rootfs"))
    os.unlink(os.path.join(directory, "config.json"))
    if with_directory:
        os.rmdir(directory)
