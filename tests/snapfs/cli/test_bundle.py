from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import click
import pytest

from snapfs.cli.mount_plan import ImagePart, MountPlan
from snapfs.cli.oci_config import ContainerProcess, runtime_config
from snapfs.cli.oci_process import ProcessOptions, container_process, container_user
from snapfs.cli.oci_user import ContainerUser, check_user, find_user
from snapfs.digest import Digest
from snapfs.errors import NotFoundError
from snapfs.image.config import ImageConfig, Process
from snapfs.image.descriptor import Descriptor, Platform
from snapfs.image.documents import Manifest
from snapfs.image.resolve import Image
from snapfs.model import Mount

from .conftest import CommandLine


def test_a_bundle_has_a_configuration_and_a_mounted_root(
    snapfs: CommandLine, tmp_path: Path
) -> None:
    snapfs.store.prepare("work")
    place = tmp_path / "box"

    outcome = snapfs("bundle", "work", place, "--rw", "-e", "A=b", "--user", "7:8")

    assert outcome.code == 0
    assert sorted(os.listdir(place)) == ["config.json", "rootfs"]
    assert snapfs.mounted[0][1] == str(place / "rootfs")
    config = json.loads((place / "config.json").read_text())
    assert config["root"] == {"path": "rootfs", "readonly": False}
    assert config["process"]["user"] == {"uid": 7, "gid": 8}
    assert "A=b" in config["process"]["env"]
    assert config["hostname"] == "box"


def test_a_bundle_is_read_only_unless_told_otherwise(
    snapfs: CommandLine, tmp_path: Path
) -> None:
    snapfs.store.prepare("work")

    snapfs("bundle", "work", tmp_path / "box")

    config = json.loads((tmp_path / "box" / "config.json").read_text())
    assert config["root"]["readonly"] is True


def test_a_bundle_never_lands_in_a_directory_with_content(
    snapfs: CommandLine, tmp_path: Path
) -> None:
    snapfs.store.prepare("work")
    (tmp_path / "precious").touch()

    outcome = snapfs("bundle", "work", tmp_path)

    assert outcome.code == 4
    assert snapfs.mounted == []


def test_a_bundle_that_cannot_be_mounted_leaves_nothing(
    snapfs: CommandLine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    snapfs.store.prepare("work")

    def refuse(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted", "rootfs")

    monkeypatch.setattr(snapfs, "_mount", refuse)

    outcome = snapfs("bundle", "work", tmp_path / "box")

    assert outcome.code == 1
    assert not (tmp_path / "box").exists()


@pytest.mark.parametrize(
    ("user", "code"),
    [
        ("nobody-of-the-tree", 3),
        ("1:nobody", 3),
        ("1:", 2),
        (":1", 2),
        ("-1", 2),
        ("4294967296", 2),
    ],
)
def test_a_user_that_is_none_leaves_nothing(
    snapfs: CommandLine, tmp_path: Path, user: str, code: int
) -> None:
    snapfs.store.prepare("work")

    outcome = snapfs("bundle", "work", tmp_path / "box", f"--user={user}")

    assert (outcome.code, outcome.err.splitlines()[-1].count("\n")) == (code, 0)
    assert not (tmp_path / "box").exists()
    assert len(snapfs.unmounted) == len(snapfs.mounted)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ContainerUser(0, 0)),
        ("0", ContainerUser(0, 0, (7, 8))),
        ("web", ContainerUser(33, 34, (8,))),
        ("33", ContainerUser(33, 34, (8,))),
        ("web:staff", ContainerUser(33, 8)),
        ("web:99", ContainerUser(33, 99)),
        ("77", ContainerUser(77, 0)),
        ("77:staff", ContainerUser(77, 8)),
    ],
)
def test_a_user_is_looked_up_in_the_tree(
    tmp_path: Path, text: str, expected: ContainerUser
) -> None:
    (tmp_path / "etc").mkdir()
    (tmp_path / "real").write_text(
        "# users\nbroken\nbad:x:no:1::/:\n" + f"web:x:{'9' * 5000}:1::/:\n"
        "root:x:0:0:root:/root:/bin/sh\n"
        "web:x:33:34::/:\nweb:x:1:1::/:\n"
    )
    # As some distributions have it; it must not leave the tree.
    (tmp_path / "etc/passwd").symlink_to("/real")
    (tmp_path / "etc/group").write_text(
        "root:x:0:root\nwheel:x:7:root\nstaff:x:8:root,web\nweb:x:34:\nodd::x:web\n"
    )

    assert find_user(str(tmp_path), text) == expected


