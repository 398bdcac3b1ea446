"""What can be measured: one module a target, listed in :data:`TARGETS`."""

from snapfs.benchmarks.targets.catalog import TARGETS, builds

__all__ = ["TARGETS", "builds"]
