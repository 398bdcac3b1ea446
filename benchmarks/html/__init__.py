"""Results as one HTML page that needs nothing else: no server, no network."""

from __future__ import annotations

from snapfs.benchmarks.html.page import make_page
from snapfs.benchmarks.html.picture import make_picture

__all__ = ["make_page", "make_picture"]
