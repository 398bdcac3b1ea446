"""containerd runs real containers on the FUSE driver, in two generations."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

import pytest

from support import debian_images
from support.containerd import ONE_GENERATION, Containerd
from support.fuse_containers import assert_serves, run, servers, start
from support.images import HELLO
from support.layouts import archive_of
from support.sandbox import Sandbox, wait_until
from support.snapfs_program import PROXY_NAME, SnapfsProgram

pytestmark = [
    *(pytest.mark.root, pytest.mark.fuse),
    *(pytest.mark.containerd, pytest.mark.slow),
]

DEBIAN: Final = "snapfs.test/debian:latest"
SEARCH_PATH: Final = "PATH=/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
INSTALL_PACKAGES: Final = """
set -e
DEBIAN_FRONTEND=noninteractive apt-get install --yes /packages/*.deb
tree --version
file --brief /etc/passwd
test -z "$(dpkg --verify tree less file libmagic1 libmagic-mgc)"
DEBIAN_FRONTEND=noninteractive apt-get purge --yes tree
! test -e /usr/bin/tree
"""
INSTALL_WHEEL: Final = """
set -e
cd /
pip install --no-index --find-links /packages --break-system-packages pygments
pygmentize -V
pip uninstall --yes --break-system-packages pygments
! test -e /usr/local/bin/pygmentize
"""
LIST: Final = ("--snapshotter", PROXY_NAME, "ls")


@pytest.fixture(scope="module")
def debian(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Debian with apt and pip, and packages to install."""
    path = tmp_path_factory.mktemp("debian") / "layout"
    writer = debian_images.write_installing_image(path, DEBIAN)
    if writer is None:
        pytest.skip("needs mmdebstrap and apt's mirror")
    writer.finish(Env=[SEARCH_PATH])
    return archive_of(path)


@pytest.fixture
def snapfs(fuse_snapfs: SnapfsProgram) -> SnapfsProgram:
    return fuse_snapfs


def test_containers_live_and_end_on_fuse(
    containerd: Containerd, snapfs: SnapfsProgram, sandbox: Sandbox, archive: Path
) -> None:
    containerd.import_image(archive)
    before = sandbox.mount_points()
    names = [f"many-{number}" for number in range(10)]

    assert run(containerd, "hello", options=("--rm",)) == HELLO
    with ThreadPoolExecutor(len(names)) as pool:
        list(pool.map(lambda name: start(containerd, name), names))
    roots = containerd.execute(names[0], "cat", "/proc/mounts")
    assert "snapfs / fuse.snapfs-fuse rw" in roots
    assert len(servers(sandbox)) >= len(names)

    containerd.remove_everything()

    assert sandbox.mount_points() == before
    wait_until(lambda: not servers(sandbox), "the servers to end")
    wait_until(snapfs.is_empty, "the store to be empty")


@ONE_GENERATION
def test_containers_do_not_notice_the_end_of_the_service(
    containerd: Containerd, snapfs: SnapfsProgram, sandbox: Sandbox, archive: Path
) -> None:
    containerd.import_image(archive)
    start(containerd, "one")

    snapfs.kill()
    assert_serves(containerd, "one")
    containerd.execute("one", "sh", "-c", "echo more >/srv/more; mv /srv/more /srv/m")
    snapfs.serve()
    # It takes containerd a moment to connect again.
    wait_until(
        lambda: containerd.try_ctr("snapshots", *LIST).returncode == 0, "the service"
    )

    containerd.execute("one", "sh", "-c", "test -e /srv/m")
    start(containerd, "two")
    containerd.remove_everything()
    wait_until(lambda: not servers(sandbox), "the servers to end")


@pytest.mark.full
def test_packages_are_installed_in_containers_by_apt_and_by_pip(
    containerd: Containerd, sandbox: Sandbox, debian: Path
) -> None:
    containerd.import_image(debian)
    run(containerd, "one", "sleep", "1000", options=("--detach",), image=DEBIAN)

    containerd.execute("one", "sh", "-c", INSTALL_PACKAGES)
    containerd.execute("one", "sh", "-c", INSTALL_WHEEL)

    containerd.remove_everything()
    wait_until(lambda: not servers(sandbox), "the servers to end")


@pytest.fixture
def limited(snapfs: SnapfsProgram, sandbox: Sandbox) -> SnapfsProgram:
    """The service again, with a limit for every container."""
    config = sandbox.home / "limits.toml"
    config.write_text('[limits]\nmax_size = "6MiB"\n')
    snapfs.stop()
    snapfs.serve("--config", config)
    return snapfs


@pytest.mark.full
def test_a_container_that_fills_its_disk_is_stopped_at_its_limit(
    limited: SnapfsProgram, containerd: Containerd, archive: Path
) -> None:
    containerd.import_image(archive)
    start(containerd, "one")

    fill = "cat /dev/zero >/srv/a; stat -c %s /srv/a; rm /srv/a; echo x >/srv/x"
    said = containerd.execute("one", "sh", "-c", fill)

    assert 4 << 20 < int(said.split()[-1]) < 6 << 20
    containerd.remove_everything()
