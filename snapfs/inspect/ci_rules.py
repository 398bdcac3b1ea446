"""Pass or fail for pipelines: dive's rules, its defaults and its file ``.dive-ci``."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from snapfs.errors import InvalidArgumentError
from snapfs.inspect.efficiency import Efficiency
from snapfs.inspect.findings import Checked, Finding, Rule, Severity

DISABLED: Final = "disabled"
"""The value that turns a rule off."""

EFFICIENCY: Final = Rule(
    "lowestEfficiency",
    Severity.ERROR,
    "Too little of what the image stores is seen in its containers",
    "Find what is hidden with 'snapfs image waste', and change the step that stores it",
)
WASTED_BYTES: Final = Rule(
    "highestWastedBytes",
    Severity.ERROR,
    "Too many bytes of the image are hidden from its containers",
    "Find them with 'snapfs image waste', and change the step that stores them",
)
USER_WASTED: Final = Rule(
    "highestUserWastedPercent",
    Severity.ERROR,
    "Too much is hidden, compared to what the layers above the base store",
    "Find it with 'snapfs image waste', and change the step that stores it",
)
RULES: Final = (EFFICIENCY, WASTED_BYTES, USER_WASTED)

DEFAULTS: Final[Mapping[str, str]] = {
    EFFICIENCY.id: "0.9",
    WASTED_BYTES.id: DISABLED,
    USER_WASTED.id: "0.1",
}
"""As dive has them."""


class State(StrEnum):
    """What became of a rule."""

    PASSED = "pass"
    FAILED = "fail"
    SKIPPED = "skip"


@dataclass(frozen=True, slots=True)
class Verdict:
    """A rule, applied.

    Attributes:
        value: What was measured.
        limit: As it was given.
        message: Why it failed; "" otherwise.
    """

    rule: Rule
    state: State
    value: float
    limit: str
    message: str = ""


def judge(measured: Efficiency, limits: Mapping[str, str]) -> list[Verdict]:
    """Apply all rules; ``limits`` has a value for each, by its id.

    Raises:
        InvalidArgumentError: A value is neither ``disabled`` nor of its rule's form.
    """
    lowest = _ratio(EFFICIENCY.id, limits[EFFICIENCY.id])
    most_bytes = _size(WASTED_BYTES.id, limits[WASTED_BYTES.id])
    most = _ratio(USER_WASTED.id, limits[USER_WASTED.id])
    score, wasted = measured.score, measured.wasted_bytes
    user = measured.user_wasted
    return [
        _verdict(
            EFFICIENCY,
            *(score, limits, lowest is not None and score < lowest),
            f"efficiency {score:.6g} is below {limits[EFFICIENCY.id]}",
        ),
        _verdict(
            WASTED_BYTES,
            *(wasted, limits, most_bytes is not None and wasted > most_bytes),
            f"{wasted} bytes are wasted, more than {limits[WASTED_BYTES.id]}",
        ),
        _verdict(
            USER_WASTED,
            *(user, limits, most is not None and user > most),
            f"{user:.6g} of the bytes above the base layer are wasted, more than"
            f" {limits[USER_WASTED.id]}",
        ),
    ]


def checked(verdicts: list[Verdict]) -> Checked:
    """Return verdicts as findings."""
    return Checked(
        tuple(one.rule for one in verdicts if one.state is not State.SKIPPED),
        tuple(
            Finding(one.rule, one.message)
            for one in verdicts
            if one.state is State.FAILED
        ),
        {one.rule.id: DISABLED for one in verdicts if one.state is State.SKIPPED},
    )


def _verdict(
    rule: Rule, value: float, limits: Mapping[str, str], fails: bool, message: str
) -> Verdict:
    limit = limits[rule.id]
    if limit == DISABLED:
        return Verdict(rule, State.SKIPPED, value, limit)
    if fails:
        return Verdict(rule, State.FAILED, value, limit, message)
    return Verdict(rule, State.PASSED, value, limit)


def _ratio(name: str, text: str) -> float | None:
    if text == DISABLED:
        return None
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 1:
        raise InvalidArgumentError(
            f"{name} is {text!r}, not a number from 0 to 1 or {DISABLED!r}"
        )
    return value


# As go-humanize reads sizes, which dive does.
_SIZE: Final = re.compile(r"([\d,]*\.?\d+)\s*(?:([kmgtp])(i?))?b?", re.IGNORECASE)


def _size(name: str, text: str) -> float | None:
    if text == DISABLED:
        return None
    found = _SIZE.fullmatch(text.strip())
    if found is None:
        raise InvalidArgumentError(
            f"{name} is {text!r}, not a size like '20MB' or '20MiB', or {DISABLED!r}"
        )
    number, letter, is_binary = found.groups()
    power = " kmgtp".index(letter.lower()) if letter else 0
    base = 1024.0 if is_binary else 1000.0
    return float(number.replace(",", "")) * base**power


def read_rules(text: str, name: str) -> dict[str, str]:
    """Return the limits of a ``.dive-ci``: those that it gives, by their rules' ids.

    Read is what such files are made of: the key ``rules`` and, indented below it, one
    rule a line, in camelCase or kebab-case; comments; quotes.

    Raises:
        InvalidArgumentError: There is anything else; the message names the line.
    """
    known = {rule.id.lower(): rule.id for rule in RULES}
    limits: dict[str, str] = {}
    is_inside = False
    for number, line in enumerate(text.splitlines(), 1):
        bare = re.sub(r"(^|\s)#.*", "", line).rstrip()
        if not bare.strip() or bare.strip() in ("---", "..."):
            continue
        is_indented = bare[0] == " "
        key, colon, value = (part.strip() for part in bare.partition(":"))
        value = _unquoted(value)
        where = f"{name}:{number}"
        if not is_indented:
            if (key, colon, value) != ("rules", ":", ""):
                raise InvalidArgumentError(
                    f"{where}: {bare!r} is not 'rules:'; only dive's rules are read"
                )
            is_inside = True
            continue
        rule = known.get(key.replace("-", "").lower())
        if rule is None or not is_inside:
            near = difflib.get_close_matches(key, [r.id for r in RULES], n=1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise InvalidArgumentError(f"{where}: {key!r} is no rule of dive's{hint}")
        if not colon or not value or rule in limits:
            twice = "is given twice" if rule in limits else "has no value"
            raise InvalidArgumentError(f"{where}: {rule} {twice}")
        limits[rule] = value
    return limits


def _unquoted(value: str) -> str:
    is_quoted = len(value) > 1 and value[0] == value[-1] and value[0] in "'\""
    return value[1:-1] if is_quoted else value
