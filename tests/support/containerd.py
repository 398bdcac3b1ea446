"""A private containerd: its own root, state, socket, configuration and shim.

It shares nothing with an installed containerd or Docker: it runs in a
:class:`support.sandbox.Sandbox`, its files lie in the sandbox's scratch directory,
and its own programs stand first in its search path, so that it starts the shim of
its own generation.
"""

from __future__ import annotations

import dataclasses
import os
import re
import shutil
import subprocess
from functools import cache
from pathlib import Path
from typing import Final

import pytest

from support.sandbox import REPOSITORY, Sandbox, Service, wait_until

# Plugins that reach for places outside the private root, or that a private
# containerd has no use for. Names unknown to a generation are ignored by it.
DISABLED_PLUGINS: Final = (
    "io.containerd.grpc.v1.cri",
    "io.containerd.cri.v1.images",
    "io.containerd.cri.v1.runtime",
    "io.containerd.image-verifier.v1.bindir",
    "io.containerd.internal.v1.opt",
    "io.containerd.nri.v1.nri",
)

# Version 2 of the file is the one that both generations read. What depends on the
# generation comes in the imported file.
CONFIGURATION: Final = """\
version = 2
disabled_plugins = [{disabled}]
imports = [{imports}]

# Garbage is collected when a test asks, by --sync, and at no other time: `ctr
# snapshots view` makes snapshots that nothing protects, and a test looks at them.
[plugins."io.containerd.gc.v1.scheduler"]
  startup_delay = "1000h"
  mutation_threshold = 0
  deletion_threshold = 0
"""


@dataclasses.dataclass(frozen=True, slots=True)
class Generation:
    """One installed containerd: where its programs are and what it calls itself."""

    programs: Path
    version: str

    @property
    def is_2(self) -> bool:
        return self.version.startswith("2.")


@dataclasses.dataclass(frozen=True, slots=True)
class SnapshotLine:
    """One line of ``ctr snapshots ls``, its kind in lower case."""

    key: str
    parent: str
    kind: str


def built_programs() -> list[Path]:
    """Return where programs of containerd were built, the newest last."""
    return sorted(REPOSITORY.glob(".cache/containerd-2.*/bin"))


@cache
def find_generation(name: str) -> Generation | None:
    """Return the "packaged" or the "built" containerd; None where there is none."""
    if name == "packaged":
        found = shutil.which("containerd")
        folder = Path(found).parent if found else None
    else:
        built = built_programs()
        folder = built[-1] if built else None
    if folder is None or not (folder / "containerd").exists():
        return None
    shown = subprocess.run(
        [folder / "containerd", "--version"],
        capture_output=True,
        text=True,
        check=True,
    )
    version = re.search(r"\b\d+\.\d+\.\d+", shown.stdout)
    assert version is not None, shown.stdout
    return Generation(folder, version[0])


def require_generation(name: str) -> Generation:
    """Return the generation ``name``, or skip the test and say why."""
    if os.geteuid() != 0:
        pytest.skip("containers need root")
    if shutil.which("runc") is None:
        pytest.skip("no runc here; scripts/install-containerd installs it")
    generation = find_generation(name)
    if generation is None:
        pytest.skip(f"no {name} containerd here; scripts/install-containerd brings it")
    return generation


# For costly tests whose answer hardly depends on it: the newest that is here, and in
# the full run the other one, too.
ONE_GENERATION: Final = pytest.mark.parametrize(
    "generation",
    [
        pytest.param(name, marks=[pytest.mark.full] if is_other else [])
        for name, is_other in (
            ("built", not built_programs()),
            ("packaged", bool(built_programs())),
        )
    ],
    indirect=True,
)


