"""Names of images in registries, read as Docker reads them.

The grammar is that of the distribution project's ``reference`` package; what a
short name stands for (``docker.io``, ``library/``, ``latest``) is Docker's rule,
which containerd's and Podman's users know too.
"""

from __future__ import annotations

import re
from typing import Final

from snapfs.digest import Digest
from snapfs.errors import InvalidArgumentError
from snapfs.values import dataclass

DEFAULT_DOMAIN: Final = "docker.io"
# A name that Docker wrote in its early days and that is still met.
_LEGACY_DOMAIN: Final = "index.docker.io"
# Docker Hub's registry API is served under another name than the images'.
_DOCKER_HUB_HOST: Final = "registry-1.docker.io"
_OFFICIAL: Final = "library/"
_DEFAULT_TAG: Final = "latest"

# Domain and repository together, as the grammar has it.
_LONGEST_NAME: Final = 255

_COMPONENT: Final = r"[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?"
_DOMAIN: Final = re.compile(
    rf"(?:{_COMPONENT}(?:\.{_COMPONENT})*|\[[a-fA-F0-9:]+\])(?::[0-9]{{1,5}})?"
)
_PATH_COMPONENT: Final = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_REPOSITORY: Final = re.compile(rf"{_PATH_COMPONENT}(?:/{_PATH_COMPONENT})*")
_TAG: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")
# Docker once took such a name for the ID of an image.
_IDENTIFIER: Final = re.compile(r"[a-f0-9]{64}")


@dataclass(frozen=True, slots=True)
class RegistryName:
    """One image in a registry, all defaults filled in.

    Attributes:
        domain: The registry in the image's name, with its port where it has one;
            not always the host to connect to (see ``api_host``).
        repository: The path below the domain.
        tag: "" if a digest alone names the image.
        digest: Where it is given it decides, and the tag is for people.
    """

    domain: str
    repository: str
    tag: str
    digest: Digest | None = None

    @property
    def api_host(self) -> str:
        """Return the host (and port) that serves the domain's API by default."""
        return _DOCKER_HUB_HOST if self.domain == DEFAULT_DOMAIN else self.domain

    @property
    def reference(self) -> str:
        """Return what a manifest is asked for by: the digest, else the tag."""
        return self.tag if self.digest is None else str(self.digest)

    def __str__(self) -> str:
        """Return the full name; :func:`parse_name` reads it back."""
        tag = f":{self.tag}" if self.tag else ""
        digest = f"@{self.digest}" if self.digest else ""
        return f"{self.domain}/{self.repository}{tag}{digest}"


def parse_name(text: str) -> RegistryName:
    """Read an image's name, short (``debian``) or full.

    Raises:
        InvalidArgumentError: It is not a name by the grammar; the message says
            which part is not.
        UnimplementedError: The digest's algorithm is not supported.
    """
    rest, at, digest = text.partition("@")
    name, tag = _split_tag(rest)
    domain, repository = _split_domain(name)
    if not _DOMAIN.fullmatch(domain):
        raise _refused(text, f"{domain[:100]!r} is not a registry's host name")
    if not _REPOSITORY.fullmatch(repository):
        raise _refused(text, _repository_fault(repository))
    if len(domain) + 1 + len(repository) > _LONGEST_NAME:
        raise _refused(text, f"it is longer than {_LONGEST_NAME} characters")
    if tag is not None and not _TAG.fullmatch(tag):
        raise _refused(text, f"{tag[:140]!r} is not a tag")
    if at:
        return RegistryName(domain, repository, tag or "", Digest(digest))
    return RegistryName(domain, repository, tag or _DEFAULT_TAG)


def _split_tag(text: str) -> tuple[str, str | None]:
    # A colon before the last slash belongs to a port.
    head, colon, tail = text.rpartition(":")
    if colon and "/" not in tail:
        return head, tail
    return text, None


def _split_domain(name: str) -> tuple[str, str]:
    first, slash, rest = name.partition("/")
    if not slash or not _is_domain(first):
        if _IDENTIFIER.fullmatch(name):
            raise _refused(name, "64 hex digits name an image's ID, not a repository")
        first, rest = DEFAULT_DOMAIN, name
    if first == _LEGACY_DOMAIN:
        first = DEFAULT_DOMAIN
    if first == DEFAULT_DOMAIN and "/" not in rest:
        rest = _OFFICIAL + rest
    return first, rest


def _is_domain(first: str) -> bool:
    # Repositories have no upper case, so that it too marks a host's name.
    return (
        "." in first or ":" in first or first == "localhost" or first != first.lower()
    )


def _repository_fault(repository: str) -> str:
    if repository != repository.lower():
        return f"the repository {repository[:100]!r} must be in lower case"
    return f"{repository[:100]!r} is not a repository"


def _refused(text: str, why: str) -> InvalidArgumentError:
    return InvalidArgumentError(f"{text[:300]!r} is not an image's name: {why}")
