"""Logging in: Basic and tokens, against a registry that demands them."""

from __future__ import annotations

import base64
import json
import logging
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from snapfs.digest import Digest, sha256
from snapfs.errors import (
    PermissionDeniedError,
    ResourceExhaustedError,
    UnavailableError,
)
from snapfs.image.descriptor import Descriptor
from snapfs.image.registry.name import parse_name
from snapfs.image.registry.push import RegistryTarget
from snapfs.image.registry.settings import RegistrySettings
from support.hostile_registry import HostileRegistry

from .conftest import MANIFEST, REPOSITORY, OpenSource

SECRET = "hush-hush"
PAIR = f"me:{SECRET}"
BASIC = "Basic " + base64.b64encode(PAIR.encode()).decode()


@pytest.fixture(autouse=True)
def _no_secret_is_logged(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    caplog.set_level(logging.DEBUG)
    yield
    assert SECRET not in caplog.text
    assert BASIC not in caplog.text
    assert "token0" not in caplog.text
    assert "signature" not in caplog.text


@pytest.fixture
def log_in(docker_config: Path) -> Callable[..., None]:
    def write(registry: HostileRegistry, token: str = "", pair: str = PAIR) -> None:
        auth = base64.b64encode(pair.encode()).decode()
        entry = {"auth": auth, "identitytoken": token}
        docker_config.write_text(json.dumps({"auths": {registry.host: entry}}))

    return write


def test_nothing_is_sent_before_it_is_asked_for(
    registry: HostileRegistry, open_source: OpenSource, log_in: Callable[..., None]
) -> None:
    log_in(registry)

    open_source(registry).root()

    assert all("Authorization" not in one.headers for one in registry.seen)


def test_a_user_gets_in_by_basic(
    registry: HostileRegistry, open_source: OpenSource, log_in: Callable[..., None]
) -> None:
    registry.does.basic = PAIR
    log_in(registry)
    source = open_source(registry)

    root = source.root()
    source.open_blob(root)

    assert root.digest == sha256(MANIFEST)
    sent = [one.headers.get("Authorization") for one in registry.seen]
    assert sent == [None, BASIC, BASIC]


@pytest.mark.parametrize("pair", ["", "me:wrong"])
def test_basic_without_the_right_password_is_refused_with_the_registrys_words(
    registry: HostileRegistry,
    open_source: OpenSource,
    log_in: Callable[..., None],
    pair: str,
) -> None:
    registry.does.basic = PAIR
    if pair:
        log_in(registry, pair=pair)

    with pytest.raises(PermissionDeniedError, match="log in first") as caught:
        open_source(registry).root()

    assert registry.host in str(caught.value)
    assert "wrong" not in str(caught.value)


def test_an_anonymous_token_is_asked_for_once_for_a_scope(
    registry: HostileRegistry, open_source: OpenSource
) -> None:
    registry.does.bearer = True
    source = open_source(registry)

    for _ in range(3):
        source.open_blob(source.root())

    [token] = registry.requests("GET", "/token")
    assert token.query["scope"] == [f"repository:{REPOSITORY}:pull"]
    assert token.query["service"] == ["test registry"]
    assert "Authorization" not in token.headers


def test_a_users_password_goes_to_the_token_service_alone(
    registry: HostileRegistry, open_source: OpenSource, log_in: Callable[..., None]
) -> None:
    registry.does.bearer, registry.does.token_user = True, PAIR
    log_in(registry)

    open_source(registry).root()

    [token] = registry.requests("GET", "/token")
    assert token.headers["Authorization"] == BASIC
    assert token.query["account"] == ["me"]
    others = [one for one in registry.seen if one.path != "/token"]
    assert all(one.headers.get("Authorization") != BASIC for one in others)


def test_an_identity_token_is_posted(
    registry: HostileRegistry, open_source: OpenSource, log_in: Callable[..., None]
) -> None:
    registry.does.bearer, registry.does.identity_token = True, SECRET
    log_in(registry, token=SECRET)

    open_source(registry).root()

    [token] = registry.requests("POST", "/token")
    assert token.query == {}
    assert b"grant_type=refresh_token" in token.body
    assert "Authorization" not in token.headers


def test_a_refused_login_names_the_user_and_not_the_password(
    registry: HostileRegistry, open_source: OpenSource, log_in: Callable[..., None]
) -> None:
    registry.does.bearer, registry.does.token_user = True, "another:one"
    log_in(registry)

    with pytest.raises(PermissionDeniedError, match="no such user") as caught:
        open_source(registry).root()

    assert "'me'" in str(caught.value)
    assert SECRET not in str(caught.value)


def test_a_token_that_ends_early_is_renewed(
    registry: HostileRegistry, open_source: OpenSource
) -> None:
    registry.does.bearer = True
    source = open_source(registry)
    source.root()
    registry.tokens = {"of others"}

    source.root()

    assert len(registry.requests("GET", "/token")) == 2


def test_a_token_is_renewed_when_its_time_is_over(
    registry: HostileRegistry,
    open_source: OpenSource,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    registry.does.bearer = True
    source = open_source(registry)
    now = 0.0
    monkeypatch.setattr("snapfs.image.registry.tokens.time.monotonic", lambda: now)
    source.root()
    now = 289.0
    source.root()
    assert len(registry.requests("GET", "/token")) == 1
    now = 291.0

    source.root()

    assert len(registry.requests("GET", "/token")) == 2
    # It was not first sent and refused.
    assert len(registry.requests("HEAD", "/manifests/")) == 4


def test_a_token_that_is_never_accepted_ends_in_a_refusal(
    registry: HostileRegistry, open_source: OpenSource
) -> None:
    registry.does.bearer = True
    registry.tokens = _Forgetful()

    with pytest.raises(PermissionDeniedError, match="log in first"):
        open_source(registry).root()

    # One for the question, one for the refusal in words.
    assert len(registry.requests("GET", "/token")) == 2


class _Forgetful(set[str]):
    def add(self, element: str, /) -> None:
        """Forget it."""


def test_pushing_asks_for_the_right_to_push(
    registry: HostileRegistry, settings: RegistrySettings
) -> None:
    registry.does.bearer = True
    name = parse_name(f"{registry.host}/{REPOSITORY}:v2")

    with RegistryTarget(name, settings) as target:
        target.has_blob(sha256(b""))

    [token] = registry.requests("GET", "/token")
    assert token.query["scope"] == [f"repository:{REPOSITORY}:pull,push"]


@pytest.mark.parametrize(
    ("challenge", "complaint"),
    [
        pytest.param('Bearer realm="gopher://x"', "gopher", id="scheme"),
        pytest.param('Bearer realm="/token"', "https URL", id="relative"),
        pytest.param("Bearer", "log in first", id="no-realm"),
        pytest.param("Digest realm=x", "log in first", id="unknown"),
        pytest.param("", "log in first", id="none"),
    ],
)
def test_a_challenge_that_cannot_be_answered_is_a_refusal(
    registry: HostileRegistry, open_source: OpenSource, challenge: str, complaint: str
) -> None:
    registry.does.basic, registry.does.challenge = PAIR, challenge or "@"
    registry.does.knows_head = True

    with pytest.raises(PermissionDeniedError, match=r"HTTP status 401|" + complaint):
        open_source(registry).root()


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(b"no json", id="no-json"),
        pytest.param(b"{}", id="no-token"),
        pytest.param(b'{"token": 5}', id="number"),
        pytest.param(b'{"token": "a\\r\\nX-Evil: 1"}', id="header-injection"),
    ],
)
def test_an_answer_without_a_usable_token_is_an_error(
    make_registry: Callable[[], HostileRegistry],
    registry: HostileRegistry,
    open_source: OpenSource,
    answer: bytes,
) -> None:
    service = make_registry()
    service.blobs["answer"] = answer
    registry.does.bearer = True
    registry.does.realm = f"{service.url}/v2/x/blobs/answer"

    with pytest.raises(UnavailableError, match="token"):
        open_source(registry).root()


