"""The list of ``image`` commands, like :mod:`snapfs.cli.catalog`."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from snapfs.cli.catalog import CommandEntry

LOOKING: Final = "Looking into an image"
EXPLAINING: Final = "Explaining it"
MAKING: Final = "Making another of it"
CHECKING: Final = "Checking it"

IMAGE_CATALOG: Final[Mapping[str, CommandEntry]] = MappingProxyType(
    {
        name: CommandEntry(section, f"snapfs.cli.{module}", attribute, summary)
        for name, section, module, attribute, summary in (
            ("layers", LOOKING, "image_layers", "layers", "List the layers."),
            ("ls", LOOKING, "image_listing", "list_files", "List a directory."),
            ("tree", LOOKING, "image_listing", "tree", "Draw a directory's tree."),
            ("find", LOOKING, "image_find", "find", "Find files by their properties."),
            ("cat", LOOKING, "image_contents", "cat", "Print the content of files."),
            ("get", LOOKING, "image_contents", "get", "Copy one file out of an image."),
            (
                "blame",
                EXPLAINING,
                "image_history",
                "blame",
                "Tell which layers gave, changed and removed a path.",
            ),
            (
                "why",
                EXPLAINING,
                "image_history",
                "why",
                "Explain how a path resolves.",
            ),
            (
                "diff",
                EXPLAINING,
                "image_diff",
                "diff",
                "Tell what differs between two images.",
            ),
            (
                "waste",
                EXPLAINING,
                "image_waste",
                "waste",
                "Find bytes that are hidden or stored twice.",
            ),
            (
                "report",
                EXPLAINING,
                "image_report",
                "report",
                "Write an image's report as one HTML file.",
            ),
            (
                "squash",
                MAKING,
                "image_squash",
                "squash",
                "Make one layer of all, as a new image.",
            ),
            (
                "verify",
                CHECKING,
                "image_verify",
                "verify",
                "Check digests, sizes and diff IDs.",
            ),
            (
                "lint",
                CHECKING,
                "image_lint",
                "lint_image",
                "Find mistakes in an image.",
            ),
            (
                "ci",
                CHECKING,
                "image_ci",
                "ci",
                "Pass or fail an image by dive's rules.",
            ),
        )
    }
)
