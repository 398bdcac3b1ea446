from __future__ import annotations

import json
import logging

import pytest

from snapfs.cli.holders import find_holders
from snapfs.cli.logs import JsonFormatter, TextFormatter
from snapfs.cli.wording import age, human_bytes, one_line, printable, timestamp

SECOND = 1_000_000_000


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1.0 KiB"),
        (5 << 20, "5.0 MiB"),
        (3 << 60, "3072.0 PiB"),
    ],
)
def test_sizes_take_the_largest_unit(size: int, text: str) -> None:
    assert human_bytes(size) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0s"), (59, "59s"), (60, "1m"), (7200, "2h"), (86400 * 400, "1y"), (-5, "0s")],
)
def test_ages_take_the_largest_unit(seconds: int, text: str) -> None:
    assert age(10**18, 10**18 + seconds * SECOND) == text


def test_timestamps_lose_nothing() -> None:
    assert timestamp(1_700_000_000_123_456_789) == "2023-11-14T22:13:20.123456789Z"


def test_what_a_terminal_would_obey_is_escaped() -> None:
    assert printable("a\x1b]0;title\x07\u202e") == "a\\x1b]0;title\\x07\\u202e"
    assert printable("Grüße, 世界") == "Grüße, 世界"


def test_a_name_that_is_no_utf_8_can_be_printed() -> None:
    assert printable("\udcff").encode() == b"\\xff"


def test_a_message_is_one_line() -> None:
    assert one_line("two\nlines\n") == "two lines"


def record(**extra: object) -> logging.LogRecord:
    made = logging.makeLogRecord(
        {"name": "snapfs.x", "levelname": "INFO", "msg": "at %d", "args": (3,)}
    )
    made.created = 1_700_000_000.5
    made.__dict__.update(extra)
    return made


def test_a_json_log_line_has_the_fields_of_the_call() -> None:
    entry = json.loads(JsonFormatter().format(record(key="work")))

    assert entry == {
        "time": "2023-11-14T22:13:20.500Z",
        "level": "info",
        "logger": "snapfs.x",
        "message": "at 3",
        "key": "work",
    }


def test_a_text_log_line_reads_from_left_to_right() -> None:
    line = TextFormatter().format(record())

    assert line == "2023-11-14T22:13:20.500Z INFO    snapfs.x: at 3"


def test_a_process_with_an_open_file_is_a_holder(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    place = tmp_path_factory.mktemp("held")
    path = place / "open"

    with path.open("w"):
        holders = find_holders(str(place))

    assert [str(path)] == [use for holder in holders for use in holder.uses]
    assert find_holders(str(place)) == []
