"""The two filesystems that the differential fuzzer compares, and their mounts."""

from __future__ import annotations

import dataclasses
import os
import shutil
import stat
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from typing import Final, Protocol

from snapfs.overlay_format import is_whiteout
from snapfs.syscalls import mount, umount2
from support.differential_actors import Actors, Calls
from support.differential_descriptors import CALLS
from support.differential_operations import Held, Sight, Where
from support.fuse_mounts import MountedUnion, mounted_union
from support.keeper import Killings, killing

MountUnion = Callable[
    [Sequence[Path], Path, Path, Path], AbstractContextManager[object]
]


class Options(Protocol):
    """How unions are mounted: what both sides have in common, and the engine's mode."""

    @property
    def redirect_dir(self) -> str: ...
    @property
    def userxattr(self) -> bool: ...
    @property
    def mode(self) -> str: ...
    @property
    def formats(self) -> str: ...


@contextmanager
def kernel_overlay(
    lowers: Sequence[Path],
    upper: Path,
    work: Path,
    target: Path,
    options: Options,
    data: Sequence[Path] = (),
) -> Iterator[None]:
    """Mount kernel overlayfs with the features that the engine has, and no others.

    Of all formats it writes ``metacopy``, too, which the engine only reads.
    """
    stack = "::".join([":".join(map(str, lowers)), *map(str, data)])
    words = f"upperdir={upper},workdir={work},index=off,xino=off,lowerdir={stack}"
    if options.userxattr:  # which allows neither redirects nor metacopy
        words += ",userxattr"
    else:
        metacopy = "on" if options.formats == "all" else "off"
        words += f",metacopy={metacopy},redirect_dir={options.redirect_dir}"
    mount("overlay", target, "overlay", 0, words.encode())
    try:
        yield
    finally:
        umount2(target)


def mounter(kind: str, options: Options, data: Sequence[Path] = ()) -> MountUnion:
    """Return what mounts a union of ``kind``: "kernel" or "engine".

    ``data``: its data-only layers.
    """

    def mount_it(
        lowers: Sequence[Path], upper: Path, work: Path, target: Path
    ) -> AbstractContextManager[object]:
        if kind == "kernel":
            return kernel_overlay(lowers, upper, work, target, options, data)
        redirects = f"redirect_dir={options.redirect_dir}"
        words = (
            f"mode={options.mode}",
            "userxattr" if options.userxattr else redirects,
            *(f"datadir+={path}" for path in data),
        )
        return mounted_union(lowers, upper, work, target, words)

    return mount_it


class Side:
    """One union with its own upper; the lower layers are shared with the other one."""

    def __init__(self, directory: Path, mount_union: MountUnion, calls: Calls) -> None:
        self._directory = directory
        self._mount_union = mount_union
        self._calls = calls
        self._stack = ExitStack()
        self._killings: list[Killings] = []
        self.upper = directory / "upper"
        self._target = directory / "merged"
        self._target.mkdir(parents=True)
        self._new_directories()

    def _new_directories(self) -> None:
        (self._directory / "work").mkdir()
        self.upper.mkdir()

    def start(
        self, lowers: Sequence[Path], sight: Sight, kill_seed: int | None = None
    ) -> None:
        """Mount, and let new actors in.

        With ``kill_seed`` the servers of an engine's mount are killed until
        :meth:`stop`.
        """
        work = self._directory / "work"
        mounting = self._mount_union(lowers, self.upper, work, self._target)
        union = self._stack.enter_context(mounting)
        self.actors = self._stack.enter_context(
            Actors(self._target, sight, self._calls)
        )
        if kill_seed is not None and isinstance(union, MountedUnion):
            keeper = union.process.pid
            self._killings.append(self._stack.enter_context(killing(keeper, kill_seed)))

    @property
    def deaths(self) -> int:
        """How many servers were killed so far."""
        return sum(killings.done for killings in self._killings)

    def stop(self) -> list[str]:
        """Send the actors away, unmount, and say what is left behind."""
        try:
            self._stack.close()
        except (OSError, RuntimeError) as error:
            return [f"at unmount: {error}"]
        return list(_leftovers(self._directory / "work"))

    def exchange_with(self, other: Side) -> None:
        """Take over each other's upper and workdir, while neither is mounted."""
        for name in ("upper", "work"):
            ours, theirs = self._directory / name, other._directory / name
            spare = self._directory / "spare"
            ours.rename(spare)
            theirs.rename(ours)
            spare.rename(theirs)

    def give_upper(self, target: Path | None) -> None:
        """Move the upper away, or drop it, and begin with an empty one."""
        if target is None:
            shutil.rmtree(self.upper)
        else:
            self.upper.rename(target)
        shutil.rmtree(self._directory / "work")
        self._new_directories()
        self.upper.chmod(0o777)


def _leftovers(work: Path) -> Iterator[str]:
    """Yield what a workdir holds that the kernel leaves in none.

    It leaves ``work`` and there, as ``#`` and a number, the whiteout that it links.
    """
    for place, directories, names in os.walk(work):
        for name in (*directories, *names):
            path = Path(place, name)
            is_shared_whiteout = name.startswith("#") and is_whiteout(os.lstat(path))
            if path != work / "work" and not is_shared_whiteout:
                yield f"left in the workdir: {path.relative_to(work)}"


@dataclasses.dataclass(frozen=True, slots=True)
class Fault:
    """A mistake planted in the subject's calls: the fuzzer must find it."""

    call: str
    replacement: Callable[..., object]


def _mkdir_forgets_group_write(held: Held, where: Where, mode: int) -> None:
    CALLS["mkdir"](held, where, mode & ~0o020)


def _second_half_is_lost(held: Held, slot: int, offset: int, data: object) -> object:
    if offset < 4096:
        return CALLS["pwrite"](held, slot, offset, data)
    return os.fstat(held[slot]).st_size


def _lists_stop_early(held: Held, where: Where) -> object:
    found = CALLS["list"](held, where)
    return found[:4] if isinstance(found, list) else found


def _chmod_drops_set_id(held: Held, where: Where, mode: int) -> None:
    CALLS["chmod"](held, where, mode & ~(stat.S_ISUID | stat.S_ISGID))


FAULTS: Final[Mapping[str, Fault]] = {
    "mkdir-mode": Fault("mkdir", _mkdir_forgets_group_write),
    "lost-write": Fault("pwrite", _second_half_is_lost),
    "short-list": Fault("list", _lists_stop_early),
    "chmod-set-id": Fault("chmod", _chmod_drops_set_id),
}


def calls_of(subject: str) -> Calls:
    """Return the calls that the subject's actors make: ours, or with a fault."""
    fault = FAULTS.get(subject)
    return {**CALLS, fault.call: fault.replacement} if fault else CALLS
