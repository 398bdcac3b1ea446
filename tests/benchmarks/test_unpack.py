"""Unpackers are asked for every byte, and the images they unpack are equal."""

from __future__ import annotations

import gzip
import hashlib
import json
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pytest

from snapfs.benchmarks.images import ZSTD, BenchImage, make_image
from snapfs.benchmarks.protocols import Cell, Profile, Scenario, UnpackTarget
from snapfs.benchmarks.scenarios.layer_index import LayerIndexTime
from snapfs.benchmarks.scenarios.unpack_throughput import UnpackThroughput
from snapfs.benchmarks.semantics import check_semantics, first_problem
from snapfs.benchmarks.semantics.unpacker import check_contents
from snapfs.benchmarks.targets.catalog import TARGETS
from snapfs.benchmarks.targets.unpackers import SnapfsUnpack
from snapfs.benchmarks.values import NO_COUNTS, Family
from snapfs.benchmarks.workspaces import Workspaces
from support.image_benchmarks import opened_workspaces

UNPACKERS = [name for name, make in TARGETS.items() if make().family is Family.UNPACKER]


@pytest.fixture(autouse=True)
def workspaces(tmp_path: Path) -> Iterator[Workspaces]:
    with opened_workspaces(tmp_path) as workspaces:
        yield workspaces


@pytest.mark.root
@pytest.mark.parametrize("name", ["snapfs-unpack", "tar-xzf"])
def test_a_layer_in_zstd_is_unpacked_as_well(name: str, workspaces: Workspaces) -> None:
    target = TARGETS[name]()
    target.start(workspaces.take())
    image = make_image(10, 10_000, 1, 3, ZSTD)
    assert isinstance(target, UnpackTarget)

    target.unpack(image)

    check_contents(target, image)
    target.discard(image)
    target.stop()


@pytest.mark.root
@pytest.mark.parametrize("name", UNPACKERS)
def test_an_unpacker_keeps_every_essential_claim(
    name: str, workspaces: Workspaces
) -> None:
    target = TARGETS[name]()
    if reason := target.unavailable():
        pytest.skip(reason)

    results = check_semantics(target, workspaces)

    assert first_problem(results) == ""
    assert not any(workspaces.take().directory.iterdir())


@pytest.mark.root
def test_podman_takes_an_image_below_names_that_make_no_name_of_one(
    workspaces: Workspaces, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = TARGETS["podman-pull"]()
    if reason := target.unavailable():
        pytest.skip(reason)
    odd = tmp_path / "ends_with_"
    odd.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(odd))

    assert first_problem(check_semantics(target, workspaces)) == ""


@pytest.mark.root
def test_an_unpack_that_loses_a_file_is_rejected(workspaces: Workspaces) -> None:
    class Losing(SnapfsUnpack):
        name = "losing"

        def unpack(self, image: BenchImage) -> Mapping[str, int]:
            super().unpack(image)
            next(path for path in self._files(image)).unlink()
            return NO_COUNTS

        def _files(self, image: BenchImage) -> Sequence[Path]:
            found = (Path(content).rglob("*.py") for content in self.contents(image))
            return [path for paths in found for path in paths]

    problem = first_problem(check_semantics(Losing(), workspaces))

    assert "59 files" in problem


@pytest.mark.root
def test_the_time_of_each_stage_is_counted(workspaces: Workspaces) -> None:
    target = SnapfsUnpack()
    target.start(workspaces.take())
    image = make_image(10, 10_000, 2, seed=3)

    counts = target.unpack(image)

    target.discard(image)
    target.stop()
    assert isinstance(target, UnpackTarget)
    assert counts.keys() == {
        *("read_us", "inflate_us", "hash_us", "parse_us", "write_us", "total_us"),
        "floor_us",
    }
    assert counts["total_us"] > 0
    stages = counts.keys() - {"total_us", "floor_us"}
    assert max(counts[name] for name in stages) // 2 <= counts["floor_us"]
    assert counts["floor_us"] <= sum(counts[name] for name in stages)


def test_an_image_is_what_it_says_and_made_once(tmp_path: Path) -> None:
    image = make_image(100, 200_000, 3, seed=2)

    plain = [gzip.decompress(layer.read_bytes()) for layer in image.layers]
    stored = [hashlib.sha256(layer.read_bytes()).hexdigest() for layer in image.layers]
    manifest = json.loads(
        (image.layout / "blobs/sha256" / image.manifest.partition(":")[2]).read_text()
    )
    config = json.loads(
        (
            image.layout
            / "blobs/sha256"
            / manifest["config"]["digest"].partition(":")[2]
        ).read_text()
    )

    assert [layer["digest"] for layer in manifest["layers"]] == [
        f"sha256:{digest}" for digest in stored
    ]
    assert config["rootfs"]["diff_ids"] == [
        f"sha256:{hashlib.sha256(tar).hexdigest()}" for tar in plain
    ]
    assert sum(map(len, plain)) == image.plain_bytes
    assert make_image(100, 200_000, 3, seed=2) == image
    assert make_image(100, 200_000, 3, seed=4).manifest != image.manifest


@pytest.mark.parametrize(
    ("scenario", "target", "words"),
    [
        (UnpackThroughput(), "plain-directory", "it unpacks no images"),
        (LayerIndexTime(), "tar-xzf", "it keeps no indexes"),
    ],
)
def test_every_profile_asks_something(
    scenario: Scenario, target: str, words: str
) -> None:
    assert all(scenario.cells(profile) for profile in Profile)
    assert scenario.refuses(TARGETS[target]()) == words


def test_a_first_look_makes_an_index_and_a_cached_look_needs_no_layer(
    workspaces: Workspaces,
) -> None:
    first, cached = (
        Cell({"look": look, "files": 50, "size_mib": 1}) for look in ("first", "cached")
    )
    workspace = workspaces.take()
    outcomes = []
    for cell in (first, cached):
        trial = LayerIndexTime().open(SnapfsUnpack(), cell, workspace, seed=1)
        trial.set_up()
        if cell is cached:
            image = make_image(50, 1 << 20, 1, seed=1)
            image.layers[0].unlink()
        outcomes.append(trial.run_once())
        trial.validate(outcomes[-1])
        trial.tear_down()

    trial.close()
    assert [bool(outcome.bytes) for outcome in outcomes] == [True, False]
    assert outcomes[0].counts == outcomes[1].counts
    assert not any(workspace.directory.iterdir())
