"""The probes of ``snapfs doctor``: honest, and tidy."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from snapfs import mountinfo, syscalls
from snapfs.kernel_overlay import context, features
from snapfs.kernel_overlay.features import Feature, probe_features
from snapfs.kernel_overlay.mounting import mount_all
from support.sandbox import REPOSITORY

if TYPE_CHECKING:
    from kernel_overlay.conftest import AsNobody, Site

NEEDS_PRIVILEGE = {
    "new-mount-api",
    "layer-by-layer",
    "layer-descriptors",
    "volatile",
    "overlay-mount",
    "userxattr-mount",
    "mapped-layers",
    "trusted-xattrs",
}


def by_name(found: list[Feature]) -> dict[str, Feature]:
    return {feature.name: feature for feature in found}


def test_every_answer_comes_with_one_line_of_evidence(tmp_path: Path) -> None:
    found = probe_features(str(tmp_path))

    assert len(by_name(found)) == len(found)
    for feature in found:
        assert feature.evidence
        assert "\n" not in feature.evidence


# Run in a mount namespace of its own: elsewhere others mount and unmount meanwhile.
PROBE_TWICE = """
import sys
from snapfs import mountinfo
from snapfs.kernel_overlay.features import probe_features
probe_features(sys.argv[1])
mounts = mountinfo.read()
probe_features(sys.argv[1])
assert mountinfo.read() == mounts, mountinfo.read()
"""


def test_probing_leaves_no_file_mount_or_descriptor_behind(tmp_path: Path) -> None:
    probe_features(str(tmp_path))
    descriptors = len(os.listdir("/proc/self/fd"))

    probe_features(str(tmp_path))

    assert os.listdir(tmp_path) == []
    assert mountinfo.mounts_below(str(tmp_path)) == []
    assert len(os.listdir("/proc/self/fd")) == descriptors


@pytest.mark.root
def test_probing_leaves_no_mount_behind_anywhere(tmp_path: Path) -> None:
    done = subprocess.run(
        ["unshare", "--mount", sys.executable, "-c", PROBE_TWICE, tmp_path],
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr


@pytest.mark.root
def test_the_probes_agree_with_what_mounting_does(site: Site) -> None:
    found = by_name(probe_features(str(site.path)))
    (site.path / "2").mkdir()

    mount_all([site.overlay(str(site.path / "2"))], str(site.target))

    assert found["overlay-mount"].available
    assert found["kernel-overlay"].available
    assert found["layer-by-layer"].available == context.takes_layers()


@pytest.mark.root
@pytest.mark.usefixtures("old_api")
def test_an_overlay_is_tried_by_mount_2_where_layers_are_not_taken(site: Site) -> None:
    found = by_name(probe_features(str(site.path)))

    assert found["overlay-mount"] == Feature(
        "overlay-mount", True, f"mounted one with an upperdir in {site.path}"
    )
    assert mountinfo.mounts_below(str(site.path)) == []


@pytest.mark.root
def test_an_overlay_as_storage_is_seen_and_refused_by_the_real_mount(
    site: Site,
) -> None:
    mount_all([site.overlay(site.layer("low"))], str(site.target))

    found = by_name(probe_features(str(site.target)))

    assert found["storage-filesystem"] == Feature(
        "storage-filesystem", False, "overlay, which cannot hold an upperdir"
    )
    assert not found["overlay-mount"].available
    assert "lies on an overlay" in found["overlay-mount"].evidence
    assert os.listdir(site.target) == []


@pytest.mark.root
def test_listings_without_types_are_seen(without_d_type: Path) -> None:
    found = by_name(probe_features(str(without_d_type)))

    assert found["d-type"] == Feature(
        "d-type", False, "a listing gives no type of an entry"
    )


@pytest.mark.root
def test_without_privilege_each_missing_feature_has_its_reason(
    public_site: Site, as_nobody: AsNobody
) -> None:
    os.chmod(public_site.path, 0o777)

    def probe() -> None:
        context.takes_layers.cache_clear()
        found = by_name(probe_features(str(public_site.path)))
        raise AssertionError(
            {
                "missing": {
                    name for name in NEEDS_PRIVILEGE if not found[name].available
                },
                "reasons": {
                    "EPERM" in found[name].evidence for name in NEEDS_PRIVILEGE
                },
                "d-type": found["d-type"].available,
            }
        )

    text = as_nobody(probe)

    assert eval(text.partition(": ")[2]) == {  # a dict that this test printed
        "missing": NEEDS_PRIVILEGE,
        "reasons": {True},
        "d-type": True,
    }


@pytest.mark.root
def test_a_directory_that_cannot_be_written_gives_reasons_not_errors(
    public_site: Site, as_nobody: AsNobody
) -> None:
    def probe() -> None:
        raise AssertionError(by_name(probe_features(str(public_site.path)))["d-type"])

    text = as_nobody(probe)

    assert "available=False, evidence='Permission denied (EACCES)'" in text


def test_a_kernel_that_checks_no_parameter_is_recognised(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def open_anything(_: str) -> int:
        return os.open("/dev/null", os.O_RDONLY)

    monkeypatch.setattr(syscalls, "fsopen", open_anything)
    monkeypatch.setattr(syscalls, "fsconfig_string", lambda *_: None)

    found = by_name(probe_features(str(tmp_path)))

    assert not found["new-mount-api"].available
    assert "checks no parameter" in found["new-mount-api"].evidence
    assert not found["layer-by-layer"].available
    assert not found["volatile"].available


def test_a_kernel_without_the_new_calls_is_recognised(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(_: str) -> int:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))

    monkeypatch.setattr(syscalls, "fsopen", refuse)
    context.takes_layers.cache_clear()
    try:
        assert not context.takes_layers()
    finally:
        context.takes_layers.cache_clear()


def test_an_unexpected_error_is_a_reason_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(features, "_PARAMETERS", str(tmp_path / "missing"))

    index = by_name(probe_features(str(tmp_path)))["index-default"]

    assert index == Feature(
        "index-default", False, "No such file or directory (ENOENT)"
    )


@pytest.mark.root
@pytest.mark.usefixtures("site")
def test_project_quotas_are_seen_in_the_mount_options(tmp_path: Path) -> None:
    target = tmp_path / "quota"
    target.mkdir()
    image = tmp_path / "image"
    with image.open("wb") as file:
        file.truncate(8 << 20)
    make = ["/sbin/mkfs.ext4", "-q", "-O", "quota,project,^has_journal", str(image)]
    if not os.path.exists(make[0]):
        pytest.skip(f"needs {make[0]}")
    subprocess.run(make, check=True)
    mounted = subprocess.run(
        ["mount", "-o", "loop,prjquota", str(image), str(target)],
        capture_output=True,
        text=True,
        check=False,
    )
    if mounted.returncode:
        pytest.skip(
            f"this kernel has no project quotas: {mounted.stderr.splitlines()[0]}"
        )
    try:
        found = by_name(probe_features(str(target)))
    finally:
        subprocess.run(["umount", str(target)], check=True)

    assert found["project-quota"].available
