"""Which drivers a store knows, and which one its new snapshots get.

Both are always known by name: the mounts of a snapshot are a pure function of its
directories, whoever asks. Only the one for new snapshots has to work here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from snapfs.assembly.settings import DRIVERS, StoreSettings
from snapfs.driver import Driver, Feature
from snapfs.errors import (
    InvalidArgumentError,
    ResourceExhaustedError,
    SnapfsError,
    UnavailableError,
)
from snapfs.model import Stack
from snapfs.overlay_format import XattrPrefix, has_sys_admin
from snapfs.values import dataclass


@dataclass(frozen=True, slots=True)
class DriverChoice:
    """A driver and why it was chosen.

    Attributes:
        name: "kernel" or "fuse".
        reason: As a clause for the user.
    """

    name: str
    reason: str


def known_drivers(prefix: XattrPrefix, settings: StoreSettings) -> Mapping[str, Driver]:
    """Return all drivers by name, as ``settings`` configure them.

    Further mount options are those of the chosen driver; under ``auto`` they are the
    kernel's.

    Raises:
        InvalidArgumentError: There is no such driver, or it knows no such option.
    """
    check_name(settings.driver)
    is_fuse = settings.driver == "fuse"

    def kernel() -> Driver:
        from snapfs.kernel_overlay import OverlayDriver

        return OverlayDriver(
            xattr_prefix=prefix,
            mount_options=() if is_fuse else settings.mount_options,
            remap_ids=settings.remap_ids,
        )

    def fuse() -> Driver:
        from snapfs.fuse.driver import FuseDriver

        return FuseDriver(
            xattr_prefix=prefix,
            mount_options=settings.mount_options if is_fuse else (),
            remap_ids=settings.remap_ids,
            max_size=settings.max_size,
        )

    known = _Drivers({"kernel": kernel, "fuse": fuse})
    known["fuse" if is_fuse else "kernel"]  # refuses options that it does not know
    return known


class _Drivers(Mapping[str, Driver]):
    """Drivers by name, each made when it is asked for: few stores have both."""

    def __init__(self, makers: Mapping[str, Callable[[], Driver]]) -> None:
        self._makers = makers
        self._made: dict[str, Driver] = {}

    def __getitem__(self, name: str) -> Driver:
        """Return a driver; two threads may make it twice, which does no harm."""
        if name not in self._made:
            self._made[name] = self._makers[name]()
        return self._made[name]

    def __iter__(self) -> Iterator[str]:
        """Name them all."""
        return iter(self._makers)

    def __len__(self) -> int:
        """Count them."""
        return len(self._makers)


def check_name(wanted: str) -> None:
    """Refuse a word that is no driver.

    Raises:
        InvalidArgumentError: It is none.
    """
    if wanted not in DRIVERS:
        raise InvalidArgumentError(
            f"unknown driver {wanted!r}; choose one of {', '.join(DRIVERS)}"
        )


def choose_for_store(directory: str, prefix: XattrPrefix, wanted: str) -> DriverChoice:
    """Return the driver for new snapshots in ``directory``.

    Under ``auto`` that is the kernel's where this process may mount and the
    filesystem can hold an upperdir; else FUSE, if that works. Where neither does, the
    error is the kernel driver's, with what FUSE lacks.

    Raises:
        InvalidArgumentError: ``wanted`` is no driver.
        UnavailableError: It does not work here.
        PermissionDeniedError: This process may not write there, or not set marks.
    """
    from snapfs.kernel_overlay.storage import check_storage

    def check_kernel() -> None:
        check_storage(directory, prefix)

    return _choose(wanted, check_kernel, directory, prefix)


def choose_for_stack(stack: Stack, prefix: XattrPrefix, wanted: str) -> DriverChoice:
    """Return the driver by which this process itself mounts directories.

    Raises:
        InvalidArgumentError: ``wanted`` is no driver.
        UnavailableError: Neither works here.
    """
    from snapfs.kernel_overlay.options import check_count
    from snapfs.kernel_overlay.storage import check_storage

    def check_kernel() -> None:
        check_count(stack.lowerdirs)
        if stack.upperdir:
            check_storage(stack.upperdir, prefix)

    choice = _choose(wanted, check_kernel, stack.upperdir, prefix)
    if wanted == "auto" and choice.name == "kernel" and not has_sys_admin():
        why_not = _why_not_fuse(stack.upperdir, prefix)
        raise UnavailableError(
            f"an ordinary user mounts by FUSE alone, and here {why_not}; run as root,"
            " or look around in 'snapfs shell', which needs neither"
        )
    return choice


def _choose(
    wanted: str, check_kernel: Callable[[], None], directory: str, prefix: XattrPrefix
) -> DriverChoice:
    check_name(wanted)
    if wanted == "fuse":
        _check_fuse(directory, prefix)
        return DriverChoice("fuse", "chosen by --driver")
    try:
        check_kernel()
    except (UnavailableError, ResourceExhaustedError) as error:
        if wanted == "kernel":
            raise
        return _instead_of_kernel(error, directory, prefix)
    if wanted == "kernel":
        return DriverChoice("kernel", "chosen by --driver")
    if not has_sys_admin() and _why_not_fuse(directory, prefix) is None:
        reason = "chosen by 'auto': only FUSE mounts for an ordinary user"
        return DriverChoice("fuse", reason)
    return DriverChoice(
        "kernel", "chosen by 'auto': it needs no process to serve the mount"
    )


def _instead_of_kernel(
    why: SnapfsError, directory: str, prefix: XattrPrefix
) -> DriverChoice:
    why_not = _why_not_fuse(directory, prefix)
    if why_not is not None:
        raise type(why)(f"{why}; and for FUSE, {why_not}") from why
    return DriverChoice("fuse", f"chosen by 'auto', since for the kernel {why}")


def _why_not_fuse(directory: str, prefix: XattrPrefix) -> SnapfsError | None:
    try:
        _check_fuse(directory, prefix)
    except SnapfsError as error:
        return error
    return None


def _check_fuse(directory: str, prefix: XattrPrefix) -> None:
    from snapfs.fuse.features import check_fuse, check_storage

    if directory:
        check_storage(directory, prefix)
    check_fuse()


def probe_features(directory: str) -> list[Feature]:
    """Try out what each driver can make use of; see the drivers' own probes."""
    from snapfs.fuse.features import probe_features as probe_fuse
    from snapfs.kernel_overlay.features import probe_features as probe_kernel

    return [*probe_kernel(directory), *probe_fuse(directory)]
