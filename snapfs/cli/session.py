"""What one run of the program works with: global options and the library below."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager

from snapfs.cli.output import Output
from snapfs.errors import NotFoundError
from snapfs.light_typing import (
    TYPE_CHECKING,
    Concatenate,
    Final,
    ParamSpec,
    TypeVar,
)
from snapfs.values import dataclass

if TYPE_CHECKING:
    from snapfs.assembly import ServeSettings
    from snapfs.driver import Feature
    from snapfs.manager.rebuilding import Rebuilt
    from snapfs.model import Mount
    from snapfs.snapshotter import Store

_Words = ParamSpec("_Words")
_Result = TypeVar("_Result")

SYSTEM_ROOT: Final = "/var/lib/snapfs"
_SUGGESTION_LIMIT: Final = 1_000  # keys; difflib takes up to 0.2 ms for each


def _open_store(root: str, driver: str, create: bool) -> AbstractContextManager[Store]:
    from snapfs.assembly import open_store

    return open_store(root, driver=driver, create=create)


def _serve(root: str, settings: ServeSettings) -> None:
    from snapfs.assembly.serving import serve

    serve(root, settings)


def _mount_all(mounts: Sequence[Mount], target: str) -> None:
    from snapfs.assembly.mounting import mount_all

    mount_all(mounts, target)


def _unmount(target: str, lazy: bool) -> None:
    from snapfs.assembly.mounting import unmount

    unmount(target, lazy=lazy)


def _probe_features(directory: str) -> Sequence[Feature]:
    from snapfs.assembly.drivers import probe_features

    return probe_features(directory)


def _repair(root: str) -> Rebuilt | None:
    from snapfs.assembly.repairing import repair_store

    return repair_store(root)


def _give_way() -> None:
    from snapfs.worker.priority import give_way

    give_way()


@dataclass(frozen=True, slots=True)
class Library:
    """The calls that commands make into the library; tests put fakes here."""

    open_store: Callable[[str, str, bool], AbstractContextManager[Store]] = _open_store
    serve: Callable[[str, ServeSettings], None] = _serve
    mount_all: Callable[[Sequence[Mount], str], None] = _mount_all
    unmount: Callable[[str, bool], None] = _unmount
    probe_features: Callable[[str], Sequence[Feature]] = _probe_features
    repair: Callable[[str], Rebuilt | None] = _repair
    give_way: Callable[[], None] = _give_way


class Session:
    """The global options of this run, and how to reach the store.

    Args:
        root: The state directory, absolute.
        root_origin: Who chose it, for ``config show``.
        driver: ``auto``, ``kernel`` or ``fuse``.
        driver_origin: Who chose it.
        output: Where results go.
        library: The calls below.
    """

    # No dataclass: building one costs a tenth of what `snapfs --help` may take.
    def __init__(
        self,
        root: str,
        root_origin: str,
        driver: str,
        driver_origin: str,
        output: Output,
        library: Library,
    ) -> None:
        self.root = root
        self.root_origin = root_origin
        self.driver = driver
        self.driver_origin = driver_origin
        self.output = output
        self.library = library

    def store(self, *, create: bool = False) -> AbstractContextManager[Store]:
        """Open the store, or talk to the process that owns it.

        Only a command that puts something into the store has one made (``create``).

        Raises:
            NotFoundError: There is none, and none is to be made.
        """
        return self.library.open_store(self.root, self.driver, create)


def pass_session(
    function: Callable[Concatenate[Session, _Words], _Result],
) -> Callable[_Words, _Result]:
    """Give a command the session of this run before its own arguments."""

    @functools.wraps(function)
    def run(*args: _Words.args, **words: _Words.kwargs) -> _Result:
        import click  # here: what needs the class alone need not load it

        context = click.get_current_context()
        session = context.find_object(Session)
        assert session is not None, "the program makes one before any command"
        return context.invoke(function, session, *args, **words)

    return run


def default_root() -> tuple[str, str]:
    """Return the state directory that is used unless one is named, and why."""
    root = os.environ.get("SNAPFS_ROOT")
    if root:
        return root, "environment SNAPFS_ROOT"
    if os.geteuid() == 0:
        return SYSTEM_ROOT, "default"
    data_home = os.environ.get("XDG_DATA_HOME")
    if data_home:
        return os.path.join(data_home, "snapfs"), "environment XDG_DATA_HOME"
    return os.path.expanduser("~/.local/share/snapfs"), "default"


@contextmanager
def suggesting(store: Store, key: str) -> Iterator[None]:
    """Add the nearest keys to the error that ``key`` does not exist."""
    try:
        yield
    except NotFoundError as error:
        raise NotFoundError(f"{error}{near_keys(store, key)}") from error


def near_keys(store: Store, key: str) -> str:
    """Return a clause that names the keys nearest to ``key``, or ""."""
    from snapfs.cli.wording import did_you_mean

    keys = [info.name for info in store.walk()]
    return did_you_mean(key, keys) if len(keys) <= _SUGGESTION_LIMIT else ""
