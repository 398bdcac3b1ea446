"""Passwords for registries: Docker's ``config.json`` and its helper programs.

Sources: docker/cli's configfile (``auths``, ``credsStore``, ``credHelpers``),
containers-auth.json(5) for keys with a path, docker-credential-helpers' README
for the protocol of the programs. A secret is never in a message, a log or a repr.
"""

from __future__ import annotations

import base64
import binascii
import re
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Protocol

import msgspec

from snapfs.errors import InvalidArgumentError, UnavailableError
from snapfs.image.registry.name import DEFAULT_DOMAIN

# The key under which Docker keeps what belongs to docker.io.
_DOCKER_HUB_KEY: Final = "https://index.docker.io/v1/"
_LARGEST_DOCUMENT: Final = 1 << 20
_HELPER_TIMEOUT_S: Final = 60.0
# It becomes a part of a program's name.
_HELPER_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
# What a helper prints instead of credentials, by the protocol.
_NOT_FOUND: Final = b"credentials not found in native keychain"
# The user name under which an identity token is stored.
_TOKEN_USER: Final = "<token>"  # noqa: S105 - a name, fixed by the protocol


@dataclass(frozen=True, slots=True)
class Credentials:
    """A user and password, or an identity token (OAuth2's refresh token)."""

    username: str = ""
    password: str = field(default="", repr=False)
    identity_token: str = field(default="", repr=False)


class CredentialStore(Protocol):
    """Where passwords come from."""

    def find(self, domain: str, repository: str) -> Credentials | None:
        """Return what belongs to a registry's repository; None for nothing.

        Raises:
            InvalidArgumentError: The store is malformed.
            UnavailableError: A helper program is missing or failed.
            OSError: The store cannot be read.
        """


class NoCredentials:
    """A store without anything: every registry is asked anonymously."""

    def find(self, domain: str, repository: str) -> Credentials | None:
        """Return None."""
        del domain, repository
        return None


