"""``snapfs serve`` as a process, and commands that find the root owned."""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import socket
import subprocess
import urllib.request
from pathlib import Path

import grpc

from snapfs.state.sidecar import append_sidecar, read_sidecar
from support.command import READY_TIMEOUT_S, Command, serving
from support.sandbox import wait_until


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


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
        assert isinstance(port, int)
        return port


def test_metrics_are_there_for_who_asks(command: Command) -> None:
    port = free_port()
    with serving(command, "--metrics-address", f"127.0.0.1:{port}"):
        command.ok("prepare", "work")
        command("info", "nothing")
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics") as response:
            lines = response.read().decode().splitlines()

    assert "snapfs_snapshots 1.0" in lines
    assert any(
        'method="Prepare",service="containerd.services' in line for line in lines
    )
    assert any(line.startswith("process_resident_memory_bytes ") for line in lines)


def test_a_taken_address_for_metrics_is_one_line(command: Command) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        done = command(
            *("serve", "--address", f"{command.root.parent}/c.sock"),
            *("--metrics-address", address),
        )

    assert done.returncode == 6
    assert address in done.stderr
    assert done.stderr.count("\n") == 1
    assert not os.path.exists(f"{command.root.parent}/c.sock")


def test_an_unknown_group_makes_nothing(command: Command) -> None:
    done = command(
        *("serve", "--address", f"{command.root.parent}/c.sock"),
        *("--group", "no-such-group"),
    )

    assert done.returncode == 3
    assert done.stderr == "snapfs: there is no group 'no-such-group'\n"
    assert not command.root.exists()


def test_systemd_hears_that_the_service_lives(command: Command) -> None:
    place = command.root.parent / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as ear:
        ear.bind(str(place))
        ear.settimeout(READY_TIMEOUT_S)
        service = subprocess.Popen(
            [*command.words, "serve", "--address", f"{place.parent}/c.sock"],
            env={
                **command.environment,
                "NOTIFY_SOCKET": str(place),
                "WATCHDOG_USEC": "200000",
            },
        )
        try:
            heard: set[bytes] = set()
            while heard != {b"READY=1", b"WATCHDOG=1"}:
                heard.add(ear.recv(4096).split(b"\n")[0])
            service.send_signal(signal.SIGTERM)
            code = service.wait()
        finally:
            service.kill()
            service.wait()

    assert code == 0


def test_a_socket_from_systemd_outlives_the_service(command: Command) -> None:
    address = str(command.root.parent / "c.sock")
    with socket.socket(socket.AF_UNIX) as owner:
        owner.bind(address)
        owner.listen()
        service = activated(command, owner, address)
        try:
            # Connecting succeeds at once: systemd's socket waits for the service.
            channel = grpc.insecure_channel(f"unix:{address}")
            answer = channel.unary_unary("/grpc.health.v1.Health/Check")(
                b"", timeout=READY_TIMEOUT_S, wait_for_ready=True
            )
            channel.close()
            service.send_signal(signal.SIGTERM)
            code = service.wait()
        finally:
            service.kill()
            service.wait()
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(address)

    assert answer == b"\x08\x01"  # SERVING
    assert code == 0


def activated(
    command: Command, owner: socket.socket, address: str
) -> subprocess.Popen[bytes]:
    """Start the service as systemd does: its socket is descriptor 3."""
    words = [*command.words, "serve", "--address", address]
    script = f'exec 3<&{owner.fileno()}; export LISTEN_PID=$$ LISTEN_FDS=1; exec "$@"'
    return subprocess.Popen(
        ["bash", "-c", script, "bash", *words],
        env=command.environment,
        pass_fds=[owner.fileno()],
    )


def test_a_service_that_comes_after_a_crash_mends_while_it_answers(
    command: Command,
) -> None:
    with serving(command) as service:
        command.ok("prepare", "work")
        directory = json.loads(command.ok("info", "work", "--json"))["directory"]
        service.kill()
    made = read_sidecar(directory)
    append_sidecar(directory, dataclasses.replace(made, key="never", generation=2))

    with serving(command) as service:
        wait_until(lambda: read_sidecar(directory) == made, "a mended sidecar")
        assert command.ok("check", "--json") == ""
        service.send_signal(signal.SIGTERM)
        service.wait()

    assert json.loads(command.ok("ls", "--json"))["name"] == "work"


def test_a_lost_database_is_made_anew_from_the_snapshots(command: Command) -> None:
    command.ok("prepare", "work")
    command.ok("commit", "base", "work")
    for path in command.root.glob("metadata.db*"):
        path.unlink()

    refused = command("ls")
    repaired = command("check", "--repair")

    assert refused.returncode == 7
    assert "check --repair" in refused.stderr
    assert repaired.returncode == 0, repaired.stderr
    assert json.loads(command.ok("ls", "--json"))["name"] == "base"


def test_a_database_in_use_is_not_repaired_though_the_lock_file_is_gone(
    command: Command,
) -> None:
    command.ok("prepare", "work")
    with serving(command) as service:
        (command.root / "lock").unlink()  # by somebody who took it for a leftover
        before = (command.root / "metadata.db").stat().st_ino
        done = command("check", "--repair")

    assert json.loads(command.ok("ls", "--json"))["name"] == "work"
    assert done.returncode == 6
    assert f"open in process {service.pid} " in done.stderr
    assert done.stderr.count("\n") == 1
    assert (command.root / "metadata.db").stat().st_ino == before


def test_a_store_in_use_is_not_repaired(command: Command) -> None:
    command.ok("prepare", "work")
    with serving(command) as service:
        done = command("check", "--repair")

    assert done.returncode == 5
    assert str(service.pid) in done.stderr
    assert done.stderr.count("\n") == 1
