"""``snapfs unpack docker://``: the command against a real registry, good and bad days.

What it commits is compared with the same image out of an OCI layout.
"""

from __future__ import annotations

import base64
import json
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from demo.make_image import digest
from snapfs.cli.exit_codes import ExitCode
from snapfs.image.registry.credentials import DockerConfig
from snapfs.image.registry.settings import RegistrySettings
from support.certificates import make_certificate
from support.command import Command
from support.docker_registry import PASSWORD, USER, docker_registry
from support.proxy_server import ProxyServer, proxy_server
from support.pushed_images import REPOSITORY, PushedImage
from support.token_service import TokenService, token_service
from support.trees import Entry
from support.unpack_command import committed, is_untouched, is_whole, start_unpack
from support.unpack_images import helpers_of

# A name that no resolver knows: only the proxy does.
HOST = "registry.test:5000"

Snapshots = dict[str, tuple[str, dict[str, Entry]]]


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> PushedImage:
    return PushedImage(tmp_path_factory.mktemp("image") / "layout")


@pytest.fixture(scope="module")
def expected(image: PushedImage, tmp_path_factory: pytest.TempPathFactory) -> Snapshots:
    """What the layout with the same image is unpacked to."""
    command = Command(tmp_path_factory.mktemp("expected") / "root")
    command.ok("unpack", f"oci:{image.layout}")
    return committed(command)


