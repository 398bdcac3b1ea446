"""Where a store may lie, and the clear refusal elsewhere."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from snapfs.errors import (
    NotFoundError,
    PermissionDeniedError,
    UnavailableError,
)
from snapfs.kernel_overlay import storage
from snapfs.kernel_overlay.features import check_storage
from snapfs.kernel_overlay.mounting import mount_all

if TYPE_CHECKING:
    from kernel_overlay.conftest import AsNobody, Site


def test_a_common_filesystem_is_taken_and_left_as_it_was(tmp_path: Path) -> None:
    check_storage(str(tmp_path), "user.")

    assert os.listdir(tmp_path) == []


@pytest.mark.root
def test_a_root_on_an_overlay_is_refused(site: Site) -> None:
    mount_all([site.overlay(site.layer("low"))], str(site.target))

    with pytest.raises(UnavailableError, match=r"lies on an overlay.*choose a root"):
        check_storage(str(site.target), "trusted.")

    assert os.listdir(site.target) == []


@pytest.mark.root
def test_a_root_whose_listings_have_no_types_is_refused(without_d_type: Path) -> None:
    before = os.listdir(without_d_type)

    with pytest.raises(UnavailableError, match=r"no file types.*\(d_type\)"):
        check_storage(str(without_d_type), "trusted.")

    assert os.listdir(without_d_type) == before


def test_a_root_that_is_missing_is_not_found(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match=r"cannot use '.*missing' for snapshots"):
        check_storage(str(tmp_path / "missing"), "user.")


@pytest.mark.root
def test_trusted_attributes_need_privilege(
    public_site: Site, as_nobody: AsNobody
) -> None:
    os.chmod(public_site.path, 0o777)

    text = as_nobody(lambda: check_storage(str(public_site.path), "trusted."))

    assert text.startswith(f"{PermissionDeniedError.__name__}: ")
    assert "may not set trusted.* attributes" in text


def refusing(code: int) -> Callable[..., None]:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(code, os.strerror(code))

    return refuse


def test_a_filesystem_without_attributes_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(storage, "set_attribute", refusing(errno.ENOTSUP))

    with pytest.raises(UnavailableError, match=r"has no user\.\* attributes"):
        check_storage(str(tmp_path), "user.")

    assert os.listdir(tmp_path) == []


def test_a_store_on_a_full_disk_still_opens(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "mkdir", refusing(errno.ENOSPC))

    check_storage(str(tmp_path), "user.")
