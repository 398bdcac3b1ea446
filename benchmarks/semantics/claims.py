"""Claims about a target, tried before it is timed."""

from __future__ import annotations

import dataclasses
import functools
import os
from collections.abc import Callable, Sequence
from typing import Final, assert_never

from snapfs.benchmarks.protocols import (
    Family,
    InvalidResultError,
    SnapshotterTarget,
    Target,
    TreeTarget,
    UnpackTarget,
    Workspace,
)
from snapfs.benchmarks.results import ClaimResult
from snapfs.benchmarks.semantics import snapshotter, tree, unpacker
from snapfs.benchmarks.workspaces import Workspaces
from snapfs.errors import UnavailableError

_STARTS: Final = "starts"


@dataclasses.dataclass(frozen=True, slots=True)
class Claim:
    """One thing that a target must do, or that readers want to know.

    Attributes:
        text: The claim as a sentence about the target.
        is_essential: Whether breaking it ends the comparison for the target.
        needs_root: Whether only root can try it.
        attempt: Tries it in the workspace; raises whatever shows that it is broken.
    """

    text: str
    is_essential: bool
    needs_root: bool
    attempt: Callable[[Workspace], None]


def claims_about(target: Target) -> Sequence[Claim]:
    """Return the claims of the target's family, bound to ``target``."""
    match target.family:
        case Family.TREE:
            assert isinstance(target, TreeTarget)
            return [
                Claim(text, is_essential, False, functools.partial(probe, target))
                for text, is_essential, probe in tree.CLAIMS
            ]
        case Family.SNAPSHOTTER:
            assert isinstance(target, SnapshotterTarget)
            return [
                Claim(text, True, needs_root, functools.partial(probe, target))
                for text, needs_root, probe in snapshotter.CLAIMS
            ]
        case Family.UNPACKER:
            assert isinstance(target, UnpackTarget)
            return [
                Claim(text, is_essential, False, functools.partial(probe, target))
                for text, is_essential, probe in unpacker.CLAIMS
            ]
        case _:
            assert_never(target.family)


def check_semantics(target: Target, workspaces: Workspaces) -> tuple[ClaimResult, ...]:
    """Start ``target``, try every claim about it, stop it.

    A target that does not even start breaks one essential claim, that it does.
    """
    started = Claim(_STARTS, True, False, target.start)
    try:
        result = _try(started, workspaces.take())
        if result.problem:
            return (result,)
        return (
            result,
            *(_try(claim, workspaces.take()) for claim in claims_about(target)),
        )
    finally:
        target.stop()


def first_problem(results: Sequence[ClaimResult]) -> str:
    """Return the first broken essential claim, in words; "" if there is none.

    A tree whose layers change is no copy-on-write at all, whatever else it breaks.
    """
    for result in results:
        if result.claim == tree.COPY_ON_WRITE and result.problem == tree.REACHED:
            return f"not CoW: {result.problem}"
    for result in results:
        if result.is_essential and result.problem:
            if result.claim == _STARTS:
                return f"unavailable: {result.problem}"
            return f"does not hold: {result.claim} ({result.problem})"
    return ""


def _try(claim: Claim, workspace: Workspace) -> ClaimResult:
    if claim.needs_root and os.geteuid() != 0:
        return ClaimResult(claim.text, claim.is_essential, untested="needs root")
    try:
        claim.attempt(workspace)
    except Exception as error:  # noqa: BLE001  # a broken target raises anything
        return ClaimResult(claim.text, claim.is_essential, problem=describe(error))
    return ClaimResult(claim.text, claim.is_essential)


def describe(error: Exception) -> str:
    """Return an error as one line, with its class unless it is our own words."""
    if isinstance(error, OSError) and error.strerror:
        return f"{type(error).__name__}: {error.strerror}"
    text = " ".join(str(error).split())
    if isinstance(error, (InvalidResultError, UnavailableError)) and text:
        return text
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
