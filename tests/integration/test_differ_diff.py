"""containerd 2.x has snapfs make layers of snapshots: commit, diff, export."""

from __future__ import annotations

import gzip
import io
import os
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
import zstandard

from demo.make_image import digest
from support.containerd import Containerd, Generation, require_generation
from support.images import IMAGE, chain_ids, image_layers
from support.sandbox import Sandbox, wait_until
from support.snapfs_program import PROXY_NAME, SnapfsProgram

pytestmark = [pytest.mark.root, pytest.mark.containerd, pytest.mark.slow]

GZIP = "application/vnd.oci.image.layer.v1.tar+gzip"
TAR = "application/vnd.oci.image.layer.v1.tar"
ZSTD = "application/vnd.oci.image.layer.v1.tar+zstd"
CONTENT = "containerd/io.containerd.content.v1.content"
BOTH_DIFFERS = '["snapfs-differ", "walking"]'
UNCOMPRESSED = "containerd.io/uncompressed"

CHANGES = """
rm /etc/group
rm -rf /srv/cache
echo changed > /etc/motd
mkdir -m 0700 /srv/new
echo one > /srv/new/first
ln /srv/new/first /srv/new/second
chmod 0755 /etc/passwd
touch -c /etc/passwd
"""


@pytest.fixture
def generation() -> Generation:
    return require_generation("built")


@pytest.fixture
def containerd(
    request: pytest.FixtureRequest,
    sandbox: Sandbox,
    generation: Generation,
    snapfs: SnapfsProgram,
    archive: Path,
) -> Containerd:
    toml = snapfs.containerd_toml(generation.version)
    assert BOTH_DIFFERS in toml
    if "next_differ" not in request.node.name:  # nobody else helps
        toml = toml.replace(BOTH_DIFFERS, '["snapfs-differ"]')
    made = Containerd(sandbox, generation, PROXY_NAME, toml)
    made.import_image(archive)
    return made


@pytest.fixture
def changed(containerd: Containerd) -> str:
    """The key of the snapshot of a container that has ended."""
    containerd.run(IMAGE, "box", "/bin/sh", "-c", CHANGES)
    return "box"


def diff(containerd: Containerd, *arguments: str) -> str:
    """Make a layer that stays; return the digest of its blob."""
    before = blobs(containerd)
    containerd.snapshots("diff", "--keep", *arguments)
    [made] = blobs(containerd) - before
    return made


def blobs(containerd: Containerd) -> set[str]:
    return set(containerd.ctr("content", "ls", "--quiet").split())


def stored(containerd: Containerd, name: str) -> bytes:
    folder = containerd.sandbox.home / CONTENT / "blobs/sha256"
    path = folder / name.removeprefix("sha256:")
    return path.read_bytes()


def labels(containerd: Containerd, name: str) -> str:
    for line in containerd.ctr("content", "ls").splitlines():
        if line.startswith(name):
            return line
    raise AssertionError(name)


def members(plain: bytes) -> dict[str, tarfile.TarInfo]:
    with tarfile.open(fileobj=io.BytesIO(plain)) as tar:
        return {member.name: member for member in tar}


PLAIN_OF: dict[str, Callable[[bytes], bytes]] = {
    GZIP: gzip.decompress,
    TAR: bytes,
    ZSTD: lambda blob: zstandard.ZstdDecompressor().decompressobj().decompress(blob),
}


def test_a_container_s_changes_become_a_layer(
    containerd: Containerd, changed: str
) -> None:
    label = "team.test/why=because"
    plain: dict[str, bytes] = {}
    for media_type, plain_of in PLAIN_OF.items():
        blob = diff(
            *(containerd, "--media-type", media_type, "--ref", "my-upload"),
            *("--label", label, changed),
        )
        plain[media_type] = plain_of(stored(containerd, blob))
        assert digest(stored(containerd, blob)) == blob
        assert f"{UNCOMPRESSED}={digest(plain[media_type])}" in labels(containerd, blob)
        assert label in labels(containerd, blob)
        # Again: it is there already.
        containerd.snapshots("diff", "--keep", "--media-type", media_type, changed)
        assert blob in blobs(containerd)

    assert plain[GZIP] == plain[TAR] == plain[ZSTD]
    found = members(plain[TAR])
    assert {name for name in found if "/.wh." in name} == {
        "etc/.wh.group",
        "srv/.wh.cache",
    }
    assert found["srv/new/first"].isreg()
    assert found["srv/new/second"].islnk()
    assert found["srv/new"].mode == 0o700
    assert found["etc/passwd"].mode == 0o755
    assert "etc/motd" in found
    assert not {"srv/app", "bin/sh", "etc/shadow"} & set(found)
    assert "my-upload" not in containerd.ctr("content", "active")


