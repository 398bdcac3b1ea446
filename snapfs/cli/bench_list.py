"""``bench list``: what can be asked, and who can be asked here."""

from __future__ import annotations

import click

from snapfs.cli.bench_options import profile_option, registries
from snapfs.cli.lazy import Command, examples
from snapfs.cli.session import Session, pass_session


@click.command(
    "list",
    cls=Command,
    short_help="List scenarios and targets.",
    epilog=examples("snapfs bench list", "snapfs bench list --profile full --json"),
)
@profile_option
@pass_session
def list_all(session: Session, profile: str) -> None:
    """List the questions that can be asked, and who can be asked here."""
    from snapfs.benchmarks.profiles import cells_of
    from snapfs.benchmarks.protocols import Profile

    targets, scenarios = registries()
    instances = {name: make() for name, make in targets.items()}
    if session.output.as_json:
        session.output.document(
            {
                "scenarios": [
                    {
                        "name": scenario.name,
                        "question": scenario.question,
                        "family": scenario.family,
                        "operation": scenario.operation,
                        "baselines": list(scenario.baselines),
                        "cells": [
                            {**cell.parameters, "cache": cell.cache}
                            for cell in cells_of(scenario, Profile(profile))
                        ],
                    }
                    for scenario in scenarios.values()
                ],
                "targets": [
                    {
                        "name": target.name,
                        "summary": target.summary,
                        "family": target.family,
                        "unavailable": target.unavailable(),
                    }
                    for target in instances.values()
                ],
            }
        )
        return
    session.output.table(
        ("SCENARIO", ">CELLS", "ASKS", "QUESTION"),
        [
            (
                scenario.name,
                str(len(cells_of(scenario, Profile(profile)))),
                scenario.family,
                scenario.question,
            )
            for scenario in scenarios.values()
        ],
    )
    session.output.line("")
    session.output.table(
        ("TARGET", "FAMILY", "HERE", "WHAT IT IS"),
        [
            (target.name, target.family, target.unavailable() or "yes", target.summary)
            for target in instances.values()
        ],
    )
