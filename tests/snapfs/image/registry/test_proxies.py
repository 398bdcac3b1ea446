"""Proxies: which one is asked for what, and what it gets to see."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from snapfs.digest import sha256
from snapfs.errors import (
    InvalidArgumentError,
    PermissionDeniedError,
    UnavailableError,
)
from snapfs.image.descriptor import Descriptor
from snapfs.image.registry.name import parse_name
from snapfs.image.registry.proxies import Proxies, Proxy, read_proxies
from snapfs.image.registry.settings import RegistrySettings
from snapfs.image.registry.source import RegistrySource
from snapfs.image.verified import open_verified, read_document
from support.certificates import make_certificate, server_context
from support.hostile_registry import HostileRegistry, hostile_registry
from support.proxy_server import ProxyServer, proxy_server

from .conftest import MANIFEST, REPOSITORY

HOST = "registry.test:5000"


@pytest.fixture
def proxy(registry: HostileRegistry) -> Iterator[ProxyServer]:
    """A proxy that alone knows where ``registry.test`` is."""
    with proxy_server({HOST: registry.port}) as running:
        yield running


def through(settings: RegistrySettings, **environment: str) -> RegistrySettings:
    return dataclasses.replace(settings, proxies=read_proxies(environment))


def pull(settings: RegistrySettings, blob: bytes) -> tuple[bytes, bytes]:
    """Return the manifest and the blob."""
    with RegistrySource(parse_name(f"{HOST}/{REPOSITORY}:v1"), settings) as source:
        document = read_document(source, source.root())
        descriptor = Descriptor("", sha256(blob), len(blob))
        with closing(open_verified(source, descriptor)) as reader:
            return document, b"".join(iter(lambda: reader.read(100_000), b""))


def serve_plainly(host_folder: Path) -> None:
    (host_folder / HOST).mkdir()
    (host_folder / HOST / "hosts.toml").write_text(f'server = "http://{HOST}"\n')


def test_plain_http_is_forwarded(
    registry: HostileRegistry,
    proxy: ProxyServer,
    settings: RegistrySettings,
    host_folder: Path,
    blob: bytes,
) -> None:
    serve_plainly(host_folder)
    registry.add_blob(blob)

    got = pull(through(settings, http_proxy=proxy.url), blob)

    assert got == (MANIFEST, blob)
    assert {host for _, host in proxy.seen} == {HOST}
    assert {method for method, _ in proxy.seen} <= {"GET", "HEAD"}


def test_https_goes_through_a_tunnel_that_shows_nothing(
    settings: RegistrySettings, host_folder: Path, tmp_path: Path, blob: bytes
) -> None:
    certificate = make_certificate(tmp_path, "server", "DNS:registry.test")
    (host_folder / HOST).mkdir()
    ca = f'ca = "{certificate}"\n'
    (host_folder / HOST / "hosts.toml").write_text(f'server = "https://{HOST}"\n{ca}')
    tls = server_context(certificate)
    with hostile_registry(tls) as registry, proxy_server({HOST: registry.port}) as way:
        registry.add_manifest(REPOSITORY, "v1", MANIFEST)
        registry.add_blob(blob)

        got = pull(through(settings, HTTPS_PROXY=way.url), blob)

    assert got == (MANIFEST, blob)
    assert {method for method, _ in way.seen} == {"CONNECT"}
    assert not any("Authorization" in headers for headers in way.headers)


def test_a_login_is_for_the_proxy_alone(
    registry: HostileRegistry,
    proxy: ProxyServer,
    settings: RegistrySettings,
    host_folder: Path,
    blob: bytes,
) -> None:
    serve_plainly(host_folder)
    registry.add_blob(blob)
    proxy.login = "me:p@ss"
    url = proxy.url.replace("//", "//me:p%40ss@")

    got = pull(through(settings, HTTP_PROXY=url), blob)

    assert got == (MANIFEST, blob)
    assert not any("Proxy-Authorization" in one.headers for one in registry.seen)


def test_a_proxy_that_wants_a_login_is_named(
    proxy: ProxyServer, settings: RegistrySettings, host_folder: Path, blob: bytes
) -> None:
    serve_plainly(host_folder)
    proxy.login = "me:secret"

    with pytest.raises(PermissionDeniedError, match=r"407.*HTTP_PROXY takes"):
        pull(through(settings, HTTP_PROXY=proxy.url), blob)
    (host_folder / HOST / "hosts.toml").write_text(f'server = "https://{HOST}"\n')
    with pytest.raises(UnavailableError, match="407") as caught:
        pull(through(settings, HTTPS_PROXY=proxy.url), blob)
    assert proxy.url in str(caught.value)


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_proxy_that_is_not_there_is_named_without_its_password(
    settings: RegistrySettings, host_folder: Path, blob: bytes, scheme: str
) -> None:
    (host_folder / HOST).mkdir()
    (host_folder / HOST / "hosts.toml").write_text(f'server = "{scheme}://{HOST}"\n')
    variables = {f"{scheme}_proxy": "http://me:secret@127.0.0.1:1"}

    with pytest.raises(
        UnavailableError, match=r"'http://127\.0\.0\.1:1'.*refused"
    ) as caught:
        pull(through(settings, **variables), blob)
    assert "secret" not in str(caught.value)


def test_this_machine_is_never_asked_through_a_proxy(
    registry: HostileRegistry, settings: RegistrySettings
) -> None:
    name = parse_name(f"{registry.host}/{REPOSITORY}:v1")
    use = through(settings, http_proxy="http://127.0.0.1:1")

    with RegistrySource(name, use) as source:
        assert read_document(source, source.root()) == MANIFEST


PROXY = Proxy("http://proxy:3128")


@pytest.mark.parametrize(
    ("exception", "direct", "proxied"),
    [
        pytest.param("*", ["a.test", "10.1.2.3:99"], [], id="everything"),
        pytest.param(
            "a.test",
            ["a.test", "b.a.test", "a.test:99", "A.TEST"],
            ["ba.test", "a.test.b"],
            id="name",
        ),
        pytest.param(".a.test", ["b.a.test"], ["a.test", "ba.test"], id="below"),
        pytest.param("*.a.test", ["b.a.test"], ["a.test"], id="star"),
        pytest.param("a.test:99", ["a.test:99"], ["a.test", "a.test:98"], id="port"),
        pytest.param("10.1.2.3", ["10.1.2.3"], ["10.1.2.4", "a.test"], id="address"),
        pytest.param(
            "10.1.0.0/16", ["10.1.2.3:99"], ["10.2.0.1", "a.test"], id="network"
        ),
        pytest.param("[fd00::1]:99", ["[fd00::1]:99"], ["[fd00::1]"], id="IPv6 port"),
        pytest.param("fd00::/8", ["[fd00::1]"], ["[2001:db8::1]"], id="IPv6 network"),
        pytest.param("", ["localhost:99", "127.0.0.1", "[::1]"], ["a"], id="none"),
        pytest.param(" , b.test ,a.test,", ["a.test", "b.test"], ["c.test"], id="list"),
        pytest.param("a:b:c,[", [], ["a.test"], id="nonsense"),
    ],
)
def test_exceptions_are_read_as_go_programs_read_them(
    exception: str, direct: list[str], proxied: list[str]
) -> None:
    proxies = read_proxies({"HTTPS_PROXY": "http://proxy:3128", "NO_PROXY": exception})

    assert [proxies.find(f"https://{host}/v2") for host in direct] == [None] * len(
        direct
    )
    assert [proxies.find(f"https://{host}/v2") for host in proxied] == [PROXY] * len(
        proxied
    )


@pytest.mark.parametrize(
    ("text", "proxy"),
    [
        pytest.param("proxy:3128", PROXY, id="without a scheme"),
        pytest.param("http://proxy:3128/", PROXY, id="with a slash"),
        pytest.param("http://proxy", Proxy("http://proxy:80"), id="without a port"),
        pytest.param("https://proxy", Proxy("https://proxy:443"), id="https"),
        pytest.param(
            "http://a%3Ab:c@[fd00::1]:1",
            Proxy("http://[fd00::1]:1", "a:b:c"),
            id="user",
        ),
    ],
)
def test_a_proxy_is_written_in_many_ways(text: str, proxy: Proxy) -> None:
    assert read_proxies({"http_proxy": text}).by_scheme == {"http": proxy}


def test_upper_case_counts_before_lower_case_and_each_scheme_for_itself() -> None:
    proxies = read_proxies(
        {"HTTP_PROXY": "proxy:3128", "http_proxy": "other:1", "no_proxy": "a.test"}
    )

    assert proxies.find("http://b.test") == PROXY
    assert proxies.find("http://a.test") is None
    assert proxies.find("https://b.test") is None
    assert read_proxies({}) == Proxies({}, ("",))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        pytest.param("socks5://me:secret@proxy:1", "'socks5'", id="SOCKS"),
        pytest.param("http://me:secret@", "no proxy|not a proxy", id="no host"),
        pytest.param("http://me:secret@proxy:port", "not a proxy", id="port"),
    ],
)
def test_what_is_no_proxy_is_refused_without_its_password(
    text: str, words: str
) -> None:
    with pytest.raises(InvalidArgumentError, match=words) as caught:
        read_proxies({"HTTPS_PROXY": text})
    assert "HTTPS_PROXY" in str(caught.value)
    assert "secret" not in str(caught.value)
