"""Numbers in words: times, rates, ratios."""

from __future__ import annotations

import math
from typing import Final

_TIMES: Final = ((1.0, "s"), (1e-3, "ms"), (1e-6, "us"), (1e-9, "ns"))
_RATES: Final = ((2.0**30, "GiB/s"), (2.0**20, "MiB/s"), (2.0**10, "KiB/s"))

_MINUTE: Final = 60
_HOUR: Final = 3600


def time_unit(seconds: float) -> tuple[float, str]:
    """Return the unit in which ``seconds`` reads well: its size and its name."""
    for size, name in _TIMES:
        if abs(seconds) >= size:
            return size, name
    return _TIMES[-1]


def short_time(seconds: float, unit: tuple[float, str] | None = None) -> str:
    """Return ``12.3 us``: three significant digits, in ``unit`` if given."""
    size, name = unit or time_unit(seconds)
    return f"{digits(seconds / size)} {name}"


def digits(value: float) -> str:
    """Return ``value`` with three significant digits and no exponent."""
    if value == 0 or math.isinf(value) or math.isnan(value):
        return f"{value:g}"
    places = max(0, 2 - math.floor(math.log10(abs(value))))
    return f"{value:.{min(places, 6)}f}"


def factor(value: float) -> str:
    """Return a ratio with two decimals below 10, and three digits above."""
    return f"{value:.2f}" if value < 10 else digits(value)


def rate(bytes_per_s: float) -> str:
    """Return ``1.2 GiB/s``."""
    for size, name in _RATES:
        if bytes_per_s >= size:
            return f"{digits(bytes_per_s / size)} {name}"
    return f"{digits(bytes_per_s)} B/s"


def duration(seconds: float) -> str:
    """Return a length of time for a person: ``about 2 min``."""
    if seconds < _MINUTE:
        return f"about {max(1, round(seconds))} s"
    if seconds < _HOUR:
        return f"about {round(seconds / _MINUTE)} min"
    return f"about {seconds / _HOUR:.1f} h"


def percent(share: float) -> str:
    """Return ``4 %``, with a decimal below 10."""
    if math.isinf(share):
        return "unknown"
    return f"{share * 100:.0f} %" if share >= 0.1 else f"{share * 100:.1f} %"
