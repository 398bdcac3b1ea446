"""``top``: the store and its active snapshots, live."""

from __future__ import annotations

import contextlib
import signal
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

import click

from snapfs.cli.lazy import Command, examples
from snapfs.cli.session import Session, pass_session
from snapfs.cli.shapes import info_shape, status_shape, usage_shape
from snapfs.cli.signals import ended_by_sigterm
from snapfs.cli.wording import age, counted, human_bytes, printable
from snapfs.errors import NotFoundError
from snapfs.model import Info, StoreStatus, Usage

if TYPE_CHECKING:
    from rich.console import RenderableType

_COLUMNS: Final = (">SIZE", ">INODES", ">AGE", "KEY", "PARENT")
_ENDING: Final = (signal.SIGINT, signal.SIGTERM)


@click.command(
    cls=Command,
    short_help="Watch the store and its active snapshots.",
    epilog=examples("snapfs top", "snapfs top --interval 5", "snapfs top | head"),
)
@click.option(
    "--interval",
    metavar="SECONDS",
    type=click.FloatRange(min=0.2),
    default=2.0,
    show_default=True,
    help="Time between two looks.",
)
@pass_session
def top(session: Session, interval: float) -> None:
    """Watch who owns the store and what its active snapshots occupy, largest first.

    On a terminal until Ctrl-C; otherwise, or with --json, one look.
    """
    if session.output.as_json:
        status, used = _look(session)
        shapes = [{**info_shape(info), "usage": usage_shape(u)} for info, u in used]
        document = {"store": status_shape(status), "active": shapes}
        session.output.document(document)
    elif session.output.is_terminal:
        _watch(session, interval)
    else:
        status, used = _look(session)
        session.output.line(_headline(status))
        session.output.table(_COLUMNS, _rows(used))


def _look(session: Session) -> tuple[StoreStatus, list[tuple[Info, Usage]]]:
    """Ask the store once, and let go of it: others may want to own the root."""
    used = []
    with session.store() as store:
        status = store.status()
        for info in store.walk(["kind==active"]):
            try:
                used.append((info, store.usage(info.name)))
            except NotFoundError:
                continue  # removed since the listing
    used.sort(key=lambda pair: (-pair[1].size_bytes, pair[0].name))
    return status, used


def _headline(status: StoreStatus) -> str:
    return (
        f"{status.root}: {counted(status.snapshots, 'snapshot')}, {status.driver} "
        f"driver, durability {status.durability}, "
        f"{counted(status.trash_entries, 'directory', 'directories')} in the trash; "
        f"{_process(status.pid)}"
    )


def _process(pid: int) -> str:
    """Return what the owner of the root costs."""
    import psutil

    try:
        process = psutil.Process(pid)
        memory = human_bytes(process.memory_info().rss)
        cpu = sum(process.cpu_times()[:2])
    except psutil.Error:
        return f"pid {pid}"  # ended, or of another user
    return f"pid {pid}: {memory}, {cpu:.1f} s of CPU"


def _rows(used: list[tuple[Info, Usage]]) -> list[tuple[str, ...]]:
    now_ns = time.time_ns()
    return [
        (
            human_bytes(usage.size_bytes),
            str(usage.inodes),
            age(info.created_ns, now_ns),
            info.name,
            info.parent or "-",
        )
        for info, usage in used
    ]


def _watch(session: Session, interval: float) -> None:
    from rich.live import Live

    with ended_by_sigterm():
        live = Live(_picture(session), screen=True, auto_refresh=False)
        try:  # not "with": rich cannot undo half of what it does to a terminal
            with _signals_held():
                live.start(refresh=True)
            while True:
                time.sleep(interval)
                live.update(_picture(session), refresh=True)
        finally:
            with _signals_held():
                live.stop()


@contextlib.contextmanager
def _signals_held() -> Iterator[None]:
    """Let what would end the program wait for the end of the block."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _ENDING)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _picture(session: Session) -> RenderableType:
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    status, used = _look(session)
    table = Table(box=None, pad_edge=False, header_style="bold")
    for title in _COLUMNS:
        is_number = title.startswith(">")
        table.add_column(
            title.removeprefix(">"), justify="right" if is_number else "left"
        )
    for row in _rows(used):
        table.add_row(*(Text(printable(cell)) for cell in row))
    return Group(Text(printable(_headline(status))), Text(), table)
