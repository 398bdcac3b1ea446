"""Labels are read alike from a few rows and from many."""

from __future__ import annotations

import pytest

from snapfs.metadata import rowcodec

_NONE = [
    *('{"a":1}', '{"a":null}', "1", '{"a"}', '{"a":"b",}', '{"a":"b" "c":"d"}'),
    *('{"a":"b","c"}', '"a":"b"', '{"a":"b"}}', '{"a":"b":"c":"d"}', '{"a":"\t"}'),
]


@pytest.mark.parametrize("read", [rowcodec._read_labels, rowcodec._fast_reader()])
def test_labels_are_read(read: rowcodec._LabelsReader) -> None:
    assert read('{"a":"b","\\u00e9":"\\n"}') == {"a": "b", "é": "\n"}
    assert read("{}") == {}
    assert read('{"a":"b"}') == {"a": "b"}
    assert read('{"a":"{\'","b":"c,:","é":""}') == {"a": "{'", "b": "c,:", "é": ""}
    assert read(' { "a" : "b" } ') == {"a": "b"}


@pytest.mark.parametrize("read", [rowcodec._read_labels, rowcodec._fast_reader()])
@pytest.mark.parametrize("text", ["", "{", "[]", '"a"', *_NONE])
def test_what_is_no_object_of_strings_is_refused(
    read: rowcodec._LabelsReader, text: str
) -> None:
    with pytest.raises(ValueError, match=r"."):
        read(text)
