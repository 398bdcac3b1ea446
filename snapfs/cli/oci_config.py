"""A ``config.json`` for runc and crun: the smallest one that is sound.

After the OCI runtime specification 1.0.2 (``config.md``, ``config-linux.md``) and
the defaults that Docker and containerd give every container: its own namespaces,
fourteen capabilities, no new privileges, kernel interfaces masked.
"""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Mapping, Sequence
from typing import Final

from snapfs.cli.oci_user import ContainerUser

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


# Whoever uses the host's network asks its name servers. A read-only tree may lack the
# file to mount on, and the runtime could not make it.
_RESOLVER: Final = "/etc/resolv.conf"


@dataclasses.dataclass(frozen=True, slots=True)
class ContainerProcess:
    """What a container runs.

    Attributes:
        command: The program and its arguments.
        environment: ``NAME=VALUE`` words, added to a PATH; the last one counts.
        directory: Where it starts, absolute.
        has_terminal: Whether it gets a terminal.
        has_host_network: Whether it uses the network of the host; else it has
            none but its own loopback.
    """

    command: Sequence[str] = ("/bin/sh",)
    environment: Sequence[str] = ()
    directory: str = "/"
    has_terminal: bool = False
    has_host_network: bool = False


def runtime_config(
    process: ContainerProcess, *, hostname: str, is_read_only: bool
) -> dict[str, object]:
    """Return the contents of ``config.json`` for a bundle with a ``rootfs``.

    Its user is root until :func:`set_user` says otherwise.
    """
    capabilities = list(_CAPABILITIES)
    usual = [f"PATH={_PATH}", *(["TERM=xterm"] if process.has_terminal else [])]
    namespaces = ["pid", "ipc", "uts", "mount"]
    if not process.has_host_network:
        namespaces.append("network")
    return {
        "ociVersion": "1.0.2",
        "process": {
            "terminal": process.has_terminal,
            "user": {"uid": 0, "gid": 0},
            "args": list(process.command),
            "env": _last_of_each((*usual, *process.environment)),
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
            for place, kind, source, options in (
                *_MOUNTS,
                *_resolver(process, is_read_only=is_read_only),
            )
        ],
        "linux": {
            "resources": {"devices": [{"allow": False, "access": "rwm"}]},
            "namespaces": [{"type": name} for name in namespaces],
            "maskedPaths": list(_MASKED_PATHS),
            "readonlyPaths": list(_READ_ONLY_PATHS),
        },
    }


def _resolver(
    process: ContainerProcess, *, is_read_only: bool
) -> list[tuple[str, str, str, tuple[str, ...]]]:
    if is_read_only or not process.has_host_network or not os.path.exists(_RESOLVER):
        return []
    return [(_RESOLVER, "bind", _RESOLVER, ("bind", "ro", "nosuid", "nodev"))]


def _last_of_each(environment: Sequence[str]) -> list[str]:
    return list({word.partition("=")[0]: word for word in environment}.values())


def set_user(path: str, user: ContainerUser) -> None:
    """Have the container of the ``config.json`` at ``path`` run as ``user``."""
    with open(path, encoding="utf-8") as file:
        config = json.load(file)
    shape: dict[str, object] = {"uid": user.uid, "gid": user.gid}
    if user.groups:
        shape["additionalGids"] = list(user.groups)
    config["process"]["user"] = shape
    write_config(path, config)


def write_config(path: str, config: Mapping[str, object]) -> None:
    """Write a ``config.json``."""
    with open(path, "w", encoding="utf-8") as file:
        json.dump(config, file, indent=2)
        file.write("\n")
