"""The words of an overlay mount: what is allowed, and how long they get."""

from __future__ import annotations

import pytest

from snapfs import syscalls
from snapfs.errors import InvalidArgumentError, ResourceExhaustedError
from snapfs.kernel_overlay import options
from snapfs.overlay_format import XattrPrefix

ROOT = "/var/lib/snapfs/snapshots"


def layers(count: int, root: str = ROOT, first: int = 1000) -> str:
    return "lowerdir=" + ":".join(f"{root}/{first + n}/fs" for n in range(count))


@pytest.mark.parametrize(
    "option",
    [
        "index=off",
        "redirect_dir=nofollow",
        "volatile",
        "fsync=volatile",
        "xino=auto",
        "noatime",
        "context=system_u:object_r:container_file_t:s0",
    ],
)
def test_options_of_overlayfs_are_taken_as_they_are(option: str) -> None:
    assert options.validate_options([option], XattrPrefix.TRUSTED) == (option,)


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("indx=off", "'indx' is none of overlayfs's"),
        ("X-containerd.mkfs", "is none of overlayfs's"),
        ("index", "'index' cannot have the value ''; it takes on, off"),
        ("index=maybe", "cannot have the value 'maybe'"),
        ("volatile=yes", "'volatile' takes no value"),
        ("context=a,b", "cannot have the value 'a,b'"),
        ("lowerdir=/x", "'lowerdir' follows from each snapshot"),
        ("upperdir=/x", "'upperdir' follows from each snapshot"),
        ("ro", "'ro' follows from each snapshot"),
        ("userxattr", "contradicts a store with trusted. attributes"),
    ],
)
def test_an_option_that_cannot_work_is_refused_by_name(
    option: str, message: str
) -> None:
    with pytest.raises(InvalidArgumentError, match=message):
        options.validate_options(["noatime", option], XattrPrefix.TRUSTED)


@pytest.mark.parametrize("option", ["redirect_dir=on", "metacopy=on"])
def test_what_the_kernel_refuses_beside_userxattr_is_refused(option: str) -> None:
    with pytest.raises(InvalidArgumentError, match="cannot be combined with userxattr"):
        options.validate_options([option], XattrPrefix.USER)


@pytest.mark.parametrize(
    ("configured", "prefix", "has_index", "expected"),
    [
        pytest.param((), "trusted.", True, ("index=off",), id="index-off"),
        pytest.param((), "trusted.", False, (), id="no-such-parameter"),
        pytest.param(
            ("index=on",), "trusted.", True, ("index=on",), id="index-configured"
        ),
        pytest.param(
            ("nfs_export=on",), "trusted.", True, ("nfs_export=on",), id="export"
        ),
        pytest.param((), "user.", True, ("index=off", "userxattr"), id="userxattr"),
        pytest.param(("userxattr",), "user.", False, ("userxattr",), id="only-once"),
    ],
)
def test_index_off_and_userxattr_are_added_where_they_belong(
    configured: tuple[str, ...],
    prefix: str,
    has_index: bool,
    expected: tuple[str, ...],
) -> None:
    found = options.default_options(
        configured, XattrPrefix(prefix), has_index=has_index
    )

    assert found == expected


@pytest.mark.parametrize(
    "path",
    ["/a:b", "/a,b", "/a\\b", "relative", "", "/a//b", "/a/", "//a", "/a/../b", "/a/."],
)
def test_a_path_that_containerd_would_misread_is_refused(path: str) -> None:
    with pytest.raises(InvalidArgumentError, match="path"):
        options.check_path(path)


@pytest.mark.parametrize("path", ["/a b", "/a\nb", "/ä", "/a=b", "/\udcff"])
def test_other_signs_in_a_path_are_no_trouble(path: str) -> None:
    assert options.check_path(path) == path


def test_short_options_are_not_compacted() -> None:
    words = ["workdir=/r/3/work", "upperdir=/r/3/fs", "ro", "lowerdir=/r/2/fs:/r/1/fs"]

    size = options.containerd_data_size(words)

    assert size == len("workdir=/r/3/work,upperdir=/r/3/fs,lowerdir=/r/2/fs:/r/1/fs")


def test_long_options_lose_the_common_directory_of_their_layers() -> None:
    words = ["index=off", layers(120)]

    size = options.containerd_data_size(words)

    assert size == len("index=off,lowerdir=") + 120 * len("1000/fs:") - 1


@pytest.mark.parametrize(
    ("length", "is_compacted"),
    [pytest.param(3583, False, id="below"), pytest.param(3584, True, id="at")],
)
def test_compaction_begins_512_bytes_before_the_page_ends(
    length: int, is_compacted: bool
) -> None:
    word = "lowerdir=/layers/1:/layers/" + "2" * (length - 27)
    assert len(word) == length

    size = options.containerd_data_size([word])

    assert size == (length - 2 * len("/layers/") if is_compacted else length)


def test_flags_and_identity_mappings_are_no_data() -> None:
    assert options.containerd_data_size(["noatime", "uidmap=0:1:2,3:4:5", "a=b"]) == 3


def test_names_are_counted_in_bytes() -> None:
    assert options.containerd_data_size(["upperdir=/ä"]) == len(b"upperdir=/..")


@pytest.mark.parametrize(
    "words",
    [
        pytest.param([f"lowerdir=/{'x' * 3900}"], id="one-layer"),
        pytest.param(
            [f"lowerdir=/{'x' * 1900}:/{'y' * 1900}"], id="nothing-but-root-in-common"
        ),
    ],
)
def test_what_cannot_be_compacted_keeps_its_length(words: list[str]) -> None:
    assert options.containerd_data_size(words) == len(words[0])


def test_the_longest_data_that_fits_is_taken_and_one_byte_more_refused() -> None:
    fits = "x" * syscalls.MOUNT_DATA_MAX

    options.check_data_size([fits])
    with pytest.raises(ResourceExhaustedError, match=r"4096 bytes.*only 4095"):
        options.check_data_size([fits + "x"])


def test_five_hundred_layers_are_taken_and_one_more_refused() -> None:
    options.check_count(["/l"] * 500)
    with pytest.raises(ResourceExhaustedError, match="501 layers"):
        options.check_count(["/l"] * 501)