def test_a_number_that_no_user_has_is_refused() -> None:
    for text in ("9" * 5000, "5:99999999999", "\u0661"):
        with pytest.raises(click.BadParameter, match="not of the form"):
            check_user(text)


def test_a_tree_without_users_has_numbers_only(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    os.mkfifo(tmp_path / "etc/passwd")

    assert find_user(str(tmp_path), "5:6") == ContainerUser(5, 6)
    with pytest.raises(NotFoundError, match="no user 'web'"):
        find_user(str(tmp_path), "web")


def image_plan(**config: Any) -> MountPlan:  # noqa: ANN401 - as Process has them
    process = Process(**config)
    nothing = Descriptor("", Digest(f"sha256:{'0' * 64}"), 0)
    image = Image(
        "oci:x",
        nothing,
        Manifest("", nothing, ()),
        ImageConfig(Platform("linux", "amd64", ""), (), process=process),
        b"",
        (),
    )
    return MountPlan("oci:x", (), "kernel", "", part=ImagePart(image, 1, 1, 0))


@pytest.mark.parametrize(
    ("image", "command", "entrypoint", "expected"),
    [
        ((("e",), ("a", "b")), (), None, ("e", "a", "b")),
        ((("e",), ("a", "b")), ("c",), None, ("e", "c")),
        (((), ("a", "b")), ("c",), None, ("c",)),
        ((("e",), ("a",)), (), "x", ("x",)),
        ((("e",), ("a",)), ("c",), "x", ("x", "c")),
        ((("e",), ("a",)), ("c",), "", ("c",)),
        ((("e",), ("a",)), (), "", ("/bin/sh",)),
        (((), ()), (), None, ("/bin/sh",)),
    ],
)
def test_the_words_of_a_container_are_put_together_as_in_docker(
    image: tuple[tuple[str, ...], tuple[str, ...]],
    command: tuple[str, ...],
    entrypoint: str | None,
    expected: tuple[str, ...],
) -> None:
    plan = image_plan(entrypoint=image[0], command=image[1])
    options = ProcessOptions(command, entrypoint)

    process = container_process(plan, options, has_terminal=False)

    assert process.command == expected


def test_what_the_user_says_comes_before_what_the_image_says() -> None:
    plan = image_plan(
        environment=("PATH=/image", "A=1", "B=2"), working_directory="srv", user="web"
    )
    options = ProcessOptions(environment=("A=3",), directory="/tmp", user="7")

    ours = container_process(plan, options, has_terminal=True)
    images = container_process(plan, ProcessOptions(), has_terminal=False)
    config: Any = runtime_config(ours, hostname="h", is_read_only=True)

    assert config["process"]["env"] == ["PATH=/image", "TERM=xterm", "A=3", "B=2"]
    assert (ours.directory, images.directory) == ("/tmp", "/srv")
    assert container_user(plan, options) == "7"
    assert container_user(plan, ProcessOptions()) == "web"


@pytest.mark.skipif(os.geteuid() != 0, reason="asks for root before a runtime")
def test_run_without_a_runtime_is_exit_code_6(
    snapfs: CommandLine, tmp_path: Path
) -> None:
    snapfs.environment["PATH"] = str(tmp_path)

    outcome = snapfs("run", "work")

    assert outcome.code == 6
    assert "neither runc nor crun" in outcome.err


def test_a_container_has_its_own_network_unless_told_otherwise() -> None:
    def namespaces(has_host_network: bool) -> list[dict[str, str]]:
        process = ContainerProcess(has_host_network=has_host_network)
        config = runtime_config(process, hostname="h", is_read_only=True)
        linux = config["linux"]
        assert isinstance(linux, dict)
        return list(linux["namespaces"])

    assert {"type": "network"} in namespaces(False)
    assert {"type": "network"} not in namespaces(True)


def test_a_plan_counts_its_layers(snapfs: CommandLine, tmp_path: Path) -> None:
    snapfs.store.prepare("one")
    snapfs.store.commit("base", "one")
    snapfs.store.prepare("work", "base")
    (tmp_path / "target").mkdir()

    outcome = snapfs("mount", "work", tmp_path / "target", "--rw")

    [(mounts, _)] = snapfs.mounted
    assert isinstance(mounts[0], Mount)
    assert "overlay mount of 2 directories" in outcome.err