@pytest.fixture(scope="module")
def upstream(
    image: PushedImage, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """A registry without users, on a loopback port, with the image."""
    with docker_registry(tmp_path_factory.mktemp("upstream") / "registry") as host:
        image.push(host)
        yield host


@pytest.fixture
def hosts(tmp_path: Path) -> Path:
    """The folder of ``hosts.toml`` files."""
    return tmp_path / "certs.d"


@pytest.fixture
def logins(tmp_path: Path) -> Path:
    """The folder of Docker's ``config.json``."""
    (tmp_path / "docker").mkdir()
    return tmp_path / "docker"


@pytest.fixture
def command(tmp_path: Path, hosts: Path, logins: Path) -> Command:
    made = Command(tmp_path / "root")
    proxies = ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY")
    for name in (*proxies, *map(str.lower, proxies)):
        made.environment.pop(name, None)
    made.environment |= {"SNAPFS_CERTS_D": str(hosts), "DOCKER_CONFIG": str(logins)}
    return made


@pytest.fixture
def proxy(command: Command, hosts: Path, upstream: str) -> Iterator[ProxyServer]:
    """The only way to the registry, which the command is told of."""
    configure(hosts, HOST, f'server = "http://{HOST}"\n')
    with proxy_server({HOST: int(upstream.rpartition(":")[2])}) as running:
        command.environment["HTTP_PROXY"] = running.url
        yield running


def configure(hosts: Path, host: str, text: str) -> None:
    (hosts / host).mkdir(parents=True)
    (hosts / host / "hosts.toml").write_text(text)


def source(host: str, reference: str = ":v1") -> str:
    return f"docker://{host}/{REPOSITORY}{reference}"


def assert_refused(command: Command, what: str, code: ExitCode, *words: str) -> None:
    """Have an unpack refused in one line, with nothing left of it."""
    done = command("unpack", what)

    assert (done.returncode, done.stdout) == (code, ""), done.stderr
    (line,) = done.stderr.splitlines()
    for word in words:
        assert word in line
    assert PASSWORD not in line
    assert is_untouched(command)


@pytest.mark.parametrize("how", ["tag", "digest", "index", "tag and digest"])
def test_an_image_is_the_one_of_the_layout(
    command: Command, image: PushedImage, upstream: str, expected: Snapshots, how: str
) -> None:
    references = {
        "tag": ":v1",
        "digest": f"@{image.digest}",
        "index": ":multi",
        "tag and digest": f":v1@{image.digest}",
    }

    printed = command.ok("unpack", source(upstream, references[how]))

    assert committed(command) == expected
    assert printed.strip() in expected
    assert is_whole(command)


def test_another_platform_of_an_index_is_another_image(
    command: Command, image: PushedImage, upstream: str
) -> None:
    platform = image.other_platform

    command.ok("unpack", source(upstream, ":multi"), "--platform", platform)

    assert list(committed(command)) == [image.layers[0].diff_id]
    done = command("unpack", source(upstream, ":multi"), "--platform", "linux/s390x")
    assert done.returncode == ExitCode.NOT_FOUND
    assert f"it has: linux/amd64, {'linux/arm64'}" in done.stderr


def test_what_the_store_has_is_not_fetched_again(
    command: Command, image: PushedImage, proxy: ProxyServer
) -> None:
    command.ok("unpack", f"oci:{image.layout}")

    command.ok("unpack", source(HOST))

    fetched = [path for path in proxy.paths if "/blobs/" in path]
    assert len(fetched) == 1  # the config; no layer


def test_a_registry_in_proxy_mode_stands_before_the_first(
    command: Command, upstream: str, hosts: Path, expected: Snapshots, tmp_path: Path
) -> None:
    with docker_registry(tmp_path / "cache", f"http://{upstream}") as cache:
        dead = 'server = "http://127.0.0.1:1"\n'
        configure(hosts, upstream, f'{dead}[host."http://{cache}"]\n')

        command.ok("unpack", source(upstream))

    assert committed(command) == expected


def test_mirrors_that_are_gone_or_lack_the_image_are_passed_over(
    command: Command, upstream: str, hosts: Path, expected: Snapshots, tmp_path: Path
) -> None:
    with docker_registry(tmp_path / "empty") as empty:
        mirrors = f'[host."http://127.0.0.1:1"]\n[host."http://{empty}"]\n'
        configure(hosts, upstream, f'server = "http://{upstream}"\n{mirrors}')

        command.ok("unpack", source(upstream))

    assert committed(command) == expected


def test_an_authority_of_ones_own_is_named_in_hosts_toml(
    command: Command,
    image: PushedImage,
    hosts: Path,
    expected: Snapshots,
    tmp_path: Path,
) -> None:
    certificate = make_certificate(tmp_path, "server")
    with docker_registry(tmp_path / "secure", certificate=certificate) as host:
        text = f'server = "https://{host}"\nca = "{certificate}"\n'
        configure(hosts, host, text)
        image.push(host, RegistrySettings((hosts,)))

        command.ok("unpack", source(host))
        found = committed(command)
        command.root = tmp_path / "other"
        command.words[-1] = str(command.root)
        (hosts / host / "hosts.toml").write_text(f'server = "https://{host}"\n')

        assert found == expected
        assert_refused(
            command, source(host), ExitCode.UNAVAILABLE, "not trusted", "hosts.toml"
        )


@pytest.fixture
def guarded(image: PushedImage, tmp_path: Path) -> Iterator[str]:
    """A registry that lets one user in."""
    with docker_registry(tmp_path / "guarded", has_users=True) as host:
        log_in(tmp_path / "pusher.json", host)
        users = DockerConfig(tmp_path / "pusher.json")
        image.push(host, RegistrySettings(credentials=users))
        yield host


def log_in(config: Path, host: str, password: str = PASSWORD) -> None:
    auth = base64.b64encode(f"{USER}:{password}".encode()).decode()
    config.write_text(json.dumps({"auths": {host: {"auth": auth}}}))


def test_a_login_is_taken_from_dockers_configuration(
    command: Command, guarded: str, logins: Path, expected: Snapshots
) -> None:
    log_in(logins / "config.json", guarded)

    command.ok("unpack", source(guarded))

    assert committed(command) == expected


def test_a_login_is_taken_from_a_helper_program(
    command: Command, guarded: str, logins: Path, expected: Snapshots
) -> None:
    helper = logins / "docker-credential-test"
    answer = json.dumps({"Username": USER, "Secret": PASSWORD})
    helper.write_text(f"#!/bin/sh\ncat > {logins}/asked\necho '{answer}'\n")
    helper.chmod(0o755)
    config = {"credHelpers": {guarded: "test"}}
    (logins / "config.json").write_text(json.dumps(config))
    command.environment["PATH"] = f"{logins}:{command.environment['PATH']}"

    command.ok("unpack", source(guarded))

    assert committed(command) == expected
    assert (logins / "asked").read_text().strip() == guarded


@pytest.mark.parametrize("password", ["", "wrong"])
def test_without_the_right_login_nothing_is_unpacked(
    command: Command, guarded: str, logins: Path, password: str
) -> None:
    if password:
        log_in(logins / "config.json", guarded, password)

    assert_refused(command, source(guarded), ExitCode.FAILED, guarded, "401", "log in")


@pytest.fixture
def tokens(tmp_path: Path) -> Iterator[TokenService]:
    signing = make_certificate(tmp_path, "signing", is_rsa=True)
    with token_service(signing, USER, PASSWORD) as service:
        yield service


def test_a_token_service_is_asked_as_the_registry_says(
    command: Command,
    image: PushedImage,
    tokens: TokenService,
    logins: Path,
    expected: Snapshots,
    tmp_path: Path,
) -> None:
    with docker_registry(tmp_path / "tokens", tokens=tokens) as host:
        log_in(logins / "config.json", host)
        users = DockerConfig(logins / "config.json")
        image.push(host, RegistrySettings(credentials=users))
        tokens.seen.clear()

        command.ok("unpack", source(host))
        (logins / "config.json").unlink()
        found = committed(command)
        command.root = tmp_path / "other"
        command.words[-1] = str(command.root)

        assert found == expected
        assert tokens.seen == [
            (
                {
                    "service": [tokens.service],
                    "scope": [f"repository:{REPOSITORY}:pull"],
                    "account": [USER],
                },
                tokens.login,
            )
        ]
        assert_refused(command, source(host), ExitCode.FAILED, "401", "log in")


def test_too_many_requests_are_waited_for(
    command: Command, proxy: ProxyServer, expected: Snapshots
) -> None:
    proxy.statuses.extend([429, 429, 503])

    command.ok("unpack", source(HOST))

    assert committed(command) == expected
    assert not proxy.statuses


def test_too_many_requests_for_too_long_are_one_line(
    command: Command, proxy: ProxyServer
) -> None:
    proxy.statuses.extend([429] * 50)

    assert_refused(command, source(HOST), ExitCode.FAILED, "429", "wait, or log in")


def test_a_download_that_is_cut_off_goes_on_where_it_was(
    command: Command, image: PushedImage, proxy: ProxyServer, expected: Snapshots
) -> None:
    size = len(image.layers[1].blob)
    proxy.cuts.extend([100_000, 200_000])

    command.ok("unpack", source(HOST))

    assert committed(command) == expected
    assert not proxy.cuts
    resumed = [f"bytes={start}-{size - 1}" for start in (100_000, 300_000)]
    assert proxy.ranges[-2:] == resumed


@pytest.mark.parametrize("where", ["within an answer", "before an answer"])
def test_ctrl_c_while_the_registry_is_silent_ends_at_once_and_leaves_nothing(
    command: Command, image: PushedImage, proxy: ProxyServer, where: str
) -> None:
    proxy.stall.clear()
    if where == "within an answer":
        proxy.cuts.append(100_000)
    else:
        proxy.silent_about = digest(image.layers[1].blob)

    with start_unpack(command, source(HOST), proxy.stalled.is_set) as process:
        helpers = helpers_of(process.pid)
        process.send_signal(signal.SIGINT)
        # Long before the host's silence is too long (a minute).
        out, err = process.communicate(timeout=30)

    assert (process.returncode, out, err) == (130, "", "snapfs: interrupted\n")
    assert not any(helper.is_running() for helper in helpers)
    assert is_untouched(command)


@pytest.fixture
def damaged(image: PushedImage, tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """A registry of one's own, and where it stores the layer in the middle."""
    folder = tmp_path / "damaged"
    with docker_registry(folder) as host:
        image.push(host)
        yield host, image.stored_layer(folder, 1)


def test_another_content_than_the_digest_names_is_refused(
    command: Command, damaged: tuple[str, Path], image: PushedImage
) -> None:
    host, stored = damaged
    content = stored.read_bytes()
    stored.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))

    named = f"sha256:{stored.parent.name}"
    assert_refused(command, source(host), ExitCode.DATA_LOSS, source(host), named)


