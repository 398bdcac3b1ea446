"""The semantics gate: whether a target does at all what it is timed for."""

from snapfs.benchmarks.semantics.claims import (
    Claim,
    check_semantics,
    claims_about,
    describe,
    first_problem,
)

__all__ = ["Claim", "check_semantics", "claims_about", "describe", "first_problem"]
