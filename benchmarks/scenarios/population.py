"""The snapshots that are present while others are made: images with containers."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from snapfs.benchmarks.protocols import InvalidResultError
from snapfs.benchmarks.scenarios.load_client import LoadClient
from snapfs.benchmarks.scenarios.snapshot_calls import Call
from snapfs.model import NO_LABELS

# Every image has the same shape, however many there are: what a call costs must not
# depend on the depth of the chain when only the number of snapshots is to vary.
LAYERS: Final = 4
CONTAINERS: Final = 6
IMAGE: Final = LAYERS + CONTAINERS

# A tenth of the images has this label, so that a filter finds a tenth of all.
_LABEL: Final = "containerd.io/snapshot/bench.listed"
LISTED_FILTER: Final = f'labels."{_LABEL}"==yes'
_EVERY: Final = 10

_BATCH: Final = 2000  # calls that one line to the client holds


@dataclasses.dataclass(frozen=True, slots=True)
class Population:
    """What :func:`populate` has made.

    Attributes:
        parents: The parent of every snapshot, "" for none; children come later.
        tops: The highest layers: what a container is prepared on.
        containers: The active snapshots.
        listed: What :data:`LISTED_FILTER` finds.
    """

    parents: Mapping[str, str]
    tops: Sequence[str]
    containers: Sequence[str]
    listed: Sequence[str]


def populate(
    client: LoadClient, count: int, seed: int, *, tag: str = "", files: int = 0
) -> Population:
    """Make ``count`` snapshots, a multiple of :data:`IMAGE`.

    Keys are as long as containerd's: ``default/12/sha256:...``. With ``tag`` they
    differ from those of other calls. Each snapshot has ``files`` files of 4 KiB.
    """
    images = [
        [_name(seed, tag, image, number) for number in range(IMAGE)]
        for image in range(count // IMAGE)
    ]
    listed = [name for image in images[::_EVERY] for name in image]
    labels = {name: {_LABEL: "yes"} for name in listed}
    parents: dict[str, str] = {}
    # Level by level, so that one line to the client can hold many calls.
    for level in range(LAYERS):
        layers = {image[level]: image[level - 1] if level else "" for image in images}
        _make_layers(client, layers, labels, files)
        parents |= layers
    tops = [image[LAYERS - 1] for image in images]
    containers = {
        name: top
        for image, top in zip(images, tops, strict=True)
        for name in image[LAYERS:]
    }
    _prepare(client, containers, files, labels)
    return Population(parents | containers, tops, [*containers], listed)


def leaves_first(population: Population) -> Iterator[str]:
    """Yield all snapshots, each before its parent, as a garbage collector must."""
    return reversed(tuple(population.parents))


def _make_layers(
    client: LoadClient,
    layers: Mapping[str, str],
    labels: Mapping[str, Mapping[str, str]],
    files: int,
) -> None:
    """Prepare, fill and commit layers, given with their parents."""
    keys = {name: f"{name}-extract" for name in layers}
    _prepare(client, {keys[name]: layers[name] for name in layers}, files)
    _run(
        client,
        [
            Call("commit", keys[name], name, labels.get(name, NO_LABELS))
            for name in layers
        ],
    )


def _prepare(
    client: LoadClient,
    parents: Mapping[str, str],
    files: int,
    labels: Mapping[str, Mapping[str, str]] = MappingProxyType({}),
) -> None:
    """Prepare snapshots, given with their parents, and write files into them."""
    calls = [
        Call("prepare", key, parent, labels.get(key, NO_LABELS))
        for key, parent in parents.items()
    ]
    for mounts in _run(client, calls, want=bool(files)):
        write_files(upperdir(mounts), files)


def _run(
    client: LoadClient, calls: Sequence[Call], *, want: bool = False
) -> Sequence[Any]:
    """Make many calls, some at a time; return their results, if wanted."""
    return [
        result
        for start in range(0, len(calls), _BATCH)
        for result in client.run(calls[start : start + _BATCH], want=want).results
    ]


def upperdir(mounts: Sequence[Mapping[str, object]]) -> Path:
    """Return the directory that takes what is written through the mounts."""
    mount = mounts[0]
    if mount["type"] == "bind":
        return Path(str(mount["source"]))
    options = mount["options"]
    assert isinstance(options, list)
    for option in options:
        name, _, value = option.partition("=")
        if name == "upperdir":
            return Path(value)
    raise InvalidResultError(f"no upperdir in {options}")


def write_files(directory: Path, files: int) -> None:
    """Write ``files`` files of 4 KiB into ``directory``; nothing is synced."""
    content = hashlib.sha256(bytes(directory)).digest() * 128
    for number in range(files):
        (directory / f"file{number:04d}").write_bytes(content)


def _name(seed: int, tag: str, image: int, number: int) -> str:
    digest = hashlib.sha256(f"{seed} {tag} {image} {number}".encode()).hexdigest()
    return f"default/{image * IMAGE + number}/sha256:{digest}"
