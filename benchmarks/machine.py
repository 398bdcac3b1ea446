"""The description of a machine, and of this code, that goes into every result."""

from __future__ import annotations

import dataclasses
import os
import platform
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import psutil

from snapfs.benchmarks.programs import try_to_run

# What changes file system numbers and may differ between two machines.
_SETTINGS: Final = (
    "/proc/sys/vm/dirty_ratio",
    "/proc/sys/vm/dirty_background_ratio",
    "/proc/sys/vm/dirty_expire_centisecs",
    "/proc/sys/vm/swappiness",
    "/proc/sys/vm/vfs_cache_pressure",
    "/sys/module/fuse/parameters/enable_uring",
    "/sys/module/overlay/parameters/index",
    "/sys/module/overlay/parameters/metacopy",
    "/sys/module/overlay/parameters/redirect_dir",
    "/sys/module/overlay/parameters/xino_auto",
    "/sys/devices/system/cpu/smt/active",
    "/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor",
    "/sys/kernel/mm/transparent_hugepage/enabled",
)


@dataclasses.dataclass(frozen=True, slots=True)
class Machine:
    """What a result's numbers belong to.

    Attributes:
        virtualisation: What systemd-detect-virt(1) finds; "unknown" without it.
        settings: Kernel settings that exist here, by path.
    """

    kernel: str
    cpu: str
    cpus: int
    usable_cpus: int
    memory_bytes: int
    swap_bytes: int
    virtualisation: str
    distribution: str
    python: str
    is_root: bool
    settings: Mapping[str, str]

    @property
    def identity(self) -> tuple[str, str, int, int]:
        """What two runs must share for their times to be compared.

        Memory is rounded to GiB: a virtual machine loses a little at each boot.
        """
        return (self.kernel, self.cpu, self.cpus, round(self.memory_bytes / 2**30))


def describe_machine() -> Machine:
    """Describe this machine."""
    return Machine(
        kernel=platform.release(),
        cpu=_cpu_model(),
        cpus=os.cpu_count() or 1,
        usable_cpus=len(os.sched_getaffinity(0)),
        memory_bytes=psutil.virtual_memory().total,
        swap_bytes=psutil.swap_memory().total,
        virtualisation=_virtualisation(),
        distribution=_distribution(),
        python=_python(),
        is_root=os.geteuid() == 0,
        settings=_settings(),
    )


def _python() -> str:
    """Return the interpreter with its build: the same version differs by 1.7 times."""
    name, version = platform.python_implementation(), platform.python_version()
    _, built = platform.python_build()
    return f"{name} {version} ({built}, {platform.python_compiler()})"


def _cpu_model() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()  # ARM names no model there


def _virtualisation() -> str:
    program = shutil.which("systemd-detect-virt")
    if program is None:
        return "unknown"
    # It exits with 1 and prints "none" on bare metal.
    return try_to_run(program).stdout.strip() or "unknown"


def _distribution() -> str:
    try:
        return platform.freedesktop_os_release()["PRETTY_NAME"]
    except (OSError, KeyError):
        return "unknown"


def _settings() -> dict[str, str]:
    found = {}
    for name in _SETTINGS:
        try:
            found[name] = Path(name).read_text().strip()
        except OSError:
            continue  # this kernel has no such setting, or it is not for us
    return found


def revision() -> str:
    """Return the commit of the checkout this runs from; "" in an installed package."""
    repository = Path(__file__).resolve().parent.parent
    if not (repository / ".git").exists() or shutil.which("git") is None:
        return ""
    words = ("describe", "--always", "--dirty", "--abbrev=12", "--exclude=*")
    found = try_to_run("git", "-C", str(repository), *words)
    return found.stdout.strip()