class DockerConfig:
    """The credentials of a ``config.json`` (or of Podman's ``auth.json``).

    The file is read at each question, so that a login counts at once; a missing
    file holds nothing.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def find(self, domain: str, repository: str) -> Credentials | None:
        """Return what the file, or a helper that it names, has for a registry."""
        document = self._read()
        helper = self._helper(document, domain)
        if helper:
            found = _ask_helper(helper, _server(domain))
            if found is not None:
                return found
        auths = self._table(document, "auths")
        entries = {_normalised(key): key for key in auths}
        for key in _keys(domain, repository):
            if key in entries:
                found = self._entry(entries[key], auths[entries[key]])
                if found is not None:
                    return found
        return None

    def _read(self) -> dict[str, Any]:
        try:
            with self._path.open("rb") as file:
                content = file.read(_LARGEST_DOCUMENT + 1)
        except FileNotFoundError:
            return {}
        if len(content) > _LARGEST_DOCUMENT:
            raise InvalidArgumentError(
                f"'{self._path}' is larger than {_LARGEST_DOCUMENT} bytes"
            )
        try:
            document = msgspec.json.decode(content)
        except (msgspec.DecodeError, UnicodeDecodeError):
            # Not chained: the cause could show a part of a secret.
            raise InvalidArgumentError(f"'{self._path}' is not JSON") from None
        if not isinstance(document, dict):
            raise InvalidArgumentError(f"'{self._path}' is not a JSON object")
        return document

    def _helper(self, document: dict[str, Any], domain: str) -> str:
        helpers = self._table(document, "credHelpers")
        name = helpers.get(_server(domain), helpers.get(domain))
        if name is None:
            name = document.get("credsStore") or ""
        if not isinstance(name, str) or (name and not _HELPER_NAME.fullmatch(name)):
            raise InvalidArgumentError(
                f"'{self._path}': the credential helper of {domain!r} is not the end "
                "of a program's name"
            )
        return name

    def _table(self, document: dict[str, Any], key: str) -> dict[str, Any]:
        table = document.get(key) or {}
        if not isinstance(table, dict):
            raise InvalidArgumentError(f"'{self._path}': {key!r} is not an object")
        return table

    def _entry(self, key: str, entry: object) -> Credentials | None:
        fields = entry if isinstance(entry, dict) else {}
        texts = [fields.get(name) or "" for name in _ENTRY_FIELDS]
        if not isinstance(entry, dict) or not all(isinstance(t, str) for t in texts):
            raise self._bad_entry(key)
        auth, username, password, token = texts
        if auth:
            try:
                pair = base64.b64decode(auth, validate=True).decode()
            except (binascii.Error, ValueError):
                raise self._bad_entry(key) from None
            username, colon, password = pair.rstrip("\0").partition(":")
            if not colon:
                raise self._bad_entry(key)
        if not (username or token):
            return None  # a helper has it, and had nothing to say
        return Credentials(username, password, token)

    def _bad_entry(self, key: str) -> InvalidArgumentError:
        return InvalidArgumentError(
            f"'{self._path}': the entry of {key!r} under 'auths' is malformed; "
            "log in to the registry again"
        )


_ENTRY_FIELDS: Final = ("auth", "username", "password", "identitytoken")


def _server(domain: str) -> str:
    return _DOCKER_HUB_KEY if domain == DEFAULT_DOMAIN else domain


def _normalised(key: str) -> str:
    # Old logins wrote whole URLs: https://host/v1/.
    _scheme, slashes, rest = key.partition("://")
    if not slashes:
        return key.rstrip("/")
    for version in ("/v1", "/v2"):
        rest = rest.rstrip("/").removesuffix(version)
    return "docker.io" if rest == "index.docker.io" else rest


def _keys(domain: str, repository: str) -> Iterator[str]:
    # Podman keeps logins for parts of a registry; the longest path decides.
    path = f"{domain}/{repository}" if repository else domain
    while path:
        yield path
        path = path.rpartition("/")[0]
    if domain == DEFAULT_DOMAIN:
        yield "index.docker.io"
        yield "registry-1.docker.io"


def _ask_helper(name: str, server: str) -> Credentials | None:
    program = f"docker-credential-{name}"
    code, output = _run_helper(program, server)
    if code != 0:
        if output.strip() == _NOT_FOUND:
            return None
        # What it printed could hold a secret.
        raise UnavailableError(
            f"the credential helper {program!r} failed for {server!r} with exit "
            f"code {code}; try: echo {server} | {program} get"
        )
    try:
        answer = msgspec.json.decode(output, type=_HelperAnswer)
    except (msgspec.DecodeError, msgspec.ValidationError, UnicodeDecodeError):
        raise UnavailableError(
            f"the credential helper {program!r} printed no credentials for {server!r}"
        ) from None
    if not answer.Secret:
        return None
    if answer.Username == _TOKEN_USER:
        return Credentials(identity_token=answer.Secret)
    return Credentials(answer.Username, answer.Secret)


class _HelperAnswer(msgspec.Struct):
    # The protocol's own spelling.
    Username: str = ""
    Secret: str = ""


def _run_helper(program: str, server: str) -> tuple[int, bytes]:
    # Into a file, so that a helper that prints without end costs no memory.
    with tempfile.TemporaryFile() as output:
        try:
            completed = subprocess.run(  # noqa: S603 - the user's configuration
                [program, "get"],
                input=server.encode(),
                stdout=output,
                stderr=subprocess.DEVNULL,
                timeout=_HELPER_TIMEOUT_S,
                check=False,
            )
        except FileNotFoundError:
            raise UnavailableError(
                f"the credential helper {program!r} is not installed"
            ) from None
        except (OSError, subprocess.TimeoutExpired) as error:
            why = getattr(error, "strerror", None) or "it did not end in time"
            raise UnavailableError(
                f"cannot run the credential helper {program!r}: {why}"
            ) from error
        output.seek(0)
        return completed.returncode, output.read(_LARGEST_DOCUMENT)
