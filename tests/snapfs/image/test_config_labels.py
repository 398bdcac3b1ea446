"""Configs kept in labels: whole, or not at all."""

from __future__ import annotations

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from snapfs.image.config_labels import config_labels, labelled_config
from snapfs.metadata.labels import checked_labels


@given(st.binary(max_size=20_000))
def test_a_config_comes_back_as_it_was(content: bytes) -> None:
    labels = config_labels(content)

    assert labelled_config({**labels, "another": "label"}) == content


def test_a_long_config_takes_several_labels_that_a_store_takes() -> None:
    content = os.urandom(40_000)

    labels = config_labels(content)

    assert len(labels) > 10
    assert checked_labels(labels) == labels
    assert labelled_config(labels) == content


def test_a_config_that_is_too_large_is_not_kept() -> None:
    assert config_labels(os.urandom(60_000)) == {}


@pytest.mark.parametrize(
    "labels",
    [
        pytest.param({}, id="none"),
        pytest.param({"snapfs.io/image-config.0": "%%%"}, id="no base64"),
        pytest.param({"snapfs.io/image-config.0": "QUJD"}, id="not compressed"),
        pytest.param({"snapfs.io/image-config.0": "ü"}, id="no ASCII"),
    ],
)
def test_labels_that_hold_no_config_give_none(labels: dict[str, str]) -> None:
    assert labelled_config(labels) is None


def test_a_config_with_a_piece_missing_is_none() -> None:
    labels = config_labels(os.urandom(20_000))
    labels.pop("snapfs.io/image-config.2")

    assert labelled_config(labels) is None
