"""Labels of SELinux on a mount: told where they are, and asked for once elsewhere."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from support.fuse_mounts import mounted_union

pytestmark = [
    pytest.mark.fuse,
    pytest.mark.root,
    pytest.mark.skipif(
        os.path.isdir("/sys/fs/selinux"), reason="the kernel runs SELinux here"
    ),
]

LABEL = "security.selinux"


@pytest.mark.parametrize("has_upper", [True, False])
def test_a_file_without_a_label_says_that_there_are_none(
    tmp_path: Path, has_upper: bool
) -> None:
    low, upper, work, merged = (
        tmp_path / name for name in ("low", "upper", "work", "merged")
    )
    for path in (low, upper, work, merged):
        path.mkdir()
    (low / "plain").touch()
    (low / "other").touch()
    os.setxattr(low / "other", "user.other", b"1")
    (low / "labelled").touch()
    os.setxattr(low / "labelled", LABEL, b"system_u:object_r:bin_t:s0\0")

    its_upper, its_work = (upper, work) if has_upper else (None, None)
    with mounted_union([low], its_upper, its_work, merged):
        for name in ("plain", "other"):
            assert _error(merged / name, LABEL) == errno.EOPNOTSUPP
        assert _error(merged / "other", "security.other") == errno.ENODATA
        value = os.getxattr(merged / "labelled", LABEL)

    assert value == b"system_u:object_r:bin_t:s0\0"


def test_a_label_can_be_given_and_taken(tmp_path: Path) -> None:
    low, upper, work, merged = (
        tmp_path / name for name in ("low", "upper", "work", "merged")
    )
    for path in (low, upper, work, merged):
        path.mkdir()
    (low / "file").touch()

    with mounted_union([low], upper, work, merged):
        os.setxattr(merged / "file", LABEL, b"a:b:c:s0\0")
        assert os.getxattr(merged / "file", LABEL) == b"a:b:c:s0\0"
        os.removexattr(merged / "file", LABEL)
        assert _error(merged / "file", LABEL) == errno.EOPNOTSUPP


def _error(path: Path, attribute: str) -> int | None:
    try:
        os.getxattr(path, attribute)
    except OSError as error:
        return error.errno
    return None
