"""``serve``: the store as a service for containerd and for other commands."""

from __future__ import annotations

import os
from typing import Final

import click

from snapfs.cli.lazy import Command, examples
from snapfs.cli.logs import set_up_service_log
from snapfs.cli.session import Session, pass_session
from snapfs.cli.settings import (
    CONTAINERD_ADDRESS,
    CONTAINERD_ROOT,
    LOG_FORMATS,
    LOG_LEVELS,
    Setting,
    effective_settings,
)
from snapfs.errors import FailedPreconditionError
from snapfs.model import Durability

# SD_LISTEN_FDS_START of sd_listen_fds(3).
_FIRST_FD: Final = 3


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
    "--containerd-address",
    metavar="SOCKET",
    envvar="CONTAINERD_ADDRESS",
    help="containerd's socket, for the layers that it wants unpacked. Default:"
    f" $CONTAINERD_ADDRESS, else {CONTAINERD_ADDRESS}.",
)
@click.option(
    "--containerd-root",
    metavar="DIR",
    help=f"containerd's root directory, likewise. Default: {CONTAINERD_ROOT}.",
)
@click.option(
    "--durability",
    type=click.Choice([str(mode) for mode in Durability]),
    help="When committed data is on disk. Default: layer, before commit returns.",
)
@click.option(
    "--group", metavar="NAME", help="Let the members of a group use the socket."
)
@click.option("--log-format", type=click.Choice(LOG_FORMATS), help="Default: text.")
@click.option("--log-level", type=click.Choice(LOG_LEVELS), help="Default: info.")
@click.option(
    "--metrics-address",
    metavar="HOST:PORT",
    help="Offer metrics for Prometheus at http://HOST:PORT/metrics. Default: none.",
)
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
    containerd_address: str | None,
    containerd_root: str | None,
    durability: str | None,
    group: str | None,
    log_format: str | None,
    log_level: str | None,
    metrics_address: str | None,
    workers: int | None,
) -> None:
    """Serve the store over gRPC until SIGTERM or SIGINT.

    Start it before containerd; 'snapfs config containerd' prints what containerd
    needs to know. Under systemd readiness (Type=notify) and life (WatchdogSec=) are
    reported, and a socket unit may own the socket.
    """
    settings = effective_settings(
        session,
        config_file,
        {
            "address": address,
            "containerd.address": containerd_address,
            "containerd.root": containerd_root,
            "durability": durability,
            "group": group,
            "log.format": log_format,
            "log.level": log_level,
            "metrics.address": metrics_address,
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
    max_size = settings["limits.max_size"].value
    min_free_percent = settings["limits.min_free_percent"].value
    assert isinstance(max_size, int)
    assert isinstance(min_free_percent, int)
    store = StoreSettings(
        driver=str(settings["driver"].value),
        durability=Durability(str(settings["durability"].value)),
        mount_options=mount_options,
        remap_ids=settings["overlay.remap_ids"].value is True,
        max_size=max_size,
        limit_backend=str(settings["limits.backend"].value),
        min_free_percent=min_free_percent,
    )
    session.library.serve(
        os.path.abspath(str(settings["root"].value)),
        ServeSettings(
            address=os.path.abspath(str(settings["address"].value)),
            store=store,
            workers=workers,
            group=str(settings["group"].value),
            containerd_address=str(settings["containerd.address"].value),
            containerd_root=str(settings["containerd.root"].value),
            clamps_unsafe=settings["containerd.on_unsafe"].value == "clamp",
            shares_namespaces=settings["containerd.share"].value == "namespaces",
            metrics_address=str(settings["metrics.address"].value),
            tracing_endpoint=str(settings["tracing.endpoint"].value),
            notify_socket=os.environ.get("NOTIFY_SOCKET", ""),
            watchdog_s=_watchdog_s(),
            inherited_fd=_inherited_fd(),
        ),
    )


def _watchdog_s() -> float:
    """Return how long systemd waits for a sign of life (sd_watchdog_enabled(3))."""
    if not _is_for_us("WATCHDOG_PID"):
        return 0.0
    microseconds = os.environ.get("WATCHDOG_USEC", "")
    return int(microseconds) / 1e6 if microseconds.isdecimal() else 0.0


def _inherited_fd() -> int:
    """Return the socket that systemd handed over (sd_listen_fds(3)), or -1."""
    count = os.environ.get("LISTEN_FDS", "")
    if "LISTEN_PID" not in os.environ or not _is_for_us("LISTEN_PID"):
        return -1
    if count != "1":
        raise FailedPreconditionError(
            f"systemd handed over {count or 'no'} sockets; snapfs serves one: the unit"
            " needs one ListenStream="
        )
    return _FIRST_FD


def _is_for_us(variable: str) -> bool:
    return os.environ.get(variable) in (None, str(os.getpid()))
