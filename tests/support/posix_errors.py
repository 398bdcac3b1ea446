"""The one way in which the POSIX suite expects a system call to fail."""

from __future__ import annotations

import contextlib
import errno
from collections.abc import Iterator


@contextlib.contextmanager
def refused(*codes: int) -> Iterator[None]:
    """Expect ``OSError`` with one of ``codes``; name what came instead."""
    wanted = " or ".join(errno.errorcode[code] for code in codes)
    try:
        yield
    except OSError as error:
        code = error.errno or 0
        got = errno.errorcode.get(code, str(error))
        assert code in codes, f"expected {wanted}, got {got}"
    else:
        raise AssertionError(f"expected {wanted}, but the call succeeded")
