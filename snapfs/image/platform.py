"""Platforms: read, normalised, and ordered by what runs on them.

Words and order are containerd's (its ``platforms`` package: ``normalizeOS``,
``normalizeArch``, ``platformVector``), so that both choose the same image.
"""

from __future__ import annotations

import os
import re
from typing import Final

from snapfs.errors import InvalidArgumentError
from snapfs.image.descriptor import Platform

_ARCHITECTURES: Final = {
    "i386": ("386", ""),
    "x86_64": ("amd64", ""),
    "x86-64": ("amd64", ""),
    "aarch64": ("arm64", ""),
    "armhf": ("arm", "v7"),
    "armel": ("arm", "v6"),
    # What uname says on 32 bit ARM.
    "armv7l": ("arm", "v7"),
    "armv6l": ("arm", "v6"),
}
_KNOWN_ARCHITECTURES: Final = frozenset(
    {
        *("386", "amd64", "arm", "arm64", "loong64", "mips", "mips64", "mips64le"),
        *("mipsle", "ppc64", "ppc64le", "riscv64", "s390x", "wasm"),
    }
)
_KNOWN_OS: Final = frozenset(
    {
        *("aix", "android", "darwin", "dragonfly", "freebsd", "illumos", "ios", "js"),
        *("linux", "netbsd", "openbsd", "plan9", "solaris", "wasip1", "windows"),
    }
)
# The variant that an architecture without one has, and that is not written.
_IMPLIED_VARIANTS: Final = {"arm64": ("v8", "v8.0"), "amd64": ("v1",), "386": ("v1",)}
_ARM_VARIANTS: Final = ("v8", "v7", "v6", "v5")

_PART: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
_ARM64_VARIANT: Final = re.compile(r"v([89])(?:\.([0-9]{1,2}))?")
_AMD64_VARIANT: Final = re.compile(r"v([0-9]{1,2})")


def parse_platform(text: str) -> Platform:
    """Read ``OS``, ``ARCH``, ``OS/ARCH`` or ``OS/ARCH/VARIANT``, normalised.

    What is left out is this machine's.

    Raises:
        InvalidArgumentError: ``text`` is none of these.
    """
    parts = text.split("/")
    if len(parts) > 3 or not all(_PART.fullmatch(part) for part in parts):
        raise InvalidArgumentError(
            f"{text!r} is not a platform; write OS/ARCH[/VARIANT], as in linux/arm64"
        )
    if len(parts) > 1:
        return normalise(Platform(*parts))
    host = host_platform()
    word = parts[0].lower()
    if word in _KNOWN_OS or word == "macos":
        return normalise(Platform(word, host.architecture, host.variant))
    if word in _KNOWN_ARCHITECTURES or word in _ARCHITECTURES:
        return normalise(Platform(host.os, word))
    raise InvalidArgumentError(
        f"{text!r} is neither an operating system nor an architecture; write "
        "OS/ARCH[/VARIANT], as in linux/arm64"
    )


def host_platform() -> Platform:
    """Return the platform of this machine, normalised."""
    return normalise(Platform("linux", os.uname().machine))


def normalise(platform: Platform) -> Platform:
    """Return ``platform`` in Go's words, without the variant that goes unsaid."""
    system = platform.os.lower()
    architecture = platform.architecture.lower()
    variant = platform.variant.lower()
    if variant and variant[0].isdigit():
        variant = "v" + variant
    if architecture in _ARCHITECTURES:
        architecture, implied = _ARCHITECTURES[architecture]
        variant = implied or variant
    if architecture == "arm" and not variant:
        variant = "v7"
    if variant in _IMPLIED_VARIANTS.get(architecture, ()):
        variant = ""
    if architecture == "arm64" and variant == "v9.0":
        variant = "v9"
    return Platform("darwin" if system == "macos" else system, architecture, variant)


def candidates(platform: Platform) -> tuple[Platform, ...]:
    """Return all platforms whose images run on ``platform``, the best first."""
    wanted = normalise(platform)
    lower = {"arm64": _below_arm64, "amd64": _below_amd64, "arm": _below_arm}
    below = lower.get(wanted.architecture, _below_nothing)(wanted.variant)
    return (
        wanted,
        *(normalise(Platform(wanted.os, *pair)) for pair in below),
    )


def _below_nothing(variant: str) -> list[tuple[str, str]]:
    del variant
    return []


def _below_arm64(variant: str) -> list[tuple[str, str]]:
    lower = []
    if match := _ARM64_VARIANT.fullmatch(variant):
        generation, minor = int(match[1]), int(match[2] or 0)
        if generation == 9:
            lower += [("arm64", _arm64_variant(9, m)) for m in range(minor - 1, -1, -1)]
            # Arm ARM: v9.N has all that v8.(N+5) has.
            minor += 6
        lower += [("arm64", _arm64_variant(8, m)) for m in range(minor - 1, -1, -1)]
    return lower + [("arm", arm) for arm in _ARM_VARIANTS]


def _arm64_variant(generation: int, minor: int) -> str:
    return f"v{generation}.{minor}" if minor else f"v{generation}"


def _below_amd64(variant: str) -> list[tuple[str, str]]:
    match = _AMD64_VARIANT.fullmatch(variant)
    levels = range(int(match[1]) - 1, 0, -1) if match else ()
    return [*(("amd64", f"v{level}") for level in levels), ("386", "")]


def _below_arm(variant: str) -> list[tuple[str, str]]:
    if variant not in _ARM_VARIANTS:
        return []
    start = _ARM_VARIANTS.index(variant) + 1
    return [("arm", lower) for lower in _ARM_VARIANTS[start:]]


def is_unknown(platform: Platform | None) -> bool:
    """Tell whether this is BuildKit's mark of an attestation: ``unknown/unknown``."""
    return platform is not None and "unknown" in (platform.os, platform.architecture)