def test_an_endless_token_is_not_read(
    make_registry: Callable[[], HostileRegistry],
    registry: HostileRegistry,
    open_source: OpenSource,
) -> None:
    service = make_registry()
    service.blobs["answer"] = b" " * (2 << 20)
    registry.does.bearer = True
    registry.does.realm = f"{service.url}/v2/x/blobs/answer"

    with pytest.raises(ResourceExhaustedError, match="1048576 bytes"):
        open_source(registry).root()


def test_a_redirecting_token_service_does_not_pass_the_password_on(
    make_registry: Callable[[], HostileRegistry],
    registry: HostileRegistry,
    open_source: OpenSource,
    log_in: Callable[..., None],
) -> None:
    service, thief = make_registry(), make_registry()
    service.does.redirect_to = thief.url
    registry.does.bearer = True
    registry.does.realm = f"{service.url}/v2/x/blobs/answer"
    log_in(registry)

    with pytest.raises(PermissionDeniedError):
        open_source(registry).root()

    assert service.seen[0].headers["Authorization"] == BASIC
    assert thief.seen
    assert all("Authorization" not in one.headers for one in thief.seen)


def test_blobs_elsewhere_get_no_credentials_and_no_answer_to_challenges(
    make_registry: Callable[[], HostileRegistry],
    registry: HostileRegistry,
    open_source: OpenSource,
    log_in: Callable[..., None],
    host_folder: Path,
    blob: bytes,
) -> None:
    thief = make_registry()
    thief.does.basic = PAIR
    registry.does.basic, registry.does.redirect_to = PAIR, thief.url
    digest = Digest(registry.add_blob(blob))
    thief.add_blob(blob)
    log_in(registry)
    (host_folder / registry.host).mkdir()
    toml = f'server = "{registry.url}"\n[header]\nx-secret = "{SECRET}"'
    (host_folder / registry.host / "hosts.toml").write_text(toml)

    with pytest.raises(PermissionDeniedError, match="log in first"):
        open_source(registry).open_blob(Descriptor("", digest, len(blob)))

    [asked] = thief.seen
    assert "Authorization" not in asked.headers
    assert "X-Secret" not in asked.headers
    assert registry.seen[-1].headers["Authorization"] == BASIC
    assert registry.seen[-1].headers["X-Secret"] == SECRET


def test_credentials_are_not_sent_once_a_stranger_redirected_back(
    make_registry: Callable[[], HostileRegistry],
    registry: HostileRegistry,
    open_source: OpenSource,
    log_in: Callable[..., None],
    blob: bytes,
) -> None:
    stranger = make_registry()
    registry.does.basic = PAIR
    digest = Digest(registry.add_blob(blob))
    back = f"/v2/{REPOSITORY}/blobs/{digest}"
    registry.does.locations.append(f"{stranger.url}{back}")
    stranger.does.locations.append(f"{registry.url}{back}")
    log_in(registry)

    with pytest.raises(PermissionDeniedError):
        open_source(registry).open_blob(Descriptor("", digest, len(blob)))

    assert "Authorization" not in registry.seen[-1].headers
