"""Whiteouts and opaque directories, as a real overlay mount shows them."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from snapfs.layer.form import OverlayForm, WhiteoutForm, working_form
from snapfs.overlay_format import XattrPrefix
from support.applied_layers import apply_items, directory, entry, merged, symlink

pytestmark = pytest.mark.root

FORMS = [
    pytest.param(OverlayForm(prefix, whiteouts), id=f"{prefix}{whiteouts}")
    for prefix in XattrPrefix
    for whiteouts in WhiteoutForm
]


@pytest.fixture(params=FORMS)
def form(request: pytest.FixtureRequest) -> OverlayForm:
    chosen: OverlayForm = request.param
    return chosen


def view(tmp_path: Path, form: OverlayForm, *names: str) -> dict[str, list[str]]:
    """Return what each directory of the merged view of the layers lists."""
    layers = [tmp_path / name for name in names]
    userxattr = form.prefix is XattrPrefix.USER
    with merged(tmp_path / "merged", *layers, userxattr=userxattr) as root:
        return {
            os.path.relpath(path, root): sorted((*folders, *files))
            for path, folders, files in os.walk(root)
        }


def test_whiteouts_hide_what_lower_layers_have(
    tmp_path: Path, form: OverlayForm
) -> None:
    apply_items(
        tmp_path / "low",
        entry("gone"),
        entry("kept"),
        directory("d"),
        entry("d/gone"),
        entry("d/kept"),
        entry("tree/a/b"),
        form=form,
    )
    apply_items(
        tmp_path / "high",
        entry(".wh.gone"),
        entry(".wh.tree"),
        directory("d"),
        entry("d/.wh.gone"),
        entry("d/new"),
        form=form,
    )

    assert view(tmp_path, form, "high", "low") == {
        ".": ["d", "kept"],
        "d": ["kept", "new"],
    }


def test_whiteouts_do_not_show_where_nothing_is_below(
    tmp_path: Path, form: OverlayForm
) -> None:
    apply_items(tmp_path / "low", entry("other"), form=form)
    apply_items(
        tmp_path / "high",
        directory("d"),
        entry("d/.wh.never"),
        entry("d/f"),
        entry("only/.wh.never"),
        form=form,
    )

    assert view(tmp_path, form, "high", "low") == {
        ".": ["d", "only", "other"],
        "d": ["f"],
        "only": [],
    }


def test_opaque_directories_hide_all_below(tmp_path: Path, form: OverlayForm) -> None:
    apply_items(
        tmp_path / "low",
        entry("marked/old"),
        entry("renewed/old"),
        entry("filled/old"),
        entry("swapped"),
        form=form,
    )
    apply_items(
        tmp_path / "high",
        entry("marked/new"),
        entry("marked/.wh..wh..opq"),
        entry(".wh.renewed"),
        directory("renewed"),
        entry("filled/new"),
        entry(".wh.filled"),
        directory("swapped"),
        form=form,
    )

    assert view(tmp_path, form, "high", "low") == {
        ".": ["filled", "marked", "renewed", "swapped"],
        "filled": ["new"],
        "marked": ["new"],
        "renewed": [],
        "swapped": [],
    }


def test_a_file_beside_its_whiteout_is_kept(tmp_path: Path, form: OverlayForm) -> None:
    apply_items(tmp_path / "low", entry("f", b"old"), form=form)
    apply_items(
        tmp_path / "high",
        entry("f", b"new"),
        entry(".wh.f"),
        symlink("l", "f"),
        form=form,
    )

    assert view(tmp_path, form, "high", "low") == {".": ["f", "l"]}


def test_an_opaque_root_is_reported(tmp_path: Path) -> None:
    applied = apply_items(tmp_path / "layer", entry(".wh..wh..opq"), entry("f"))

    assert applied.root_opaque
    assert os.listxattr(tmp_path / "layer") == []
    assert os.listdir(tmp_path / "layer") == ["f"]


def test_whiteouts_do_not_change_the_time_of_their_directory(tmp_path: Path) -> None:
    layer = tmp_path / "layer"

    apply_items(layer, directory("d", 0o500, mtime=7), entry("d/.wh.x"))

    assert (layer / "d").stat().st_mtime == 7
    assert stat.S_IMODE((layer / "d").stat().st_mode) == 0o500
    assert stat.S_ISCHR((layer / "d/x").stat().st_mode)


def test_the_working_form_is_a_device_where_that_can_be_made(tmp_path: Path) -> None:
    fd = os.open(tmp_path, os.O_RDONLY)
    try:
        form = working_form(XattrPrefix.USER, fd)
    finally:
        os.close(fd)

    assert form == OverlayForm(XattrPrefix.USER, WhiteoutForm.DEVICE)
    assert list(tmp_path.iterdir()) == []
