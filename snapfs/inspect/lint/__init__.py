"""Mistakes in images, found by rules; ``docs/lint.md`` has a section for each."""

from snapfs.inspect.lint.linting import CHECKERS, RULES, lint
from snapfs.inspect.lint.secret_rules import is_secret

__all__ = ["CHECKERS", "RULES", "is_secret", "lint"]
