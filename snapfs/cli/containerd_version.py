"""Versions of containerd, and what each of them can.

:mod:`snapfs.cli.containerd_config` has the sources.
"""

from __future__ import annotations

import dataclasses
import re
from typing import Final

from snapfs.errors import InvalidArgumentError

_VERSION: Final = re.compile(r"v?(\d+)\.(\d+)(?:\.(\d+))?(?![\d.])(.*)")
# "-rc.1" and Debian's "~rc1" come before the release; "~ds1", "-1+deb12u1",
# "+unknown" and "-0ubuntu1" do not.
_PRERELEASE: Final = re.compile(r"^[-~.]?(alpha|beta|rc)")
_OLDEST: Final = (1, 6)


@dataclasses.dataclass(frozen=True, slots=True)
class ContainerdVersion:
    """A version of containerd; the patch level is 0 where none was given."""

    major: int
    minor: int
    patch: int = 0
    is_prerelease: bool = False

    def __str__(self) -> str:
        """Return the version as containerd writes it."""
        number = f"{self.major}.{self.minor}.{self.patch}"
        return f"{number} (prerelease)" if self.is_prerelease else number

    def is_at_least(self, major: int, minor: int, patch: int = 0) -> bool:
        """Whether this is that release or a later one; its prereleases are not."""
        mine = (self.major, self.minor, self.patch)
        if mine == (major, minor, patch):
            return not self.is_prerelease
        return mine > (major, minor, patch)

    @property
    def config_version(self) -> int:
        """The version of the configuration file to write."""
        return 3 if self.is_at_least(2, 0) else 2

    @property
    def has_exports(self) -> bool:
        """Whether a proxy plugin can tell CRI where images take space."""
        if (self.major, self.minor) == (1, 6):
            return self.is_at_least(1, 6, 32)
        return self.is_at_least(1, 7, 16)

    @property
    def has_capabilities(self) -> bool:
        """Whether a proxy plugin can say what its snapshotter is able to do."""
        return self.is_at_least(1, 7, 23)

    @property
    def has_proxy_differs(self) -> bool:
        """Whether a proxy plugin can be a differ."""
        return self.is_at_least(1, 7)

    @property
    def has_optional_unpack(self) -> bool:
        """Whether an entry of ``unpack_config`` may name a missing snapshotter."""
        return self.is_at_least(2, 3)

    @property
    def has_parallel_unpack(self) -> bool:
        """Whether layers of an image can be unpacked at once, without damage."""
        return self.is_at_least(2, 2, 3)

    @property
    def breaks_parallel_unpack(self) -> bool:
        """Whether ``max_concurrent_unpacks`` above 1 damages images."""
        return self.is_at_least(2, 2) and not self.has_parallel_unpack


def parse_version(text: str) -> ContainerdVersion:
    """Read a version: ``1.7``, ``1.6.20~ds1``, ``v2.2.3-rc.1``.

    Raises:
        InvalidArgumentError: It is no version, or one before 1.6.
    """
    match = _VERSION.fullmatch(text.strip())
    if match is None:
        raise InvalidArgumentError(
            f"{text!r} is no version of containerd; write one such as 2.2.3"
        )
    major, minor, patch, rest = match.groups()
    version = ContainerdVersion(
        int(major), int(minor), int(patch or 0), bool(_PRERELEASE.match(rest))
    )
    if (version.major, version.minor) < _OLDEST:
        raise InvalidArgumentError(
            f"containerd {text} is older than 1.6, the first that is supported"
        )
    return version


def version_in_output(text: str) -> str:
    """Return the version in what ``containerd --version`` prints.

    That is ``containerd PACKAGE VERSION REVISION``.

    Raises:
        InvalidArgumentError: There is none.
    """
    for word in text.split()[1:]:
        if _VERSION.fullmatch(word):
            return word
    raise InvalidArgumentError(f"'containerd --version' printed no version: {text!r}")
