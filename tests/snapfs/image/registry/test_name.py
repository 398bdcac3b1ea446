"""Image names: short ones as Docker reads them, bad ones refused."""

from __future__ import annotations

import pytest

from snapfs.errors import InvalidArgumentError, UnimplementedError
from snapfs.image.registry.name import parse_name

HEX = "a" * 64
DIGEST = f"sha256:{HEX}"


@pytest.mark.parametrize(
    ("text", "domain", "repository", "reference"),
    [
        pytest.param("debian", "docker.io", "library/debian", "latest", id="short"),
        pytest.param("debian:12", "docker.io", "library/debian", "12", id="tag"),
        pytest.param("me/app", "docker.io", "me/app", "latest", id="user"),
        pytest.param("docker.io/a", "docker.io", "library/a", "latest", id="hub"),
        pytest.param("index.docker.io/a/b", "docker.io", "a/b", "latest", id="old-hub"),
        pytest.param("localhost/a", "localhost", "a", "latest", id="localhost"),
        pytest.param("local/a", "docker.io", "local/a", "latest", id="no-host"),
        pytest.param("Host/a", "Host", "a", "latest", id="upper-case-is-a-host"),
        pytest.param("h:5000/a", "h:5000", "a", "latest", id="port"),
        pytest.param("h:5000/a:1", "h:5000", "a", "1", id="port-and-tag"),
        pytest.param("h.de/a/b__c/d-e.f:V_1", "h.de", "a/b__c/d-e.f", "V_1", id="all"),
        pytest.param("[::1]:5000/a", "[::1]:5000", "a", "latest", id="ipv6"),
        pytest.param(f"a@{DIGEST}", "docker.io", "library/a", DIGEST, id="digest"),
        pytest.param(f"a:1@{DIGEST}", "docker.io", "library/a", DIGEST, id="both"),
        pytest.param(f"h.de/{HEX}", "h.de", HEX, "latest", id="hex-below-a-host"),
        pytest.param("a.b:5000", "docker.io", "library/a.b", "5000", id="tag-not-port"),
    ],
)
def test_a_name_is_read_as_docker_reads_it(
    text: str, domain: str, repository: str, reference: str
) -> None:
    name = parse_name(text)

    assert (name.domain, name.repository, name.reference) == (
        domain,
        repository,
        reference,
    )
    assert parse_name(str(name)) == name


def test_docker_hub_is_asked_at_its_own_host() -> None:
    assert parse_name("debian").api_host == "registry-1.docker.io"
    assert parse_name("quay.io/a/b").api_host == "quay.io"


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("", id="empty"),
        pytest.param("/a", id="no-domain"),
        pytest.param("h.de/", id="no-repository"),
        pytest.param("a/", id="final-slash"),
        pytest.param("a//b", id="double-slash"),
        pytest.param("h.de/../a", id="dots"),
        pytest.param("h.de/A", id="upper-case"),
        pytest.param("a___b", id="three-underscores"),
        pytest.param("a..b", id="two-dots"),
        pytest.param("a:", id="empty-tag"),
        pytest.param("a:-x", id="tag-starts-with-dash"),
        pytest.param("a:" + "x" * 129, id="long-tag"),
        pytest.param("a@", id="empty-digest"),
        pytest.param("a@sha256:12", id="short-digest"),
        pytest.param(HEX, id="image-id"),
        pytest.param("h.de/" + "a" * 251, id="long"),
        pytest.param("h_h.de/a", id="underscore-in-host"),
        pytest.param("u:p@h.de/a", id="password"),
        pytest.param("h.de:99999999/a", id="long-port"),
        pytest.param("h.de/a?b", id="query"),
        pytest.param("h.de/a b", id="space"),
        pytest.param("h.de/a\n", id="newline"),
        pytest.param("h.de/\u00e4", id="not-ascii"),
    ],
)
def test_what_is_no_name_is_refused(text: str) -> None:
    with pytest.raises(InvalidArgumentError):
        parse_name(text)


def test_an_unknown_algorithm_is_named() -> None:
    with pytest.raises(UnimplementedError, match="blake3"):
        parse_name(f"a@blake3:{HEX}")
