"""``image diff``: what two images do not show alike."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

import click

from snapfs.cli.exit_codes import ExitCode
from snapfs.cli.image_opening import inspecting, platform_option
from snapfs.cli.image_progress import ReadingProgress
from snapfs.cli.image_shapes import TYPES, json_path, shown_path
from snapfs.cli.lazy import Command, examples
from snapfs.cli.session import Session, pass_session
from snapfs.cli.wording import timestamp
from snapfs.inspect.changes import ChangeKind
from snapfs.inspect.comparison import Difference, Field, compare
from snapfs.inspect.inspection import Inspection
from snapfs.inspect.packages import packages
from snapfs.inspect.settings import settings
from snapfs.layer.index import IndexEntry

# Their values are long, or not read here.
_UNTOLD: Final = frozenset({Field.CONTENT, Field.XATTRS})


class _Setting(NamedTuple):
    """A package, or a name of the config, whose value differs."""

    sort: str
    name: str
    before: str
    after: str

    @property
    def kind(self) -> ChangeKind:
        if not self.before:
            return ChangeKind.ADDED
        return ChangeKind.CHANGED if self.after else ChangeKind.REMOVED


@click.command(
    cls=Command,
    short_help="Tell what differs between two images.",
    epilog=examples(
        "snapfs image diff oci:DIR:v1 oci:DIR:v2",
        "snapfs image diff --semantic docker://debian:12 docker://debian:13",
        "snapfs image diff --exit-code --ignore mtime ./a.tar ./b.tar && echo alike",
    ),
)
@click.argument("first", metavar="A")
@click.argument("second", metavar="B")
@click.option(
    "--semantic",
    is_flag=True,
    help="Compare installed packages and the config, too; ignore times.",
)
@click.option(
    "--ignore",
    "ignored",
    multiple=True,
    type=click.Choice([field.value for field in Field if field is not Field.TYPE]),
    help="Do not compare this. May be given often.",
)
@click.option(
    "--exit-code", "tells_by_code", is_flag=True, help="Exit with 1 if A and B differ."
)
@platform_option
@pass_session
def diff(
    session: Session,
    first: str,
    second: str,
    semantic: bool,
    ignored: tuple[str, ...],
    tells_by_code: bool,
    platform: str | None,
) -> None:
    """Print how to get from the image A to the image B: a line for each path.

    A is a path that only B shows, D one that only A shows, M one that differs, and in
    what: type, mode, owner, size, content, mtime, xattrs, target, device. Contents
    are read only where sizes are equal and the layers are not.
    """
    fields = {Field(name) for name in ignored}
    with (
        ReadingProgress(session.output, "reading contents", None) as reading,
        inspecting(session, first, platform, reading) as left,
        inspecting(session, second, platform, reading) as right,
    ):
        told = _semantic(left, right) if semantic else []
        if semantic:
            fields.add(Field.MTIME)
        found = compare(left, right, ignored=fields)
    if session.output.as_json:
        session.output.records(map(_setting_shape, told))
        session.output.records(map(_shape, found))
    else:
        for setting in told:
            session.output.line(_setting_line(setting))
        for one in found:
            session.output.line(_line(one))
    if tells_by_code and (told or found):
        click.get_current_context().exit(ExitCode.FAILED)


def _semantic(left: Inspection, right: Inspection) -> list[_Setting]:
    told = []
    installed = [
        {
            f"{package.manager} {package.name}": ", ".join(versions)
            for package, versions in packages(side).items()
        }
        for side in (left, right)
    ]
    told += _compared("package", *installed)
    # Directories have no config; that is no difference.
    if left.image is not None and right.image is not None:
        told += _compared("config", settings(left.image), settings(right.image))
    return told


def _compared(
    sort: str, before: Mapping[str, str], after: Mapping[str, str]
) -> list[_Setting]:
    pairs = {
        name: (before.get(name, ""), after.get(name, ""))
        for name in sorted(before.keys() | after.keys())
    }
    return [
        _Setting(sort, name, old, new)
        for name, (old, new) in pairs.items()
        if old != new
    ]


def _setting_line(one: _Setting) -> str:
    values = " -> ".join(filter(None, (one.before, one.after)))
    return f"{one.kind.value} {one.sort} {one.name}: {values}"


def _setting_shape(one: _Setting) -> dict[str, object]:
    return {
        "what": one.sort,
        "change": one.kind.value,
        "name": one.name,
        "before": one.before,
        "after": one.after,
    }


def _line(one: Difference) -> str:
    line = f"{one.kind.value} {shown_path(one.path)}"
    if one.before is None or one.after is None:
        return line
    parts = [
        field.value
        if field in _UNTOLD
        else f"{field.value} {_text(one.before, field)} -> {_text(one.after, field)}"
        for field in one.fields
    ]
    return f"{line}: {', '.join(parts)}"


def _shape(one: Difference) -> dict[str, object]:
    shape: dict[str, object] = {
        "what": "file",
        "change": one.kind.value,
        "path": json_path(one.path),
        "fields": [field.value for field in one.fields],
    }
    for side, entry in (("before", one.before), ("after", one.after)):
        shape[side] = entry and {
            field.value: _text(entry, field)
            for field in one.fields or (Field.TYPE,)
            if field not in _UNTOLD
        }
    return shape


def _text(entry: IndexEntry, field: Field) -> str:
    match field:
        case Field.TYPE:
            return TYPES[entry.kind]
        case Field.MODE:
            return f"{entry.mode:04o}"
        case Field.OWNER:
            return f"{entry.uid}:{entry.gid}"
        case Field.SIZE:
            return str(entry.size_bytes)
        case Field.MTIME:
            return timestamp(entry.mtime_ns)
        case Field.TARGET:
            return entry.link_target.decode("utf-8", "backslashreplace")
        case Field.DEVICE:
            return "{}:{}".format(*entry.device)
        case _:
            raise AssertionError(f"{field} is not told")
