"""What a manager works with: some of it made when a verb first needs it.

A command that looks or mounts changes nothing. What changes, reclaims and measures is a
tenth of what it would load.
"""

from __future__ import annotations

from _thread import RLock
from collections.abc import Callable

from snapfs.light_typing import TYPE_CHECKING, Any, Generic, TypeVar
from snapfs.manager.gate import Gate
from snapfs.manager.noted_usage import NotedUsage
from snapfs.manager.parts import ManagerParts

if TYPE_CHECKING:
    from snapfs.manager.changes import SnapshotChanges
    from snapfs.manager.mending import SidecarMender
    from snapfs.manager.publishing import LayerPublisher
    from snapfs.manager.reclaim import Reclaimer
    from snapfs.worker.process import WorkerProcess

_Made = TypeVar("_Made")
_Ending = TypeVar("_Ending", "Reclaimer", "WorkerProcess")

_making = RLock()


class MadeOnce(Generic[_Made]):
    """An attribute that is made when it is first asked for, once for all threads.

    From then on it is found in the object itself. (``functools.cached_property`` makes
    it twice, from Python 3.12 on, where two threads ask.)
    """

    def __init__(self, make: Callable[[Any], _Made]) -> None:
        self._make = make
        self._name = make.__name__

    def __get__(self, instance: object, _owner: type) -> _Made:
        """Make it, unless another thread is faster."""
        with _making:
            kept = vars(instance)
            if self._name not in kept:
                kept[self._name] = self._make(instance)
            made: _Made = kept[self._name]
            return made


class Supply:
    """The parts of a store, and what is made of them."""

    def __init__(self, parts: ManagerParts) -> None:
        self._parts = parts
        self._metadata = parts.metadata
        self._paths = parts.paths
        self._gate = Gate()
        self._noted_usage = NotedUsage()
        self._mender: SidecarMender | None = None
        if not parts.metadata.was_clean:
            from snapfs.manager.mending import SidecarMender

            self._mender = SidecarMender(parts, self._changes.holding)

    @MadeOnce
    def _meter(self) -> WorkerProcess:
        from snapfs.worker.process import WorkerProcess

        return self._fit(WorkerProcess())

    @MadeOnce
    def _reclaimer(self) -> Reclaimer:
        from snapfs.manager.reclaim import Reclaimer

        parts = self._parts
        return self._fit(Reclaimer(parts.paths, parts.metadata, parts.directories))

    @MadeOnce
    def _changes(self) -> SnapshotChanges:
        from snapfs.manager.changes import SnapshotChanges

        return SnapshotChanges(
            self._parts, self._reclaimer, self._gate, self._noted_usage
        )

    @property
    def _publisher(self) -> LayerPublisher:
        from snapfs.manager.publishing import LayerPublisher

        return LayerPublisher(self._parts, self._reclaimer, self._gate)

    def _made(self, name: str) -> Any:  # noqa: ANN401 - whatever the attribute is
        """Return an attribute if it has been made; None otherwise."""
        with _making:
            return vars(self).get(name)

    def _fit(self, made: _Ending) -> _Ending:
        """Return what has been made; after closing it begins nothing."""
        if self._gate.is_shut:
            made.close()
        return made

    def _end_work(self) -> None:
        """End for good what works in the background. The gate is shut."""
        for one in (self._mender, self._made("_reclaimer"), self._made("_meter")):
            if one is not None:
                one.close()
