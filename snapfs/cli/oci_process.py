"""What a container runs: the image's word, and over it the user's."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

import click

from snapfs.cli.gathering import gathered
from snapfs.cli.mount_plan import MountPlan
from snapfs.cli.oci_config import ContainerProcess
from snapfs.cli.oci_user import check_user

if TYPE_CHECKING:
    from snapfs.image.config import Process

_Function = TypeVar("_Function", bound=Callable[..., object])


@dataclasses.dataclass(frozen=True, slots=True)
class ProcessOptions:
    """What the user says of a container's process; None where that is nothing.

    Attributes:
        command: Arguments in place of the image's own; () for the image's own.
        entrypoint: A program in place of the image's entrypoint and arguments; ""
            for none at all.
        environment: ``NAME=VALUE`` words.
        directory: Where it starts.
        user: ``USER[:GROUP]``.
        has_host_network: Whether it uses the network of the host.
    """

    command: tuple[str, ...] = ()
    entrypoint: str | None = None
    environment: tuple[str, ...] = ()
    directory: str | None = None
    user: str | None = None
    has_host_network: bool = False


def _said(
    entrypoint: str | None,
    environment: tuple[str, ...],
    cwd: str | None,
    user: str | None,
    net: str,
) -> ProcessOptions:
    return ProcessOptions(
        entrypoint=entrypoint,
        environment=environment,
        directory=cwd,
        user=user,
        has_host_network=net == "host",
    )


def process_options(function: _Function) -> _Function:
    """Add what describes the container's process; the command gets ``options``."""
    decorate: Callable[[_Function], _Function] = gathered(
        "options",
        _said,
        (
            click.option(
                "--entrypoint",
                metavar="PROGRAM",
                help="In place of the image's entrypoint and arguments; '' for none.",
            ),
            click.option(
                "-e",
                "--env",
                "environment",
                metavar="NAME=VALUE",
                multiple=True,
                help="A variable of its environment; may be repeated.",
            ),
            click.option(
                "--cwd",
                metavar="DIR",
                help="Where in the tree it starts. Default: the image's, else /.",
            ),
            click.option(
                "--user",
                metavar="USER[:GROUP]",
                callback=_checked,
                help="Who it runs as, by name or number."
                " Default: the image's, else root.",
            ),
            click.option(
                "--net",
                type=click.Choice(["none", "host"]),
                default="none",
                help="Its network: only a loopback, or that of the host.",
            ),
        ),
        ("entrypoint", "environment", "cwd", "user", "net"),
    )
    return decorate(function)


def _checked(_: click.Context, __: click.Parameter, value: str | None) -> str | None:
    if value is not None:
        check_user(value)
    return value


def container_process(
    plan: MountPlan, options: ProcessOptions, *, has_terminal: bool
) -> ContainerProcess:
    """Return what the container of ``plan`` runs; a shell where nobody says more.

    Raises:
        DataLossError: What a snapshot says of its image is no config.
    """
    said = _image_process(plan)
    image_words = () if said is None else said.entrypoint
    image_arguments = () if said is None else said.command
    if options.entrypoint is not None:
        image_words = (options.entrypoint,) if options.entrypoint else ()
        image_arguments = ()
    words = (*image_words, *(options.command or image_arguments))
    directory = options.directory or (said.working_directory if said else "") or "/"
    return ContainerProcess(
        command=words or ("/bin/sh",),
        environment=(*(said.environment if said else ()), *options.environment),
        directory=directory if directory.startswith("/") else f"/{directory}",
        has_terminal=has_terminal,
        has_host_network=options.has_host_network,
    )


def container_user(plan: MountPlan, options: ProcessOptions) -> str:
    """Return who the container runs as, as ``USER[:GROUP]``; "" for root.

    Raises:
        click.BadParameter: The image's word is none.
    """
    if options.user is not None:
        return options.user
    said = _image_process(plan)
    user = said.user if said else ""
    check_user(user)
    return user


def _image_process(plan: MountPlan) -> Process | None:
    if plan.part is not None:
        return plan.part.image.config.process
    from snapfs.image.config_labels import labelled_config

    content = labelled_config(plan.labels)
    if content is None:
        return None
    from snapfs.image.config import parse_config

    return parse_config(content, f"{plan.what}: config").process


def on_a_terminal() -> bool:
    """Tell whether this command itself talks to a terminal."""
    return sys.stdin.isatty() and sys.stdout.isatty()
