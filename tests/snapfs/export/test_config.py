"""Configs of exported images: what is kept of the image they were made from."""

from __future__ import annotations

import json

import pytest

from snapfs.digest import Digest, sha256
from snapfs.errors import DataLossError
from snapfs.export.config import Step, encode_config
from snapfs.image.config import parse_config

IDS = tuple(sha256(name) for name in (b"a", b"b", b"c"))
STEPS = (
    Step(None, "snapfs unpack"),
    Step(5 * 10**9, "snapfs commit b"),
    Step(7 * 10**9 + 1, "snapfs commit c"),
)


def base_of(ids: tuple[Digest, ...], **more: object) -> bytes:
    document: dict[str, object] = {
        "os": "linux",
        "architecture": "riscv64",
        "created": "2020-01-01T00:00:00Z",
        "config": {"Cmd": ["sh"], "Labels": {"odd": "ü"}},
        "os.features": ["kept"],
        "rootfs": {"type": "layers", "diff_ids": [str(one) for one in ids]},
    }
    return json.dumps({**document, **more}).encode()


def test_an_image_of_nothing_known_is_for_this_machine() -> None:
    content = encode_config(IDS, STEPS, None, None)

    config = parse_config(content, "it")
    assert config.platform.os == "linux"
    assert config.platform.architecture
    assert config.diff_ids == IDS
    assert config.created == "1970-01-01T00:00:07Z"
    assert config.commands() == ("snapfs unpack", "snapfs commit b", "snapfs commit c")
    assert config.history[0].created == ""


def test_what_the_base_says_of_containers_is_kept() -> None:
    history = [{"created_by": "ADD a"}, {"created_by": "CMD sh", "empty_layer": True}]

    content = encode_config(IDS, STEPS, base_of(IDS[:1], history=history), None)

    document = json.loads(content)
    assert document["config"] == {"Cmd": ["sh"], "Labels": {"odd": "ü"}}
    assert document["architecture"] == "riscv64"
    assert document["os.features"] == ["kept"]
    assert document["history"][:2] == history
    assert [step["created_by"] for step in document["history"][2:]] == [
        "snapfs commit b",
        "snapfs commit c",
    ]
    assert document["created"] == "1970-01-01T00:00:07Z"


def test_a_base_with_all_layers_keeps_its_time() -> None:
    content = encode_config(IDS, STEPS, base_of(IDS), None)

    assert json.loads(content)["created"] == "2020-01-01T00:00:00Z"


def test_a_history_of_other_layers_is_left_out() -> None:
    history = [{"created_by": "one"}, {"created_by": "two"}]

    content = encode_config(IDS, STEPS, base_of(IDS[:1], history=history), None)

    config = parse_config(content, "it")
    assert config.commands() == ("", "snapfs commit b", "snapfs commit c")


def test_no_time_is_after_the_bound() -> None:
    config = parse_config(encode_config(IDS, STEPS, None, 6), "it")

    assert config.created == "1970-01-01T00:00:06Z"
    assert [step.created for step in config.history] == [
        "",
        "1970-01-01T00:00:05Z",
        "1970-01-01T00:00:06Z",
    ]


def test_the_same_arguments_give_the_same_bytes() -> None:
    one = encode_config(IDS, STEPS, base_of(IDS[:1]), None)
    reordered = json.dumps(
        dict(reversed(json.loads(base_of(IDS[:1])).items()))
    ).encode()

    assert encode_config(IDS, STEPS, reordered, None) == one


def test_a_base_that_is_no_config_is_refused() -> None:
    with pytest.raises(DataLossError, match="the image's config"):
        encode_config(IDS, STEPS, b"[]", None)
