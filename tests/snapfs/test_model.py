"""The values: what they compare and what they tell."""

from __future__ import annotations

import pytest

from snapfs.model import Info, Kind, Mount


@pytest.mark.parametrize(
    ("mount", "is_read_only"),
    [
        pytest.param(Mount("bind", "/a", options=("rw", "rbind")), False, id="bind-rw"),
        pytest.param(Mount("bind", "/a", options=("ro", "rbind")), True, id="bind-ro"),
        pytest.param(Mount("bind", "/a", options=("ro", "rw")), False, id="last-wins"),
        pytest.param(
            Mount("overlay", "overlay", options=("workdir=/w", "upperdir=/u")),
            False,
            id="overlay-with-upperdir",
        ),
        pytest.param(
            Mount("overlay", "overlay", options=("lowerdir=/a:/b",)),
            True,
            id="overlay-without-upperdir",
        ),
        pytest.param(
            Mount("overlay", "overlay", options=("upperdir=/u", "ro")),
            True,
            id="overlay-ro",
        ),
    ],
)
def test_a_mount_is_read_only_as_containerd_reads_it(
    mount: Mount, is_read_only: bool
) -> None:
    assert mount.is_read_only is is_read_only


def test_infos_with_the_same_content_are_equal() -> None:
    one = Info("a", "p", Kind.VIEW, 1, 2, {"k": "v"})
    other = Info("a", "p", Kind.VIEW, 1, 2, {"k": "v"})

    assert one == other


def test_values_cannot_be_changed() -> None:
    info = Info("a")

    with pytest.raises(AttributeError):
        info.name = "b"  # type: ignore[misc] # that is the point
