"""``snapfs unpack`` that is stopped, killed, or meets others at the same store."""

from __future__ import annotations

import json
import signal
import subprocess
from pathlib import Path

import pytest

from snapfs.cli.exit_codes import ExitCode
from support.command import Command, serving
from support.images import chain_ids, image_layers
from support.sandbox import wait_until
from support.unpack_command import is_untouched, is_whole, slow_layout, start_unpack
from support.unpack_images import helpers_of


@pytest.fixture
def slow(tmp_path: Path) -> str:
    return f"oci:{slow_layout(tmp_path / 'slow')}"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_an_interrupt_in_the_middle_leaves_nothing(
    command: Command, slow: str, number: signal.Signals
) -> None:
    with start_unpack(command, slow) as process:
        helpers = helpers_of(process.pid)
        for _ in range(3):  # people are impatient
            process.send_signal(number)
        out, err = process.communicate()

    assert (process.returncode, out, err) == (130, "", "snapfs: interrupted\n")
    assert not any(helper.is_running() for helper in helpers)
    assert is_untouched(command)


def test_a_kill_in_the_middle_leaves_nothing_that_cleanup_does_not_reclaim(
    command: Command, slow: str
) -> None:
    with start_unpack(command, slow) as process:
        helpers = helpers_of(process.pid)
        process.kill()
        process.communicate()
    wait_until(lambda: not any(h.is_running() for h in helpers), "their end")

    command.ok("cleanup")

    assert is_untouched(command)
    command.ok("unpack", slow)


@pytest.mark.root
def test_a_served_store_takes_images(command: Command, archive: Path) -> None:
    with serving(command):
        printed = command.ok("unpack", archive, "--name", "app")
        listed = command.ok("ls", "--json").splitlines()
        assert command.ok("check", "--json") == ""

    assert printed == "app\n"
    assert len(listed) == 4


@pytest.mark.root
def test_the_service_may_restart_while_an_image_is_unpacked(
    command: Command, slow: str
) -> None:
    with serving(command):
        process = start_unpack(command, slow)
    with process, serving(command):
        out, err = process.communicate()

        assert process.returncode == 0, err
        assert json.loads(command.ok("info", out.strip(), "--json"))
        assert command.ok("check", "--json") == ""


@pytest.mark.root
def test_two_commands_unpack_one_image_at_once(command: Command, archive: Path) -> None:
    words = [*command.words, "-q", "unpack", str(archive)]
    with serving(command):
        both = [
            subprocess.Popen(
                words, env=command.environment, stdout=subprocess.PIPE, text=True
            )
            for _ in range(2)
        ]
        printed = [process.communicate()[0] for process in both]

    assert [process.returncode for process in both] == [0, 0]
    assert set(printed) == {f"{chain_ids(image_layers())[-1]}\n"}
    assert is_whole(command)


def test_a_command_that_waits_in_vain_names_the_one_at_work(
    command: Command, slow: str
) -> None:
    """One command owns a store that nobody serves; others wait for ten seconds."""
    with start_unpack(command, slow) as process:
        process.send_signal(signal.SIGSTOP)
        try:
            done = command("unpack", slow)
        finally:
            process.send_signal(signal.SIGCONT)
        first, err = process.communicate()

    assert (done.returncode, done.stdout) == (ExitCode.UNAVAILABLE, "")
    (line,) = done.stderr.splitlines()
    assert f"in use by process {process.pid}" in line
    assert "-m snapfs" in line
    assert "snapfs serve" in line
    assert process.returncode == 0, err
    assert command.ok("unpack", slow) == first
    assert is_whole(command)
