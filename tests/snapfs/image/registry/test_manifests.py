"""Manifests: found by tag and digest, and checked whoever sends them."""

from __future__ import annotations

import dataclasses
import socket
from collections import deque
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from snapfs.digest import Digest, sha256
from snapfs.errors import (
    DataLossError,
    DigestMismatchError,
    FailedPreconditionError,
    NotFoundError,
    PermissionDeniedError,
    ResourceExhaustedError,
    UnavailableError,
    UnimplementedError,
)
from snapfs.image.media_types import OCI_INDEX, OCI_MANIFEST
from snapfs.image.registry.name import parse_name
from snapfs.image.registry.settings import RegistrySettings
from snapfs.image.registry.source import RegistrySource
from snapfs.image.verified import read_document
from support.hostile_registry import HostileRegistry

from .conftest import MANIFEST, REPOSITORY, OpenSource


def configure(folder: Path, registry: HostileRegistry, text: str) -> None:
    (folder / registry.host).mkdir()
    (folder / registry.host / "hosts.toml").write_text(text)


@pytest.mark.parametrize("reference", [":v1", f"@{sha256(MANIFEST)}"])
def test_an_image_is_found(
    registry: HostileRegistry, open_source: OpenSource, reference: str
) -> None:
    source = open_source(registry, reference)

    root = source.root()

    assert (root.media_type, root.digest) == (OCI_MANIFEST, sha256(MANIFEST))
    assert root.size_bytes == len(MANIFEST)
    assert read_document(source, root) == MANIFEST
    assert source.name == f"docker://{registry.host}/{REPOSITORY}{reference}"


def test_a_digest_decides_where_a_tag_is_given_too(
    registry: HostileRegistry, open_source: OpenSource
) -> None:
    root = open_source(registry, f":other@{sha256(MANIFEST)}").root()

    assert root.digest == sha256(MANIFEST)


def test_an_index_is_found(registry: HostileRegistry, open_source: OpenSource) -> None:
    content = b'{"schemaVersion":2,"manifests":[]}'
    registry.add_manifest(REPOSITORY, "multi", content, OCI_INDEX)
    source = open_source(registry, ":multi")

    root = source.root()

    assert root.media_type == OCI_INDEX
    assert read_document(source, root) == content


@pytest.mark.parametrize("lack", ["head", "digest"])
def test_what_head_does_not_say_is_found_by_get(
    registry: HostileRegistry, open_source: OpenSource, lack: str
) -> None:
    registry.does.knows_head = lack != "head"
    registry.does.announced_digest = "" if lack == "digest" else None

    root = open_source(registry).root()

    assert (root.digest, root.size_bytes) == (sha256(MANIFEST), len(MANIFEST))


def test_a_plain_web_server_need_not_know_the_type(
    registry: HostileRegistry, open_source: OpenSource
) -> None:
    content = f'{{"mediaType":"{OCI_MANIFEST}"}}'.encode()
    registry.add_manifest(REPOSITORY, "plain", content, "text/plain")

    assert open_source(registry, ":plain").root().media_type == OCI_MANIFEST


@pytest.mark.parametrize(
    ("kind", "content", "error", "complaint"),
    [
        pytest.param(
            "text/html", b"<html>", DataLossError, "text/html", id="captive-portal"
        ),
        pytest.param("application/json", b"{}", UnimplementedError, "json", id="json"),
        pytest.param("x/y", b"[1]", DataLossError, "x/y", id="no-object"),
        pytest.param(
            "application/vnd.docker.distribution.manifest.v1+prettyjws",
            b"{}",
            UnimplementedError,
            "schema 1",
            id="schema-1",
        ),
    ],
)
def test_what_is_no_manifest_is_refused(
    registry: HostileRegistry,
    open_source: OpenSource,
    kind: str,
    content: bytes,
    error: type[Exception],
    complaint: str,
) -> None:
    registry.add_manifest(REPOSITORY, "odd", content, kind)

    with pytest.raises(error, match=complaint):
        open_source(registry, ":odd").root()


def test_an_unknown_tag_is_named_with_the_registrys_words(
    registry: HostileRegistry, open_source: OpenSource
) -> None:
    with pytest.raises(NotFoundError, match="manifest unknown") as caught:
        open_source(registry, ":nope").root()

    assert f"tag 'nope' of '{REPOSITORY}' at '{registry.host}'" in str(caught.value)


@pytest.mark.parametrize("status", [401, 403])
def test_a_refusal_without_a_challenge_is_reported(
    registry: HostileRegistry, open_source: OpenSource, status: int
) -> None:
    registry.does.statuses = deque([status, status])

    with pytest.raises(PermissionDeniedError, match="as the test wants"):
        open_source(registry).root()


