"""``docs/images.md`` lists every limit with its default."""

from __future__ import annotations

import dataclasses
import re

from snapfs.cli.unpack_options import SIZE
from snapfs.layer.limits import Limits
from support.sandbox import REPOSITORY


def test_the_page_lists_every_limit_with_its_default() -> None:
    page = (REPOSITORY / "docs/images.md").read_text().rpartition("## Limits")[2]
    listed = {}
    for names, values in re.findall(r"^\| (`[^|]*`) \| ([^|]*) \|", page, re.MULTILINE):
        numbers = values.strip().split(", ")
        for name, number in zip(re.findall(r"`([\w-]+)`", names), numbers, strict=True):
            size = SIZE.convert(number.replace(" ", ""), None, None)
            listed[name.replace("-", "_")] = size

    assert listed == dataclasses.asdict(Limits())