def test_the_layer_is_what_containerd_s_own_differ_makes(
    containerd: Containerd, changed: str
) -> None:
    ours = members(gzip.decompress(stored(containerd, diff(containerd, changed))))
    containerd.stop()
    config = containerd.sandbox.home / "plugin.toml"
    toml = config.read_text()
    config.write_text(toml.replace('["snapfs-differ"]', '["walking"]'))
    containerd.restart()

    theirs = members(gzip.decompress(stored(containerd, diff(containerd, changed))))

    assert {name for name in theirs if name not in ours} == set()
    # theirs has no directory that only its content changed of.
    for name, member in theirs.items():
        mine = ours[name]
        assert (mine.type, mine.size, mine.uid) == (
            member.type,
            member.size,
            member.uid,
        ), name
        if "/.wh." not in name:
            assert mine.mode == member.mode, name
            assert mine.mtime == int(member.mtime), name


def test_committed_snapshots_and_any_two_are_compared(
    containerd: Containerd, changed: str
) -> None:
    names = chain_ids(image_layers())
    containerd.snapshots("commit", "frozen", changed)

    one = members(gzip.decompress(stored(containerd, diff(containerd, "frozen"))))
    top = members(gzip.decompress(stored(containerd, diff(containerd, names[1]))))
    base = members(gzip.decompress(stored(containerd, diff(containerd, names[0]))))

    assert "etc/.wh.group" in one
    assert "srv/app/obsolete" in top
    assert not [name for name in top if "/.wh." in name]
    assert "bin/sh" in base


def test_what_is_not_ours_is_for_the_next_differ(
    containerd: Containerd, archive: Path
) -> None:
    containerd.snapshotter = "overlayfs"
    containerd.import_image(archive, namespace="other")
    top = chain_ids(image_layers())[1]

    containerd.snapshots("diff", "--keep", top, namespace="other")

    listed = containerd.ctr("content", "ls", "--quiet", namespace="other").split()
    assert listed


def test_a_collection_spares_a_layer_that_nobody_refers_to_yet(
    containerd: Containerd, changed: str
) -> None:
    # What a client does that is still about to use it: its label is not there yet.
    blob = diff(containerd, changed)
    containerd.ctr("content", "label", blob, "containerd.io/gc.root=")

    containerd.collect_garbage()

    assert blob in blobs(containerd)


@pytest.mark.full
def test_a_diff_that_is_cut_off_leaves_no_half_blob(
    containerd: Containerd, snapfs: SnapfsProgram
) -> None:
    containerd.snapshots("prepare", "big", chain_ids(image_layers())[0])
    [directory] = [
        row["directory"] for row in snapfs.records("ls") if row["name"].endswith("/big")
    ]
    with open(f"{directory}/fs/noise", "wb") as noise:
        for _ in range(400):
            noise.write(os.urandom(1 << 20))
    before = blobs(containerd)
    client = containerd.start_ctr(
        *("snapshots", "--snapshotter", PROXY_NAME, "diff", "--ref", "cut", "big")
    )
    wait_until(
        lambda: "cut" in containerd.ctr("content", "active"), "an upload to begin"
    )

    client.kill()

    wait_until(
        lambda: "cut" not in containerd.ctr("content", "active"), "an upload to end"
    )
    assert blobs(containerd) == before
    uploads = containerd.sandbox.home / CONTENT / "ingest"
    wait_until(lambda: not list(uploads.iterdir()), "the upload's files to go")
