"""containerd 2.x pulls from a registry, and snapfs unpacks: good and bad days."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from demo.make_image import Layer
from support.applied_layers import directory, entry, hard_link
from support.containerd import Containerd, Generation, require_generation
from support.differed import presented, were_applied_by_us
from support.docker_registry import docker_registry
from support.images import HELLO, image_layers
from support.layouts import LayoutWriter, Packing
from support.pushed_images import push_layout
from support.sandbox import Sandbox, wait_until
from support.snapfs_program import PROXY_NAME, SnapfsProgram
from support.tar_stream import large_file_stream, tar_stream
from support.trees import differences

pytestmark = [pytest.mark.root, pytest.mark.containerd, pytest.mark.slow]

# What nerdctl and CRI have containerd tell remote snapshotters of each layer
# (pkg/snapshotters/annotations.go).
NERDCTL = {
    "containerd.io/snapshot/cri.image-ref": "registry.test/team/app:v1",
    "containerd.io/snapshot/cri.layer-digest": "sha256:" + "1" * 64,
}


SETTINGS = {
    "share": '[containerd]\nshare = "namespaces"\n',
    "clamp": '[containerd]\non_unsafe = "clamp"\n',
}


@pytest.fixture
def generation() -> Generation:
    return require_generation("built")


@pytest.fixture
def settings(request: pytest.FixtureRequest, sandbox: Sandbox) -> Path:
    """The service's settings: what the test's name says of them."""
    path = sandbox.home / "settings.toml"
    path.write_text(
        "".join(SETTINGS[name] for name in SETTINGS if name in request.node.name)
    )
    return path


@pytest.fixture
def snapfs(
    generation: Generation, sandbox: Sandbox, settings: Path
) -> Iterator[SnapfsProgram]:
    program = SnapfsProgram(sandbox)
    program.serve("--config", settings)
    yield program
    assert program.records("check", "--deep") == []


@pytest.fixture
def containerd(
    sandbox: Sandbox, generation: Generation, snapfs: SnapfsProgram, settings: Path
) -> Containerd:
    toml = snapfs.containerd_toml(generation.version, "--config", settings)
    return Containerd(sandbox, generation, PROXY_NAME, toml)


def plain(layer: Layer) -> list[bytes]:
    return [gzip.decompress(layer.blob)]


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> LayoutWriter:
    """The demo's image, and a layer that takes much from those below it."""
    writer = LayoutWriter(tmp_path_factory.mktemp("image") / "layout")
    base, application, update = image_layers()
    writer.add_layer(plain(base), annotations=NERDCTL)
    writer.add_layer(plain(application), Packing.ZSTD, annotations=NERDCTL)
    private = [directory("srv/private", 0o711), directory("srv/private/deep", 0o1777)]
    writer.add_layer(tar_stream(private), Packing.NONE)
    writer.add_layer(plain(update))
    top = [
        entry("srv/private/deep/file", b"in directories that no entry names"),
        entry(".wh.tmp"),
        entry("etc/.wh..wh..opq"),
        entry("etc/passwd", b"root:x:0:0::/:/bin/sh\n"),
        hard_link("etc/again", "etc/passwd"),
    ]
    writer.add_layer(tar_stream(top))
    writer.finish(Cmd=["/bin/sh", "/srv/app/hello"], Env=["PATH=/bin"])
    return writer


