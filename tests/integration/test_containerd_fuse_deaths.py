"""kill -9 of the FUSE servers under real containers, which check all that they do."""

from __future__ import annotations

import hashlib
import os
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Final

import pytest

from support.containerd import ONE_GENERATION, Containerd
from support.fuse_containers import keepers, run, servers
from support.keeper import Killings, killing
from support.sandbox import Sandbox, wait_until
from support.snapfs_program import SnapfsProgram
from support.tree_metadata import Tree, read_metadata

pytestmark = [
    *(pytest.mark.root, pytest.mark.fuse),
    *(pytest.mark.containerd, pytest.mark.slow),
]

CONTAINERS: Final = 10
FULL_DEATHS: Final = 100
DATA: Final = hashlib.sha256(bytes(range(256)) * 1024).hexdigest()  # of /srv/app/data

# The container's name, then how many rounds were before, and how many are to come. All
# that they leave is looked at by the next round, and by those of later calls.
WORK: Final = f"""
set -eu
name=$1 n=$2 last=$(($2 + $3)) app=/srv/app
fail() {{ echo "$name, round $n: $1"; exit 7; }}
mkdir -p /srv/kept-busy/kept
cd /srv/kept-busy
exec 9>>log
while test $n -lt $last; do
    n=$((n + 1))
    echo "$name $n" >new
    mv new current
    read line <current
    test "$line" = "$name $n" || fail "current: $line"

    echo "$n" >&9
    test "$(wc -l <log)" = $n || fail "log: $(wc -l <log) lines"
    test "$(tail -n 1 log)" = $n || fail "log ends with $(tail -n 1 log)"

    test "$(sha256sum <$app/data)" = "{DATA}  -" || fail "the layer's data"
    cp $app/data copy
    echo "$n" >>copy
    test "$(head -c 262144 copy | sha256sum)" = "{DATA}  -" || fail "the copy"
    mv copy kept/copy
    ln kept/copy kept/$n
    test "$(stat -c %h kept/copy)" = 2 || fail "links: $(stat -c %h kept/copy)"
    test "$(echo kept/*)" = "kept/$n kept/copy" || fail "lists $(echo kept/*)"
    rm kept/$n kept/copy

    mkdir made
    ln -s current made/link
    mv made moved
    test "$(readlink moved/link)" = current || fail "the link"
    rm moved/link
    rmdir moved
    test ! -e made && test ! -e moved || fail "removed names are there"

    mv $app $app-$n
    test "$(ls /srv | tr '\\n' ' ')" = "app-$n cache kept-busy " || fail "$(ls /srv)"
    read line <$app-$n/message
    test "$line" = "Hello from layer 3." || fail "$line"
    mv $app-$n $app
done
"""


@pytest.fixture
def snapfs(fuse_snapfs: SnapfsProgram) -> SnapfsProgram:
    return fuse_snapfs


def layers(snapfs: SnapfsProgram) -> dict[Path, Tree]:
    """Return all metadata and contents of the snapshots that there are."""
    found = {path: path / "fs" for path in (snapfs.root / "snapshots").iterdir()}
    return {path: read_metadata(os.fsencode(tree)) for path, tree in found.items()}


def work(containerd: Containerd, name: str, killings: Killings, deaths: int) -> int:
    """Have a container work until its server was killed so often; return the rounds."""
    rounds, step = 0, 5
    while killings.done < deaths:
        words = ("sh", "-c", WORK, "work", name, str(rounds), str(step))
        containerd.execute(name, *words)
        rounds += step
    return rounds


def work_under_fire(
    containerd: Containerd, sandbox: Sandbox, names: list[str], deaths: int
) -> None:
    """Kill the server of each container so often, all at the same time."""
    # All together leave a server time to begin, on two processors.
    longest_s = 0.1 * len(names)
    with ExitStack() as stack, ThreadPoolExecutor(len(names)) as pool:
        fires = [
            stack.enter_context(killing(keeper, number, longest_s=longest_s))
            for number, keeper in enumerate(keepers(sandbox))
        ]
        assert len(fires) == len(names)
        # Which keeper serves which container does not matter: all have as many deaths.
        jobs = [
            pool.submit(work, containerd, name, fire, deaths)
            for name, fire in zip(names, fires, strict=True)
        ]
        rounds = [job.result() for job in jobs]
        done = [fire.done for fire in fires]

    print(f"{sum(done)} servers killed in {sum(rounds)} rounds of {len(names)}")


def check_deaths(
    containerd: Containerd,
    snapfs: SnapfsProgram,
    sandbox: Sandbox,
    archive: Path,
    count: int,
    deaths: int,
) -> None:
    containerd.import_image(archive)
    before = layers(snapfs)
    names = [f"many-{number}" for number in range(count)]
    for name in names:
        run(containerd, name, "sleep", "100000", options=("--detach",))

    work_under_fire(containerd, sandbox, names, deaths)

    after = layers(snapfs)
    assert {path: after[path] for path in before} == before
    assert len(after) == len(before) + count
    containerd.remove_everything()
    wait_until(lambda: not servers(sandbox), "the servers to end")


@ONE_GENERATION
def test_containers_work_on_while_their_servers_are_killed(
    containerd: Containerd, snapfs: SnapfsProgram, sandbox: Sandbox, archive: Path
) -> None:
    check_deaths(containerd, snapfs, sandbox, archive, count=2, deaths=5)


@pytest.mark.full
def test_ten_containers_work_on_over_a_hundred_deaths_of_each_server(
    containerd: Containerd, snapfs: SnapfsProgram, sandbox: Sandbox, archive: Path
) -> None:
    check_deaths(containerd, snapfs, sandbox, archive, CONTAINERS, FULL_DEATHS)
