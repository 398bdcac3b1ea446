"""``shell``, ``bundle`` and ``run`` of an image, by what its config says."""

from __future__ import annotations

import io
import json
import os
import shutil
import signal
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from snapfs import mountinfo
from snapfs.assembly.mounting import unmount
from support.command import DEFAULT_SIGINT, Command
from support.layouts import LayoutWriter
from support.mounted_images import LAYERS, write_layout
from support.sandbox import wait_until
from support.shell_image import shell_layer
from support.unprivileged import as_nobody

pytestmark = pytest.mark.root

PASSWD = "root:x:0:0::/root:/bin/sh\nweb:x:33:34::/:/bin/sh\n"
GROUP = "root:x:0:\nstaff:x:50:web\n"
# Who we are, with nothing but the shell.
TELL = (
    "echo $GREETING $0 $*; pwd;"
    " while read name ids; do"
    " case $name in Uid:|Gid:|Groups:) echo $name $ids;; esac;"
    " done </proc/self/status"
)


@pytest.fixture(scope="module")
def layer() -> bytes:
    return shell_layer({"etc/passwd": PASSWD, "etc/group": GROUP})


@pytest.fixture
def image(layer: bytes, tmp_path: Path) -> str:
    writer = LayoutWriter(tmp_path / "layout")
    writer.add_layer([layer])
    path = writer.finish(
        Env=["PATH=/bin", "GREETING=hello"],
        Entrypoint=["/bin/sh", "-c", TELL],
        Cmd=["entry", "argument"],
        User="web",
        WorkingDir="/srv",
    )
    return f"oci:{path}"


@pytest.fixture
def scratch(command: Command, tmp_path: Path) -> Path:
    """Where everything temporary goes."""
    (tmp_path / "scratch").mkdir()
    command.environment["TMPDIR"] = str(tmp_path / "scratch")
    return tmp_path / "scratch"


@pytest.fixture
def unmounted(tmp_path: Path) -> Iterator[None]:
    yield
    for entry in reversed(mountinfo.mounts_below(str(tmp_path))):
        unmount(entry.target, lazy=True)


def words(text: str) -> list[str]:
    return [" ".join(line.split()) for line in text.splitlines()]


# crun refuses a host whose second cgroup hierarchy has controllers; where it does not
# see that hierarchy, it takes the first.
_WITHOUT_UNIFIED = (
    'umount /sys/fs/cgroup/unified 2>/dev/null; exec "$@"',
    "sh",
)


@pytest.fixture(params=["runc", "crun"])
def runtime(request: pytest.FixtureRequest, command: Command) -> str:
    """A runtime that is installed, and runs here."""
    name: str = request.param
    if shutil.which(name) is None:
        pytest.skip(f"{name} is not installed")
    if name == "crun":
        around = ("unshare", "--mount", "sh", "-c", *_WITHOUT_UNIFIED)
        command.words[:0] = around
    return name


def needs_runtime() -> None:
    if shutil.which("runc") is None and shutil.which("crun") is None:
        pytest.skip("neither runc nor crun is installed")


@pytest.mark.containerd
@pytest.mark.parametrize("driver", ["kernel", "fuse"])
def test_a_container_runs_what_the_image_says(
    command: Command, image: str, scratch: Path, driver: str, runtime: str
) -> None:
    command.by(driver)
    run = ("run", "--runtime", runtime)

    told = command.ok(*run, image)
    other = command.ok(*run, "--user", "0", "--cwd", "/etc", image, "x", "y")

    assert words(told) == [
        "hello entry argument",
        "/srv",
        "Uid: 33 33 33 33",
        "Gid: 34 34 34 34",
        "Groups: 50",
    ]
    assert words(other)[:3] == ["hello x y", "/etc", "Uid: 0 0 0 0"]
    assert list(scratch.iterdir()) == []


@pytest.mark.containerd
def test_a_container_of_an_unpacked_image_needs_the_image_no_more(
    command: Command, image: str, tmp_path: Path
) -> None:
    needs_runtime()
    command.ok("unpack", image, "--name", "app")
    shutil.rmtree(tmp_path / "layout")

    told = command.ok("run", "app", "other")

    assert words(told)[:3] == ["hello other", "/srv", "Uid: 33 33 33 33"]


@pytest.mark.containerd
def test_the_hosts_network_comes_with_its_name_servers(
    command: Command, image: str, scratch: Path
) -> None:
    needs_runtime()
    if not os.path.exists("/etc/resolv.conf"):
        pytest.skip("this host has no name servers")
    script = "while read line; do echo $line; done </etc/resolv.conf"
    words = ("--entrypoint", "", image, "/bin/sh", "-c", script)

    ours = command.ok("run", "--net", "host", *words)
    none = command("run", *words)

    expected = Path("/etc/resolv.conf").read_text().split()
    assert ours.split() == expected
    assert none.returncode != 0
    assert list(scratch.iterdir()) == []


@pytest.mark.containerd
def test_another_entrypoint_takes_the_place_of_the_images(
    command: Command, image: str, scratch: Path
) -> None:
    needs_runtime()

    told = command.ok("run", "--entrypoint", "/bin/sh", image, "-c", "echo only $0")
    refused = command("run", "--user", "nobody", image)

    assert told == "only /bin/sh\n"
    assert refused.returncode == 3
    assert "no user 'nobody' in its /etc/passwd" in refused.stderr
    assert list(scratch.iterdir()) == []