def test_a_blob_that_is_too_short_or_missing_is_refused(
    command: Command, damaged: tuple[str, Path]
) -> None:
    host, stored = damaged
    named = f"sha256:{stored.parent.name}"
    stored.write_bytes(stored.read_bytes()[:-1])
    assert_refused(command, source(host), ExitCode.DATA_LOSS, named)

    stored.unlink()
    assert_refused(command, source(host), ExitCode.NOT_FOUND, named)


@pytest.mark.parametrize(
    ("reference", "code", "words"),
    [
        pytest.param(":nope", ExitCode.NOT_FOUND, "manifest unknown", id="tag"),
        pytest.param(
            f"@sha256:{'0' * 64}", ExitCode.NOT_FOUND, "manifest unknown", id="digest"
        ),
        pytest.param("@sha256:0", ExitCode.USAGE, "sha256:0", id="no digest"),
        pytest.param("/UPPER", ExitCode.USAGE, "UPPER", id="no name"),
    ],
)
def test_what_the_registry_does_not_have_is_named(
    command: Command, upstream: str, reference: str, code: ExitCode, words: str
) -> None:
    assert_refused(command, source(upstream, reference), code, words)


def test_a_registry_that_is_not_there_is_named(command: Command) -> None:
    where = source("127.0.0.1:1")

    assert_refused(command, where, ExitCode.UNAVAILABLE, "127.0.0.1:1", "refused")


def test_a_proxy_that_is_none_is_refused_without_its_password(
    command: Command,
) -> None:
    command.environment["HTTPS_PROXY"] = f"socks5://{USER}:{PASSWORD}@proxy:1"

    assert_refused(command, source(HOST), ExitCode.USAGE, "HTTPS_PROXY")
