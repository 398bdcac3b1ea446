"""``image ci``: pass or fail for pipelines, by dive's rules."""

from __future__ import annotations

import os
from typing import Final

import click

from snapfs.cli.exit_codes import ExitCode
from snapfs.cli.finding_formats import Format, github, junit, sarif
from snapfs.cli.image_opening import inspecting, platform_option
from snapfs.cli.image_shapes import json_path, shown_path
from snapfs.cli.lazy import Command, examples
from snapfs.cli.session import Session, pass_session
from snapfs.cli.wording import human_bytes
from snapfs.errors import InvalidArgumentError, NotFoundError
from snapfs.inspect.ci_rules import (
    DEFAULTS,
    EFFICIENCY,
    USER_WASTED,
    WASTED_BYTES,
    State,
    Verdict,
    checked,
    judge,
    read_rules,
)
from snapfs.inspect.efficiency import Efficiency, measure

_FILE: Final = ".dive-ci"
_FILE_BYTES: Final = 1 << 20
_SHOWN: Final = 10
"""Files that are listed as wasted."""


@click.command(
    cls=Command,
    short_help="Pass or fail an image by dive's rules.",
    epilog=examples(
        "snapfs image ci docker-archive:app.tar",
        "snapfs image ci --config ci/.dive-ci --format github oci:DIR",
        "snapfs image ci --highest-wasted-bytes 20MB --format junit oci:DIR >ci.xml",
    ),
)
@click.argument("source", metavar="SOURCE")
@click.option(
    "--config",
    metavar="FILE",
    type=click.Path(),
    help="The rules. Default: .dive-ci, if there is one.",
)
@click.option(
    "--lowest-efficiency",
    "--lowestEfficiency",
    "lowest_efficiency",
    metavar="RATIO",
    help="The part of all bytes that must be seen. Default: 0.9.",
)
@click.option(
    "--highest-wasted-bytes",
    "--highestWastedBytes",
    "highest_wasted_bytes",
    metavar="SIZE",
    help="Bytes that may be hidden, as 20MB. Default: disabled.",
)
@click.option(
    "--highest-user-wasted-percent",
    "--highestUserWastedPercent",
    "highest_user_wasted",
    metavar="RATIO",
    help="The same as a part of the layers above the lowest. Default: 0.1.",
)
@click.option(
    "--format",
    "form",
    type=click.Choice([form.value for form in Format]),
    default=Format.TEXT.value,
    help="How to print it. Default: text.",
)
@platform_option
@pass_session
def ci(
    session: Session,
    source: str,
    config: str | None,
    lowest_efficiency: str | None,
    highest_wasted_bytes: str | None,
    highest_user_wasted: str | None,
    form: str,
    platform: str | None,
) -> None:
    """Check how much of SOURCE is hidden from its containers; exit with 1 if too much.

    The rules, their file and their defaults are dive's; an option overrides the file,
    'disabled' turns a rule off. Each hidden byte counts once.
    """
    limits = {**DEFAULTS, **_read(config)}
    for rule, given in (
        (EFFICIENCY, lowest_efficiency),
        (WASTED_BYTES, highest_wasted_bytes),
        (USER_WASTED, highest_user_wasted),
    ):
        if given is not None:
            limits[rule.id] = given
    judge(Efficiency(0, 0, 0, ()), limits)  # a mistake shows before the image is read
    with inspecting(session, source, platform) as inspection:
        measured = measure(inspection)
    verdicts = judge(measured, limits)
    has_passed = all(verdict.state is not State.FAILED for verdict in verdicts)
    _print(session, Format(form), source, measured, verdicts)
    if not has_passed:
        click.get_current_context().exit(ExitCode.FAILED)


def _read(config: str | None) -> dict[str, str]:
    path = config or _FILE
    try:
        with open(path, encoding="utf-8") as file:
            text = file.read(_FILE_BYTES)
    except FileNotFoundError as error:
        if config is None:
            return {}
        raise NotFoundError(f"there is no file {config!r}") from error
    except (UnicodeDecodeError, IsADirectoryError) as error:
        raise InvalidArgumentError(f"{path!r} is no text file of rules") from error
    return read_rules(text, os.fspath(path))


def _print(
    session: Session,
    form: Format,
    source: str,
    measured: Efficiency,
    verdicts: list[Verdict],
) -> None:
    if session.output.as_json or form is Format.JSON:
        session.output.document(_shape(source, measured, verdicts))
        return
    match form:
        case Format.JUNIT:
            session.output.raw(junit(checked(verdicts), source, "ci"))
        case Format.SARIF:
            session.output.raw(sarif(checked(verdicts), source))
        case Format.GITHUB:
            session.output.raw(github(checked(verdicts)))
        case _:
            _text(session, measured, verdicts)


def _text(session: Session, measured: Efficiency, verdicts: list[Verdict]) -> None:
    if measured.waste:
        session.output.table(
            (">WASTED", ">LAYER", "PATH", "CAUSE"),
            [
                (
                    human_bytes(one.size_bytes),
                    str(one.layer + 1),
                    shown_path(one.path),
                    f"{one.cause.value} by layer {one.by_layer + 1}",
                )
                for one in measured.waste[:_SHOWN]
            ],
        )
        more = len(measured.waste) - _SHOWN
        if more > 0:
            session.output.line(f"({more} more; 'snapfs image waste' lists all)")
        session.output.line("")
    session.output.table(
        ("RULE", "STATE", ">VALUE", ">LIMIT"),
        [(one.rule.id, one.state.value, _value(one), one.limit) for one in verdicts],
    )
    failed = sum(one.state is State.FAILED for one in verdicts)
    session.output.line(f"result: {'fail' if failed else 'pass'}")


def _value(one: Verdict) -> str:
    if one.rule == WASTED_BYTES:
        return human_bytes(int(one.value))
    return f"{one.value:.6g}"


def _shape(
    source: str, measured: Efficiency, verdicts: list[Verdict]
) -> dict[str, object]:
    return {
        "source": source,
        "passed": all(one.state is not State.FAILED for one in verdicts),
        "stored_bytes": measured.stored_bytes,
        "user_bytes": measured.user_bytes,
        "wasted_bytes": measured.wasted_bytes,
        "efficiency": measured.score,
        "user_wasted": measured.user_wasted,
        "rules": [
            {
                "id": one.rule.id,
                "state": one.state.value,
                "value": one.value,
                "limit": one.limit,
                "message": one.message,
            }
            for one in verdicts
        ],
        "wasted": [
            {
                "path": json_path(one.path),
                "layer": one.layer + 1,
                "bytes": one.size_bytes,
                "cause": one.cause.value,
                "by_layer": one.by_layer + 1,
            }
            for one in measured.waste
        ],
    }
