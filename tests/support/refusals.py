"""What a test expects of a system call that is refused."""

from __future__ import annotations

import pytest


def refused(code: int) -> pytest.RaisesExc[OSError]:
    """Expect the error number ``code`` from a system call."""
    return pytest.raises(OSError, match=rf"^\[Errno {code}\]")
