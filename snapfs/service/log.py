"""The log of calls, and the two forms in which ``serve`` writes its log.

Each call is one record with structured fields (``method``, ``key``, ``code``,
``duration_ms``, ``namespace``, ``peer``) as attributes of the record, which both
formatters write. Fine calls are DEBUG, slow ones WARNING. A failure that the caller
asked for (no such key) is INFO, one that the host has to do with (disk full) WARNING,
and one that nobody expected ERROR, with its traceback.
"""

from __future__ import annotations

import enum
import json
import logging
import time
from typing import Final, NamedTuple

from snapfs.api.codes import Code

_log: Final = logging.getLogger("snapfs.service")

# Commit and Update run inside containerd's global write transaction, so a second is
# long; most calls take well under a millisecond.
SLOW_CALL_S: Final = 1.0

# Beyond the usual attributes, a record of ours has these.
_FIELDS: Final = ("method", "key", "code", "duration_ms", "namespace", "peer")

# A key is as long as the caller likes.
_MAX_KEY: Final = 256

_CALLERS_FAULT: Final = frozenset(
    (
        Code.CANCELLED,
        Code.INVALID_ARGUMENT,
        Code.NOT_FOUND,
        Code.ALREADY_EXISTS,
        Code.FAILED_PRECONDITION,
        Code.UNIMPLEMENTED,
    )
)


class Origin(NamedTuple):
    """Where a call comes from.

    Attributes:
        namespace: containerd's, as its metadata names it.
        peer: The process that called, in words.
        lease: What keeps containerd's new resources for this caller; mostly "".
        traceparent: The trace that it belongs to, as W3C Trace Context has it.
    """

    namespace: str = ""
    peer: str = ""
    lease: str = ""
    traceparent: str = ""


class LogFormat(enum.StrEnum):
    """How log records are written."""

    TEXT = "text"
    JSON = "json"


def formatter(log_format: LogFormat) -> logging.Formatter:
    """Return the formatter for ``log_format``."""
    return JsonFormatter() if log_format is LogFormat.JSON else TextFormatter()


class TextFormatter(logging.Formatter):
    """``time level message method=... key=...``: one line, then any traceback."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(message)s")

    # The names of the next two methods are logging's.
    def formatTime(  # noqa: N802
        self, record: logging.LogRecord, datefmt: str | None = None
    ) -> str:
        """Return the record's time in UTC, with milliseconds."""
        del datefmt
        return _rfc3339(record)

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802
        """Return the line without a traceback."""
        record.message = " ".join(record.message.splitlines())
        fields = " ".join(
            f"{name}={_quoted(value)}" for name, value in _fields(record).items()
        )
        line = super().formatMessage(record)
        return f"{line} {fields}" if fields else line


class JsonFormatter(logging.Formatter):
    """One JSON object a line; a traceback is the field ``exception``."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as one line of JSON."""
        document: dict[str, object] = {
            "time": _rfc3339(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **_fields(record),
        }
        if record.exc_info:
            document["exception"] = self.formatException(record.exc_info)
        # ASCII only: a lone surrogate from a file name must not break the stream.
        return json.dumps(document)


def log_call(
    method: str,
    key: str,
    code: Code,
    duration_ns: int,
    origin: Origin,
    *,
    message: str = "",
    error: Exception | None = None,
    slow: bool = False,
) -> None:
    """Write down one call that is over."""
    level = call_level(code, slow=slow)
    if not _log.isEnabledFor(level):
        return
    text = message or ("slow call" if slow else "call")
    extra = {
        "method": method,
        "key": key[:_MAX_KEY],
        "code": code.name,
        "duration_ms": round(duration_ns / 1e6, 3),
        "namespace": origin.namespace,
        "peer": origin.peer,
    }
    trace = error if level >= logging.ERROR else None
    _log.log(level, "%s", text, extra=extra, exc_info=trace)


def logs_fine_calls() -> bool:
    """Return whether calls that went well are written down at all."""
    return _log.isEnabledFor(logging.DEBUG)


def call_level(code: Code, *, slow: bool) -> int:
    """Return the level of a call that ended with ``code``."""
    if code is Code.OK:
        return logging.WARNING if slow else logging.DEBUG
    if code in _CALLERS_FAULT:
        return logging.WARNING if slow else logging.INFO
    return logging.ERROR if code in (Code.INTERNAL, Code.UNKNOWN) else logging.WARNING


def _fields(record: logging.LogRecord) -> dict[str, object]:
    attributes = vars(record)
    return {
        name: attributes[name]
        for name in _FIELDS
        if attributes.get(name) not in (None, "")
    }


def _quoted(value: object) -> str:
    text = str(value)
    plain = text.isprintable() and not set(text) & set(' "=')
    return text if plain else json.dumps(text)


def _rfc3339(record: logging.LogRecord) -> str:
    date = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
    return f"{date}.{int(record.msecs):03d}Z"
