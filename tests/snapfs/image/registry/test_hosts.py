"""hosts.toml: which hosts are asked, in which order, with what."""

from __future__ import annotations

from pathlib import Path

import pytest

from snapfs.errors import InvalidArgumentError
from snapfs.image.registry.endpoints import Capability, Endpoint
from snapfs.image.registry.hosts import find_endpoints
from snapfs.image.registry.name import parse_name


def configured(folder: Path, text: str, name: str = "reg.example/a") -> list[Endpoint]:
    (folder / "reg.example").mkdir(exist_ok=True)
    (folder / "reg.example" / "hosts.toml").write_text(text)
    return list(find_endpoints(parse_name(name), [folder]))


@pytest.mark.parametrize(
    ("name", "url"),
    [
        pytest.param("debian", "https://registry-1.docker.io/v2", id="docker-hub"),
        pytest.param("reg.example/a", "https://reg.example/v2", id="registry"),
        pytest.param("localhost:5000/a", "http://localhost:5000/v2", id="loopback"),
        pytest.param("127.9.9.9:80/a", "http://127.9.9.9:80/v2", id="loopback-range"),
        pytest.param("[::1]:5000/a", "http://[::1]:5000/v2", id="loopback-ipv6"),
        pytest.param("localhost/a", "https://localhost/v2", id="loopback-no-port"),
        pytest.param("10.0.0.1:5000/a", "https://10.0.0.1:5000/v2", id="not-loopback"),
    ],
)
def test_without_a_file_the_registry_itself_is_asked(name: str, url: str) -> None:
    [endpoint] = find_endpoints(parse_name(name))

    assert (endpoint.url, endpoint.is_mirror) == (url, False)
    assert endpoint.capabilities == Capability.ALL


def test_mirrors_come_first_in_the_files_order_and_the_server_last(
    host_folder: Path,
) -> None:
    endpoints = configured(
        host_folder,
        """
        server = "https://reg.example"
        [host."https://second.example"]
        capabilities = ["pull"]
        [host."http://first.example:5000/cache"]
        """,
    )

    assert [one.url for one in endpoints] == [
        "https://second.example/v2",
        "http://first.example:5000/cache/v2",
        "https://reg.example/v2",
    ]
    assert [one.is_mirror for one in endpoints] == [True, True, False]
    assert endpoints[0].capabilities == Capability.PULL
    assert endpoints[1].capabilities == Capability.ALL


def test_everything_that_a_host_can_be_given_is_read(host_folder: Path) -> None:
    endpoint, _server = configured(
        host_folder,
        """
        [host."https://m.example/api/"]
        capabilities = ["pull", "resolve"]
        skip_verify = true
        ca = ["one.pem", "/etc/two.pem"]
        client = [["me.cert", "me.key"], ["both.pem", ""]]
        override_path = true
        dial_timeout = "1m2.5s"
        [host."https://m.example/api/".header]
        x-key = "value"
        x-list = ["a", "b"]
        """,
    )

    folder = host_folder / "reg.example"
    assert endpoint.url == "https://m.example/api"
    assert endpoint.capabilities == Capability.PULL | Capability.RESOLVE
    assert not endpoint.tls.verify
    assert endpoint.tls.authorities == (folder / "one.pem", Path("/etc/two.pem"))
    assert endpoint.tls.client_certificates == (
        (folder / "me.cert", folder / "me.key"),
        (folder / "both.pem", None),
    )
    assert endpoint.headers == {"X-Key": "value", "X-List": "a, b"}
    assert endpoint.connect_timeout_s == 62.5
    assert "value" not in repr(endpoint)


def test_settings_outside_of_hosts_are_those_of_the_server(host_folder: Path) -> None:
    [endpoint] = configured(host_folder, 'ca = "own.pem"\ncapabilities = ["pull"]')

    assert endpoint.url == "https://reg.example/v2"
    assert endpoint.tls.authorities == (host_folder / "reg.example" / "own.pem",)
    assert endpoint.capabilities == Capability.PULL


@pytest.mark.parametrize(
    "folder", ["reg.example_5000_", "reg.example:5000", "_default"]
)
def test_the_folder_of_a_registry_is_found(host_folder: Path, folder: str) -> None:
    (host_folder / folder).mkdir()
    (host_folder / folder / "hosts.toml").write_text('server = "https://other.example"')

    [endpoint] = find_endpoints(parse_name("reg.example:5000/a"), [host_folder])

    assert endpoint.url == "https://other.example/v2"
    assert endpoint.is_mirror


def test_the_first_folder_that_knows_the_registry_decides(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name / "reg.example").mkdir(parents=True)
        text = f'server = "https://{name}.example"'
        (tmp_path / name / "reg.example" / "hosts.toml").write_text(text)
    folders = [tmp_path / "none", tmp_path / "two", tmp_path / "one"]

    [endpoint] = find_endpoints(parse_name("reg.example/a"), folders)

    assert endpoint.url == "https://two.example/v2"


def test_dockers_certificate_files_are_read_where_there_is_no_toml(
    host_folder: Path,
) -> None:
    folder = host_folder / "localhost:5000"
    folder.mkdir()
    for name in ("ca.crt", "me.cert", "me.key"):
        (folder / name).touch()

    [endpoint] = find_endpoints(parse_name("localhost:5000/a"), [host_folder])

    assert endpoint.url == "https://localhost:5000/v2"
    assert endpoint.tls.authorities == (folder / "ca.crt",)
    assert endpoint.tls.client_certificates == (
        (folder / "me.cert", folder / "me.key"),
    )


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        pytest.param("server = [", "is not TOML", id="no-toml"),
        pytest.param("server = 5", "'server'", id="server"),
        pytest.param('server = "ftp://x"', "https URL", id="scheme"),
        pytest.param('server = "https://me:hush@x"', "password", id="password"),
        pytest.param('server = "https://x:port"', "not a URL", id="port"),
        pytest.param("host = 1", "'host'", id="host"),
        pytest.param('host."x.example" = 1', "x.example", id="host-table"),
        pytest.param('capabilities = ["fly"]', "'capabilities'", id="capability"),
        pytest.param("skip_verify = 1", "'skip_verify'", id="flag"),
        pytest.param("ca = 1", "'ca'", id="authority"),
        pytest.param("client = [[1]]", "'client'", id="client"),
        pytest.param('dial_timeout = "soon"', "'dial_timeout'", id="timeout"),
        pytest.param("[header]\nx = 1", "'header.x'", id="header"),
        pytest.param('[header]\nx = "hush\\n"', "'header.x'", id="header-newline"),
    ],
)
def test_a_wrong_setting_is_named_with_its_file_and_no_secret(
    host_folder: Path, text: str, complaint: str
) -> None:
    with pytest.raises(InvalidArgumentError, match=complaint) as caught:
        configured(host_folder, text)

    assert "hosts.toml" in str(caught.value)
    assert "hush" not in str(caught.value)
