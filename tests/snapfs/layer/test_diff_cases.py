"""The diff engine, case by case: what it reads, says, leaves out and refuses."""

from __future__ import annotations

import errno
import os
import resource
from collections.abc import Sequence
from pathlib import Path

import pytest

from snapfs.errors import UnimplementedError
from snapfs.layer.change import Change, ChangeKind
from snapfs.layer.diff import opened_diff
from snapfs.layer.layer_view import LayerView
from snapfs.overlay_format import XattrPrefix, set_opaque
from snapfs.syscalls import mount, umount2
from support.expected_changes import SeenTree, expected_changes
from support.written_unions import OLD_NS, build

PREFIX = XattrPrefix.USER
"""Anybody may write these marks."""

WHOLE_NS = 1_000_000_000 * 10**9


def changes_of(
    before: Sequence[Path], after: Sequence[Path], *, unchanged: bool = False
) -> list[Change]:
    """Return what :func:`opened_diff` yields for chains, highest first."""
    with opened_diff(
        [bytes(path) for path in before],
        [bytes(path) for path in after],
        PREFIX,
        unchanged=unchanged,
    ) as changes:
        return list(changes)


def lines(found: Sequence[Change]) -> list[str]:
    """Return changes in short: "M etc/hosts mode,mtime"."""
    return [
        f"{c.kind} {os.fsdecode(c.path)} {','.join(c.fields)}".rstrip() for c in found
    ]


def layer(root: Path, name: str, *entries: tuple[object, ...]) -> Path:
    """Make a layer of old entries; its root too has the old time."""
    path = root / name
    path.mkdir()
    path.chmod(0o755)
    build(path, entries)
    return path


def set_times(time_ns: int, *paths: Path) -> None:
    for path in paths:
        os.utime(path, ns=(time_ns, time_ns), follow_symlinks=False)


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """Count the contents that are opened."""
    found: list[bytes] = []
    original = LayerView.open_content

    def counting(self: LayerView, shown: object) -> int:
        found.append(shown.place.path)  # type: ignore[attr-defined]  # a Shown
        return original(self, shown)  # type: ignore[arg-type]  # a Shown

    monkeypatch.setattr(LayerView, "open_content", counting)
    return found


def test_an_unchanged_upper_reads_no_content_and_is_no_change(
    tmp_path: Path, opened: list[bytes]
) -> None:
    entries = [("a/b/c", "f", b"x" * 5000), ("a/link", "l", "b"), ("a/fifo", "p")]
    lower = layer(tmp_path, "lower", *entries)
    upper = layer(tmp_path, "upper", *entries)

    assert changes_of([lower], [upper, lower], unchanged=True) == []
    assert opened == []


def test_whole_seconds_make_it_read_what_is_equal_otherwise(
    tmp_path: Path, opened: list[bytes]
) -> None:
    lower = layer(tmp_path, "lower", ("same", "f", b"1"), ("other", "f", b"1"))
    upper = layer(tmp_path, "upper", ("same", "f", b"1"), ("other", "f", b"2"))
    for above in (lower, upper):
        set_times(WHOLE_NS, above / "same", above / "other")

    assert lines(changes_of([lower], [upper, lower])) == ["M other content"]
    assert opened == [b"other", b"other", b"same", b"same"]


def test_what_is_a_hole_in_both_is_not_compared_byte_by_byte(tmp_path: Path) -> None:
    lower = layer(tmp_path, "lower", ("big", "f", b""), ("end", "f", b""))
    upper = layer(tmp_path, "upper", ("big", "f", b""), ("end", "f", b""))
    for above, last in ((lower, b"1"), (upper, b"2")):
        for name in ("big", "end"):
            os.truncate(above / name, 1 << 42)
        with (above / "end").open("r+b") as file:
            file.seek(1 << 40)
            file.write(last)
        set_times(WHOLE_NS, above / "big", above / "end")

    assert lines(changes_of([lower], [upper, lower])) == ["M end content"]


