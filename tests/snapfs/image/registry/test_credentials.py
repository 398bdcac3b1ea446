"""Docker's config.json and its helper programs; secrets stay out of sight."""

from __future__ import annotations

import base64
import json
import os
from pathlib import Path

import pytest

from snapfs.errors import InvalidArgumentError, UnavailableError
from snapfs.image.registry.credentials import Credentials, DockerConfig

SECRET = "hush-hush"


def encoded(username: str, password: str = SECRET) -> dict[str, str]:
    return {"auth": base64.b64encode(f"{username}:{password}".encode()).decode()}


def found(
    path: Path, document: object, domain: str, repository: str = "a/b"
) -> Credentials | None:
    path.write_text(document if isinstance(document, str) else json.dumps(document))
    return DockerConfig(path).find(domain, repository)


def test_a_missing_file_holds_nothing(docker_config: Path) -> None:
    assert DockerConfig(docker_config).find("reg.example", "a") is None


@pytest.mark.parametrize(
    ("key", "domain"),
    [
        pytest.param("reg.example", "reg.example", id="host"),
        pytest.param("reg.example:5000", "reg.example:5000", id="port"),
        pytest.param("https://reg.example/v1/", "reg.example", id="old-url"),
        pytest.param("https://reg.example/v2/", "reg.example", id="url"),
        pytest.param("https://index.docker.io/v1/", "docker.io", id="docker-hub"),
        pytest.param("docker.io", "docker.io", id="docker-hub-short"),
        pytest.param("registry-1.docker.io", "docker.io", id="docker-hub-api"),
    ],
)
def test_a_login_is_found_under_the_keys_that_docker_writes(
    docker_config: Path, key: str, domain: str
) -> None:
    document = {"auths": {"other.example": encoded("no"), key: encoded("me", "a:b")}}

    assert found(docker_config, document, domain) == Credentials("me", "a:b")


def test_the_longest_path_decides(docker_config: Path) -> None:
    auths = {"r.example": encoded("all"), "r.example/a": encoded("part")}

    assert found(docker_config, {"auths": auths}, "r.example", "a/b") == Credentials(
        "part", SECRET
    )
    assert found(docker_config, {"auths": auths}, "r.example", "ab") == Credentials(
        "all", SECRET
    )


def test_an_identity_token_is_read(docker_config: Path) -> None:
    entry = {**encoded("me", ""), "identitytoken": SECRET}

    login = found(docker_config, {"auths": {"r.example": entry}}, "r.example")

    assert login == Credentials("me", "", SECRET)


def test_a_login_never_shows_its_secrets() -> None:
    assert SECRET not in repr(Credentials("me", SECRET, SECRET))


@pytest.mark.parametrize(
    "document",
    [
        pytest.param(f'{{"{SECRET}', id="no-json"),
        pytest.param([SECRET], id="no-object"),
        pytest.param({"auths": SECRET}, id="auths"),
        pytest.param({"auths": {"r.example": SECRET}}, id="entry"),
        pytest.param({"auths": {"r.example": {"auth": 5}}}, id="auth"),
        pytest.param({"auths": {"r.example": {"auth": f"*{SECRET}"}}}, id="no-base64"),
        pytest.param({"auths": {"r.example": {"auth": "/////w=="}}}, id="no-utf-8"),
        pytest.param({"auths": {"r.example": {"auth": "aHVzaA=="}}}, id="no-colon"),
        pytest.param({"credsStore": "../evil"}, id="helper-path"),
        pytest.param({"credHelpers": {"r.example": 5}}, id="helper-type"),
    ],
)
def test_a_malformed_file_is_named_and_its_secrets_are_not(
    docker_config: Path, document: object
) -> None:
    with pytest.raises(InvalidArgumentError, match=r"config\.json") as caught:
        found(docker_config, document, "r.example")

    assert SECRET not in str(caught.value)
    assert caught.value.__cause__ is None


@pytest.fixture
def helper(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The path of a helper ``test``, still to be written, in the search path."""
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    return tmp_path / "docker-credential-test"


def write_helper(path: Path, script: str) -> None:
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


ANSWER = '[ "$1" = get ] && s=$(cat) && printf \'{"Username":"%s","Secret":"%s"}\''


@pytest.mark.parametrize(
    "document",
    [
        pytest.param({"credsStore": "test"}, id="store"),
        pytest.param({"credHelpers": {"r.example": "test"}}, id="of-the-host"),
        pytest.param(
            {"credHelpers": {"r.example": "test"}, "credsStore": "none"}, id="both"
        ),
    ],
)
def test_a_helper_is_asked_for_the_host(
    docker_config: Path, helper: Path, document: object
) -> None:
    write_helper(helper, f'{ANSWER} "$s" {SECRET}')

    login = found(docker_config, document, "r.example")

    assert login == Credentials("r.example", SECRET)


def test_a_helper_knows_docker_hub_by_its_old_address(
    docker_config: Path, helper: Path
) -> None:
    write_helper(helper, f'{ANSWER} "$s" {SECRET}')

    login = found(docker_config, {"credsStore": "test"}, "docker.io")

    assert login == Credentials("https://index.docker.io/v1/", SECRET)


def test_a_helpers_token_user_means_an_identity_token(
    docker_config: Path, helper: Path
) -> None:
    write_helper(helper, f"{ANSWER} '<token>' {SECRET}")

    login = found(docker_config, {"credsStore": "test"}, "r.example")

    assert login == Credentials(identity_token=SECRET)


def test_where_a_helper_has_nothing_the_file_is_asked(
    docker_config: Path, helper: Path
) -> None:
    write_helper(helper, "echo credentials not found in native keychain; exit 1")
    document = {"credsStore": "test", "auths": {"r.example": encoded("me")}}

    assert found(docker_config, document, "r.example") == Credentials("me", SECRET)


@pytest.mark.parametrize(
    "script",
    [
        pytest.param(f"echo {SECRET}; echo {SECRET} >&2; exit 3", id="fails"),
        pytest.param(f"echo {SECRET}", id="no-json"),
        pytest.param(f"echo '[\"{SECRET}\"]'", id="no-object"),
        pytest.param(None, id="missing"),
    ],
)
def test_a_failing_helper_is_named_and_its_output_is_not(
    docker_config: Path, helper: Path, script: str | None
) -> None:
    if script is not None:
        write_helper(helper, script)

    with pytest.raises(UnavailableError, match="docker-credential-test") as caught:
        found(docker_config, {"credsStore": "test"}, "r.example")

    assert SECRET not in str(caught.value)
