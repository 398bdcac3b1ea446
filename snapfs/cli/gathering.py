"""Options that reach a command as one value."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import TypeVar, cast

_Function = TypeVar("_Function", bound=Callable[..., object])


def gathered(
    name: str,
    make: Callable[..., object],
    options: Sequence[Callable[[Callable[..., object]], Callable[..., object]]],
    parameters: Sequence[str],
) -> Callable[[_Function], _Function]:
    """Return a decorator that adds options to a command.

    Args:
        name: What the command's function calls the value.
        make: Makes it of the options' values, by keyword. What it raises ends the
            command before it begins.
        options: What ``click.option`` returns, in the order of the help.
        parameters: What the options call their values.
    """

    def decorate(function: _Function) -> _Function:
        @functools.wraps(function)
        def call(*arguments: object, **values: object) -> object:
            own = {parameter: values.pop(parameter) for parameter in parameters}
            return function(*arguments, **values, **{name: make(**own)})

        command: Callable[..., object] = call
        for option in reversed(options):
            command = option(command)
        return cast("_Function", command)

    return decorate
