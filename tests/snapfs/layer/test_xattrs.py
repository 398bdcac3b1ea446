"""Which extended attributes reach the disk (reference notes on OCI layers 1.2, 2.4)."""

import pytest

from snapfs.layer.limits import Policy
from snapfs.layer.xattrs import XattrFilter
from snapfs.overlay_format import XattrPrefix

MARKS = ("opaque", "redirect", "metacopy", "origin", "whiteout", "upper", "nlink")
EVERYTHING = Policy(xattrs=("*",))


@pytest.mark.parametrize(
    ("name", "is_stored"),
    [
        (b"user.anything", True),
        (b"security.capability", True),
        (b"system.posix_acl_access", True),
        (b"system.posix_acl_default", True),
        (b"security.capability2", False),
        (b"security.selinux", False),
        (b"security.ima", False),
        (b"security.evm", False),
        (b"system.nfs4_acl", False),
        (b"trusted.anything", False),
        (b"trusted.overlayfs", False),
        (b"user.overlay", True),
    ],
)
def test_the_default_policy_keeps_what_is_safe(name: bytes, is_stored: bool) -> None:
    stored = XattrFilter(Policy(), XattrPrefix.TRUSTED).stored_name(name)

    assert stored == (name if is_stored else None)


@pytest.mark.parametrize("policy", [Policy(), EVERYTHING])
@pytest.mark.parametrize("mark", [*MARKS, "overlay.opaque", "", "new"])
def test_marks_of_overlayfs_are_never_stored_raw(policy: Policy, mark: str) -> None:
    trusted, user = (f"{p}overlay.{mark}".encode() for p in XattrPrefix)

    for prefix, own, other in (
        (XattrPrefix.TRUSTED, trusted, user),
        (XattrPrefix.USER, user, trusted),
    ):
        kept = XattrFilter(policy, prefix)
        escaped = f"{prefix}overlay.overlay.{mark}".encode()
        assert kept.stored_name(own) == escaped
        assert kept.stored_name(other) is None
        assert kept.stored({own: b"y", other: b"y"}) == {escaped: b"y"}
        assert kept.dropped({own: b"y", other: b"y"}) == [other]


def test_a_mark_too_long_to_be_escaped_is_dropped() -> None:
    name = b"trusted.overlay.".ljust(255, b"a")

    assert XattrFilter(Policy(), XattrPrefix.TRUSTED).stored_name(name) is None
