"""Pods on containerd with CRI and snapfs, as a kubelet runs them."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from demo.make_image import base_layer, write_image
from support.containerd import Containerd, Generation
from support.cri import KubeletClient
from support.images import IMAGE
from support.sandbox import REPOSITORY, Sandbox, wait_until
from support.snapfs_program import PROXY_NAME, SnapfsProgram

pytestmark = [pytest.mark.root, pytest.mark.containerd, pytest.mark.slow]

PAUSE = "snapfs.test/pause:latest"
NAMESPACE = "k8s.io"
COLLECT_S = 1


@pytest.fixture(scope="module")
def pause(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The image of what holds a pod's namespaces: something that does nothing."""
    output = tmp_path_factory.mktemp("pause") / "pause.tar"
    write_image(output, [base_layer()], PAUSE, ["/bin/sleep", "100000"])
    return output


@pytest.fixture
def containerd(
    sandbox: Sandbox, generation: Generation, snapfs: SnapfsProgram
) -> Containerd:
    toml = snapfs.containerd_toml(generation.version, "--cri")
    # Where this process may not lower OOM scores, runc cannot either.
    runtime = "  restrict_oom_score_adj = true\n"
    collect = f"  stats_collect_period = {COLLECT_S}\n"
    if generation.is_2:
        toml += "[plugins.'io.containerd.cri.v1.images'.pinned_images]\n"
        toml += f'  sandbox = "{PAUSE}"\n'
        toml += f"[plugins.'io.containerd.cri.v1.runtime']\n{runtime}"
        toml = _added(toml, "[plugins.'io.containerd.cri.v1.images']\n", collect)
    else:
        toml += '[plugins."io.containerd.grpc.v1.cri"]\n'
        toml += f'  sandbox_image = "{PAUSE}"\n{runtime}{collect}'
    started = Containerd(sandbox, generation, PROXY_NAME, toml, with_cri=True)
    if not has_cri(started):
        pytest.skip("this containerd was built without CRI; build it anew")
    return started


def _added(toml: str, header: str, line: str) -> str:
    """Return ``toml`` with one more line in a table."""
    assert header in toml
    return toml.replace(header, header + line)


def has_cri(containerd: Containerd) -> bool:
    rows = [row.split() for row in containerd.ctr("plugins", "ls").splitlines()]
    return any(row[1] == "cri" and row[-1] == "ok" for row in rows)


@pytest.fixture
def kubelet(
    containerd: Containerd, sandbox: Sandbox, archive: Path, pause: Path
) -> Iterator[KubeletClient]:
    for image in (archive, pause):
        containerd.import_image(image, namespace=NAMESPACE)
    with KubeletClient(sandbox.home / "containerd.sock") as client:
        wait_until(
            lambda: len(client.call("ListImages").images) == 2, "CRI to know the images"
        )
        yield client


def occupied(snapfs: SnapfsProgram) -> int:
    """What du(1) says of all snapshots' contents."""
    tops = [
        os.path.join(row["directory"], "fs")
        for row in (snapfs.document("info", r["name"]) for r in snapfs.records("ls"))
    ]
    shown = subprocess.run(
        ["du", "-s", "--block-size=1", "--total", *tops],
        capture_output=True,
        text=True,
        check=True,
    )
    return int(shown.stdout.splitlines()[-1].split()[0])


