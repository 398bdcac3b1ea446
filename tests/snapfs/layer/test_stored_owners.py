"""Layers of containers in user namespaces have the owners that the container sees."""

from __future__ import annotations

import os
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import pytest

from snapfs.errors import InvalidArgumentError
from snapfs.layer.change import Change
from snapfs.layer.diff import opened_diff
from snapfs.layer.stored_owners import StoredOwners
from snapfs.model import Durability, IdMaps, Info, Kind, Owner, SnapshotDetails
from snapfs.overlay_format import GID_MAPPING_LABEL, UID_MAPPING_LABEL, XattrPrefix

HOST: Final = 100_000
LABELS: Final = {
    UID_MAPPING_LABEL: f"0:{HOST}:1000,2000:{HOST + 2000}:10",
    GID_MAPPING_LABEL: f"0:{HOST + 1}:1000",
}


def owners() -> StoredOwners:
    found = StoredOwners.of_labels(LABELS)
    assert found is not None
    return found


def test_nothing_is_mapped_without_labels() -> None:
    assert StoredOwners.of_labels({}) is None


def snapshot(labels: Mapping[str, str], id_maps: IdMaps | None) -> SnapshotDetails:
    return SnapshotDetails(
        info=Info("a", "", Kind.COMMITTED, labels=labels),
        owner=Owner.CONTAINERD,
        directory="/s/1",
        content="/s/1/fs",
        lowerdirs=(),
        driver="kernel",
        durability=Durability.NONE,
        id_maps=id_maps,
    )


@pytest.mark.parametrize("labels", [{}, {UID_MAPPING_LABEL: "?"}])
def test_what_the_store_has_noted_counts_more_than_labels(
    labels: dict[str, str],
) -> None:
    maps = IdMaps(LABELS[UID_MAPPING_LABEL], LABELS[GID_MAPPING_LABEL])

    assert StoredOwners.of_snapshot(snapshot(labels, maps)) == owners()


def test_labels_count_where_the_store_has_noted_nothing() -> None:
    assert StoredOwners.of_snapshot(snapshot(LABELS, None)) == owners()


def test_one_label_alone_is_refused() -> None:
    with pytest.raises(InvalidArgumentError):
        StoredOwners.of_labels({UID_MAPPING_LABEL: "0:1:1"})


@pytest.mark.root
@pytest.mark.parametrize(
    ("stored", "seen"),
    [
        pytest.param((HOST, HOST + 1), (0, 0), id="root"),
        pytest.param((HOST + 999, HOST + 8), (999, 7), id="user"),
        pytest.param((HOST + 2003, HOST + 1), (2003, 0), id="second-range"),
        pytest.param((7, HOST), (7, HOST), id="not-mapped"),
    ],
)
def test_status_has_the_owners_of_the_container_and_all_else_as_it_was(
    tmp_path: Path, stored: tuple[int, int], seen: tuple[int, int]
) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"x" * 5000)
    os.chown(file, *stored)
    before = os.stat(file)

    after = owners().status(before)

    assert (after.st_uid, after.st_gid) == seen
    names = [name for name in dir(before) if name.startswith("st_")]
    names = [name for name in names if name not in ("st_uid", "st_gid")]
    assert [getattr(after, n) for n in names] == [getattr(before, n) for n in names]


def test_acls_and_capabilities_are_the_containers() -> None:
    nobody = 2**32 - 1
    entries = [(1, 7, nobody), (2, 4, HOST + 5), (8, 4, HOST + 6), (32, 0, nobody)]
    acl = struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *e) for e in entries)
    sets = struct.pack("<IIII", 1 << 13, 0, 0, 0)
    capability = struct.pack("<I", 0x03000001) + sets + struct.pack("<I", HOST)
    stored = {
        b"security.capability": capability,
        b"system.posix_acl_access": acl,
        b"user.own": b"kept",
    }

    seen = owners().xattrs(stored)

    mapped = struct.iter_unpack("<HHI", seen[b"system.posix_acl_access"][4:])
    assert [number for _, _, number in mapped] == [nobody, 5, 5, nobody]
    assert seen[b"security.capability"] == struct.pack("<I", 0x02000001) + sets
    assert seen[b"user.own"] == b"kept"


def laid_out(place: Path, lower_owner: int, upper_owner: int) -> tuple[Path, Path]:
    """Return lower and upper of a container; nothing but ``new`` has changed."""
    lower, upper = place / "lower", place / "upper"
    for layer in (lower, upper):
        (layer / "folder").mkdir(parents=True)
        (layer / "folder/same").write_bytes(b"same")
    (upper / "folder/new").write_bytes(b"new")
    for layer, uid in ((lower, lower_owner), (upper, upper_owner)):
        for path in (layer, *layer.rglob("*")):
            os.chown(path, uid, uid + 1 if uid else 0)
            os.utime(path, (1, 1))
    return lower, upper


@pytest.mark.root
@pytest.mark.parametrize(
    ("lower_owner", "upper_owner"),
    [
        pytest.param(0, HOST, id="mapped"),
        pytest.param(HOST, HOST, id="copied"),
        pytest.param(0, 0, id="mapped-by-a-server"),
    ],
)
def test_owners_are_no_change_wherever_the_layers_have_them(
    tmp_path: Path, lower_owner: int, upper_owner: int
) -> None:
    layers = laid_out(tmp_path, lower_owner, upper_owner)

    changes = changes_of(*layers, owners())

    assert [change.path for change in changes] == [b"folder/new"]
    assert changes[0].stat is not None
    assert (changes[0].stat.st_uid, changes[0].stat.st_gid) == (0, 0)


@pytest.mark.root
def test_a_server_s_owners_stay_where_the_host_s_are_alike(tmp_path: Path) -> None:
    layers = laid_out(tmp_path, 0, 0)
    os.chown(layers[1] / "folder/new", HOST + 5, 0)

    changes = changes_of(*layers, owners())

    assert [change.stat.st_uid for change in changes if change.stat] == [HOST + 5]


def changes_of(lower: Path, upper: Path, seen: StoredOwners | None) -> list[Change]:
    layers = (str(upper), str(lower))
    with opened_diff(layers[1:], layers, XattrPrefix.TRUSTED, owners=seen) as changes:
        return list(changes)


@pytest.mark.root
def test_without_a_mapping_the_hosts_owners_are_told(tmp_path: Path) -> None:
    changes = changes_of(*laid_out(tmp_path, 0, HOST), None)

    assert len(changes) > 1
    assert {change.stat.st_uid for change in changes if change.stat} == {HOST}
