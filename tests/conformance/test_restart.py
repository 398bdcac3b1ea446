"""What a store promises is still true after it was closed and opened again."""

from __future__ import annotations

from conformance.fronts import Front
from conformance.layers import Workbench
from conformance.population import POPULATION, listing, names, populate
from snapfs.model import Info, Kind
from support.tree_changes import Directory, File


def test_every_answer_is_the_same_after_a_restart(disk_front: Front) -> None:
    populate(disk_front.snapshots)
    disk_front.snapshots.update(Info("c1", labels={"l": "v", "é": "\N{SNOWMAN}"}))
    mountable = [
        name for name, (kind, _) in POPULATION.items() if kind is not Kind.COMMITTED
    ]
    infos = listing(disk_front.snapshots)
    mounts = [disk_front.snapshots.mounts(name) for name in mountable]
    usages = [disk_front.snapshots.usage(name) for name in POPULATION]

    disk_front.restart()

    assert listing(disk_front.snapshots) == infos
    assert [disk_front.snapshots.mounts(name) for name in mountable] == mounts
    assert [disk_front.snapshots.usage(name) for name in POPULATION] == usages


def test_work_goes_on_after_a_restart(disk_front: Front, workbench: Workbench) -> None:
    workbench.commit_layer("base", "", [Directory("etc"), File("etc/a", b"a")])
    with workbench.mounted(disk_front.snapshots.prepare("key", "base")) as merged:
        File("etc/b", b"b").apply(merged)

        disk_front.restart()
        File("etc/c", b"c").apply(merged)
    disk_front.snapshots.commit("top", "key")

    with workbench.mounted(disk_front.snapshots.view("view", "top")) as merged:
        content = {path.name: path.read_bytes() for path in (merged / "etc").iterdir()}
    assert content == {"a": b"a", "b": b"b", "c": b"c"}


def test_what_was_removed_stays_removed(disk_front: Front) -> None:
    populate(disk_front.snapshots)
    for key in ("a1", "v1", "c2"):
        disk_front.snapshots.remove(key)

    disk_front.restart()

    assert names(disk_front.snapshots) == ["a2", "c1", "v2"]
    disk_front.snapshots.prepare("c2", "c1")
    assert disk_front.snapshots.stat("c2").kind is Kind.ACTIVE
