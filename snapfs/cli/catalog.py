"""The list of commands: name, home, one line of help, without importing any."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from snapfs.light_typing import Final, NamedTuple


class CommandEntry(NamedTuple):
    """Where a command lives. ``summary`` repeats its short help; a test compares."""

    section: str
    module: str
    attribute: str
    summary: str


SNAPSHOTS: Final = "Snapshots"
LOOKING: Final = "Looking at them"
MOUNTING: Final = "Mounting"
STORE: Final = "The store"
HOST: Final = "This host"
IMAGES: Final = "Images"

CATALOG: Final[Mapping[str, CommandEntry]] = MappingProxyType(
    {
        name: CommandEntry(section, f"snapfs.cli.{module}", attribute, summary)
        for name, section, module, attribute, summary in (
            (
                "prepare",
                SNAPSHOTS,
                "snapshots",
                "prepare",
                "Make an active snapshot and print its mounts.",
            ),
            (
                "view",
                SNAPSHOTS,
                "snapshots",
                "view",
                "Make a read-only snapshot and print its mounts.",
            ),
            (
                "commit",
                SNAPSHOTS,
                "snapshots",
                "commit",
                "Freeze the active snapshot KEY as NAME.",
            ),
            (
                "unpack",
                SNAPSHOTS,
                "unpack",
                "unpack",
                "Unpack an image into committed snapshots.",
            ),
            (
                "export",
                SNAPSHOTS,
                "export",
                "export",
                "Make an image of a snapshot and those below it.",
            ),
            (
                "diff",
                SNAPSHOTS,
                "diff",
                "diff",
                "Tell what a snapshot changes of its parent.",
            ),
            ("rm", SNAPSHOTS, "snapshots", "remove", "Remove snapshots."),
            (
                "label",
                SNAPSHOTS,
                "snapshots",
                "label",
                "Set labels of a snapshot, or delete them.",
            ),
            ("ls", LOOKING, "listing", "list_snapshots", "List the snapshots."),
            ("tree", LOOKING, "tree", "tree", "Show which snapshot stands on which."),
            ("info", LOOKING, "listing", "info", "Show all about one snapshot."),
            (
                "usage",
                LOOKING,
                "usage",
                "usage",
                "Show the disk space of snapshots.",
            ),
            (
                "mounts",
                LOOKING,
                "mounts",
                "mounts",
                "Print the mounts of a snapshot.",
            ),
            (
                "mount",
                MOUNTING,
                "mount",
                "mount",
                "Mount an image, a snapshot or directories.",
            ),
            (
                "umount",
                MOUNTING,
                "umount",
                "umount",
                "Unmount what is mounted at TARGET.",
            ),
            (
                "shell",
                MOUNTING,
                "shell",
                "shell",
                "Run a shell where WHAT is mounted, then forget the mount.",
            ),
            ("bundle", MOUNTING, "bundle", "bundle", "Make an OCI runtime bundle."),
            (
                "run",
                MOUNTING,
                "bundle",
                "run",
                "Run a container on WHAT with runc or crun.",
            ),
            (
                "blame",
                MOUNTING,
                "blame",
                "blame",
                "Tell which layer supplies a mounted path.",
            ),
            ("stats", MOUNTING, "stats", "stats", "Show the statistics of a mount."),
            (
                "image",
                IMAGES,
                "image",
                "image",
                "See, search and explain images, without unpacking.",
            ),
            (
                "explore",
                IMAGES,
                "explore",
                "explore",
                "Look around in an image, on the terminal.",
            ),
            ("cleanup", STORE, "cleanup", "cleanup", "Reclaim what nobody needs."),
            ("check", STORE, "check", "check", "Compare the store with the disk."),
            ("backup", STORE, "backup", "backup", "Save the whole store in FILE."),
            (
                "restore",
                STORE,
                "backup",
                "restore",
                "Fill an empty root from a backup.",
            ),
            ("top", STORE, "top", "top", "Watch the store and its active snapshots."),
            ("serve", STORE, "serve", "serve", "Serve the store to containerd."),
            (
                "config",
                HOST,
                "config",
                "config",
                "Show settings; configure containerd.",
            ),
            ("bench", HOST, "bench", "bench", "Measure copy-on-write, side by side."),
            (
                "install-helper",
                HOST,
                "install_helper",
                "install_helper",
                "Let containerd mount by the FUSE driver.",
            ),
            ("doctor", HOST, "doctor", "doctor", "Tell what this host can do."),
            (
                "completion",
                HOST,
                "completion",
                "completion",
                "Print the completion script for a shell.",
            ),
            ("man", HOST, "man", "man", "Print a manual page, or write all of them."),
        )
    }
)