def test_a_hole_equals_zeros_that_were_written(tmp_path: Path) -> None:
    lower = layer(tmp_path, "lower", ("file", "f", bytes(1 << 16)))
    upper = layer(tmp_path, "upper", ("file", "f", b""))
    os.truncate(upper / "file", 1 << 16)
    set_times(WHOLE_NS, lower / "file", upper / "file")

    assert changes_of([lower], [upper, lower]) == []


def test_a_whiteout_with_nothing_beneath_is_nothing(tmp_path: Path) -> None:
    lower = layer(tmp_path, "lower", ("there", "f"), ("hidden", "f"))
    middle = layer(tmp_path, "middle", ("hidden", "w"))
    upper = layer(tmp_path, "upper", ("there", "w"), ("hidden", "w"), ("none", "w"))

    assert lines(changes_of([middle, lower], [upper, middle, lower])) == ["D there"]


def test_an_opaque_directory_deletes_by_name_what_it_hides(tmp_path: Path) -> None:
    lower = layer(
        tmp_path, "lower", ("d/gone/x", "f"), ("d/kept", "f"), ("d/sub/in", "f")
    )
    upper = layer(tmp_path, "upper", ("d/kept", "f"), ("d/new", "f"), ("d/sub", "d"))
    set_opaque(bytes(upper / "d"), PREFIX)
    set_times(OLD_NS, upper / "d", upper / "d/kept")

    assert lines(changes_of([lower], [upper, lower])) == [
        "D d/gone",
        "A d/new",
        "D d/sub/in",
    ]


def test_an_opaque_directory_over_nothing_is_merely_added(tmp_path: Path) -> None:
    lower = layer(tmp_path, "lower", ("x", "f"))
    upper = layer(tmp_path, "upper", ("d/new", "f"))
    set_opaque(bytes(upper / "d"), PREFIX)

    assert lines(changes_of([lower], [upper, lower])) == ["A d", "A d/new"]


def test_whiteouts_by_mark_hide_in_every_layer(tmp_path: Path) -> None:
    lower = layer(tmp_path, "lower", ("a", "f"), ("b", "f"), ("c", "f"))
    middle = layer(tmp_path, "middle", ("a", "f", b""))
    upper = layer(tmp_path, "upper", ("b", "f", b""), ("c", "f", b""))
    for hidden in (middle / "a", upper / "b"):
        os.setxattr(hidden, PREFIX.attribute("whiteout"), b"")

    found = changes_of([middle, lower], [upper, middle, lower])

    assert lines(found) == ["D b", "M c size"]


def test_deletions_come_first_and_names_in_the_order_of_bytes(tmp_path: Path) -> None:
    lower = layer(tmp_path, "lower", ("a", "f"), ("z", "f"), ("d/z", "f"))
    upper = layer(
        *(tmp_path, "upper", ("z", "w"), ("a", "f", b"new"), ("d/z", "w")),
        *(("d/a", "f"), ("d-", "f"), ("d.x", "f")),
    )
    (upper / os.fsdecode(b"\xff")).touch()

    assert lines(changes_of([lower], [upper, lower])) == [
        "D z",
        "M a size",
        "D d/z",
        "A d/a",
        "A d-",
        "A d.x",
        "A \udcff",
    ]


def test_parents_of_changes_are_given_once_where_they_are_wanted(
    tmp_path: Path,
) -> None:
    lower = layer(tmp_path, "lower", ("a/b/c", "f"), ("a/b/d", "f"), ("e/f/g", "f"))
    upper = layer(
        *(tmp_path, "upper", ("a/b/c", "f", b"1"), ("a/b/d", "f", b"2")),
        *(("a/x/y", "f"), ("e/f/g", "f")),
    )

    assert lines(changes_of([lower], [upper, lower], unchanged=True)) == [
        "= .",
        "= a",
        "= a/b",
        "M a/b/c size",
        "M a/b/d size",
        "A a/x",
        "A a/x/y",
    ]


