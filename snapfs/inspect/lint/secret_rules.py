"""Rules on secrets: in any layer, for a whiteout hides a file and does not take it out.

A name makes a file a candidate; its content decides. Nothing that is found is printed.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Final, NamedTuple

from snapfs.inspect.findings import Finding, Rule, Severity
from snapfs.inspect.inspection import Body
from snapfs.inspect.lint.subject import Checker, Subject
from snapfs.layer.kinds import Kind

KEY: Final = Rule(
    "private-key",
    Severity.ERROR,
    "A private key is stored in the image, for all who can pull it",
    "Replace the key, and give the new one at run time, or to one step by"
    " 'RUN --mount=type=secret'",
)
CREDENTIALS: Final = Rule(
    "stored-credentials",
    Severity.ERROR,
    "A password or token is stored in the image, for all who can pull it",
    "Revoke it, and give the new one to one step by 'RUN --mount=type=secret'",
)
CONFIG_SECRET: Final = Rule(
    "secret-in-config",
    Severity.WARNING,
    "The image's config or history has what looks like a secret",
    "Revoke it; give secrets at run time, or by 'RUN --mount=type=secret', not by ENV"
    " or ARG",
)

_HEAD_BYTES: Final = 256 << 10
"""How much of a candidate is read; such files have a few kilobytes."""

_PRIVATE_KEY: Final = re.compile(
    rb"-----BEGIN (?:[A-Z0-9]+ )*PRIVATE KEY(?: BLOCK)?-----\s*[A-Za-z0-9+/=:]"
    rb"|^PuTTY-User-Key-File-\d",
    re.MULTILINE,
)
_KEY_NAMES: Final = re.compile(
    rb"(?:^|/)(?:id_(?:rsa|dsa|ecdsa|ed25519)(?:_sk)?|identity|ssh_host_[a-z0-9]+_key"
    rb"|[^/]*\.(?:pem|key|ppk|p8))$"
)
# Keys that all the world has: those of test suites, examples and documentation.
_PUBLIC_PLACES: Final = re.compile(
    rb"(?:^|/)(?:tests?|testdata|testing|fixtures|examples?|samples?|doc|docs|demos?"
    rb"|node_modules|site-packages|dist-packages|third_party|vendor|go/src)/"
)


class _Store(NamedTuple):
    """A file in which a program keeps credentials, and what they look like there."""

    name: re.Pattern[bytes]
    content: re.Pattern[bytes]


# A variable in place of a value is how it should be.
_VALUE: Final = rb"[\"']?(?!\$|<|\{|%)[^\s\"']{4,}"
_STORES: Final = tuple(
    _Store(re.compile(rb"(?:^|/)" + name + rb"$"), re.compile(content, re.MULTILINE))
    for name, content in (
        (rb"\.git-credentials", rb"^\w+://[^:/\s]*:[^@/\s]+@"),
        (rb"[._]netrc", rb"\bpassword\s+" + _VALUE),
        (rb"\.npmrc", rb"(?:_authToken|_auth|_password)\s*=\s*" + _VALUE),
        (rb"\.yarnrc\.yml", rb"npmAuth(?:Token|Ident):\s*" + _VALUE),
        (rb"\.pypirc", rb"^[ \t]*password\s*[=:]\s*" + _VALUE),
        (rb"pip\.conf", rb"://[^:/\s]+:(?!\$)[^@/\s]+@"),
        (rb"\.docker/config\.json", rb"\"(?:auth|identitytoken)\"\s*:\s*\"[^\"]+\""),
        (rb"\.dockercfg", rb"\"auth\"\s*:\s*\"[^\"]+\""),
        (rb"\.aws/credentials", rb"^[ \t]*aws_secret_access_key\s*=\s*" + _VALUE),
        (rb"\.cargo/credentials(?:\.toml)?", rb"^[ \t]*token\s*=\s*" + _VALUE),
        (rb"\.config/gh/hosts\.yml", rb"oauth_token:\s*" + _VALUE),
        (rb"\.kube/config", rb"(?:client-key-data|token|password):\s*" + _VALUE),
        (rb"\.pgpass", rb"^[^:#\n]*:[^:\n]*:[^:\n]*:[^:\n]*:[^\n]+$"),
        (rb"\.my\.cnf", rb"^[ \t]*password\s*=\s*" + _VALUE),
        (rb"\.vault-token", rb"\S{8,}"),
    )
)

_ANY_STORE: Final = re.compile(b"|".join(store.name.pattern for store in _STORES))


def private_keys(subject: Subject) -> Iterator[Finding]:
    """Look into files that are named like keys."""
    yield from _search(
        subject,
        KEY,
        lambda path: (
            _PRIVATE_KEY
            if _KEY_NAMES.search(path) and not _PUBLIC_PLACES.search(path)
            else None
        ),
        "a private key",
    )


def stored_credentials(subject: Subject) -> Iterator[Finding]:
    """Look into files in which programs keep passwords and tokens."""

    def pattern(path: bytes) -> re.Pattern[bytes] | None:
        # Few paths have such a name: most are asked once.
        for store in _STORES if _ANY_STORE.search(path) else ():
            if store.name.search(path):
                return store.content
        return None

    yield from _search(subject, CREDENTIALS, pattern, "credentials")


def _search(
    subject: Subject,
    rule: Rule,
    pattern_for: Callable[[bytes], re.Pattern[bytes] | None],
    what: str,
) -> Iterator[Finding]:
    """Yield the files of all layers whose content is as their path's pattern says."""
    wanted: dict[Body, tuple[bytes, re.Pattern[bytes]]] = {}
    for number, layer in enumerate(subject.inspection.layers):
        for path, node in layer.index.walk():
            if layer.index.kinds[node] == Kind.FILE:
                pattern = pattern_for(path)
                if pattern is not None and layer.index.sizes[node]:
                    wanted[number, node] = path, pattern
    # One head at a time: there may be any number of them.
    found = [
        body
        for body, head in subject.inspection.heads(wanted, _HEAD_BYTES)
        if wanted[body][1].search(head)
    ]
    for body in sorted(found):
        path = wanted[body][0]
        place = subject.tree.lookup(path)
        is_seen = place is not None and subject.tree.body(place) == body
        hidden = "" if is_seen else ", hidden by a higher layer, but still stored"
        yield Finding(rule, f"{what}{hidden}", path, body[0] + 1)


