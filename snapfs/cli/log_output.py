"""Where a command's log goes: to standard error, as its messages do."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence

from snapfs.light_typing import TYPE_CHECKING

if TYPE_CHECKING:
    from importlib.abc import Loader
    from importlib.machinery import ModuleSpec
    from types import ModuleType


def set_up_logging(*, is_quiet: bool, verbosity: int) -> None:
    """Send the library's log to standard error; ``serve`` replaces this.

    Where nothing has loaded ``logging`` yet, it is done as soon as something does: most
    commands never say anything.
    """

    def set_up() -> None:
        _set_up(is_quiet=is_quiet, verbosity=verbosity)

    _Watch.end()
    if "logging" in sys.modules:
        set_up()
    else:
        sys.meta_path.insert(0, _Watch(set_up))


def _set_up(*, is_quiet: bool, verbosity: int) -> None:
    import logging

    levels = [logging.WARNING, logging.INFO, logging.DEBUG]
    level = logging.ERROR if is_quiet else levels[min(verbosity, 2)]
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("snapfs: %(message)s"))
    log = logging.getLogger("snapfs")
    log.handlers[:] = [handler]
    log.setLevel(level)


class _Watch:
    """Waits for the import of ``logging``: a finder that finds nothing by itself."""

    def __init__(self, then: Callable[[], None]) -> None:
        self._then = then

    @staticmethod
    def end() -> None:
        """Have nobody wait any more."""
        sys.meta_path[:] = [f for f in sys.meta_path if not isinstance(f, _Watch)]

    def find_spec(
        self,
        name: str,
        path: Sequence[str] | None,
        target: ModuleType | None = None,
        /,
    ) -> ModuleSpec | None:
        """Return what the others find, to be loaded with what is to follow."""
        if name != "logging":
            return None
        self.end()
        for finder in sys.meta_path:
            spec = finder.find_spec(name, path, target)
            if spec is not None and spec.loader is not None:
                spec.loader = _Loader(spec.loader, self._then)  # type: ignore[assignment]  # it is one in all but its class, which is slow to load
                return spec
        return None


class _Loader:
    """Loads a module as another loader does, and then does what follows."""

    def __init__(self, loader: Loader, then: Callable[[], None]) -> None:
        self._loader = loader
        self._then = then

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        """Make the module."""
        return self._loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        """Run the module, which knows nothing of this."""
        assert module.__spec__ is not None, "it is being imported"
        module.__loader__ = module.__spec__.loader = self._loader
        self._loader.exec_module(module)
        self._then()