@pytest.fixture(scope="module")
def registry(
    image: LayoutWriter, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    with docker_registry(tmp_path_factory.mktemp("registry") / "registry") as host:
        push_layout(image.path, host, "team/app:v1")
        yield host


def pull(
    containerd: Containerd, name: str, *options: str, namespace: str = "default"
) -> None:
    containerd.ctr(
        *("images", "pull", "--plain-http", "--snapshotter", containerd.snapshotter),
        *(*options, name),
        namespace=namespace,
    )


def forget_leases(containerd: Containerd) -> None:
    """Take away the leases of clients that did not come to their end."""
    for lease in containerd.ctr("leases", "ls", "--quiet").split():
        containerd.ctr("leases", "rm", lease)


@pytest.mark.parametrize("way", ["transfer", "local"])
def test_a_pulled_image_is_what_overlayfs_makes_of_it(
    containerd: Containerd,
    snapfs: SnapfsProgram,
    image: LayoutWriter,
    registry: str,
    way: str,
) -> None:
    name = f"{registry}/team/app:v1"
    options = ("--local",) if way == "local" else ()
    pull(containerd, name, *options)
    ours = presented(containerd, image.chain_id, "default")
    containerd.snapshots("rm", "look-default")

    assert were_applied_by_us(snapfs, image.diff_ids)
    assert containerd.run(name, "hello", options=("--rm",)) == HELLO
    assert {row.key for row in containerd.list_snapshots()} == set(image.chain_ids)
    # One layer after another: at once, it makes implied directories 0755 of root.
    containerd.snapshotter = "overlayfs"
    pull(containerd, name, "--local", namespace="other")
    theirs = presented(containerd, image.chain_id, "other")
    assert differences(ours, theirs) == []


def test_usage_is_known_and_labels_are_kept(
    containerd: Containerd, snapfs: SnapfsProgram, image: LayoutWriter, registry: str
) -> None:
    name = f"{registry}/team/app:v1"

    pull(containerd, name)

    rows = {row["name"].rpartition("/")[2]: row for row in snapfs.records("ls")}
    known = [rows[chain_id]["usage"] for chain_id in image.chain_ids]
    assert all(usage["inodes"] > 0 for usage in known), "nobody asked for it yet"
    assert NERDCTL.items() <= rows[image.chain_ids[0]]["labels"].items()
    usage = containerd.ctr(*("images", "usage", "--snapshotter", PROXY_NAME, name))
    assert usage


def test_two_namespaces_have_an_image_each(
    containerd: Containerd, snapfs: SnapfsProgram, image: LayoutWriter, registry: str
) -> None:
    name = f"{registry}/team/app:v1"
    for namespace in ("one", "two"):
        pull(containerd, name, namespace=namespace)

    containerd.remove_everything("one")

    assert containerd.list_snapshots("one") == []
    listed = {row.key for row in containerd.list_snapshots("two")}
    assert listed == set(image.chain_ids)
    hello = containerd.run(name, "hello", options=("--rm",), namespace="two")
    assert hello == HELLO
    containerd.remove_everything("two")
    wait_until(snapfs.is_empty, "an empty store")


def test_namespaces_share_what_one_has_unpacked(
    containerd: Containerd, snapfs: SnapfsProgram, image: LayoutWriter, registry: str
) -> None:
    name = f"{registry}/team/app:v1"
    pull(containerd, name, namespace="one")
    before = sorted(row["name"] for row in snapfs.records("ls"))

    pull(containerd, name, namespace="two")

    assert sorted(row["name"] for row in snapfs.records("ls")) == before
    blobs = containerd.ctr("content", "ls", "--quiet", namespace="two").split()
    assert not set(blobs) & set(image.blobs), "layers were fetched"
    containerd.remove_everything("one")
    assert containerd.list_snapshots("one") == []
    listed = {row.key for row in containerd.list_snapshots("two")}
    assert listed == set(image.chain_ids)
    socket = str(containerd.sandbox.home / "containerd.sock")
    forgotten = ("cleanup", "--containerd", socket, "--older-than", "0", "--dry-run")
    assert snapfs.records(*forgotten) == []
    hello = containerd.run(name, "hello", options=("--rm",), namespace="two")
    assert hello == HELLO
    containerd.remove_everything("two")
    wait_until(snapfs.is_empty, "an empty store")


@pytest.fixture(scope="module")
def escaping(registry: str, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The name of an image with a file that would lie beside its root."""
    writer = LayoutWriter(tmp_path_factory.mktemp("escaping") / "layout")
    writer.add_layer(tar_stream([entry("../etc/inside", b"content")]))
    writer.finish()
    push_layout(writer.path, registry, "team/escaping:v1")
    return f"{registry}/team/escaping:v1"


def test_names_that_lead_out_are_refused(
    containerd: Containerd, snapfs: SnapfsProgram, escaping: str
) -> None:
    done = containerd.try_ctr(
        *("images", "pull", "--plain-http", "--snapshotter", PROXY_NAME, escaping)
    )

    assert done.returncode != 0
    assert "../etc/inside" in done.stderr
    assert not list(snapfs.root.glob("snapshots/*/fs/*"))


def test_names_that_lead_out_are_read_within_under_clamp(
    containerd: Containerd, snapfs: SnapfsProgram, escaping: str
) -> None:
    pull(containerd, escaping)

    [file] = snapfs.root.glob("snapshots/*/fs/etc/inside")
    assert file.read_bytes() == b"content"


def test_a_wrong_diff_id_is_refused_and_leaves_nothing(
    containerd: Containerd, snapfs: SnapfsProgram, registry: str, tmp_path: Path
) -> None:
    writer = LayoutWriter(tmp_path / "layout")
    writer.add_layer(tar_stream([entry("file", b"content")]))
    writer.claim_diff_id(0, "sha256:" + "2" * 64)
    writer.finish()
    push_layout(writer.path, registry, "team/wrong:v1")

    done = containerd.try_ctr(
        *("images", "pull", "--plain-http", "--snapshotter", PROXY_NAME),
        f"{registry}/team/wrong:v1",
    )

    assert done.returncode != 0
    assert "wrong diff id" in done.stderr
    forget_leases(containerd)
    containerd.remove_everything()
    wait_until(snapfs.is_empty, "an empty store")


def test_a_missing_blob_is_named(
    containerd: Containerd, snapfs: SnapfsProgram, image: LayoutWriter, registry: str
) -> None:
    name = f"{registry}/team/app:v1"
    containerd.ctr("images", "pull", "--plain-http", "--snapshotter", "overlayfs", name)
    layers = containerd.ctr("content", "ls", "--quiet").split()
    blobs = containerd.sandbox.home / (
        "containerd/io.containerd.content.v1.content/blobs/sha256"
    )
    gone = max(layers, key=lambda each: (blobs / each[7:]).stat().st_size)
    (blobs / gone.removeprefix("sha256:")).unlink()

    done = containerd.try_ctr("run", "--snapshotter", PROXY_NAME, name, "never")

    assert done.returncode != 0
    assert gone in done.stderr
    assert "not found" in done.stderr


@pytest.mark.full
def test_layers_are_applied_at_once(
    containerd: Containerd, snapfs: SnapfsProgram, registry: str, tmp_path: Path
) -> None:
    writer = LayoutWriter(tmp_path / "layout")
    for name in ("one", "two", "three"):
        writer.add_layer(large_file_stream(name, 1 << 30))
    writer.finish()
    push_layout(writer.path, registry, "team/wide:v1")
    name = f"{registry}/team/wide:v1"

    client = containerd.start_ctr(
        *("images", "pull", "--plain-http", "--snapshotter", PROXY_NAME, name)
    )
    wait_until(lambda: len(workers(snapfs)) > 1, "two layers at once")
    client.wait()

    assert client.exit_status == 0, client.log.read_text()
    listed = {row.key: row.parent for row in containerd.list_snapshots()}
    one, two, three = writer.chain_ids
    assert listed == {one: "", two: one, three: two}


@pytest.mark.full
def test_a_worker_that_is_killed_is_told_of_and_the_pull_can_be_repeated(
    containerd: Containerd, snapfs: SnapfsProgram, registry: str, tmp_path: Path
) -> None:
    writer = LayoutWriter(tmp_path / "layout")
    writer.add_layer(large_file_stream("large", 1 << 30))
    writer.finish()
    push_layout(writer.path, registry, "team/large:v1")
    name = f"{registry}/team/large:v1"
    client = containerd.start_ctr(
        *("images", "pull", "--plain-http", "--snapshotter", PROXY_NAME, name)
    )
    wait_until(lambda: any(workers(snapfs)), "a process that applies")

    for worker in workers(snapfs):
        worker.kill()
    client.wait()

    assert client.exit_status != 0
    assert "out of memory?" in client.log.read_text()
    pull(containerd, name)
    forget_leases(containerd)
    containerd.remove_everything()
    wait_until(snapfs.is_empty, "an empty store")


def workers(program: SnapfsProgram) -> list[psutil.Process]:
    """Return the processes that write into this store now."""
    root = str(program.root)
    found = []
    for process in psutil.process_iter(["cmdline"]):
        if process.info["cmdline"] and "snapfs.unpack" in process.info["cmdline"]:
            try:
                if any(root in file.path for file in process.open_files()):
                    found.append(process)
            except psutil.NoSuchProcess:
                continue
    return found