def test_another_digest_than_the_one_asked_for_is_refused(
    registry: HostileRegistry, open_source: OpenSource
) -> None:
    registry.does.announced_digest = str(sha256(b"other"))

    with pytest.raises(DigestMismatchError, match=str(sha256(b"other"))):
        open_source(registry, f"@{sha256(MANIFEST)}").root()


def test_content_that_is_not_what_was_announced_is_refused(
    registry: HostileRegistry, open_source: OpenSource
) -> None:
    registry.does.announced_digest = str(sha256(b"other"))
    source = open_source(registry)
    root = dataclasses.replace(source.root(), digest=sha256(MANIFEST))

    with pytest.raises(DigestMismatchError):
        source.open_blob(root)


def test_content_that_is_not_what_was_asked_for_is_refused(
    registry: HostileRegistry, open_source: OpenSource
) -> None:
    registry.manifests[REPOSITORY, str(sha256(MANIFEST))] = (OCI_MANIFEST, b"{}")
    registry.does.announced_digest = ""

    source = open_source(registry, f"@{sha256(MANIFEST)}")
    root = source.root()

    with pytest.raises(DigestMismatchError, match=str(sha256(MANIFEST))):
        source.open_blob(root)


def test_a_giant_manifest_is_not_read(
    registry: HostileRegistry, open_source: OpenSource
) -> None:
    registry.add_manifest(REPOSITORY, "giant", bytes(5 << 20))
    source = open_source(registry, ":giant")

    with pytest.raises(ResourceExhaustedError, match="at most 4194304"):
        source.open_blob(source.root())


def test_what_a_registry_says_cannot_steer_the_terminal(
    registry: HostileRegistry, open_source: OpenSource
) -> None:
    registry.does.content_type = "text/\x1b]0;evil\x07"

    with pytest.raises((DataLossError, UnimplementedError)) as caught:
        open_source(registry).root()

    assert "\x1b" not in str(caught.value)


# --- mirrors ------------------------------------------------------------------


@pytest.fixture
def mirrored(
    registry: HostileRegistry,
    make_registry: Callable[[], HostileRegistry],
    host_folder: Path,
) -> HostileRegistry:
    """A mirror, still empty, that is asked before ``registry``."""
    mirror = make_registry()
    text = f'server = "{registry.url}"\n[host."{mirror.url}"]\n'
    configure(host_folder, registry, text)
    return mirror


def test_a_mirror_is_asked_first_and_told_whose_content_is_meant(
    registry: HostileRegistry, mirrored: HostileRegistry, open_source: OpenSource
) -> None:
    mirrored.add_manifest(REPOSITORY, "v1", MANIFEST)
    source = open_source(registry)

    assert read_document(source, source.root()) == MANIFEST
    assert registry.seen == []
    assert {tuple(one.query["ns"]) for one in mirrored.seen} == {(registry.host,)}


@pytest.mark.parametrize("status", [401, 404, 429, 500, 503])
def test_a_mirror_that_refuses_is_passed_over(
    registry: HostileRegistry,
    mirrored: HostileRegistry,
    open_source: OpenSource,
    status: int,
) -> None:
    mirrored.does.statuses = deque([status] * 10)

    assert open_source(registry).root().digest == sha256(MANIFEST)


