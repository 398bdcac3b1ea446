"""What a stack of layers shows, after changes that older designs got wrong.

Every test is one case of containerd's core/snapshots/testsuite. Each layer is made
by changing a mounted snapshot, then a view of it is compared, as a whole, with a
plain directory that took the same changes.
"""

from __future__ import annotations

import pytest

from conformance.layers import Workbench
from support.tree_changes import (
    Change,
    Directory,
    File,
    HardLink,
    ModifiedAt,
    Owner,
    Remove,
    Rename,
    Symlink,
    Xattr,
)

SAME_TIME_NS = 1_700_000_000_000_000_000


def test_a_file_of_the_same_size_and_time_is_updated(workbench: Workbench) -> None:
    """Upstream's LayerFileupdate (docker issue 21555).

    Upstream waits for second boundaries to get equal times; here they are set.
    """
    workbench.assert_layers_add_up(
        [
            Directory("etc", 0o700),
            File("etc/hosts", b"mydomain 10.0.0.1"),
            File("etc/profile", b"PATH=/usr/bin"),
            ModifiedAt("etc/hosts", SAME_TIME_NS),
            ModifiedAt("etc/profile", SAME_TIME_NS),
        ],
        [
            File("etc/hosts", b"mydomain 10.0.0.2"),
            File("etc/profile", b"PATH=/usr/bin", 0o666),
            ModifiedAt("etc/hosts", SAME_TIME_NS),
            ModifiedAt("etc/profile", SAME_TIME_NS),
            Directory("root", 0o700),
            File("root/.bashrc", b"PATH=/usr/sbin:/usr/bin"),
        ],
    )


def test_a_directory_made_anew_hides_the_old_one(workbench: Workbench) -> None:
    """Upstream's RemoveDirectoryInLowerLayer (docker issue 25244)."""
    workbench.assert_layers_add_up(
        [Directory("lib", 0o700), File("lib/hidden")],
        [Remove("lib"), Directory("lib", 0o700), File("lib/not-hidden")],
        [File("lib/newfile")],
    )


def test_objects_of_a_lower_layer_change_owners(workbench: Workbench) -> None:
    """Upstream's Chown (docker issues 20240, 24913 and 28391)."""
    paths = ("opt", "opt/a", "opt/a/b", "opt/a/b/file.txt")

    workbench.assert_layers_add_up(
        [
            *(Directory(path, 0o700) for path in paths[:-1]),
            File("opt/a/b/file.txt", b"hello"),
        ],
        [Owner(path, 1, 1) for path in paths],
    )


def test_owners_survive_commits_removals_and_new_directories(
    workbench: Workbench,
) -> None:
    """Upstream's DirectoryPermissionOnCommit (docker issue 27298)."""
    workbench.assert_layers_add_up(
        [
            *(Directory(f"dir{number}", 0o700) for number in range(1, 6)),
            File("dir4/f1", b"..."),
            File("dir5/f1", b"..."),
            *(Owner(path, 1, 1) for path in ("dir1", "dir2", "dir3", "dir5")),
            Owner("dir5/f1", 1, 1),
        ],
        [
            Owner("dir2", 0, 0),
            Remove("dir3"),
            Owner("dir4", 1, 1),
            Owner("dir4/f1", 1, 1),
        ],
        [
            Directory("dir3", 0o700),
            Owner("dir3", 1, 1),
            Remove("dir5"),
            Directory("dir5", 0o700),
            Owner("dir5", 1, 1),
        ],
    )


def test_a_deleted_file_stays_deleted_in_the_layers_above(workbench: Workbench) -> None:
    """Upstream's DeletedFilesInChildSnapshot."""
    workbench.assert_layers_add_up(
        [File("foo", b"foo\n", 0o777), File("foobar", b"foobar\n", 0o777)],
        [Remove("foobar")],
        [],
    )


def test_files_of_a_lower_layer_move_by_copy_and_by_link(workbench: Workbench) -> None:
    """Upstream's MoveFileFromLowerLayer."""
    workbench.assert_layers_add_up(
        [
            Directory("dir1", 0o700),
            File("dir1/f1", b"Hello"),
            Directory("dir2", 0o700),
            File("dir2/f2", b"..."),
        ],
        [
            Directory("dir3", 0o700),
            File("dir3/f1", b"Hello"),
            Remove("dir1"),
            HardLink("dir3/f2", "dir2/f2"),
            Remove("dir2/f2"),
        ],
    )


def test_files_of_a_lower_layer_are_renamed(workbench: Workbench) -> None:
    """Upstream's Rename (docker issue 25409), as it stands for overlayfs."""
    workbench.assert_layers_add_up(
        [
            Directory("dir1", 0o700),
            Directory("somefiles", 0o700),
            File("somefiles/f1", b"was here first!"),
            File("somefiles/f2", b"nothing interesting"),
        ],
        [
            File("somefiles/f1-overwrite", b"new content 1"),
            Rename("somefiles/f1-overwrite", "somefiles/f1"),
            Rename("somefiles/f2", "somefiles/f3"),
        ],
    )


def test_an_object_is_replaced_by_one_of_another_type(workbench: Workbench) -> None:
    workbench.assert_layers_add_up(
        [
            Directory("was-directory"),
            File("was-directory/inside"),
            File("was-file"),
            Symlink("was-link", "was-directory"),
        ],
        [
            Remove("was-directory"),
            Symlink("was-directory", "was-file"),
            Remove("was-file"),
            Directory("was-file"),
            Remove("was-link"),
            File("was-link", b"a file now"),
        ],
        [Remove("was-directory"), Directory("was-directory")],
    )


def test_extended_attributes_come_and_go(workbench: Workbench) -> None:
    workbench.assert_layers_add_up(
        [File("f"), Xattr("f", "trusted.a", b"1"), Xattr("f", "trusted.b", b"2")],
        [Xattr("f", "trusted.a", None), Xattr("f", "trusted.b", b"\0three")],
    )


@pytest.mark.slow
def test_a_stack_of_128_layers_can_be_mounted(workbench: Workbench) -> None:
    """Upstream's 128LayersMount; upstream compares before each layer too."""
    lowest: list[Change] = [
        File("bottom", b"way at the bottom\n", 0o777),
        File("overwriteme", b"FIRST!\n", 0o777),
        Directory("addhere"),
        Directory("onlyme"),
        File("onlyme/bottom", b"bye!\n", 0o777),
    ]
    layers: list[list[Change]] = [
        [
            File("overwriteme", b"%d WAS HERE!\n" % number, 0o777),
            File(f"addhere/file-{number}", b"same\n", 0o755),
            Remove("onlyme"),
            Directory("onlyme"),
            File(f"onlyme/file-{number}", b"only me!\n", 0o777),
        ]
        for number in range(1, 128)
    ]

    workbench.assert_layers_add_up(lowest, *layers)