def test_pods_run_and_an_eviction_leaves_nothing(
    kubelet: KubeletClient,
    containerd: Containerd,
    snapfs: SnapfsProgram,
    sandbox: Sandbox,
) -> None:
    images = {row["name"] for row in snapfs.records("ls")}
    pods = [
        kubelet.run_pod(f"pod-{number}", sandbox.cgroup, sandbox.home / "logs")
        for number in range(2)
    ]
    containers = [
        pod.start(f"app-{number}", IMAGE, "sleep", "1000")
        for pod in pods
        for number in range(2)
    ]
    for number, container in enumerate(containers):
        pod = pods[number // 2]
        pod.execute(container, "sh", "-c", f"echo {number} >/srv/mine")
        assert pod.execute(container, "cat", "/srv/mine") == f"{number}\n"
    kinds = [row["kind"] for row in snapfs.records("ls")]
    assert kinds.count("active") == len(pods) + len(containers)

    for pod in pods:
        pod.remove()
    assert not kubelet.call("ListContainers").containers
    assert not kubelet.call("ListPodSandbox").items
    containerd.collect_garbage()
    wait_until(
        lambda: {row["name"] for row in snapfs.records("ls")} == images,
        "the pods' snapshots to go",
    )
    wait_until(lambda: len(snapfs.directories()) == len(images), "their directories")
    assert sandbox.mount_points() == []


def test_the_image_filesystem_is_that_of_the_store_and_its_usage_is_right(
    kubelet: KubeletClient,
    generation: Generation,
    snapfs: SnapfsProgram,
    sandbox: Sandbox,
) -> None:
    pod = kubelet.run_pod("pod", sandbox.cgroup, sandbox.home / "logs")
    container = pod.start("app", IMAGE, "sleep", "1000")
    pod.execute(container, "sh", "-c", "dd if=/dev/zero of=/srv/big bs=65536 count=64")
    # What is not yet written may be counted otherwise than what is.
    subprocess.run(["sync", "--file-system", snapfs.root], check=True)
    expected = occupied(snapfs)

    def is_counted() -> bool:
        [found] = kubelet.call("ImageFsInfo").image_filesystems
        if generation.is_2:  # Debian's 1.6.20 cannot be told where the store is
            assert found.fs_id.mountpoint == str(snapfs.root)
        return bool(found.used_bytes.value == expected)

    wait_until(is_counted, "CRI to count what du(1) counts")
    written = kubelet.call("ContainerStats", value=container).stats.writable_layer
    assert written.used_bytes.value >= 4 << 20
    pod.remove()


@pytest.mark.full
def test_an_image_that_kubernetes_removes_leaves_nothing(
    kubelet: KubeletClient, containerd: Containerd, snapfs: SnapfsProgram
) -> None:
    """What the kubelet's image collection does when the disk becomes full."""
    for image in (IMAGE, PAUSE):
        kubelet.call("RemoveImage", image={"image": image})
    containerd.collect_garbage()

    wait_until(snapfs.is_empty, "an empty store")


@pytest.mark.full
def test_pods_survive_a_restart_of_the_service(
    kubelet: KubeletClient,
    containerd: Containerd,
    snapfs: SnapfsProgram,
    sandbox: Sandbox,
) -> None:
    pod = kubelet.run_pod("pod", sandbox.cgroup, sandbox.home / "logs")
    container = pod.start("app", IMAGE, "sleep", "1000")

    snapfs.kill()
    assert pod.execute(container, "cat", "/etc/motd")
    snapfs.serve()
    # It takes containerd a moment to connect again.
    listing = ("snapshots", "--snapshotter", PROXY_NAME, "ls")
    wait_until(
        lambda: containerd.try_ctr(*listing, namespace=NAMESPACE).returncode == 0,
        "the service",
    )

    second = pod.start("second", IMAGE, "sleep", "1000")
    assert pod.execute(second, "cat", "/etc/motd")
    pod.remove()


# Runtimes have snapshotters of their own from 2.0 on.
@pytest.mark.parametrize("generation", ["built"], indirect=True)
def test_a_runtime_class_uses_snapfs_where_others_do_not(
    generation: Generation,
    sandbox: Sandbox,
    snapfs: SnapfsProgram,
    archive: Path,
    pause: Path,
) -> None:
    """With the file that ``deploy/kubernetes`` gives to nodes."""
    toml = snapfs.containerd_toml(generation.version)
    given = (REPOSITORY / "deploy/kubernetes/runtime-class.toml").read_text()
    toml += given.replace("version = 3\n", "")
    toml += (
        "[plugins.'io.containerd.cri.v1.runtime']\n  restrict_oom_score_adj = true\n"
    )
    toml += "[plugins.'io.containerd.cri.v1.images'.pinned_images]\n"
    toml += f'  sandbox = "{PAUSE}"\n'
    started = Containerd(sandbox, generation, "overlayfs", toml, with_cri=True)
    if not has_cri(started):
        pytest.skip("this containerd was built without CRI; build it anew")
    for image in (archive, pause):
        started.import_image(image, namespace=NAMESPACE)
    with KubeletClient(sandbox.home / "containerd.sock") as kubelet:
        wait_until(
            lambda: len(kubelet.call("ListImages").images) == 2,
            "CRI to know the images",
        )
        plain = kubelet.run_pod("plain", sandbox.cgroup, sandbox.home / "logs")
        assert snapfs.records("ls") == []

        pod = kubelet.run_pod(
            "pod", sandbox.cgroup, sandbox.home / "logs", runtime="snapfs"
        )
        container = pod.start("app", IMAGE, "sleep", "1000")

        assert pod.execute(container, "cat", "/etc/motd")
        kinds = [row["kind"] for row in snapfs.records("ls")]
        assert kinds.count("active") == 2
        for each in (pod, plain):
            each.remove()
