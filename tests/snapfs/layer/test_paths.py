"""Names in a layer; reference: image-spec layer.md and oci.md 1.3, 2.2."""

import pytest

from snapfs.errors import UnsafeLayerError
from snapfs.layer.limits import Limits
from snapfs.layer.paths import has_parent_reference, split_path

LIMITS = Limits()


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        pytest.param(b"a/b", [b"a", b"b"], id="plain"),
        pytest.param(b"./a/b", [b"a", b"b"], id="dot first"),
        pytest.param(b"a/./b/.", [b"a", b"b"], id="dots inside"),
        pytest.param(b"a//b", [b"a", b"b"], id="two slashes"),
        pytest.param(b"a/b/", [b"a", b"b"], id="slash at the end"),
        pytest.param(b"/a", [b"a"], id="absolute"),
        pytest.param(b"//a", [b"a"], id="two slashes first"),
        pytest.param(b"", [], id="empty"),
        pytest.param(b".", [], id="dot"),
        pytest.param(b"./", [], id="dot and slash"),
        pytest.param(b"/", [], id="slash"),
        pytest.param(b"././././", [], id="many dots"),
        pytest.param(b"a\\b", [b"a\\b"], id="a backslash is ordinary"),
        pytest.param(b"\xff/\xfe", [b"\xff", b"\xfe"], id="bytes that are no text"),
        pytest.param(b"..a/b..", [b"..a", b"b.."], id="two dots within a name"),
        pytest.param(b"...", [b"..."], id="three dots"),
        pytest.param(b"a" * 255, [b"a" * 255], id="longest component"),
    ],
)
def test_a_name_becomes_components(name: bytes, parts: list[bytes]) -> None:
    assert split_path(name, LIMITS, clamp=False) == parts


@pytest.mark.parametrize(
    "name", [b"..", b"../x", b"a/..", b"a/../../x", b"/..", b"a/../b"]
)
def test_a_parent_reference_is_refused(name: bytes) -> None:
    assert has_parent_reference(name)

    with pytest.raises(UnsafeLayerError, match=r"holds '\.\.'"):
        split_path(name, LIMITS, clamp=False)


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        (b"..", []),
        (b"../x", [b"x"]),
        (b"a/..", []),
        (b"a/../../x", [b"x"]),
        (b"a/b/../c", [b"a", b"c"]),
    ],
)
def test_a_clamped_parent_reference_stays_within_the_root(
    name: bytes, parts: list[bytes]
) -> None:
    assert split_path(name, LIMITS, clamp=True) == parts


@pytest.mark.parametrize(
    ("name", "words"),
    [
        pytest.param(b"a\0b", "holds a NUL", id="NUL"),
        pytest.param(b"a/" + b"b" * 256, "component of 256 bytes", id="component"),
        pytest.param(b"a/" * 1025, "1025 components", id="depth"),
        pytest.param(b"a/" * 100_000, "100000 components", id="very deep"),
        pytest.param((b"a" * 255 + b"/") * 257, "65791 bytes", id="length"),
    ],
)
def test_a_name_beyond_the_limits_is_refused(name: bytes, words: str) -> None:
    with pytest.raises(UnsafeLayerError, match=words):
        split_path(name, LIMITS, clamp=True)
