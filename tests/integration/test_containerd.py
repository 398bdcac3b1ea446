"""containerd runs real containers on snapfs snapshots, in two generations."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from support.containerd import (
    ONE_GENERATION,
    Containerd,
    require_generation,
)
from support.containerd_stack import running_stack
from support.images import HELLO, IMAGE, chain_ids, image_layers
from support.snapfs_program import SnapfsProgram

pytestmark = [pytest.mark.root, pytest.mark.containerd, pytest.mark.slow]

EDIT = """\
echo changed >/srv/app/message
rm /srv/app/data
rm -r /srv/cache && mkdir /srv/cache && echo new >/srv/cache/fresh
mv /srv/app/hello /srv/app/greet
"""


@pytest.fixture(scope="module", params=["packaged", "built"])
def host(request: pytest.FixtureRequest, archive: Path) -> Iterator[Containerd]:
    """Both services, with the image, for tests that have names of their own."""
    with running_stack(require_generation(request.param)) as stack:
        stack.containerd.import_image(archive)
        yield stack.containerd
        stack.containerd.remove_everything()


def test_a_container_sees_the_merged_layers(host: Containerd) -> None:
    greeting = host.run(IMAGE, "hello", options=("--rm",))
    listing = host.run(IMAGE, "list", "ls", "/srv/app", "/srv/cache", options=("--rm",))

    assert greeting == HELLO
    assert listing.split() == [
        *("/srv/app:", "data", "hello", "latest", "message"),
        *("/srv/cache:", "three"),
    ]


def test_layers_are_committed_under_their_chain_ids(
    containerd: Containerd, archive: Path
) -> None:
    base, application, update = chain_ids(image_layers())

    containerd.import_image(archive)

    listed = {(row.key, row.parent, row.kind) for row in containerd.list_snapshots()}
    assert listed == {
        (base, "", "committed"),
        (application, base, "committed"),
        (update, application, "committed"),
    }


# Before 2.0 the client unpacks every import.
@pytest.mark.parametrize("generation", ["built"], indirect=True)
def test_an_import_that_the_client_unpacks_gives_the_same_snapshots(
    containerd: Containerd, archive: Path
) -> None:
    containerd.import_image(archive, options=("--local",))

    listed = {row.key for row in containerd.list_snapshots()}
    assert listed == set(chain_ids(image_layers()))
    assert containerd.run(IMAGE, "hello", options=("--rm",)) == HELLO


def test_a_running_container_takes_more_commands(host: Containerd) -> None:
    host.run(IMAGE, "sleeper", "sleep", "1000", options=("--detach",))

    host.execute("sleeper", "sh", "-c", "echo new >/srv/new; rm /srv/app/data")
    seen = host.execute("sleeper", "sh", "-c", "cat /srv/new; ls /srv/app")

    assert seen.split() == ["new", "hello", "latest", "message"]


def test_two_containers_of_one_image_do_not_see_each_other(host: Containerd) -> None:
    host.run(IMAGE, "first", "sh", "-c", EDIT, options=("--rm",))

    assert host.run(IMAGE, "second", options=("--rm",)) == HELLO


def test_a_committed_container_keeps_changes_and_deletions(host: Containerd) -> None:
    host.run(IMAGE, "editor", "sh", "-c", EDIT)

    host.snapshots("commit", "edited", "editor")

    target = host.sandbox.home / "look"
    target.mkdir()
    host.snapshots("view", "look", "edited")
    host.sandbox.run("sh", "-c", host.snapshots("mounts", str(target), "look"))
    seen = host.sandbox.run(
        "sh", "-c", f"cd {target}/srv && ls -A app cache && cat app/*sage"
    )
    host.sandbox.run("umount", target)
    assert seen.split() == [
        *("app:", "greet", "latest", "message"),
        *("cache:", "fresh"),
        "changed",
    ]


def test_a_commit_can_be_the_parent_of_the_next_container(host: Containerd) -> None:
    host.run(IMAGE, "author", "sh", "-c", EDIT)
    host.snapshots("commit", "written", "author")

    host.snapshots("prepare", "next", "written")

    target = host.sandbox.home / "rootfs"
    target.mkdir()
    host.sandbox.run("sh", "-c", host.snapshots("mounts", str(target), "next"))
    said = host.ctr(
        *("run", "--rm", "--rootfs"),
        *("--cgroup", f"{host.sandbox.cgroup}/next"),
        *(str(target), "next-container", "/bin/sh", "/srv/app/greet"),
    )
    host.sandbox.run("umount", target)
    assert said == "changed\n"


def test_namespaces_hold_the_same_image_independently(
    containerd: Containerd, archive: Path
) -> None:
    for namespace in ("one", "two"):
        containerd.import_image(archive, namespace=namespace)
        containerd.run(
            *(IMAGE, "same-name", "sleep", "1000"),
            options=("--detach",),
            namespace=namespace,
        )

    containerd.execute("same-name", "rm", "/srv/app/data", namespace="one")
    containerd.remove_everything("one")

    assert containerd.list_snapshots("one") == []
    assert "same-name" in {row.key for row in containerd.list_snapshots("two")}
    seen = containerd.execute("same-name", "ls", "/srv/app", namespace="two")
    assert seen.split() == ["data", "hello", "latest", "message"]


@ONE_GENERATION
def test_twenty_containers_start_at_once(
    containerd: Containerd, snapfs: SnapfsProgram, archive: Path
) -> None:
    containerd.import_image(archive)
    names = [f"many-{number}" for number in range(20)]

    def start(name: str) -> None:
        containerd.run(IMAGE, name, "sleep", "1000", options=("--detach",))
        containerd.execute(name, "sh", "-c", f"echo {name} >/srv/app/message")
        # By the status: on a busy machine ctr 1.6 may end before the last of what
        # the command printed has come through.
        said = f'test "$(/srv/app/hello)" = {name}'
        containerd.execute(name, "sh", "-c", said)

    with ThreadPoolExecutor(len(names)) as pool:
        list(pool.map(start, names))

    kinds = [row["kind"] for row in snapfs.records("ls")]
    assert kinds.count("active") == len(names)


@ONE_GENERATION
def test_collections_do_not_disturb_containers_that_come_and_go(
    containerd: Containerd, snapfs: SnapfsProgram, archive: Path
) -> None:
    containerd.import_image(archive)

    def come_and_go(number: int) -> str:
        return containerd.run(IMAGE, f"short-{number}", options=("--rm",))

    with ThreadPoolExecutor(4) as pool:
        runs = [pool.submit(come_and_go, number) for number in range(12)]
        while not all(run.done() for run in runs):
            containerd.collect_garbage()

    assert [run.result() for run in runs] == [HELLO] * len(runs)
    # The last snapshot may have been removed after the last collection began.
    containerd.collect_garbage()
    kinds = [row["kind"] for row in snapfs.records("ls")]
    assert kinds == ["committed"] * 3
