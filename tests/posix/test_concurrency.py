"""Several processes at one file or directory."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable

from support.posix_descriptors import opened
from support.posix_objects import directory, file, placed
from support.posix_place import Place

WORKERS = 4
ROUNDS = 150

pytestmark = placed(
    file("log", b"start\n"), directory("directory"), file("directory/contested")
)


def together(action: Callable[[int], None]) -> None:
    """Run ``action`` in several processes that start at once; all must succeed."""
    start, gate = os.pipe()
    children = []
    for number in range(WORKERS):
        child = os.fork()
        if child == 0:
            status = 1
            try:
                os.close(gate)
                os.read(start, 1)  # the end, when the parent closes the gate
                action(number)
                status = 0
            finally:
                os._exit(status)
        children.append(child)
    os.close(start)
    os.close(gate)
    assert [os.waitpid(child, 0)[1] for child in children] == [0] * WORKERS


def test_appended_lines_are_neither_torn_nor_lost(place: Place) -> None:
    def append(worker: int) -> None:
        with opened(place / "log", os.O_WRONLY | os.O_APPEND) as fd:
            for number in range(ROUNDS):
                os.write(fd, b"worker %d writes %d\n" % (worker, number))

    together(append)

    lines = (place / "log").read_bytes().splitlines()
    expected = [
        b"worker %d writes %d" % (worker, number)
        for worker in range(WORKERS)
        for number in range(ROUNDS)
    ]
    assert Counter(lines) == Counter([b"start", *expected])


def test_the_first_writes_of_a_file_do_not_undo_each_other(place: Place) -> None:
    def write(worker: int) -> None:
        with opened(place / "log", os.O_WRONLY) as fd:
            os.pwrite(fd, b"%d" % worker, 100 + worker)

    together(write)

    assert (place / "log").read_bytes() == b"start\n" + bytes(94) + b"0123"


def test_an_exclusive_create_has_one_winner(place: Place) -> None:
    def create(worker: int) -> None:
        for number in range(ROUNDS):
            try:
                flags = os.O_CREAT | os.O_EXCL | os.O_WRONLY
                with opened(place / f"directory/{number}", flags) as fd:
                    os.write(fd, b"%d" % worker)
            except FileExistsError:
                continue

    together(create)

    sizes = [os.stat(place / f"directory/{number}").st_size for number in range(ROUNDS)]
    assert sizes == [1] * ROUNDS


def test_a_name_is_removed_once(place: Place) -> None:
    def remove(worker: int) -> None:
        removed = 0
        for number in range(ROUNDS):
            try:
                os.unlink(place / f"directory/{number}")
                removed += 1
            except FileNotFoundError:
                continue
        (place / f"count-{worker}").write_text(str(removed))

    for number in range(ROUNDS):
        (place / f"directory/{number}").touch()

    together(remove)

    counts = [int((place / f"count-{it}").read_text()) for it in range(WORKERS)]
    assert sum(counts) == ROUNDS
    assert os.listdir(place / "directory") == ["contested"]


def test_a_replaced_file_is_always_one_of_the_versions(place: Place) -> None:
    versions = {b"", *(b"version %d" % worker * 100 for worker in range(WORKERS))}

    def replace(worker: int) -> None:
        for _ in range(ROUNDS // 3):
            new = place / f"new-{worker}"
            new.write_bytes(b"version %d" % worker * 100)
            os.rename(new, place / "directory/contested")
            assert (place / "directory/contested").read_bytes() in versions

    together(replace)

    assert (place / "directory/contested").read_bytes() in versions - {b""}
    assert os.listdir(place / "directory") == ["contested"]


def test_directories_are_made_and_removed_side_by_side(place: Place) -> None:
    def churn(worker: int) -> None:
        for number in range(ROUNDS // 5):
            at = place / f"directory/{worker}-{number % 3}"
            at.mkdir()
            (at / "file").write_bytes(b"x")
            assert os.listdir(at) == ["file"]
            os.unlink(at / "file")
            at.rmdir()

    together(churn)

    assert os.listdir(place / "directory") == ["contested"]
