"""Layers that cannot be made for containerd."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from snapfs.assembly.layer_maker import LayerMaker
from snapfs.differ import LayerOrder
from snapfs.errors import UnavailableError, UnimplementedError
from snapfs.overlay_format import XattrPrefix
from snapfs.stopping import Stop

ORDER = LayerOrder("", "", {}, None, "default", "")


@pytest.fixture
def maker(tmp_path: Path) -> LayerMaker:
    return LayerMaker(str(tmp_path / "none.sock"), XattrPrefix.TRUSTED)


def test_without_containerd_there_is_none(maker: LayerMaker, tmp_path: Path) -> None:
    with pytest.raises(UnavailableError, match=r"containerd\.address"):
        maker.make((), (str(tmp_path),), ORDER, Stop())


def test_other_media_types_are_for_the_next_differ(
    maker: LayerMaker, tmp_path: Path
) -> None:
    order = dataclasses.replace(ORDER, media_type="application/erofs")

    with pytest.raises(UnimplementedError, match="erofs"):
        maker.make((), (str(tmp_path),), order, Stop())


def test_one_that_was_stopped_before_never_begins(
    maker: LayerMaker, tmp_path: Path
) -> None:
    stop = Stop("the call")
    stop.ask()

    with pytest.raises(UnavailableError, match="stopped"):
        maker.make((), (str(tmp_path),), ORDER, stop)