class Containerd:
    """A running private containerd whose containers use one snapshotter.

    Args:
        sandbox: Where it runs and keeps its files.
        generation: Which containerd.
        snapshotter: The name of the snapshotter that :meth:`run` and
            :meth:`import_image` ask for.
        with_cri: Whether Kubernetes's interface is offered.
        plugin_toml: What to add to the configuration, such as a proxy plugin.
    """

    def __init__(
        self,
        sandbox: Sandbox,
        generation: Generation,
        snapshotter: str,
        plugin_toml: str = "",
        *,
        with_cri: bool = False,
    ) -> None:
        self.sandbox = sandbox
        self.snapshotter = snapshotter
        self._programs = generation.programs
        self._address = sandbox.home / "containerd.sock"
        self._environment = {
            "PATH": f"{generation.programs}{os.pathsep}{os.environ['PATH']}",
            # 2.x warns on standard error on hosts with cgroup version 1.
            "CONTAINERD_SUPPRESS_DEPRECATION_WARNINGS": "1",
        }
        self._configuration = self._write_configuration(plugin_toml, with_cri)
        self._service = self._start()

    def _write_configuration(self, plugin_toml: str, with_cri: bool) -> Path:
        main = self.sandbox.home / "containerd.toml"
        plugin = self.sandbox.home / "plugin.toml"
        plugin.write_text(plugin_toml or "version = 2\n")
        names = [n for n in DISABLED_PLUGINS if not (with_cri and ".cri" in n)]
        disabled = ", ".join(f'"{name}"' for name in names)
        main.write_text(
            CONFIGURATION.format(disabled=disabled, imports=f'"{plugin}"'),
        )
        return main

    def _start(self) -> Service:
        service = self.sandbox.spawn(
            *(self._programs / "containerd", "--config", self._configuration),
            *("--root", self.sandbox.home / "containerd"),
            *("--state", self.sandbox.home / "state"),
            *("--address", self._address),
            log=self.sandbox.home / "containerd.log",
            env=self._environment,
        )
        wait_until(lambda: not service.is_running or self._answers(), "containerd")
        assert service.is_running, service.log.read_text()
        return service

    def _answers(self) -> bool:
        return self._address.exists() and self.try_ctr("version").returncode == 0

    def stop(self) -> None:
        """Stop containerd; its containers go on running."""
        self._service.stop()

    def restart(self) -> None:
        """Stop containerd and start it again on the same files."""
        self._service.stop()
        self._service = self._start()

    @property
    def log(self) -> str:
        """What containerd has logged so far."""
        return self._service.log.read_text(errors="replace")

    def try_ctr(
        self, *arguments: str | Path, namespace: str = "default"
    ) -> subprocess.CompletedProcess[str]:
        """Run ``ctr ARGUMENTS``; return its status and its output."""
        return self.sandbox.try_run(
            *self._ctr(namespace), *arguments, env=self._environment
        )

    def ctr(self, *arguments: str | Path, namespace: str = "default") -> str:
        """Run ``ctr ARGUMENTS``; return what it printed.

        Raises:
            CommandError: It failed.
        """
        return self.sandbox.run(
            *self._ctr(namespace), *arguments, env=self._environment
        )

    def start_ctr(self, *arguments: str | Path, namespace: str = "default") -> Service:
        """Start ``ctr ARGUMENTS`` and do not wait for its end."""
        return self.sandbox.spawn(
            *self._ctr(namespace),
            *arguments,
            log=self.sandbox.home / "ctr.log",
            env=self._environment,
        )

    def _ctr(self, namespace: str) -> tuple[str | Path, ...]:
        program = self._programs / "ctr"
        return (program, "--address", self._address, "--namespace", namespace)

    def snapshots(self, *arguments: str, namespace: str = "default") -> str:
        """Run ``ctr snapshots`` for the snapshotter; return what it printed."""
        return self.ctr(
            *("snapshots", "--snapshotter", self.snapshotter, *arguments),
            namespace=namespace,
        )

    def import_image(
        self,
        archive: Path,
        options: tuple[str, ...] = (),
        namespace: str = "default",
    ) -> None:
        """Load the image ``archive`` and unpack it into snapshots."""
        self.ctr(
            *("images", "import", "--snapshotter", self.snapshotter, *options),
            archive,
            namespace=namespace,
        )

    def run(
        self,
        image: str,
        container: str,
        *command: str,
        options: tuple[str, ...] = (),
        namespace: str = "default",
    ) -> str:
        """Run ``command`` (or the image's own) in a new container; return its output.

        ``options`` go to ``ctr run``, such as ``--rm`` or ``--detach``.
        """
        return self.ctr(
            *("run", "--snapshotter", self.snapshotter),
            *("--cgroup", f"{self.sandbox.cgroup}/{namespace}-{container}"),
            *(*options, image, container, *command),
            namespace=namespace,
        )

    def execute(self, container: str, *command: str, namespace: str = "default") -> str:
        """Run ``command`` in the running ``container``; return its output."""
        return self.ctr(
            *("tasks", "exec", "--exec-id", f"exec-{os.urandom(4).hex()}"),
            *(container, *command),
            namespace=namespace,
        )

    def remove_container(self, container: str, namespace: str = "default") -> None:
        """End ``container`` if it still runs, and remove it with its snapshot."""
        self.try_ctr("tasks", "rm", "--force", container, namespace=namespace)
        self.ctr("containers", "rm", container, namespace=namespace)

    def list_snapshots(self, namespace: str = "default") -> list[SnapshotLine]:
        """Return what ``ctr snapshots ls`` lists."""
        lines = self.snapshots("ls", namespace=namespace).splitlines()[1:]
        # The column of the parent is empty where there is none.
        rows = [line.split() for line in lines]
        return [
            SnapshotLine(row[0], row[1] if len(row) > 2 else "", row[-1].lower())
            for row in rows
        ]

    def collect_garbage(self) -> None:
        """Run a garbage collection; return when it is over."""
        self.ctr("leases", "create", "--id", "collect")
        self.ctr("leases", "delete", "--sync", "collect")

    def remove_everything(self, *namespaces: str) -> None:
        """Remove all containers, snapshots and images, and collect the garbage."""
        for namespace in namespaces or ("default",):
            for container in self._quiet_list("containers", namespace):
                self.remove_container(container, namespace)
            for image in self._quiet_list("images", namespace):
                self.ctr("images", "rm", image, namespace=namespace)
            self._remove_handmade_snapshots(namespace)
        self.collect_garbage()

    def _remove_handmade_snapshots(self, namespace: str) -> None:
        """Remove what tests made, children first; images' snapshots are collected."""
        while rows := [
            row
            for row in self.list_snapshots(namespace)
            if not row.key.startswith("sha256:")
        ]:
            parents = {row.parent for row in rows}
            for row in rows:
                if row.key not in parents:
                    self.snapshots("rm", row.key, namespace=namespace)

    def _quiet_list(self, what: str, namespace: str) -> list[str]:
        return self.ctr(what, "ls", "--quiet", namespace=namespace).split()