# Each pattern here takes time in proportion to its text, whatever an image says.
_SECRET_WORD: Final = re.compile(
    r"PASSWORD|PASSWD|SECRET|TOKEN|API_?KEY|ACCESS_KEY|PRIVATE_KEY", re.IGNORECASE
)
_NAME: Final = re.compile(r"[A-Za-z0-9_]+")
# "|2 TOKEN=x USER=y /bin/sh -c ..." is how Docker notes build arguments.
_ARGUMENTS: Final = re.compile(r"\|\d+ ")
# Names of files, references, switches: none is a secret itself.
_HARMLESS: Final = re.compile(
    r"^(?:|/.*|\$.*|true|false|yes|no|none|null|\d{1,5}|.{1,3})$", re.IGNORECASE
)


def is_secret(name: str, value: str) -> bool:
    """Tell whether a setting of this name and value looks like a secret."""
    is_file = name.upper().endswith(("_FILE", "_PATH", "_DIR", "_URL"))
    is_named = _NAME.fullmatch(name) and _SECRET_WORD.search(name)
    return bool(is_named) and not is_file and not _HARMLESS.match(value)


def secrets_in_config(subject: Subject) -> Iterator[Finding]:
    """Look at the environment, the labels, and the build arguments in the history."""
    image = subject.inspection.image
    assert image is not None  # the checker needs it
    process = image.config.process
    pairs = [("Env", *text.partition("=")[::2]) for text in process.environment] + [
        ("label", name, value) for name, value in process.labels.items()
    ]
    for where, name, value in pairs:
        if is_secret(name, value):
            yield Finding(CONFIG_SECRET, f"{where} {name} has a value")
    for step in image.config.history:
        if not _ARGUMENTS.match(step.created_by):
            continue
        for word in step.created_by.partition(" /bin/sh -c ")[0].split():
            name, _, value = word.partition("=")
            if is_secret(name, value):
                message = f"the build argument {name} is in the history"
                yield Finding(CONFIG_SECRET, message)


CHECKERS: Final = (
    Checker(KEY, private_keys),
    Checker(CREDENTIALS, stored_credentials),
    Checker(CONFIG_SECRET, secrets_in_config, needs_image=True),
)
