from __future__ import annotations

import os

import pytest

from snapfs.errors import InvalidArgumentError
from snapfs.image.descriptor import Platform
from snapfs.image.platform import (
    candidates,
    host_platform,
    is_unknown,
    normalise,
    parse_platform,
)


@pytest.mark.parametrize(
    ("text", "normal"),
    [
        ("linux/x86_64", "linux/amd64"),
        ("linux/x86-64", "linux/amd64"),
        ("linux/amd64/v1", "linux/amd64"),
        ("linux/amd64/v3", "linux/amd64/v3"),
        ("linux/aarch64", "linux/arm64"),
        ("linux/arm64/v8", "linux/arm64"),
        ("linux/arm64/8", "linux/arm64"),
        ("linux/arm64/v8.2", "linux/arm64/v8.2"),
        ("linux/arm64/v9.0", "linux/arm64/v9"),
        ("linux/armhf", "linux/arm/v7"),
        ("linux/armel", "linux/arm/v6"),
        ("linux/arm", "linux/arm/v7"),
        ("linux/arm/6", "linux/arm/v6"),
        ("linux/i386", "linux/386"),
        ("LINUX/AMD64", "linux/amd64"),
        ("macos/arm64", "darwin/arm64"),
    ],
)
def test_a_platform_is_normalised_as_by_containerd(text: str, normal: str) -> None:
    assert str(parse_platform(text)) == normal


def test_what_is_left_out_is_this_machines() -> None:
    host = host_platform()

    assert parse_platform("linux") == host
    assert parse_platform("s390x") == Platform("linux", "s390x")
    assert host == normalise(Platform("linux", os.uname().machine))


@pytest.mark.parametrize(
    "text", ["", "/", "linux/", "a/b/c/d", "linux/../x", "toaster", "linux/amd64\n"]
)
def test_what_is_no_platform_is_refused(text: str) -> None:
    with pytest.raises(InvalidArgumentError, match="OS/ARCH"):
        parse_platform(text)


@pytest.mark.parametrize(
    ("text", "order"),
    [
        ("linux/amd64", ["linux/amd64", "linux/386"]),
        (
            "linux/amd64/v3",
            ["linux/amd64/v3", "linux/amd64/v2", "linux/amd64", "linux/386"],
        ),
        (
            "linux/arm64",
            ["linux/arm64"] + [f"linux/arm/v{version}" for version in (8, 7, 6, 5)],
        ),
        (
            "linux/arm64/v8.2",
            ["linux/arm64/v8.2", "linux/arm64/v8.1", "linux/arm64"]
            + [f"linux/arm/v{version}" for version in (8, 7, 6, 5)],
        ),
        (
            "linux/arm64/v9.1",
            ["linux/arm64/v9.1", "linux/arm64/v9"]
            + [f"linux/arm64/v8.{minor}" for minor in range(6, 0, -1)]
            + ["linux/arm64"]
            + [f"linux/arm/v{version}" for version in (8, 7, 6, 5)],
        ),
        ("linux/arm/v6", ["linux/arm/v6", "linux/arm/v5"]),
        ("linux/arm/v5", ["linux/arm/v5"]),
        ("linux/riscv64", ["linux/riscv64"]),
    ],
)
def test_what_runs_on_a_platform_is_ordered_as_by_containerd(
    text: str, order: list[str]
) -> None:
    assert [str(each) for each in candidates(parse_platform(text))] == order


def test_attestations_are_known_by_their_platform() -> None:
    assert is_unknown(Platform("unknown", "unknown"))
    assert not is_unknown(Platform("linux", "amd64"))
    assert not is_unknown(None)
