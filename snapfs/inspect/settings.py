"""How an image's containers are set up, as flat names and values to compare."""

from __future__ import annotations

import json
from collections.abc import Iterator

from snapfs.image.resolve import Image
from snapfs.image.strict_json import decode


def settings(image: Image) -> dict[str, str]:
    """Return what the config says of the platform and of containers.

    An environment variable is ``Env NAME``, a label ``Labels NAME``, a port
    ``ExposedPorts 80/tcp``; all else has the config's own name. What is empty counts
    as not there. When and by what steps the image was made is left out.
    """
    platform = image.config.platform
    found = {
        "os": platform.os,
        "architecture": platform.architecture,
        "variant": platform.variant,
    }
    _, plain = decode(image.config_content, dict[str, object], "the image's config")
    assert isinstance(plain, dict)  # the type says so
    inner = plain.get("config")
    for name, value in inner.items() if isinstance(inner, dict) else ():
        found |= dict(_flat(name, value))
    return {name: value for name, value in found.items() if value}


def _flat(name: str, value: object) -> Iterator[tuple[str, str]]:
    if name == "Env" and isinstance(value, list):
        for text in value:
            variable, _, setting = str(text).partition("=")
            yield f"Env {variable}", setting or '""'
    elif isinstance(value, dict):
        for key, setting in value.items():
            yield f"{name} {key}", _shown(setting)
    elif value:
        yield name, _shown(value)


def _shown(value: object) -> str:
    return value if isinstance(value, str) and value else json.dumps(value)
