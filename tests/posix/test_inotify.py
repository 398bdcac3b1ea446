"""inotify(7): watches last through the first change, which makes a union copy up."""

from __future__ import annotations

import os

from support.posix_descriptors import opened
from support.posix_inotify import watched
from support.posix_objects import directory, file, placed
from support.posix_place import Place

pytestmark = placed(
    file("file", b"content"), directory("directory"), file("directory/child", b"child")
)


def test_a_watched_file_tells_of_a_write(place: Place) -> None:
    with watched(place / "file") as watch:
        with opened(place / "file", os.O_WRONLY) as fd:
            os.write(fd, b"x")

        assert watch.events() == [("OPEN", ""), ("MODIFY", ""), ("CLOSE_WRITE", "")]
        with opened(place / "file", os.O_WRONLY) as fd:
            os.write(fd, b"y")
        assert watch.events() == [("OPEN", ""), ("MODIFY", ""), ("CLOSE_WRITE", "")]


def test_a_watched_file_tells_of_a_read(place: Place) -> None:
    with watched(place / "file") as watch:
        with opened(place / "file") as fd:
            os.read(fd, 10)

        assert watch.events() == [("OPEN", ""), ("ACCESS", ""), ("CLOSE_NOWRITE", "")]


def test_a_watched_file_tells_of_changed_attributes(place: Place) -> None:
    with watched(place / "file") as watch:
        os.chmod(place / "file", 0o600)
        assert watch.events() == [("ATTRIB", "")]
        os.chown(place / "file", 1, 1)
        assert watch.events() == [("ATTRIB", "")]
        os.setxattr(place / "file", "user.new", b"")
        assert watch.events() == [("ATTRIB", "")]

        os.truncate(place / "file", 3)

        assert ("MODIFY", "") in watch.events()


def test_a_watched_file_tells_of_its_move_and_its_end(place: Place) -> None:
    with watched(place / "file") as watch:
        os.rename(place / "file", place / "moved")
        assert ("MOVE_SELF", "") in watch.events()

        os.unlink(place / "moved")

        events = watch.events()
        assert ("DELETE_SELF", "") in events
        assert events[-1] == ("IGNORED", "")


def test_a_watched_directory_tells_of_its_names(place: Place) -> None:
    with watched(place / "directory") as watch:
        os.mkdir(place / "directory/new")
        os.rename(place / "directory/new", place / "directory/renamed")
        os.rmdir(place / "directory/renamed")
        os.unlink(place / "directory/child")
        os.symlink("x", place / "directory/link")

        assert watch.events() == [
            ("CREATE", "new"),
            ("MOVED_FROM", "new"),
            ("MOVED_TO", "renamed"),
            ("DELETE", "renamed"),
            ("DELETE", "child"),
            ("CREATE", "link"),
        ]


def test_a_watched_directory_tells_of_writes_to_its_files(place: Place) -> None:
    with watched(place / "directory") as watch:
        with opened(place / "directory/child", os.O_WRONLY) as fd:
            os.write(fd, b"x")

        assert watch.events() == [
            ("OPEN", "child"),
            ("MODIFY", "child"),
            ("CLOSE_WRITE", "child"),
        ]


def test_a_watch_follows_a_renamed_directory(place: Place) -> None:
    with watched(place / "directory") as watch:
        os.rename(place / "directory", place / "moved")
        assert watch.events() == [("MOVE_SELF", "")]

        (place / "moved/new").touch()

        assert ("CREATE", "new") in watch.events()


def test_a_removed_directory_ends_its_watch(place: Place) -> None:
    os.unlink(place / "directory/child")
    with watched(place / "directory") as watch:
        os.rmdir(place / "directory")

        assert watch.events() == [("DELETE_SELF", ""), ("IGNORED", "")]


def test_a_linked_file_tells_of_changes_through_its_other_name(place: Place) -> None:
    os.link(place / "file", place / "directory/twin")

    with watched(place / "file") as watch:
        with opened(place / "directory/twin", os.O_WRONLY) as fd:
            os.write(fd, b"x")

        assert ("MODIFY", "") in watch.events()
