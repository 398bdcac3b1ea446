"""``check --deep``: every damaged name is found, none else, and made good.

That it finds nothing in sound layers of every form is shown where these are unpacked
(the fixture ``images``).
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from layers.case import BASE
from layers.test_views import written
from layers.unpacked import ImageStore, image_store

from snapfs.assembly.content_check import DeepCheck
from snapfs.errors import DataLossError
from snapfs.image.layout import open_layout
from snapfs.image.resolve import open_image
from snapfs.layer.limits import DevicePolicy, Policy, SetuidPolicy
from snapfs.overlay_format import OPAQUE, XattrPrefix
from support.applied_layers import Item, directory, entry, hard_link, symlink
from support.trees import read_tree

pytestmark = pytest.mark.root

UPPER: tuple[Item, ...] = (
    directory("d", mode=0o711, owner=(3, 4)),
    entry("d/.wh.old"),
    directory("d/sub"),
    entry("d/sub/.wh..wh..opq"),
    entry("d/sub/new", b"new", xattrs={"user.a": b"1"}),
    entry("big", b"b" * 5000, mode=0o4755, owner=(1, 2)),
    hard_link("big2", "big"),
    symlink("link", "big"),
    entry("e/implied", b"its directory has no entry"),
    hard_link("copy", "f"),
)


def whats(done: DeepCheck) -> dict[str, str]:
    return {
        finding.subject.partition(":/")[2]: finding.detail.partition(";")[0]
        for finding in done.findings
    }


def own_image(images: ImageStore, layout: Path, *more: Item) -> str:
    """Unpack an image whose top layer no other test has; return its directory."""
    made = images.unpack(
        written(layout, BASE, (*UPPER, entry(layout.parent.name), *more))
    )
    return images.store.details(made.name).content


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ImageStore]:
    root = tmp_path_factory.mktemp("store") / "root"
    with image_store(root, XattrPrefix.TRUSTED) as made:
        yield made


@pytest.fixture(autouse=True)
def emptied(images: ImageStore) -> Iterator[None]:
    """Leave no damage to the next test."""
    yield
    keys = [info.name for info in images.store.walk()]
    while keys:
        parents = {info.parent for info in images.store.walk()}
        for key in [key for key in keys if key not in parents]:
            images.store.remove(key)
            keys.remove(key)


@pytest.mark.parametrize(
    ("devices", "setuid"),
    [
        (DevicePolicy.ALLOW, SetuidPolicy.STRIP),
        (DevicePolicy.SKIP, SetuidPolicy.KEEP),
        (DevicePolicy.PLACEHOLDER, SetuidPolicy.STRIP),
    ],
)
def test_the_policy_of_the_unpack_counts(
    images: ImageStore, layout: Path, devices: DevicePolicy, setuid: SetuidPolicy
) -> None:
    layer = (
        *UPPER,
        entry("null", type_=b"3", mode=0o666, device=(1, 3)),
        hard_link("null2", "null"),
    )
    images.unpack(written(layout, BASE, layer), Policy(devices, setuid))

    done = images.check_contents(layout)

    assert whats(done) == {}
    assert done.compared == 2


def truncate(top: Path) -> None:
    os.truncate(top / "big", 0)


def flip(top: Path) -> None:
    status = (top / "d/sub/new").stat()
    (top / "d/sub/new").write_bytes(b"NEW")
    os.utime(top / "d/sub/new", ns=(status.st_mtime_ns, status.st_mtime_ns))


def make_whiteout_a_file(top: Path) -> None:
    (top / "d/old").unlink()
    (top / "d/old").write_bytes(b"")


def make_directory_a_file(top: Path) -> None:
    for path in (top / "d/sub/new", top / "d/sub"):
        path.unlink() if path.is_file() else path.rmdir()
    (top / "d/sub").write_bytes(b"")


def make_file_a_directory(top: Path) -> None:
    (top / "copy").unlink()
    (top / "copy").mkdir()
    (top / "copy/within").write_bytes(b"")


def unlink_twin(top: Path) -> None:
    content = (top / "big").read_bytes()
    status = (top / "big").stat()
    (top / "big2").unlink()
    (top / "big2").write_bytes(content)
    os.chown(top / "big2", status.st_uid, status.st_gid)
    (top / "big2").chmod(0o4755)
    os.utime(top / "big2", ns=(status.st_mtime_ns, status.st_mtime_ns))


def lead_elsewhere(top: Path) -> None:
    (top / "link").unlink()
    (top / "link").symlink_to("/etc")


Damage = tuple[Callable[[Path], object], str, str]
TOGETHER: dict[str, tuple[Damage, ...]] = {
    "names and attributes": (
        (lead_elsewhere, "link", "it leads to '/etc', not to 'big'"),
        (truncate, "big", "its size is 0, not 5000"),
        (make_whiteout_a_file, "d/old", "it is a file, not a whiteout"),
        (make_file_a_directory, "copy", "it is a directory, not a file"),
        (lambda top: (top / "e/implied").unlink(), "e/implied", "it is missing"),
        (
            lambda top: (top / "extra").touch(),
            "extra",
            "the layer has nothing of that name",
        ),
        (lambda top: os.chown(top / "d", 9, 9), "d", "its owner is 9:9, not 3:4"),
        (lambda top: (top / "e").chmod(0o777), "e", "its mode is 0777, not 0755"),
        (
            lambda top: os.removexattr(top / "d/sub/new", "user.a"),
            "d/sub/new",
            "extended attribute 'user.a' is missing",
        ),
        (
            lambda top: os.setxattr(top / "d/sub", "user.b", b""),
            "d/sub",
            "the layer has no extended attribute 'user.b'",
        ),
    ),
    "contents and links": (
        (flip, "d/sub/new", "its content is not that of the layer"),
        (unlink_twin, "big2", "it is not the same file as 'big'"),
    ),
    "a directory that is gone": (
        (make_directory_a_file, "d/sub", "it is a file, not a directory"),
        (lambda top: (top / "big").chmod(0o755), "big", "its mode is 0755, not 4755"),
    ),
    "one file for another": (
        (
            lambda top: os.rename(top / "d/sub/new", top / "link"),
            "link",
            "it is a file, not a symbolic link",
        ),
    ),
}


@pytest.mark.parametrize("damages", TOGETHER.values(), ids=TOGETHER)
def test_damage_is_named_and_made_good(
    images: ImageStore, layout: Path, damages: tuple[Damage, ...]
) -> None:
    top = Path(own_image(images, layout))
    sound = read_tree(top)
    for damage, _, _ in damages:
        damage(top)

    found = whats(images.check_contents(layout))
    repaired = images.check_contents(layout, repair=True)

    for _, path, what in damages:
        assert what in found[path]
    assert whats(repaired) == {}
    assert repaired.renewed >= len(damages)
    assert read_tree(top) == sound
    assert os.listdir(os.path.join(images.store.status().root, "staging")) == []


def test_without_the_image_the_index_tells_all_but_contents(
    images: ImageStore, layout: Path
) -> None:
    top = Path(own_image(images, layout))
    flip(top)
    truncate(top)
    os.removexattr(top / "d/sub", images.prefix.attribute(OPAQUE))

    done = images.check_contents()

    assert set(whats(done)) == {"big", "big2", "d/sub"}
    assert "as it should" in whats(done)["d/sub"]
    assert "--from" in done.findings[0].detail
    assert done.read == 0
    assert images.check_contents(repair=True).renewed == 0
    assert (top / "big").stat().st_size == 0


def test_a_whole_layer_that_was_lost_comes_back(
    images: ImageStore, layout: Path
) -> None:
    """What a power cut leaves of data that nobody synced: names without content."""
    top = Path(own_image(images, layout))
    sound = read_tree(top)
    for place, _, names in os.walk(top):
        for name in names:
            if os.path.isfile(os.path.join(place, name)):
                os.truncate(os.path.join(place, name), 0)

    found = images.check_contents(layout)
    images.check_contents(layout, repair=True)

    assert {"big", "big2", "copy", "d/sub/new", "e/implied"} <= set(whats(found))
    assert read_tree(top) == sound


def test_a_damaged_blob_is_not_taken_for_the_truth(
    images: ImageStore, layout: Path
) -> None:
    top = Path(own_image(images, layout))
    flip(top)
    sound = read_tree(top)
    with contextlib.closing(open_layout("image", str(layout))) as source:
        blob = open_image(source).layers[-1].descriptor.digest
    path = layout / "blobs/sha256" / blob.hex
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)

    with pytest.raises(DataLossError):
        images.check_contents(layout, repair=True)

    assert read_tree(top) == sound


def test_a_snapshot_of_unknown_content_is_counted(images: ImageStore) -> None:
    images.store.prepare("active")
    images.store.commit("by hand", "active")

    done = images.check_contents()

    assert (done.compared, done.unknown) == (0, 1)
