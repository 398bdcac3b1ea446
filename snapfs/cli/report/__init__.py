"""One image as one HTML document that loads nothing."""

from snapfs.cli.report.page import make_page

__all__ = ["make_page"]