@pytest.mark.containerd
def test_a_signal_ends_the_container_and_leaves_nothing(
    command: Command, image: str, scratch: Path, tmp_path: Path, runtime: str
) -> None:
    kept = tmp_path / "kept"
    script = "trap 'exit 9' TERM; echo >/running; while :; do read -t 1 x; done"
    words = ["run", "--runtime", runtime, "--user", "0", "--upper", str(kept)]
    words += ["--entrypoint", "", image]
    process = subprocess.Popen(
        [*DEFAULT_SIGINT, *command.words, *words, "/bin/sh", "-c", script],
        env=command.environment,
        stdin=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    wait_until(lambda: (kept / "fs" / "running").exists(), "the container runs")

    process.send_signal(signal.SIGTERM)

    assert process.wait() == 9
    assert list(scratch.iterdir()) == []
    listed = subprocess.run(
        [runtime, "list", "-q"], capture_output=True, text=True, check=False
    )
    assert "snapfs-run-" not in listed.stdout


@pytest.mark.usefixtures("unmounted")
def test_a_bundle_says_what_the_image_says(
    command: Command, image: str, tmp_path: Path
) -> None:
    place = tmp_path / "bundle"

    command.ok("bundle", image, place, "-e", "GREETING=hi")

    process = json.loads((place / "config.json").read_text())["process"]
    assert process["args"] == ["/bin/sh", "-c", TELL, "entry", "argument"]
    assert process["env"] == ["PATH=/bin", "GREETING=hi"]
    assert process["cwd"] == "/srv"
    assert process["user"] == {"uid": 33, "gid": 34, "additionalGids": [50]}
    assert (place / "rootfs/etc/passwd").read_text() == PASSWD
    command.ok("umount", place / "rootfs")


def test_a_bundle_where_a_file_is_gets_refused_before_it_is_unpacked(
    command: Command, image: str, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()

    done = command("bundle", image, tmp_path / "file")

    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "is no directory" in done.stderr
    assert not command.root.exists()


@pytest.mark.usefixtures("unmounted")
def test_a_bundle_whose_user_is_unknown_is_taken_back(
    command: Command, image: str, tmp_path: Path, scratch: Path
) -> None:
    done = command("bundle", image, tmp_path / "bundle", "--rw", "--user", "nobody")

    assert done.returncode == 3
    assert not (tmp_path / "bundle").exists()
    assert list(scratch.iterdir()) == []


@pytest.mark.usefixtures("unmounted")
def test_changes_of_a_bundle_go_with_its_root(
    command: Command, image: str, tmp_path: Path, scratch: Path
) -> None:
    place = tmp_path / "bundle"

    command.ok("bundle", image, place, "--rw")
    (place / "rootfs/made").touch()
    command.ok("umount", place / "rootfs")

    assert list(scratch.iterdir()) == []
    assert json.loads((place / "config.json").read_text())["root"] == {
        "path": "rootfs",
        "readonly": False,
    }


def test_a_shell_shows_an_image_or_some_of_its_layers(
    command: Command, layer: bytes, tmp_path: Path, scratch: Path
) -> None:
    writer = LayoutWriter(tmp_path / "two")
    writer.add_layer([layer])
    second = io.BytesIO()
    with tarfile.open(fileobj=second, mode="w") as tar:
        tar.addfile(tarfile.TarInfo("second"))
    writer.add_layer([second.getvalue()])
    source = f"oci:{writer.finish()}"

    whole = command.ok("shell", "--chroot", source, "/bin/sh", "-c", "echo *")
    first = command.ok("shell", "--at", "1", source, "ls")
    alone = command.ok("shell", "--layer", "2", "--rw", source, "sh", "-c", "rm s*; ls")

    assert {"bin", "etc", "second"} <= set(whole.split())
    assert "second" not in first.split()
    assert alone == ""
    assert list(scratch.iterdir()) == []


def test_an_ordinary_users_shell_needs_no_fuse(open_directory: Path) -> None:
    layers = [[item for item in layer if item[0].uid == 0] for layer in LAYERS]
    write_layout(open_directory / "layout", layers)
    user = as_nobody(open_directory / "root")
    user.environment["TMPDIR"] = str(open_directory)
    source = f"oci:{open_directory}/layout"

    done = user("shell", "--rw", source, "sh", "-c", "cat d/link; rm d/link; ls d")

    if "refuses new namespaces" in done.stderr:
        pytest.skip(f"this host has no user namespaces for users: {done.stderr}")
    assert (done.returncode, done.stdout) == (0, "withinsub\n"), done.stderr
    assert "kernel driver (chosen by 'auto': in a user namespace" in done.stderr
    assert "gone after the command" in done.stderr
    assert sorted(os.listdir(open_directory)) == ["layout", "root"]


@pytest.mark.containerd
def test_changes_of_what_never_changes_are_not_lost_unasked(
    command: Command, image: str
) -> None:
    needs_runtime()

    done = command("run", "--rw", image)

    assert (done.returncode, "--upper DIR" in done.stderr) == (2, True)
