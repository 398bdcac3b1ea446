"""``snapfs serve`` as a process, and commands that find the root owned."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

from support.command import Command, serving


def test_commands_talk_to_the_service_that_owns_the_root(command: Command) -> None:
    with serving(command) as service:
        command.ok("prepare", "work")

        document = json.loads(command.ok("top", "--json"))
        done = command("info", "wrk")

    assert document["store"]["pid"] == service.pid
    assert [row["name"] for row in document["active"]] == ["work"]
    assert done.returncode == 3
    assert "did you mean 'work'?" in done.stderr


def test_the_service_ends_in_order_and_its_log_is_json(command: Command) -> None:
    with serving(command, "--log-format", "json") as service:
        command.ok("prepare", "work")
        service.send_signal(signal.SIGTERM)
        code = service.wait()

    assert code == 0
    log = (command.root.parent / "log").read_text()
    entries = [json.loads(line) for line in log.splitlines()]
    assert entries
    assert all({"time", "level", "logger", "message"} <= set(e) for e in entries)
    assert json.loads(command.ok("ls", "--json"))["name"] == "work"


def test_a_second_service_names_the_first(command: Command) -> None:
    with serving(command) as service:
        done = command("serve", "--address", f"{command.root.parent}/other.sock")

    assert done.returncode == 5
    assert str(service.pid) in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_backup_waits_for_no_service(command: Command, tmp_path: Path) -> None:
    with serving(command) as service:
        done = command("backup", tmp_path / "b.tar")

    assert done.returncode == 5
    assert str(service.pid) in done.stderr
    assert not os.path.exists(tmp_path / "b.tar")
