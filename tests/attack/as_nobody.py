"""The hostile layers, applied by a user without privileges; run by its test.

Reads where the surroundings are, applies every layer whose attack is about getting
out, each in a directory of its own, and prints one JSON object of the outcomes.
"""

from __future__ import annotations

import dataclasses
import json
import os
import sys
from pathlib import Path
from typing import Final

from attack.applying import apply_plain
from attack.catalogue import ESCAPES
from attack.on_disk import found_below, in_words

from snapfs.errors import SnapfsError
from snapfs.layer.form import OverlayForm
from snapfs.layer.limits import DevicePolicy
from snapfs.layer.removal import discard_tree
from snapfs.overlay_format import XattrPrefix
from support.applied_layers import opened
from support.hostile_layers import Attack

_FORM: Final = OverlayForm(XattrPrefix.USER)


def main(staging: Path, canaries: Path) -> None:
    """Apply all; print each outcome: a class and a message, or what is on disk."""
    assert os.geteuid()
    print(json.dumps({item.id: _outcome(item, staging, canaries) for item in ESCAPES}))


def _outcome(
    attack: Attack, staging: Path, canaries: Path
) -> tuple[str, str] | dict[str, str]:
    policy = dataclasses.replace(
        attack.policy, keep_owners=False, devices=DevicePolicy.PLACEHOLDER
    )
    tar = attack.tar(canaries)
    with opened(staging) as fd:
        try:
            apply_plain(tar, fd, _FORM, attack.limits, policy)
            if attack.needs_root or "0000" in str(attack.shows):
                return {}  # of other devices, or closed to its owner
            return in_words(found_below(fd), _FORM.prefix)
        except SnapfsError as error:
            return type(error).__name__, str(error)
        finally:
            os.fchmod(fd, 0o700)
            discard_tree(fd)
            for name in os.listxattr(fd):
                os.removexattr(fd, name)


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
