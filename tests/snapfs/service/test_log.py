"""The log of calls."""

from __future__ import annotations

import json
import logging
import sys

import pytest

from snapfs.api.codes import Code
from snapfs.service.log import LogFormat, Origin, call_level, formatter, log_call

K8S = Origin("k8s.io", "pid 7, uid 0")


def record_of(caplog: pytest.LogCaptureFixture) -> logging.LogRecord:
    (record,) = caplog.records
    return record


@pytest.mark.parametrize(
    ("code", "slow", "level"),
    [
        pytest.param(Code.OK, False, logging.DEBUG, id="fine"),
        pytest.param(Code.OK, True, logging.WARNING, id="slow"),
        pytest.param(Code.NOT_FOUND, False, logging.INFO, id="the caller's fault"),
        pytest.param(Code.NOT_FOUND, True, logging.WARNING, id="that, slowly"),
        pytest.param(Code.RESOURCE_EXHAUSTED, False, logging.WARNING, id="the host's"),
        pytest.param(Code.INTERNAL, False, logging.ERROR, id="ours"),
    ],
)
def test_level_says_whom_it_concerns(code: Code, slow: bool, level: int) -> None:
    assert call_level(code, slow=slow) == level


def test_a_call_is_written_down_with_fields(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "snapfs.service")

    log_call("/s/Stat", "a b", Code.NOT_FOUND, 1_234_567, K8S, message="gone")

    fields = vars(record_of(caplog))
    assert fields["method"] == "/s/Stat"
    assert fields["key"] == "a b"
    assert fields["code"] == "NOT_FOUND"
    assert fields["duration_ms"] == 1.235
    assert fields["namespace"] == "k8s.io"
    assert fields["peer"] == "pid 7, uid 0"


def test_a_long_key_is_cut(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "snapfs.service")

    log_call("/s/Stat", "k" * 10_000, Code.OK, 1, Origin())

    assert len(vars(record_of(caplog))["key"]) == 256


def test_text_is_one_line_with_quoted_fields(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "snapfs.service")
    log_call("/s/Stat", 'a "b"', Code.NOT_FOUND, 1_000, Origin(), message="one\ntwo")

    line = formatter(LogFormat.TEXT).format(record_of(caplog))

    time, _, rest = line.partition(" ")
    assert time.endswith("Z")
    assert rest == (
        'INFO one two method=/s/Stat key="a \\"b\\"" code=NOT_FOUND duration_ms=0.001'
    )


def test_json_is_one_object_a_line(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "snapfs.service")
    log_call("/s/Stat", "a", Code.OK, 1_000, Origin("ns"), message="odd \udcff\nname")

    line = formatter(LogFormat.JSON).format(record_of(caplog))

    document = json.loads(line)
    assert line.isascii()
    assert "\n" not in line
    assert document.pop("time").endswith("Z")
    assert document == {
        "level": "debug",
        "logger": "snapfs.service",
        "message": "odd \udcff\nname",
        "method": "/s/Stat",
        "key": "a",
        "code": "OK",
        "duration_ms": 0.001,
        "namespace": "ns",
    }


@pytest.mark.parametrize("log_format", list(LogFormat))
def test_a_traceback_is_written_in_either_form(log_format: LogFormat) -> None:
    try:
        _ = 1 // len("")
    except ZeroDivisionError:
        record = logging.LogRecord(
            "snapfs", logging.ERROR, "f", 1, "broken", None, sys.exc_info()
        )

    written = formatter(log_format).format(record)

    assert "broken" in written
    assert "Traceback" in written
    assert "ZeroDivisionError" in written


def test_records_of_others_are_written_too() -> None:
    record = logging.LogRecord("x", logging.INFO, "f", 1, "hello %s", ("you",), None)

    assert formatter(LogFormat.TEXT).format(record).endswith("INFO hello you")
    assert (
        json.loads(formatter(LogFormat.JSON).format(record))["message"] == "hello you"
    )
