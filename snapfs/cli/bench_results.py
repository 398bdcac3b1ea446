"""What commands that measure do with results."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from snapfs.cli.bench_options import STANDARD_OUTPUT
from snapfs.cli.session import Session

if TYPE_CHECKING:
    from snapfs.benchmarks.results import Results
    from snapfs.benchmarks.table import Printer


def deliver(
    session: Session,
    results: Results,
    json_file: str | None,
    print_tables: Callable[[Results, Printer], None],
) -> None:
    """Write the file first: what was measured must not be lost to a closed pipe."""
    from snapfs.benchmarks.results import encode
    from snapfs.benchmarks.table import Printer

    data = encode(results)
    if session.output.as_json and json_file is None:
        json_file = STANDARD_OUTPUT
    if json_file == STANDARD_OUTPUT:
        session.output.raw(data.decode())
        return
    if json_file is not None:
        Path(json_file).write_bytes(data)
    print_tables(results, Printer())
