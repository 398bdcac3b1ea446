"""containerd's filters over snapshots.

Clients of a snapshotter name the snapshots that they want with a list of filters,
such as ``kind==committed,labels."containerd.io/snapshot.ref"==sha256:12``. The
grammar is in :mod:`snapfs.metadata.filter_parser`; the fields are those that
containerd's metadata store offers (``adaptSnapshot`` in ``storage/bolt.go``):

``name``, ``parent``, ``kind``
    Always there; ``parent`` may be "". What follows in the path is ignored.
``labels``
    The rest of the path, joined with dots, is the label's key.

Any other field is absent, for every snapshot.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Sequence
from operator import attrgetter
from typing import Final, TypeAlias

import re2

from snapfs.metadata.filter_parser import Operator, Selector, parse_selectors
from snapfs.model import Info

Predicate: TypeAlias = Callable[[Info], bool]
_Field: TypeAlias = Callable[[Info], str | None]

_ATTRIBUTES: Final = frozenset(("name", "parent", "kind"))
_log = logging.getLogger(__name__)


def parse_filters(filters: Sequence[str]) -> Predicate:
    """Return the test that a snapshot passes if it matches any of ``filters``.

    No filter at all, or an empty one, matches every snapshot. A regular expression
    that RE2 refuses is no error, as with containerd: it matches nothing, and the
    log says so. The predicate keeps no state; threads may share it.

    Raises:
        InvalidArgumentError: A filter does not parse.
    """
    predicates = [_parse_filter(text) for text in filters]
    if not predicates or _match_everything in predicates:
        return _match_everything
    if len(predicates) == 1:
        return predicates[0]

    def match_any(info: Info) -> bool:
        # A loop: any() would pay for a generator per snapshot.
        for predicate in predicates:  # noqa: SIM110
            if predicate(info):
                return True
        return False

    return match_any


def _match_everything(_info: Info) -> bool:
    return True


def _parse_filter(text: str) -> Predicate:
    if not text:
        return _match_everything
    predicates = [_select(selector) for selector in parse_selectors(text)]
    if len(predicates) == 1:
        return predicates[0]

    def match_all(info: Info) -> bool:
        for predicate in predicates:  # noqa: SIM110
            if not predicate(info):
                return False
        return True

    return match_all


def _select(selector: Selector) -> Predicate:
    """Return the test of one selector.

    An absent field reads as "" for ``!=`` and ``~=``, but never equals anything.
    """
    field, value = _find_field(selector.fieldpath), selector.value
    match selector.operator:
        case Operator.PRESENT:
            return lambda info: field(info) is not None
        case Operator.EQUAL:
            return lambda info: field(info) == value
        case Operator.NOT_EQUAL:
            return lambda info: (field(info) or "") != value
        case Operator.MATCHES:
            return _search(field, value)


def _find_field(fieldpath: tuple[str, ...]) -> _Field:
    first, *rest = fieldpath
    if first in _ATTRIBUTES:
        return attrgetter(first)
    if first == "labels":
        key = ".".join(rest)
        return lambda info: info.labels.get(key)
    return lambda _info: None


def _search(field: _Field, pattern: str) -> Predicate:
    r"""Return the test that ``pattern`` occurs in the field.

    RE2, because its time is linear in the text: anyone may send a pattern. It is
    also the syntax of Go's ``regexp``, which containerd uses, but for two corners:
    Go refuses ``\C`` (any byte), and RE2 a program above 8 MiB (``\pL{500}``).
    """
    options = re2.Options()
    options.log_errors = False  # RE2 would write to this process's stderr.
    options.never_capture = True
    try:
        # As bytes, since escapes can write what is not UTF-8; RE2 refuses that.
        regexp = re2.compile(pattern.encode("utf-8", "surrogateescape"), options)
    except re2.error as error:
        reason = os.fsdecode(error.args[0])  # bytes, and as long as the pattern
        _log.warning("filter value %.200r never matches: %.200s", pattern, reason)
        return lambda _info: False
    return lambda info: regexp.search(_encode(field(info) or "")) is not None


def _encode(text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError:
        # Go's regexp reads every byte that is not UTF-8 as U+FFFD.
        return "".join(
            "\N{REPLACEMENT CHARACTER}"
            if "\ud800" <= character <= "\udfff"
            else character
            for character in text
        ).encode()
