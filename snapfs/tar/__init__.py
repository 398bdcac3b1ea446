"""The tar format on the wire: headers, extensions and members, one at a time."""

from snapfs.tar.member import Member, MemberKind
from snapfs.tar.reader import TarReader

__all__ = ["Member", "MemberKind", "TarReader"]