def test_a_mirror_that_is_gone_is_passed_over(
    registry: HostileRegistry, open_source: OpenSource, host_folder: Path
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as unused:
        port = unused.getsockname()[1]
    text = f'server = "{registry.url}"\n[host."http://127.0.0.1:{port}"]\n'
    configure(host_folder, registry, text)

    assert open_source(registry).root().digest == sha256(MANIFEST)


def test_a_mirror_that_serves_a_wrong_digest_is_passed_over(
    registry: HostileRegistry, mirrored: HostileRegistry, open_source: OpenSource
) -> None:
    digest = str(sha256(MANIFEST))
    mirrored.manifests[REPOSITORY, digest] = (OCI_MANIFEST, b"{}")

    source = open_source(registry, f"@{digest}")

    assert read_document(source, source.root()) == MANIFEST


def test_a_mirror_that_may_not_resolve_is_asked_for_content_alone(
    registry: HostileRegistry,
    make_registry: Callable[[], HostileRegistry],
    open_source: OpenSource,
    host_folder: Path,
) -> None:
    mirror = make_registry()
    mirror.add_manifest(REPOSITORY, "v1", MANIFEST)
    text = f'server = "{registry.url}"\n[host."{mirror.url}"]\ncapabilities=["pull"]'
    configure(host_folder, registry, text)
    source = open_source(registry)

    assert read_document(source, source.root()) == MANIFEST
    assert [one.method for one in registry.seen] == ["HEAD"]
    assert [one.method for one in mirror.seen] == ["GET"]


def test_a_blob_goes_on_at_the_next_host_when_a_mirror_breaks(
    registry: HostileRegistry,
    mirrored: HostileRegistry,
    open_source: OpenSource,
    blob: bytes,
) -> None:
    digest = Digest(registry.add_blob(blob))
    mirrored.add_blob(blob)
    mirrored.does.cuts = deque([100_000])
    source = open_source(registry)
    root = dataclasses.replace(
        source.root(), media_type="", digest=digest, size_bytes=len(blob)
    )
    with closing(source.open_blob(root)) as reader:
        mirrored.does.statuses = deque([503] * 10)

        read = b"".join(iter(lambda: reader.read(10_000), b""))

    assert read == blob
    assert "Range" in registry.requests("GET", "/blobs/")[0].headers


def test_when_nobody_has_it_the_error_says_what_each_host_said(
    registry: HostileRegistry, mirrored: HostileRegistry, open_source: OpenSource
) -> None:
    mirrored.does.statuses = deque([403] * 10)

    with pytest.raises(NotFoundError) as caught:
        open_source(registry, ":nope").root()

    message = str(caught.value)
    assert f"[{mirrored.host}]" in message
    assert "HTTP status 403" in message
    assert f"[{registry.host}]" in message
    assert "manifest unknown" in message


def test_a_registry_whose_hosts_may_not_be_asked_is_an_error(
    registry: HostileRegistry, open_source: OpenSource, host_folder: Path
) -> None:
    configure(host_folder, registry, 'capabilities = ["push"]')

    with pytest.raises(FailedPreconditionError, match="resolve"):
        open_source(registry).root()


# --- redirects and connections ------------------------------------------------


def test_blobs_are_read_where_the_registry_keeps_them(
    registry: HostileRegistry,
    make_registry: Callable[[], HostileRegistry],
    open_source: OpenSource,
    blob: bytes,
) -> None:
    storage = make_registry()
    digest = Digest(storage.add_blob(blob))
    storage.does.cuts = deque([100_000])
    registry.does.redirect_to = storage.url
    source = open_source(registry)
    descriptor = dataclasses.replace(
        source.root(), media_type="", digest=digest, size_bytes=len(blob)
    )

    with closing(source.open_blob(descriptor)) as reader:
        assert b"".join(iter(lambda: reader.read(10_000), b"")) == blob


@pytest.mark.parametrize(
    ("location", "complaint"),
    [
        pytest.param("file:///etc/passwd", "not an http or https URL", id="file"),
        pytest.param("//u:hush@h/x", "not an http or https URL", id="user"),
        pytest.param("http://[", "not an http or https URL", id="malformed"),
    ],
)
def test_a_redirect_to_nowhere_is_refused(
    registry: HostileRegistry, open_source: OpenSource, location: str, complaint: str
) -> None:
    registry.does.locations.append(location)
    root = open_source(registry).root()

    with pytest.raises(UnavailableError, match=complaint) as caught:
        open_source(registry).open_blob(dataclasses.replace(root, media_type=""))

    assert "hush" not in str(caught.value)


def test_a_loop_of_redirects_ends(
    registry: HostileRegistry, open_source: OpenSource
) -> None:
    registry.does.redirect_to = registry.url
    source = open_source(registry)
    root = dataclasses.replace(source.root(), media_type="")

    with pytest.raises(UnavailableError, match="redirects more than 10 times"):
        source.open_blob(root)


def test_a_refused_connection_names_the_host(
    open_source: OpenSource, settings: RegistrySettings
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as unused:
        host = f"127.0.0.1:{unused.getsockname()[1]}"

    with (
        RegistrySource(parse_name(f"{host}/a"), settings) as source,
        pytest.raises(UnavailableError, match=f"'{host}'.*refused"),
    ):
        source.root()


def test_an_unknown_host_is_named_with_the_way_out(settings: RegistrySettings) -> None:
    with (
        RegistrySource(parse_name("no-such-host.invalid/a"), settings) as source,
        pytest.raises(UnavailableError, match=r"'no-such-host.invalid'.*DNS"),
    ):
        source.root()


def test_a_source_that_does_not_speak_http_is_an_error(
    settings: RegistrySettings,
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        host = f"127.0.0.1:{listener.getsockname()[1]}"
        listener.settimeout(0)  # it never answers: connections wait in the queue
        hasty = dataclasses.replace(settings.patience, read_timeout_s=0.05, attempts=2)
        use = dataclasses.replace(settings, patience=hasty)

        with (
            RegistrySource(parse_name(f"{host}/a"), use) as source,
            pytest.raises(UnavailableError, match="stopped answering"),
        ):
            source.root()
