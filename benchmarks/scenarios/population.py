"""The snapshots that are present while others are made: images with containers."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

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
    parents: dict[str, str] = {}
    tops, containers, listed = [], [], []
    calls: list[Call] = []
    for image in range(count // IMAGE):
        is_listed = image % _EVERY == 0
        labels = {_LABEL: "yes"} if is_listed else NO_LABELS
        names = [_name(seed, tag, image, number) for number in range(IMAGE)]
        below = ""
        for name in names[:LAYERS]:
            calls.append(Call("prepare", f"{name}-extract", below))
            calls.append(Call("commit", f"{name}-extract", name, labels))
            parents[name] = below
            below = name
        for name in names[LAYERS:]:
            calls.append(Call("prepare", name, below, labels))
            parents[name] = below
        tops.append(below)
        containers += names[LAYERS:]
        listed += names if is_listed else []
    _make(client, calls, files)
    return Population(parents, tops, containers, listed)


def leaves_first(population: Population) -> Iterator[str]:
    """Yield all snapshots, each before its parent, as a garbage collector must."""
    return reversed(tuple(population.parents))


def _make(client: LoadClient, calls: Sequence[Call], files: int) -> None:
    if not files:
        for start in range(0, len(calls), _BATCH):
            client.run(calls[start : start + _BATCH])
        return
    # One call at a time: what is to be committed is written before.
    for call in calls:
        (result,) = client.run([call], want=True).results
        if call.op == "prepare":
            _write_files(_upperdir(result), files)


def _upperdir(mounts: Sequence[Mapping[str, object]]) -> Path:
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


def _write_files(directory: Path, files: int) -> None:
    content = hashlib.sha256(bytes(directory)).digest() * 128
    for number in range(files):
        (directory / f"file{number:04d}").write_bytes(content)


def _name(seed: int, tag: str, image: int, number: int) -> str:
    digest = hashlib.sha256(f"{seed} {tag} {image} {number}".encode()).hexdigest()
    return f"default/{image * IMAGE + number}/sha256:{digest}"