def test_an_empty_before_has_all_added_but_the_root(tmp_path: Path) -> None:
    only = layer(tmp_path, "only", ("d/f", "f"), ("whiteout", "w"))

    only.chmod(0o700)

    assert lines(changes_of([], [only], unchanged=True)) == ["= .", "A d", "A d/f"]


def test_the_time_of_the_root_alone_is_no_change(tmp_path: Path) -> None:
    lower, upper = layer(tmp_path, "lower"), layer(tmp_path, "upper")
    set_times(OLD_NS + 5, upper)

    assert changes_of([lower], [upper, lower], unchanged=True) == []
    upper.chmod(0o711)
    assert lines(changes_of([lower], [upper, lower])) == ["M . mode"]


def test_a_chain_equals_itself(tmp_path: Path, opened: list[bytes]) -> None:
    lower = layer(tmp_path, "lower", ("a/b", "f"))
    upper = layer(tmp_path, "upper", ("a/c", "f"))

    assert changes_of([upper, lower], [upper, lower], unchanged=True) == []
    assert opened == []


def test_what_shares_its_lower_layers_lists_only_what_lies_above(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lower = layer(tmp_path, "lower", ("big/file", "f"), ("a/low", "f"))
    left = layer(tmp_path, "left", ("a/left", "f"))
    right = layer(tmp_path, "right", ("a/right", "f"))
    set_times(OLD_NS + 1, right / "a")
    listed: list[bytes] = []
    original = LayerView.names

    def names(self: LayerView, parts: Sequence[object]) -> set[bytes]:
        listed.extend(part.path for part in parts)  # type: ignore[attr-defined]
        return original(self, parts)  # type: ignore[arg-type]

    monkeypatch.setattr(LayerView, "names", names)

    found = changes_of([left, lower], [right, lower])

    assert lines(found) == ["M a mtime", "D a/left", "A a/right"]
    assert listed == [b"", b"", b"a", b"a"]


@pytest.mark.root  # for the device node
def test_two_plain_directories_are_compared_side_by_side(tmp_path: Path) -> None:
    left = layer(
        *(tmp_path, "left", ("same/f", "f"), ("gone/x", "f"), ("was/dir", "f")),
        *(("target", "l", "a"), ("dev", "c")),
    )
    right = layer(
        *(tmp_path, "right", ("same/f", "f"), ("new/x", "f"), ("was", "f")),
        *(("target", "l", "b"), ("dev", "p")),
    )

    found = changes_of([left], [right])

    rows = [(str(c.kind), c.path, c.fields) for c in found]
    trees = [SeenTree.read(path, PREFIX) for path in (left, right)]
    assert rows == expected_changes(*trees)
    assert lines(found) == [
        "D gone",
        "M dev type",
        "A new",
        "A new/x",
        "M target target",
        "M was type",
    ]


def _groups(found: Sequence[Change]) -> list[list[str]]:
    groups: dict[tuple[int, int], list[str]] = {}
    for change in found:
        if change.link_group is not None:
            groups.setdefault(change.link_group, []).append(os.fsdecode(change.path))
    return list(groups.values())


def test_an_unchanged_name_comes_with_the_link_that_it_gained(tmp_path: Path) -> None:
    lower = layer(tmp_path, "lower", ("b", "f"), ("d/c", "f"))
    upper = layer(tmp_path, "upper", ("b", "f"), ("d/c", "f"))
    os.link(upper / "b", upper / "a")
    os.link(upper / "d/c", upper / "e")

    found = changes_of([lower], [upper, lower], unchanged=True)

    assert lines(found) == ["= .", "A a", "= b", "= d", "= d/c", "A e"]
    assert _groups(found) == [["a", "b"], ["d/c", "e"]]
    assert lines(changes_of([lower], [upper, lower])) == ["A a", "A e"]


def test_equal_files_that_became_one_are_modified(tmp_path: Path) -> None:
    lower = layer(tmp_path, "lower", ("a", "f", b"1"), ("b", "f", b"1"))
    upper = layer(tmp_path, "upper", ("a", "f", b"1"), ("b", "h", "a"))

    found = changes_of([lower], [upper, lower], unchanged=True)

    assert lines(found) == ["= .", "= a", "M b links"]
    assert _groups(found) == [["a", "b"]]


def test_links_that_stay_together_are_no_change(tmp_path: Path) -> None:
    entries = [("a", "f"), ("b", "h", "a")]
    lower = layer(tmp_path, "lower", *entries)
    upper = layer(tmp_path, "upper", *entries)

    assert changes_of([lower], [upper, lower], unchanged=True) == []


def test_a_link_that_copy_up_broke_is_no_change(tmp_path: Path) -> None:
    lower = layer(tmp_path, "lower", ("a", "f"), ("b", "h", "a"))
    upper = layer(tmp_path, "upper", ("a", "f"))

    assert changes_of([lower], [upper, lower], unchanged=True) == []


def test_one_inode_in_both_layers_is_not_read(
    tmp_path: Path, opened: list[bytes]
) -> None:
    lower = layer(tmp_path, "lower", ("a", "f"))
    upper = layer(tmp_path, "upper")
    os.link(lower / "a", upper / "a")
    set_times(WHOLE_NS, lower / "a")

    assert changes_of([lower], [upper, lower], unchanged=True) == []
    assert opened == []


def test_marks_are_not_shown_and_nested_ones_have_their_names(tmp_path: Path) -> None:
    lower = layer(tmp_path, "lower", ("a", "f"), ("b", "f"))
    upper = layer(tmp_path, "upper", ("a", "f"), ("b", "f"), ("c", "f"))
    os.setxattr(upper / "a", PREFIX.attribute("origin"), b"")
    os.setxattr(upper / "b", PREFIX.attribute("overlay.opaque"), b"y")
    os.setxattr(upper / "c", "user.some", b"1")
    os.setxattr(upper / "c", PREFIX.attribute("origin"), b"")

    with opened_diff([bytes(lower)], [bytes(upper), bytes(lower)], PREFIX) as changes:
        found = {c.path: dict(c.source.xattrs()) for c in changes if c.source}

    assert found == {b"b": {b"user.overlay.opaque": b"y"}, b"c": {b"user.some": b"1"}}


def test_trees_deeper_than_a_path_may_be_long(tmp_path: Path) -> None:
    depth, name = 40, b"n" * 200
    lower, upper = layer(tmp_path, "lower"), layer(tmp_path, "upper")
    for root in (lower, upper):
        fd = os.open(root, os.O_RDONLY)
        for _ in range(depth):
            os.mkdir(name, 0o755, dir_fd=fd)
            below = os.open(name, os.O_RDONLY, dir_fd=fd)
            os.utime(fd, ns=(OLD_NS, OLD_NS))
            os.close(fd)
            fd = below
        if root == upper:
            os.close(os.open(b"leaf", os.O_CREAT | os.O_WRONLY, 0o644, dir_fd=fd))
        os.utime(fd, ns=(OLD_NS, OLD_NS))
        os.close(fd)

    found = changes_of([lower], [upper, lower])

    assert [c.path for c in found] == [b"/".join([name] * depth + [b"leaf"])]


def test_few_descriptors_are_enough_for_many_layers(tmp_path: Path) -> None:
    deep = "/".join("abcdefgh")
    chain = [
        layer(tmp_path, f"l{n}", (f"{deep}/f{n}", "f"), (f"other/{n}/x/y", "f"))
        for n in range(60)
    ]
    upper = layer(
        tmp_path, "upper", *[(f"{deep}/f{n}", "w") for n in range(60)], ("other/1", "w")
    )
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    held = os.listdir("/proc/self/fd")
    # The roots of all layers, what is kept open, and a few for listings.
    limit = max(map(int, held)) + len(chain) + 256 + 16
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, before[1]))
    try:
        found = changes_of(chain, [upper, *chain])
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)

    assert [c.kind for c in found] == [ChangeKind.DELETED] * 61
    assert os.listdir("/proc/self/fd") == held


