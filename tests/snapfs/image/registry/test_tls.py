"""Certificates: trusted, not trusted, and never sent to strangers."""

from __future__ import annotations

import shutil
import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest

from snapfs.digest import Digest, sha256
from snapfs.errors import InvalidArgumentError, UnavailableError
from snapfs.image.descriptor import Descriptor
from snapfs.image.registry.settings import RegistrySettings
from support.certificates import make_certificate, server_context
from support.hostile_registry import HostileRegistry, hostile_registry

from .conftest import MANIFEST, REPOSITORY, OpenSource


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("certificates")
    for name in ("server", "client"):
        make_certificate(folder, name)
    return folder


@pytest.fixture
def server_tls(certificates: Path) -> ssl.SSLContext:
    return server_context(certificates / "server.pem")


@pytest.fixture
def secure(server_tls: ssl.SSLContext) -> Iterator[HostileRegistry]:
    """A registry that speaks https, with a certificate that nobody knows."""
    with hostile_registry(server_tls) as registry:
        registry.add_manifest(REPOSITORY, "v1", MANIFEST)
        yield registry


def configure(folder: Path, registry: HostileRegistry, text: str) -> None:
    (folder / registry.host).mkdir()
    server = f'server = "{registry.url}"\n{text}'
    (folder / registry.host / "hosts.toml").write_text(server)


def test_a_certificate_that_nobody_knows_is_refused_with_the_way_out(
    secure: HostileRegistry, open_source: OpenSource, host_folder: Path
) -> None:
    configure(host_folder, secure, "")

    with pytest.raises(UnavailableError, match=r"not trusted.*hosts\.toml"):
        open_source(secure).root()

    assert secure.seen == []


def test_an_authority_of_ones_own_is_trusted(
    secure: HostileRegistry,
    open_source: OpenSource,
    host_folder: Path,
    certificates: Path,
) -> None:
    configure(host_folder, secure, f'ca = "{certificates}/server.pem"')

    assert open_source(secure).root().digest == sha256(MANIFEST)


def test_an_authority_in_dockers_layout_is_trusted(
    secure: HostileRegistry,
    open_source: OpenSource,
    host_folder: Path,
    certificates: Path,
) -> None:
    (host_folder / secure.host).mkdir()
    authority = host_folder / secure.host / "ca.crt"
    shutil.copy(certificates / "server.pem", authority)

    assert open_source(secure).root().digest == sha256(MANIFEST)


def test_verification_can_be_switched_off(
    secure: HostileRegistry, open_source: OpenSource, host_folder: Path
) -> None:
    configure(host_folder, secure, "skip_verify = true")

    assert open_source(secure).root().digest == sha256(MANIFEST)


def test_a_client_certificate_is_shown(
    secure: HostileRegistry,
    server_tls: ssl.SSLContext,
    open_source: OpenSource,
    host_folder: Path,
    certificates: Path,
) -> None:
    server_tls.verify_mode = ssl.CERT_REQUIRED
    server_tls.load_verify_locations(certificates / "client.pem")
    pair = f'client = [["{certificates}/client.pem", "{certificates}/client.key"]]'
    configure(host_folder, secure, f'ca = "{certificates}/server.pem"\n{pair}')

    assert open_source(secure).root().digest == sha256(MANIFEST)


def test_verification_is_switched_off_for_no_other_host(
    secure: HostileRegistry,
    server_tls: ssl.SSLContext,
    open_source: OpenSource,
    host_folder: Path,
) -> None:
    configure(host_folder, secure, "skip_verify = true")
    with hostile_registry(server_tls) as storage:
        digest = Digest(storage.add_blob(b"x"))
        secure.does.redirect_to = storage.url

        with pytest.raises(UnavailableError, match=f"'{storage.host}'.*not trusted"):
            open_source(secure).open_blob(Descriptor("", digest, 1))


def test_a_redirect_from_https_to_http_is_refused(
    secure: HostileRegistry,
    registry: HostileRegistry,
    open_source: OpenSource,
    host_folder: Path,
) -> None:
    configure(host_folder, secure, "skip_verify = true")
    digest = Digest(registry.add_blob(b"x"))
    secure.does.redirect_to = registry.url

    with pytest.raises(UnavailableError, match="from https to plain http"):
        open_source(secure).open_blob(Descriptor("", digest, 1))

    assert registry.seen == []


def test_a_host_that_does_not_speak_tls_is_named_with_the_way_out(
    registry: HostileRegistry, open_source: OpenSource, host_folder: Path
) -> None:
    (host_folder / registry.host).mkdir()
    text = f'server = "https://{registry.host}"'
    (host_folder / registry.host / "hosts.toml").write_text(text)

    with pytest.raises(UnavailableError, match=r"does not speak TLS.*server = "):
        open_source(registry).root()


@pytest.mark.parametrize("key", ["ca", "client"])
@pytest.mark.parametrize("content", [None, "no certificate"], ids=["missing", "bad"])
def test_an_unusable_certificate_is_named(
    registry: HostileRegistry,
    open_source: OpenSource,
    host_folder: Path,
    settings: RegistrySettings,
    key: str,
    content: str | None,
) -> None:
    configure(host_folder, registry, f'{key} = "it.pem"')
    if content is not None:
        (host_folder / registry.host / "it.pem").write_text(content)

    with pytest.raises(InvalidArgumentError, match=r"it\.pem.* cannot be used"):
        open_source(registry, use=settings)
