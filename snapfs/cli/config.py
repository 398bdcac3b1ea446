"""``config show`` and ``config containerd``."""

from __future__ import annotations

import os
import shutil
import subprocess
from typing import Final

import click

from snapfs.cli.containerd_config import containerd_toml
from snapfs.cli.containerd_version import parse_version, version_in_output
from snapfs.cli.lazy import Command, examples
from snapfs.cli.session import Session, pass_session
from snapfs.cli.settings import Value, effective_settings
from snapfs.errors import UnavailableError

_VERSION_TIMEOUT_S: Final = 10.0  # it prints and ends; more means that it hangs

_config_file = click.option(
    "--config",
    "config_file",
    metavar="FILE",
    default="",
    type=click.Path(readable=False),
    help="The TOML file that 'snapfs serve --config' is given.",
)


@click.group(
    short_help="Show settings; configure containerd.",
    epilog=examples("snapfs config show", "snapfs config containerd"),
)
def config() -> None:
    """Show the effective settings, or the configuration that containerd needs."""


@config.command(
    cls=Command,
    epilog=examples(
        "snapfs config show", "snapfs config show --config /etc/snapfs/config.toml"
    ),
)
@_config_file
@pass_session
def show(session: Session, config_file: str) -> None:
    """Show the settings that hold, and who said so."""
    settings = effective_settings(session, config_file, {})
    if session.output.as_json:
        session.output.document(
            {
                name: {"value": _plain(setting.value), "origin": setting.origin}
                for name, setting in settings.items()
            }
        )
        return
    rows = [(s.name, _text(s.value), s.origin) for s in settings.values()]
    session.output.table(("SETTING", "VALUE", "ORIGIN"), rows)


def _plain(value: Value) -> object:
    return list(value) if isinstance(value, tuple) else value


def _text(value: Value) -> str:
    match value:
        case bool():
            return str(value).lower()
        case tuple():
            return ",".join(value) or "-"
        case _:
            return str(value)


@config.command(
    cls=Command,
    epilog=examples(
        "snapfs config containerd > /etc/containerd/conf.d/snapfs.toml",
        "snapfs config containerd --containerd-version 1.7.24 --cri",
    ),
)
@click.option(
    "--containerd-version",
    "version",
    metavar="V",
    help="A full version, such as 2.2.3. Default: asked of 'containerd --version'.",
)
@click.option("--address", metavar="SOCKET", help="Where 'snapfs serve' listens.")
@click.option("--cri", is_flag=True, help="Make snapfs the snapshotter of Kubernetes.")
@click.option(
    "--differ/--no-differ",
    "is_differ",
    default=True,
    help="Whether snapfs or containerd itself unpacks layers. Default: snapfs.",
)
@click.option(
    "--parallel",
    metavar="N",
    type=click.IntRange(1),
    help="Layers of an image that are unpacked at once. Default: 4 where that is sound"
    " (2.2.3 and later).",
)
@_config_file
@pass_session
def containerd(
    session: Session,
    version: str | None,
    address: str | None,
    cri: bool,
    is_differ: bool,
    parallel: int | None,
    config_file: str,
) -> None:
    """Print the TOML that lets containerd use snapfs as a snapshotter.

    It is a whole file for 'imports' (or conf.d); to paste it into another, leave out
    the line that sets 'version'.
    """
    settings = effective_settings(session, config_file, {"address": address})
    text = containerd_toml(
        parse_version(version or _installed_version()),
        root=os.path.abspath(str(settings["root"].value)),
        address=os.path.abspath(str(settings["address"].value)),
        use_for_cri=cri,
        is_differ=is_differ,
        remap_ids=settings["overlay.remap_ids"].value is True,
        parallel=parallel,
        shares_namespaces=settings["containerd.share"].value == "namespaces",
    )
    if session.output.as_json:
        session.output.document({"toml": text})
    else:
        session.output.raw(text)


def _installed_version() -> str:
    """Ask the containerd on the search path for its version.

    Raises:
        UnavailableError: There is none, or it does not answer.
    """
    program = shutil.which("containerd")
    if program is None:
        raise UnavailableError(
            "containerd is not found; name its version: --containerd-version 2.2.3"
        )
    try:
        answer = subprocess.run(  # noqa: S603  # found on the search path
            [program, "--version"],
            capture_output=True,
            text=True,
            check=True,
            timeout=_VERSION_TIMEOUT_S,
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise UnavailableError(
            f"'{program} --version' fails ({error}); name the version: "
            "--containerd-version 2.2.3"
        ) from error
    return version_in_output(answer.stdout)
