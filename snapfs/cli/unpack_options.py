"""The options of ``unpack``: what of a layer is kept, and how much it may be."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Sequence
from typing import Final, TypeVar

import click

from snapfs.cli.wording import did_you_mean
from snapfs.layer.limits import (
    DEFAULT_XATTRS,
    DevicePolicy,
    Limits,
    Policy,
    SetuidPolicy,
)

_Function = TypeVar("_Function", bound=Callable[..., object])

_UNITS: Final = {"": 0, "K": 10, "M": 20, "G": 30, "T": 40}
_SIZE: Final = re.compile(r"(\d{1,15})(?:\.(\d{1,3}))?([KMGT]?)(?:i?B)?", re.IGNORECASE)


class SizeType(click.ParamType):  # type: ignore[type-arg]  # generic since 8.3
    """A number of bytes, such as ``4096``, ``512M`` or ``1.5GiB`` (units of 1024)."""

    name = "size"

    def convert(
        self,
        value: object,
        param: click.Parameter | None,
        ctx: click.Context | None,
    ) -> int:
        """Return the number of bytes, 1 at least."""
        if isinstance(value, int):
            return value
        match = _SIZE.fullmatch(str(value))
        size = 0
        if match:
            number = float(f"{match[1]}.{match[2]}") if match[2] else int(match[1])
            size = int(number * (1 << _UNITS[match[3].upper()]))
        if size < 1:
            self.fail(f"{value!r} is no size; write one such as 512M", param, ctx)
        return size


SIZE: Final = SizeType()

_LIMITS: Final = {
    field.name.replace("_", "-"): field.name for field in dataclasses.fields(Limits)
}


def policy_options(function: _Function) -> _Function:
    """Add the options that :func:`policy_of` reads."""
    for option in (
        click.option(
            "--clamp",
            is_flag=True,
            help="Read paths with '..' within the root, instead of refusing them.",
        ),
        click.option(
            "--xattrs",
            metavar="NAME",
            multiple=True,
            help="Keep these extended attributes only; a final '*' stands for any "
            "rest; '' for none. May be repeated. Default: "
            + ", ".join(DEFAULT_XATTRS)
            + ".",
        ),
        click.option(
            "--setuid",
            type=click.Choice([str(choice) for choice in SetuidPolicy]),
            default=str(SetuidPolicy.KEEP),
            show_default=True,
            help="Setuid and setgid bits of files.",
        ),
        click.option(
            "--devices",
            type=click.Choice([str(choice) for choice in DevicePolicy]),
            show_default="allow; without root: skip",
            help="Device nodes; a placeholder is an empty file.",
        ),
    ):
        function = option(function)
    return function


def policy_of(
    devices: str | None,
    setuid: str,
    xattrs: Sequence[str],
    clamp: bool,
    *,
    is_privileged: bool,
) -> Policy:
    """Return what the options ask for; what nobody asked for is what can be done."""
    usual = DevicePolicy.ALLOW if is_privileged else DevicePolicy.SKIP
    return Policy(
        devices=DevicePolicy(devices) if devices else usual,
        setuid=SetuidPolicy(setuid),
        xattrs=tuple(name for name in xattrs if name) if xattrs else DEFAULT_XATTRS,
        clamp=clamp,
        keep_owners=is_privileged,
    )


def limit_options(function: _Function) -> _Function:
    """Add the options that :func:`limits_of` reads."""
    usual = Limits()
    for option in (
        click.option(
            "--limit",
            "limits",
            metavar="NAME=NUMBER",
            multiple=True,
            help=f"Any other limit of a layer, by name: {', '.join(_LIMITS)}.",
        ),
        click.option(
            "--max-ratio",
            metavar="NUMBER",
            type=click.IntRange(min=1),
            default=usual.ratio,
            show_default=True,
            help="Plain bytes for each stored byte of a layer, after the first GiB.",
        ),
        click.option(
            "--max-entries",
            metavar="NUMBER",
            type=click.IntRange(min=1),
            default=usual.entries,
            show_default=True,
            help="Entries of one layer.",
        ),
        click.option(
            "--max-bytes",
            metavar="SIZE",
            type=SIZE,
            default=usual.plain_bytes,
            show_default=f"{usual.plain_bytes >> 30}G",
            help="Plain bytes of one layer.",
        ),
    ):
        function = option(function)
    return function


def limits_of(
    max_bytes: int, max_entries: int, max_ratio: int, others: Sequence[str]
) -> Limits:
    """Return the limits that the options set.

    Raises:
        click.BadParameter: One of ``others`` is none.
    """
    limits = Limits(plain_bytes=max_bytes, entries=max_entries, ratio=max_ratio)
    return dataclasses.replace(limits, **dict(map(_limit, others)))


def _limit(word: str) -> tuple[str, int]:
    name, equals, value = word.partition("=")
    if not equals or name not in _LIMITS:
        near = did_you_mean(name, list(_LIMITS))
        raise click.BadParameter(f"{word!r} is not of the form NAME=NUMBER{near}")
    return _LIMITS[name], SIZE.convert(value, None, None)
