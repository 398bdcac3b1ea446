"""What is asked: one module a question, listed in :data:`SCENARIOS`."""

from snapfs.benchmarks.scenarios.catalog import SCENARIOS

__all__ = ["SCENARIOS"]
