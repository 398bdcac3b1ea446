"""The configuration that makes a given version of containerd use snapfs.

What each version understands, with its source:

- configuration versions: ``version/version.go`` (2 in 1.x, 3 in 2.0-2.2, 4 from
  2.3). From 2.3 on version 3 is printed too: nothing here differs between 3 and 4,
  and 2.3 refuses a drop-in file of a higher version than that of the main file,
  which may have stayed at 3 (``cmd/containerd/server/config/config.go``,
  ``LoadConfigWithPlugins``; gone again in 2.4).
- ``exports`` of proxy plugins: 1.6.32, 1.7.16 (containerd #9253, #10096), all 2.x.
- ``unpack_config`` of the transfer service, through which ``ctr`` pulls from 2.0 on;
  an own list replaces the default one, so that overlayfs must be named again
  (``plugins/transfer/plugin.go``). ``optional`` entries: 2.3.
- ``capabilities``: none is advertised; ``rebase`` and ``remap-ids`` would change
  what containerd asks for.
"""

from __future__ import annotations

import dataclasses
import re
from typing import Final

from snapfs.errors import InvalidArgumentError

PLUGIN: Final = "snapfs"

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
    def has_optional_unpack(self) -> bool:
        """Whether an entry of ``unpack_config`` may name a missing snapshotter."""
        return self.is_at_least(2, 3)

    @property
    def breaks_parallel_unpack(self) -> bool:
        """Whether ``max_concurrent_unpacks`` above 1 damages images."""
        return self.is_at_least(2, 2) and not self.is_at_least(2, 2, 3)


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


def containerd_toml(
    version: ContainerdVersion, *, root: str, address: str, use_for_cri: bool
) -> str:
    """Return a configuration file for ``version`` that adds the snapshotter snapfs.

    Args:
        version: Of containerd.
        root: The state directory of the store.
        address: The socket of ``snapfs serve``.
        use_for_cri: Make snapfs the snapshotter of Kubernetes; otherwise those lines
            are comments.
    """
    parts = [_head(version), _proxy_plugin(version, root, address)]
    if version.major >= 2:
        parts.append(_transfer(version))
    parts.append(_cri(version, use_for_cri))
    return "\n".join(parts)


def _head(version: ContainerdVersion) -> str:
    lines = [
        f"# snapfs for containerd {version}. Start 'snapfs serve' before containerd.",
        "# Try it: ctr images pull --snapshotter snapfs IMAGE",
        f"version = {version.config_version}",
    ]
    if version.is_at_least(2, 3):
        lines[-1] += "  # 4 where it is pasted into a file of version 4"
    return "\n".join(lines) + "\n"


def _proxy_plugin(version: ContainerdVersion, root: str, address: str) -> str:
    text = (
        f"[proxy_plugins.{PLUGIN}]\n"
        '  type = "snapshot"\n'
        f"  address = {_quoted(address)}\n"
    )
    if version.has_exports:
        return text + (
            "  # Where images take space: Kubernetes watches the disk below it.\n"
            f"  [proxy_plugins.{PLUGIN}.exports]\n"
            f"    root = {_quoted(root)}\n"
        )
    return text + (
        "  # This version cannot be told where images take space; Kubernetes watches\n"
        "  # the wrong directory. 1.6.32, 1.7.16 and later can.\n"
    )


def _transfer(version: ContainerdVersion) -> str:
    optional = "  optional = true\n" if version.has_optional_unpack else ""
    remark = (
        ""
        if version.has_optional_unpack
        else "# Leave out the first where overlayfs does not work.\n"
    )
    warning = (
        "# max_concurrent_unpacks must stay 1: before 2.2.3 more damages images.\n"
        if version.breaks_parallel_unpack
        else ""
    )
    header = '[[plugins."io.containerd.transfer.v1.local".unpack_config]]\n'
    return (
        "# Pulls by the transfer service unpack only with the snapshotters listed.\n"
        f"{remark}{warning}{header}"
        '  platform = "linux"\n'
        '  snapshotter = "overlayfs"\n'
        '  differ = "walking"\n'
        f"{optional}\n{header}"
        '  platform = "linux"\n'
        f'  snapshotter = "{PLUGIN}"\n'
        '  differ = "walking"\n'
    )


def _cri(version: ContainerdVersion, is_live: bool) -> str:
    if version.config_version >= 3:
        table = "[plugins.'io.containerd.cri.v1.images']"
    else:
        table = '[plugins."io.containerd.grpc.v1.cri".containerd]'
    lines = [table, f'  snapshotter = "{PLUGIN}"']
    if is_live:
        return "# Kubernetes (CRI) uses snapfs.\n" + "\n".join(lines) + "\n"
    comment = "# For Kubernetes (CRI), take away the '#' of these lines:\n"
    return comment + "\n".join(f"# {line}" for line in lines) + "\n"


def _quoted(text: str) -> str:
    """Return a basic string of TOML 1.0."""
    escaped = [
        f"\\u{ord(char):04x}"
        if ord(char) < 0x20 or char == "\x7f"
        else f"\\{char}"
        if char in '"\\'
        else char
        for char in text
    ]
    return f'"{"".join(escaped)}"'
