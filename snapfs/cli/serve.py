"""``serve``: the store as a service for containerd and for other commands."""

from __future__ import annotations

import os

import click

from snapfs.cli.lazy import Command, examples
from snapfs.cli.logs import set_up_service_log
from snapfs.cli.session import Session, pass_session
from snapfs.cli.settings import LOG_FORMATS, LOG_LEVELS, Setting, effective_settings
from snapfs.model import Durability


@click.command(
    cls=Command,
    short_help="Serve the store to containerd.",
    epilog=examples(
        "snapfs serve",
        "snapfs --root /srv/snapfs serve --address /run/snapfs/snapfs.sock",
        "snapfs serve --config /etc/snapfs/config.toml --log-format json",
    ),
)
@click.option(
    "--address",
    metavar="SOCKET",
    help="The Unix socket. Default: /run/snapfs/snapfs.sock.",
)
@click.option(
    "--config",
    "config_file",
    metavar="FILE",
    default="",
    type=click.Path(readable=False),
    help="Settings in TOML; the command line and the environment come first.",
)
@click.option(
    "--durability",
    type=click.Choice([str(mode) for mode in Durability]),
    help="When committed data is on disk. Default: layer, before commit returns.",
)
@click.option("--log-format", type=click.Choice(LOG_FORMATS), help="Default: text.")
@click.option("--log-level", type=click.Choice(LOG_LEVELS), help="Default: info.")
@click.option(
    "--workers",
    metavar="N",
    type=click.IntRange(1),
    help="How many calls are answered at once. Default: 16.",
)
@pass_session
def serve(
    session: Session,
    address: str | None,
    config_file: str,
    durability: str | None,
    log_format: str | None,
    log_level: str | None,
    workers: int | None,
) -> None:
    """Serve the store over gRPC until SIGTERM or SIGINT.

    Start it before containerd; 'snapfs config containerd' prints what containerd
    needs to know. Under systemd (Type=notify) readiness is reported.
    """
    settings = effective_settings(
        session,
        config_file,
        {
            "address": address,
            "durability": durability,
            "log.format": log_format,
            "log.level": log_level,
            "workers": workers,
        },
    )
    _serve(session, settings)


def _serve(session: Session, settings: dict[str, Setting]) -> None:
    from snapfs.assembly import ServeSettings, StoreSettings

    level = str(settings["log.level"].value)
    set_up_service_log(str(settings["log.format"].value), level)
    mount_options = settings["overlay.mount_options"].value
    workers = settings["workers"].value
    assert isinstance(mount_options, tuple)
    assert isinstance(workers, int)
    store = StoreSettings(
        driver=str(settings["driver"].value),
        durability=Durability(str(settings["durability"].value)),
        mount_options=mount_options,
        remap_ids=settings["overlay.remap_ids"].value is True,
    )
    session.library.serve(
        os.path.abspath(str(settings["root"].value)),
        ServeSettings(
            address=os.path.abspath(str(settings["address"].value)),
            store=store,
            workers=workers,
            notify_socket=os.environ.get("NOTIFY_SOCKET", ""),
        ),
    )
