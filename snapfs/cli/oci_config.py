"""A ``config.json`` for runc and crun: the smallest one that is sound.

After the OCI runtime specification 1.0.2 (``config.md``, ``config-linux.md``) and
the defaults that Docker and containerd give every container: its own namespaces,
fourteen capabilities, no new privileges, kernel interfaces masked.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Final

_CAPABILITIES: Final = (
    "CAP_AUDIT_WRITE",
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_FOWNER",
    "CAP_FSETID",
    "CAP_KILL",
    "CAP_MKNOD",
    "CAP_NET_BIND_SERVICE",
    "CAP_NET_RAW",
    "CAP_SETFCAP",
    "CAP_SETGID",
    "CAP_SETPCAP",
    "CAP_SETUID",
    "CAP_SYS_CHROOT",
)
_PATH: Final = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_MASKED_PATHS: Final = (
    "/proc/acpi",
    "/proc/asound",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/sys/firmware",
    "/sys/devices/virtual/powercap",
)
_READ_ONLY_PATHS: Final = (
    "/proc/bus",
    "/proc/fs",
    "/proc/irq",
    "/proc/sys",
    "/proc/sysrq-trigger",
)
# destination, type, source, options
_MOUNTS: Final = (
    ("/proc", "proc", "proc", ("nosuid", "noexec", "nodev")),
    ("/dev", "tmpfs", "tmpfs", ("nosuid", "strictatime", "mode=755", "size=65536k")),
    (
        "/dev/pts",
        "devpts",
        "devpts",
        ("nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"),
    ),
    (
        "/dev/shm",  # noqa: S108  # the container's own
        "tmpfs",
        "shm",
        ("nosuid", "noexec", "nodev", "mode=1777", "size=65536k"),
    ),
    ("/dev/mqueue", "mqueue", "mqueue", ("nosuid", "noexec", "nodev")),
    ("/sys", "sysfs", "sysfs", ("nosuid", "noexec", "nodev", "ro")),
    ("/run", "tmpfs", "tmpfs", ("nosuid", "strictatime", "mode=755", "size=65536k")),
)


@dataclasses.dataclass(frozen=True, slots=True)
class ContainerProcess:
    """What a container runs.

    Attributes:
        command: The program and its arguments.
        environment: ``NAME=VALUE`` words, added to a PATH.
        directory: Where it starts, absolute.
        uid: Its user.
        gid: Its group.
        has_terminal: Whether it gets a terminal.
        has_host_network: Whether it uses the network of the host; else it has
            none but its own loopback.
    """

    command: Sequence[str] = ("/bin/sh",)
    environment: Sequence[str] = ()
    directory: str = "/"
    uid: int = 0
    gid: int = 0
    has_terminal: bool = False
    has_host_network: bool = False


def runtime_config(
    process: ContainerProcess, *, hostname: str, is_read_only: bool
) -> dict[str, object]:
    """Return the contents of ``config.json`` for a bundle with a ``rootfs``."""
    capabilities = list(_CAPABILITIES)
    environment = [f"PATH={_PATH}", *process.environment]
    if process.has_terminal:
        environment.insert(1, "TERM=xterm")
    namespaces = ["pid", "ipc", "uts", "mount"]
    if not process.has_host_network:
        namespaces.append("network")
    return {
        "ociVersion": "1.0.2",
        "process": {
            "terminal": process.has_terminal,
            "user": {"uid": process.uid, "gid": process.gid},
            "args": list(process.command),
            "env": environment,
            "cwd": process.directory,
            "capabilities": {
                "bounding": capabilities,
                "effective": capabilities,
                "permitted": capabilities,
            },
            "rlimits": [{"type": "RLIMIT_NOFILE", "hard": 1024, "soft": 1024}],
            "noNewPrivileges": True,
        },
        "root": {"path": "rootfs", "readonly": is_read_only},
        "hostname": hostname,
        "mounts": [
            {
                "destination": place,
                "type": kind,
                "source": source,
                "options": [*options],
            }
            for place, kind, source, options in _MOUNTS
        ],
        "linux": {
            "resources": {"devices": [{"allow": False, "access": "rwm"}]},
            "namespaces": [{"type": name} for name in namespaces],
            "maskedPaths": list(_MASKED_PATHS),
            "readonlyPaths": list(_READ_ONLY_PATHS),
        },
    }