def test_what_goes_away_during_the_walk_is_left_out(tmp_path: Path) -> None:
    lower = layer(tmp_path, "lower", ("a/x", "f"))
    upper = layer(
        tmp_path, "upper", ("a/x", "f", b"1"), ("b/y", "f"), ("c/z", "f"), ("d", "f")
    )

    with opened_diff([bytes(lower)], [bytes(upper), bytes(lower)], PREFIX) as changes:
        found = [next(changes)]
        (upper / "b/y").unlink()
        (upper / "b").rmdir()
        (upper / "c").rename(tmp_path / "moved")
        (upper / "c").symlink_to("/")
        found += changes

    assert lines(found) == ["M a/x size", "A b", "A c", "A d"]


@pytest.mark.parametrize(
    ("value", "code"),
    [
        *[(value, errno.EINVAL) for value in (b"a/b", b"", b"//d")],
        *[(value, errno.EACCES) for value in (b"..", b".", b"/d/../..")],
    ],
)
def test_a_redirect_that_is_none_names_its_path(
    tmp_path: Path, value: bytes, code: int
) -> None:
    lower = layer(tmp_path, "lower", ("d/e/f", "f"))
    upper = layer(tmp_path, "upper", ("d/e/f", "f"))
    os.setxattr(upper / "d/e", PREFIX.attribute("redirect"), value)

    with pytest.raises(OSError, match="redirect") as caught:
        changes_of([lower], [upper, lower])

    assert (caught.value.errno, caught.value.filename) == (code, b"d/e")


