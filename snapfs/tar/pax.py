"""PAX extended headers: their strict grammar, and what each keyword overrides.

Source: POSIX pax(1), "pax Extended Header". A record is "LENGTH KEY=VALUE" and
a newline, and LENGTH counts all of it. Malformed records are errors, never skipped:
readers that skip them differ on where the next header is (CVE-2025-62518), and
one that believes a length of 0 never ends (CVE-2019-20907).

What is not applied: ``atime`` and ``ctime`` (nothing keeps them), ``uname`` and
``gname`` (images count by number), ``hdrcharset`` (names are bytes here anyway),
``SCHILY.acl.*`` (ACLs as text, which no container engine applies; as xattrs,
``system.posix_acl_*``, they arrive), ``SCHILY.fflags``, ``RHT.security.selinux``
and keywords unknown to us.
"""

from __future__ import annotations

import binascii
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import unquote_to_bytes

from snapfs.errors import DataLossError
from snapfs.tar import numbers
from snapfs.tar.member import DEVICES, LINKS, Member

_XATTR: Final = b"SCHILY.xattr."
_XATTR_BYTES: Final = len(_XATTR)
_ENCODED_XATTR: Final = b"LIBARCHIVE.xattr."
_ACL: Final = b"SCHILY.acl."
_SPARSE: Final = b"GNU.sparse."
_SPARSE_EXTENT: Final = (b"GNU.sparse.offset", b"GNU.sparse.numbytes")

# Digits of a record's length; a header is far below 10**10 bytes.
_LENGTH_DIGITS: Final = 10

# Their values are strings; a NUL would cut them short for some readers only.
_STRINGS: Final = frozenset(
    (b"path", b"linkpath", b"uname", b"gname", b"GNU.sparse.name")
)

_BROKEN_ESCAPE: Final = re.compile(rb"%(?![0-9A-Fa-f]{2})")


@dataclass(slots=True)
class PaxHeader:
    """The records of one extended header.

    Attributes:
        values: By keyword; of records with the same keyword the last wins.
        extents: Offsets and lengths of sparse format 0.0, in turn: the one
            keyword pair that is repeated on purpose.
    """

    values: dict[bytes, bytes] = field(default_factory=dict)
    extents: list[bytes] = field(default_factory=list)

    @property
    def is_sparse(self) -> bool:
        """Return whether a GNU sparse format is used."""
        return any(keyword.startswith(_SPARSE) for keyword in self.values)

    @property
    def has_acls(self) -> bool:
        """Return whether there are ACLs as text."""
        return any(keyword.startswith(_ACL) for keyword in self.values)


def parse(data: bytes) -> PaxHeader:
    """Return the records of an extended header's body.

    Raises:
        DataLossError: A record breaks the grammar.
    """
    header = PaxHeader()
    values = header.values
    at, end = 0, len(data)
    while at < end:
        space = data.find(b" ", at, at + _LENGTH_DIGITS + 1)
        digits = data[at:space]
        if space < 0 or not digits.isdigit():
            raise DataLossError(f"PAX record at byte {at} has no length")
        stop = at + int(digits)
        if not space < stop <= end:
            raise DataLossError(
                f"PAX record at byte {at} has the length {int(digits)}; "
                f"{end - at} bytes are left"
            )
        keyword, equals, value = data[space + 1 : stop - 1].partition(b"=")
        if data[stop - 1] != ord("\n") or not equals or not keyword:
            raise DataLossError(f"PAX record at byte {at} is not KEY=VALUE and newline")
        if b"\0" in (value if keyword in _STRINGS else keyword):
            raise DataLossError(f"PAX record {keyword[:100]!r} holds a NUL")
        if keyword in _SPARSE_EXTENT:
            _collect_extent(header.extents, keyword, value)
        values[keyword] = value
        at = stop
    return header


def _collect_extent(extents: list[bytes], keyword: bytes, value: bytes) -> None:
    """Add one half of an extent of sparse format 0.0; halves come in turn."""
    if keyword != _SPARSE_EXTENT[len(extents) % 2]:
        raise DataLossError("PAX sparse offsets and lengths do not come in pairs")
    extents.append(value)


def apply(header: PaxHeader, member: Member) -> None:
    """Override the fields of ``member`` with what ``header`` says.

    An empty value leaves the header's field as it is, but is an xattr's value.

    Raises:
        DataLossError: A value is not what its keyword needs.
    """
    xattrs: dict[bytes, bytes] = {}
    encoded: dict[bytes, bytes] = {}
    for keyword, value in header.values.items():
        override = _OVERRIDES.get(keyword)
        if override:
            if value:
                override(member, value)
        elif keyword.startswith(_XATTR):
            name = keyword[_XATTR_BYTES:]
            if b"%" in name:
                # GNU tar and bsdtar escape these two, and GNU tar reads them so.
                name = name.replace(b"%3D", b"=").replace(b"%25", b"%")
            xattrs[_xattr_name(name)] = value
        elif keyword.startswith(_ENCODED_XATTR):
            _decode_xattr(keyword, value, encoded)
    if xattrs or encoded:
        # bsdtar writes both forms; the raw one needs no decoding to be right.
        member.xattrs = encoded | xattrs


def _xattr_name(name: bytes) -> bytes:
    """Refuse an xattr without a name."""
    if not name or b"\0" in name:
        raise DataLossError(f"{name[:100]!r} is not the name of an xattr")
    return name


def _decode_xattr(keyword: bytes, value: bytes, xattrs: dict[bytes, bytes]) -> None:
    """Add an xattr from libarchive's form: name by URL rules, value as base64."""
    quoted = keyword[len(_ENCODED_XATTR) :]
    if _BROKEN_ESCAPE.search(quoted):
        raise DataLossError(f"PAX record {keyword[:100]!r} is not URL-encoded")
    bare = value.rstrip(b"=")
    try:
        # libarchive leaves the padding out.
        decoded = binascii.a2b_base64(bare + b"=" * (-len(bare) % 4), strict_mode=True)
    except binascii.Error as error:
        raise DataLossError(
            f"PAX record {keyword[:100]!r} is not base64: {error}"
        ) from error
    xattrs[_xattr_name(unquote_to_bytes(quoted))] = decoded


def _set_path(member: Member, value: bytes) -> None:
    member.name = value


def _set_link_path(member: Member, value: bytes) -> None:
    if member.kind in LINKS:
        member.link_name = value


def _set_size(member: Member, value: bytes) -> None:
    member.size_bytes = member.stored_bytes = numbers.decimal(value)


def _set_uid(member: Member, value: bytes) -> None:
    member.uid = numbers.identity(numbers.decimal(value))


def _set_gid(member: Member, value: bytes) -> None:
    member.gid = numbers.identity(numbers.decimal(value))


def _set_mtime(member: Member, value: bytes) -> None:
    member.mtime_ns = numbers.pax_time(value)


def _set_major(member: Member, value: bytes) -> None:
    if member.kind in DEVICES:
        member.device = numbers.device(numbers.decimal(value), member.device[1])


def _set_minor(member: Member, value: bytes) -> None:
    if member.kind in DEVICES:
        member.device = numbers.device(member.device[0], numbers.decimal(value))


_OVERRIDES: Final[dict[bytes, Callable[[Member, bytes], None]]] = {
    b"path": _set_path,
    b"linkpath": _set_link_path,
    b"size": _set_size,
    b"uid": _set_uid,
    b"gid": _set_gid,
    b"mtime": _set_mtime,
    b"SCHILY.devmajor": _set_major,
    b"SCHILY.devminor": _set_minor,
}
