"""overlayfs's marks on disk, and containerd's identity mappings."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from snapfs import overlay_format
from snapfs.errors import InvalidArgumentError
from snapfs.overlay_format import IdMapping, XattrPrefix

INITIAL = "         0          0 4294967295\n"
ALL_CAPABILITIES = 0x1FFFFFFFFFF
SYS_ADMIN = 1 << 21


def fake_proc(path: Path, uid_map: str | None, capabilities: int) -> str:
    path.mkdir()
    if uid_map is not None:
        (path / "uid_map").write_text(uid_map)
    (path / "status").write_text(
        f"Name:\tx\nCapEff:\t{capabilities:016x}\nSeccomp:\t0\n"
    )
    return str(path)


@pytest.mark.parametrize(
    ("uid_map", "capabilities", "expected"),
    [
        pytest.param(INITIAL, ALL_CAPABILITIES, XattrPrefix.TRUSTED, id="root"),
        pytest.param(None, ALL_CAPABILITIES, XattrPrefix.TRUSTED, id="no-namespaces"),
        pytest.param(
            INITIAL, ALL_CAPABILITIES & ~SYS_ADMIN, XattrPrefix.USER, id="root-dropped"
        ),
        pytest.param(INITIAL, 0, XattrPrefix.USER, id="unprivileged"),
        pytest.param(
            "0 1000 1\n", ALL_CAPABILITIES, XattrPrefix.USER, id="namespace-of-one"
        ),
        pytest.param(
            "0 0 1000\n1000 1000 9\n", SYS_ADMIN, XattrPrefix.USER, id="two-extents"
        ),
    ],
)
def test_the_prefix_fits_the_namespace_and_the_privilege(
    tmp_path: Path, uid_map: str | None, capabilities: int, expected: XattrPrefix
) -> None:
    proc = fake_proc(tmp_path / "proc", uid_map, capabilities)

    assert overlay_format.fitting_prefix(proc) is expected


def test_an_attribute_has_the_prefix_and_the_name_of_overlayfs() -> None:
    assert XattrPrefix.TRUSTED.attribute("opaque") == "trusted.overlay.opaque"
    assert XattrPrefix("user.").attribute("origin") == "user.overlay.origin"


def test_a_whiteout_is_a_character_device_without_numbers(tmp_path: Path) -> None:
    fd = os.open(tmp_path, os.O_PATH)
    try:
        overlay_format.make_whiteout("gone", dir_fd=fd)
    finally:
        os.close(fd)
    (tmp_path / "file").touch()

    assert overlay_format.is_whiteout(os.lstat(tmp_path / "gone"))
    assert not overlay_format.is_whiteout(os.lstat(tmp_path / "file"))
    assert not overlay_format.is_whiteout(os.lstat("/dev/null"))


def test_an_empty_marked_file_is_the_other_whiteout(tmp_path: Path) -> None:
    mark = XattrPrefix.USER.attribute(overlay_format.WHITEOUT)
    marked, plain, full = (tmp_path / name for name in ("marked", "plain", "full"))
    for path in (marked, plain, full):
        path.write_text("content" if path is full else "")
    os.setxattr(marked, mark, b"")
    os.setxattr(full, mark, b"")

    found = [
        path.name
        for path in (marked, plain, full)
        if overlay_format.is_xattr_whiteout(str(path), os.lstat(path), XattrPrefix.USER)
    ]

    assert found == ["marked"]


def test_opaque_is_set_and_read_by_path_and_by_descriptor(tmp_path: Path) -> None:
    by_path, by_descriptor = tmp_path / "a", tmp_path / "b"
    by_path.mkdir()
    by_descriptor.mkdir()
    fd = os.open(by_descriptor, os.O_RDONLY)
    try:
        assert not overlay_format.is_opaque(fd, XattrPrefix.USER)
        overlay_format.set_opaque(str(by_path), XattrPrefix.USER)
        overlay_format.set_opaque(fd, XattrPrefix.USER)

        assert overlay_format.is_opaque(str(by_path), XattrPrefix.USER)
        assert overlay_format.is_opaque(fd, XattrPrefix.USER)
    finally:
        os.close(fd)


@pytest.mark.parametrize("value", [b"x", b"", b"yes", b"n"])
def test_only_the_value_y_makes_a_directory_opaque(
    tmp_path: Path, value: bytes
) -> None:
    os.setxattr(tmp_path, "user.overlay.opaque", value)

    assert not overlay_format.is_opaque(str(tmp_path), XattrPrefix.USER)


def test_a_symbolic_link_to_an_opaque_directory_is_not_opaque(tmp_path: Path) -> None:
    (tmp_path / "directory").mkdir()
    (tmp_path / "link").symlink_to("directory")
    overlay_format.set_opaque(str(tmp_path / "directory"), XattrPrefix.USER)

    assert not overlay_format.is_opaque(str(tmp_path / "link"), XattrPrefix.USER)


def test_a_filesystem_without_attributes_has_no_opaque_directory() -> None:
    assert not overlay_format.is_opaque("/proc/self", XattrPrefix.USER)


def test_identity_mappings_are_read_in_order() -> None:
    assert overlay_format.parse_id_mappings("0:666:1000,1000:6666:64536") == (
        IdMapping(0, 666, 1000),
        IdMapping(1000, 6666, 64536),
    )


@pytest.mark.parametrize(
    "text",
    [
        "",
        "0:1",
        "0:1:2:3",
        "0:1:2,",
        "a:1:2",
        "-1:1:2",
        "0: 1:2",
        "0:1:0",
        "0:4294967295:1",
        "4294967290:0:100",
        "\u0660:1:2",
    ],
)
def test_a_mapping_of_another_form_is_refused(text: str) -> None:
    with pytest.raises(InvalidArgumentError, match="identity mapping"):
        overlay_format.parse_id_mappings(text)


def test_the_mapped_root_comes_from_both_labels() -> None:
    labels = {
        overlay_format.UID_MAPPING_LABEL: "1:5:1,0:666:1",
        overlay_format.GID_MAPPING_LABEL: "0:888:65536",
    }

    assert overlay_format.mapped_root(labels) == (666, 888)
    assert overlay_format.mapped_root({"other": "label"}) is None


@pytest.mark.parametrize(
    ("uid", "gid", "message"),
    [
        pytest.param("0:1:1", None, "gidmapping' is missing", id="no-gid"),
        pytest.param(None, "0:1:1", "uidmapping' is missing", id="no-uid"),
        pytest.param("1:1:1", "0:1:1", "does not map 0", id="root-unmapped"),
        pytest.param("0:1:1", "x", "not of the form", id="unreadable"),
    ],
)
def test_labels_that_cannot_map_root_are_refused(
    uid: str | None, gid: str | None, message: str
) -> None:
    pairs = {
        overlay_format.UID_MAPPING_LABEL: uid,
        overlay_format.GID_MAPPING_LABEL: gid,
    }
    labels = {name: value for name, value in pairs.items() if value is not None}

    with pytest.raises(InvalidArgumentError, match=message):
        overlay_format.mapped_root(labels)


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("1", 1),
        ("4096", 4096),
        ("0005K", 5 << 10),
        ("5KB", 5 << 10),
        ("5Ki", 5 << 10),
        ("5MiB", 5 << 20),
        ("5G", 5 << 30),
        ("5T", 5 << 40),
    ],
)
def test_a_size_is_bytes_or_has_a_unit(text: str, size: int) -> None:
    assert overlay_format.parse_size(text) == size
    assert overlay_format.size_limit({overlay_format.SIZE_LABEL: text}, 7) == size


@pytest.mark.parametrize(
    "text",
    [
        *("", "0", "-1", "1.5G", "5 G", "5P", "G", "5g", "\u0665", "9" * 30, "1\n"),
        *("1i", "1iB", "1B", "1KK", "1KiBB", "1BK", "K1", "1K1"),
    ],
)
def test_what_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(InvalidArgumentError, match="max-size"):
        overlay_format.size_limit({overlay_format.SIZE_LABEL: text}, 0)


def test_without_a_label_the_default_counts() -> None:
    assert overlay_format.size_limit({}, 7) == 7