def test_a_metacopy_without_its_data_cannot_be_read(tmp_path: Path) -> None:
    lower = layer(tmp_path, "lower", ("x", "f"))
    upper = layer(tmp_path, "upper", ("alone", "f", b""))
    os.truncate(upper / "alone", 100)
    os.setxattr(upper / "alone", PREFIX.attribute("metacopy"), b"")

    with opened_diff([bytes(lower)], [bytes(upper), bytes(lower)], PREFIX) as changes:
        (change,) = changes
        assert change.source is not None
        assert change.stat is not None
        assert change.stat.st_size == 100
        with pytest.raises(OSError, match="data of a metacopy") as caught:
            change.source.open_content()

    assert caught.value.errno == errno.EIO


def test_a_file_that_became_something_else_is_not_opened(tmp_path: Path) -> None:
    lower = layer(tmp_path, "lower")
    upper = layer(tmp_path, "upper", ("file", "f"))

    with opened_diff([bytes(lower)], [bytes(upper), bytes(lower)], PREFIX) as changes:
        (change,) = changes
        (upper / "file").unlink()
        os.mkfifo(upper / "file")
        assert change.source is not None
        with pytest.raises(OSError, match="replaced"):
            change.source.open_content()


def test_a_layer_that_is_not_there_is_named(tmp_path: Path) -> None:
    upper = layer(tmp_path, "upper")

    with pytest.raises(FileNotFoundError) as caught:
        changes_of([tmp_path / "none"], [upper])

    assert caught.value.filename == bytes(tmp_path / "none")


@pytest.mark.root
def test_links_that_the_kernel_kept_together_are_refused(tmp_path: Path) -> None:
    lower = layer(tmp_path, "lower", ("a", "f"), ("b", "h", "a"), ("c", "f"))
    upper = layer(tmp_path, "upper")
    merged, work = tmp_path / "merged", tmp_path / "work"
    merged.mkdir()
    work.mkdir()
    options = f"lowerdir={lower},upperdir={upper},workdir={work},index=on"
    mount("overlay", merged, "overlay", 0, options.encode())
    try:
        (merged / "a").write_bytes(b"changed through one name, seen through both")
    finally:
        umount2(merged)

    with (
        pytest.raises(UnimplementedError, match="index=on"),
        opened_diff(
            [bytes(lower)], [bytes(upper), bytes(lower)], XattrPrefix.TRUSTED
        ) as changes,
    ):
        list(changes)
