"""What ``serve`` is told and cannot do: refused in one line, with no store made.

The file with the settings is tested whole in ``tests/snapfs/cli/test_settings.py``.
"""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from snapfs.errors import (
    FailedPreconditionError,
    InvalidArgumentError,
    NotFoundError,
    PermissionDeniedError,
    UnavailableError,
)
from snapfs.remote import RemoteSnapshotter
from support.command import DEFAULT_SIGINT, Command, serving
from support.mistakes import assert_refused
from support.unprivileged import as_nobody

pytestmark = pytest.mark.root


@contextmanager
def nothing_made(command: Command) -> Iterator[None]:
    """Assert that nothing in the directory of the root changes."""
    before = sorted(os.listdir(command.root.parent))
    yield
    assert not command.root.exists()
    assert sorted(os.listdir(command.root.parent)) == before


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        pytest.param(("--driver", "zfs", "ls"), 2, "'zfs'", id="unknown driver"),
        pytest.param(("serve", "--durability", "yes"), 2, "'yes'", id="durability"),
        pytest.param(("serve", "--workers", "0"), 2, "workers", id="no workers"),
        pytest.param(("serve", "--log-level", "loud"), 2, "'loud'", id="log level"),
        pytest.param(("serve", "--no-such"), 2, "--no-such", id="unknown option"),
        pytest.param(("server",), 2, "did you mean 'serve'", id="unknown command"),
    ],
)
def test_a_word_that_means_nothing_is_refused(
    command: Command, words: tuple[str, ...], code: int, says: str
) -> None:
    with nothing_made(command):
        done = command(*words)

    assert done.returncode == code
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1
    assert says in done.stderr


@pytest.mark.parametrize(
    ("text", "says"),
    [
        pytest.param("driver = 'zfs'", "'driver'", id="unknown driver"),
        pytest.param("durability = 'yes'", "none, layer, image", id="durability"),
        pytest.param("[overlay]\nmount_options = ['a=b']", "option 'a'", id="option"),
        pytest.param("driver =", "no valid TOML", id="no TOML"),
    ],
)
def test_a_bad_file_is_refused(command: Command, text: str, says: str) -> None:
    config = command.root.parent / "config.toml"
    config.write_text(text)

    with nothing_made(command):
        done = command("serve", "--config", config)

    assert_refused(done, InvalidArgumentError, says)


def test_a_file_that_cannot_be_read_is_refused(
    command: Command, open_directory: Path
) -> None:
    other = as_nobody(open_directory / "root")
    secret = open_directory / "config.toml"
    secret.touch(mode=0o600)

    missing = command("serve", "--config", open_directory / "no.toml")
    directory = command("serve", "--config", open_directory)
    closed = other("serve", "--config", secret)

    assert_refused(missing, NotFoundError, "no.toml", "does not exist")
    assert_refused(directory, InvalidArgumentError, str(open_directory), "directory")
    assert_refused(closed, PermissionDeniedError, str(secret), "Permission denied")


def test_an_address_that_cannot_be_bound_is_refused(command: Command) -> None:
    place = command.root.parent
    (place / "file").write_text("precious")
    (place / "directory").mkdir()

    with nothing_made(command):
        taken = command("serve", "--address", place / "file")
        directory = command("serve", "--address", place / "directory")
        below = command("serve", "--address", place / "file" / "s.sock")
        long = command("serve", "--address", place / ("x" * 108))

    assert (place / "file").read_text() == "precious"
    assert_refused(taken, FailedPreconditionError, f"{place}/file", "not a socket")
    assert_refused(directory, FailedPreconditionError, "directory", "not a socket")
    assert_refused(below, FailedPreconditionError, "s.sock", "Not a directory")
    assert_refused(long, InvalidArgumentError, "107", "shorter")


def test_an_address_nobody_may_make_is_refused(open_directory: Path) -> None:
    place = open_directory / "closed"
    place.mkdir(mode=0o700)
    command = as_nobody(open_directory / "root")

    for address in (place / "s.sock", "/run/snapfs-of-nobody/s.sock"):
        done = command("serve", "--address", address)

        assert_refused(done, PermissionDeniedError, str(address), "--address")
        assert not command.root.exists()


def test_the_socket_of_another_program_is_refused_and_kept(command: Command) -> None:
    address = command.root.parent / "s.sock"
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(str(address))
        other.listen()

        with nothing_made(command):
            done = command("serve", "--address", address)

        assert_refused(done, FailedPreconditionError, str(address), "listens")
        assert address.is_socket()


def test_a_second_service_on_the_same_socket_leaves_the_first_alone(
    command: Command,
) -> None:
    second = Command(command.root.parent / "second")
    with (
        serving(command),
        RemoteSnapshotter(f"{command.root.parent}/c.sock") as snapshots,
    ):
        done = second("serve", "--address", f"{command.root.parent}/c.sock")

        snapshots.prepare("a")

    assert_refused(done, FailedPreconditionError, "c.sock", "listens", "another")
    assert not second.root.exists()


def test_a_second_service_on_the_same_root_leaves_the_first_alone(
    command: Command,
) -> None:
    with (
        serving(command) as service,
        RemoteSnapshotter(f"{command.root.parent}/c.sock") as snapshots,
    ):
        done = command("serve", "--address", f"{command.root.parent}/c.sock")

        snapshots.prepare("a")

    assert_refused(done, FailedPreconditionError, str(service.pid), "stop it")


def test_the_socket_of_a_killed_service_is_replaced(command: Command) -> None:
    with serving(command) as service:
        service.kill()
        service.wait()
        assert (command.root.parent / "c.sock").is_socket()
        assert command.ok("check") == ""  # nobody serves: the command opens the store

    with (
        serving(command),
        RemoteSnapshotter(f"{command.root.parent}/c.sock") as snapshots,
    ):
        snapshots.prepare("a")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_service_in_order(
    command: Command, number: signal.Signals
) -> None:
    command.words = [*DEFAULT_SIGINT, *command.words]
    with serving(command) as service:
        command.ok("prepare", "a")
        service.send_signal(number)

        assert service.wait() == 0

    assert not (command.root / "snapfs.sock").exists()
    assert not (command.root.parent / "c.sock").exists()
    assert not [name for name in os.listdir(command.root) if name.startswith(".")]
    assert command.ok("check") == ""


def test_a_client_without_a_server_is_told_so(tmp_path: Path) -> None:
    with (
        RemoteSnapshotter(f"{tmp_path}/none.sock") as snapshots,
        pytest.raises(UnavailableError, match="start snapfs serve") as caught,
    ):
        snapshots.stat("a")

    assert str(tmp_path / "none.sock") in str(caught.value)
