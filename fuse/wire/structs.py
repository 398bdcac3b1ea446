"""The structures of the protocol, compiled once; ``include/uapi/linux/fuse.h``, 7.45.

Little endian, as every host that the kernel's FUSE runs our Python on; fields in
the order of the header file, padding left out by ``x``. What has a name after its
fixed part (``fuse_mknod_in`` and the like) is followed by it, NUL-terminated.
"""

from __future__ import annotations

from struct import Struct

from snapfs.light_typing import Final

# Framing.
IN_HEADER: Final = Struct("<IIQQIIIHxx")
"""len, opcode, unique, nodeid, uid, gid, pid, total_extlen (in 8 bytes)."""
OUT_HEADER: Final = Struct("<IiQ")
"""len, error (0 or ``-errno``; a notification's code), unique (0: notification)."""
EXTENSION_HEADER: Final = Struct("<II")
"""size (with this header, padded to 8), type (``FUSE_EXT_GROUPS`` is 32)."""
EXTENSION_GROUPS: Final = Struct("<I")
"""nr_groups; then that many ``u32``."""
SECURITY_CONTEXTS: Final = Struct("<II")
"""``fuse_secctx_header``: size, nr_secctx."""
SECURITY_CONTEXT: Final = Struct("<II")
"""``fuse_secctx``: size, padding; then the name, NUL-terminated, and the context."""

# What replies are made of.
_ATTR: Final = "3Q3q10I"
ATTR: Final = Struct(f"<{_ATTR}")
"""ino, size, blocks, atime, mtime, ctime, their nanoseconds, mode, nlink, uid, gid,
rdev, blksize, flags. The header calls the times unsigned; before 1970 they are not."""
ENTRY: Final = Struct("<4Q2I")
"""The 40 bytes of ``fuse_entry_out`` before its ATTR: nodeid (0: no such name),
generation, entry_valid, attr_valid, entry_valid_nsec, attr_valid_nsec."""
ENTRY_ATTR: Final = Struct(f"<4Q2I{_ATTR}")
"""The whole ``fuse_entry_out``: ENTRY and ATTR in one call."""
ATTR_HEAD: Final = Struct("<QI4x")
"""The 16 bytes of ``fuse_attr_out`` before its ATTR: attr_valid, attr_valid_nsec."""
ATTR_OUT: Final = Struct(f"<QI4x{_ATTR}")
"""The whole ``fuse_attr_out``: attr_valid, attr_valid_nsec and ATTR."""
OPEN_OUT: Final = Struct("<QIi")
"""fh, open_flags, backing_id."""
WRITE_OUT: Final = Struct("<I4x")
"""size."""
STATFS_OUT: Final = Struct("<5Q3I4x24x")
"""blocks, bfree, bavail, files, ffree, bsize, namelen, frsize."""
XATTR_SIZE_OUT: Final = Struct("<I4x")
"""``fuse_getxattr_out``: the size of what was asked for with size 0."""
LOCK_OUT: Final = Struct("<QQII")
"""start, end, type, pid."""
BMAP_OUT: Final = Struct("<Q")
IOCTL_OUT: Final = Struct("<iIII")
"""result, flags, in_iovs, out_iovs."""
POLL_OUT: Final = Struct("<I4x")
"""revents."""
LSEEK_OUT: Final = Struct("<Q")
COPY_FILE_RANGE_OUT: Final = Struct("<Q")
"""bytes_copied, for COPY_FILE_RANGE_64; the old operation replies WRITE_OUT."""
STATX_TIME: Final = Struct("<qI4x")
STATX_OUT: Final = Struct("<QII16xIIQIIIH2xQQQQqI4xqI4xqI4xqI4xIIII112x")
"""attr_valid, attr_valid_nsec, flags; mask, blksize, attributes, nlink, uid, gid,
mode, ino, size, blocks, attributes_mask; seconds and nanoseconds of atime, btime,
ctime and mtime; rdev_major, rdev_minor, dev_major, dev_minor."""
DIRENT: Final = Struct("<QQII")
"""ino, off (of the next entry), namelen, type; then the name, padded to 8."""
DIRENTPLUS: Final = Struct(f"<4Q2I{_ATTR}QQII")
"""ENTRY, ATTR and DIRENT; then the name, padded to 8."""

# What requests bring after their header.
INIT_IN: Final = Struct("<IIII")
"""major, minor, max_readahead, flags: all there is before 7.36."""
INIT_IN_EXT: Final = Struct("<IIIII44x")
"""INIT_IN and flags2, since 7.36."""
INIT_OUT: Final = Struct("<IIIIHHIIHHIIH22x")
"""major, minor, max_readahead, flags, max_background, congestion_threshold,
max_write, time_gran, max_pages, map_alignment, flags2, max_stack_depth,
request_timeout."""
FORGET_IN: Final = Struct("<Q")
"""nlookup."""
BATCH_FORGET_IN: Final = Struct("<I4x")
"""count; then that many FORGET_ONE."""
FORGET_ONE: Final = Struct("<QQ")
"""nodeid, nlookup."""
GETATTR_IN: Final = Struct("<I4xQ")
"""getattr_flags, fh."""
SETATTR_IN: Final = Struct("<I4x3Q3q4I4xII4x")
"""valid, fh, size, lock_owner, atime, mtime, ctime, their nanoseconds, mode, uid,
gid. The times are signed, as in ATTR."""
MKNOD_IN: Final = Struct("<III4x")
"""mode, rdev, umask."""
MKDIR_IN: Final = Struct("<II")
"""mode, umask."""
RENAME_IN: Final = Struct("<Q")
"""newdir; then the old and the new name."""
RENAME2_IN: Final = Struct("<QI4x")
"""newdir, flags; then the old and the new name."""
LINK_IN: Final = Struct("<Q")
"""oldnodeid; then the new name in the directory that the header names."""
OPEN_IN: Final = Struct("<II")
"""flags (``O_*``), open_flags (:class:`OpenInFlag`)."""
CREATE_IN: Final = Struct("<IIII")
"""flags, mode, umask, open_flags; for TMPFILE as well."""
READ_IN: Final = Struct("<QQIIQI4x")
"""fh, offset, size, read_flags, lock_owner, flags; for READDIR(PLUS) as well."""
WRITE_IN: Final = Struct("<QQIIQI4x")
"""fh, offset, size, write_flags, lock_owner, flags; then the data."""
RELEASE_IN: Final = Struct("<QIIQ")
"""fh, flags, release_flags, lock_owner."""
FSYNC_IN: Final = Struct("<QI4x")
"""fh, fsync_flags."""
SETXATTR_IN: Final = Struct("<II")
"""size, flags (``XATTR_*``): without SETXATTR_EXT. Then the name and the value."""
SETXATTR_IN_EXT: Final = Struct("<III4x")
"""size, flags, setxattr_flags: where SETXATTR_EXT is agreed."""
GETXATTR_IN: Final = Struct("<I4x")
"""size; then the name. LISTXATTR: size alone."""
FLUSH_IN: Final = Struct("<Q8xQ")
"""fh, lock_owner."""
LOCK_IN: Final = Struct("<QQQQIII4x")
"""fh, owner; start, end, type, pid; lk_flags."""
ACCESS_IN: Final = Struct("<I4x")
"""mask."""
INTERRUPT_IN: Final = Struct("<Q")
"""unique, of the request to interrupt."""
BMAP_IN: Final = Struct("<QI4x")
"""block, blocksize."""
IOCTL_IN: Final = Struct("<QIIQII")
"""fh, flags, cmd, arg, in_size, out_size; then the data."""
POLL_IN: Final = Struct("<QQII")
"""fh, kh, flags, events."""
FALLOCATE_IN: Final = Struct("<QQQI4x")
"""fh, offset, length, mode."""
LSEEK_IN: Final = Struct("<QQI4x")
"""fh, offset, whence."""
COPY_FILE_RANGE_IN: Final = Struct("<7Q")
"""fh_in, off_in, nodeid_out, fh_out, off_out, len, flags."""
SETUPMAPPING_IN: Final = Struct("<5Q")
"""fh, foffset, len, flags, moffset."""
REMOVEMAPPING_IN: Final = Struct("<I")
"""count; then that many REMOVEMAPPING_ONE."""
REMOVEMAPPING_ONE: Final = Struct("<QQ")
"""moffset, len."""
SYNCFS_IN: Final = Struct("<8x")
STATX_IN: Final = Struct("<I4xQII")
"""getattr_flags, fh, sx_flags, sx_mask."""

# Notifications.
NOTIFY_POLL: Final = Struct("<Q")
"""kh."""
NOTIFY_INVAL_INODE: Final = Struct("<Qqq")
"""ino, off (below 0: the attributes alone), len (0: to the end)."""
NOTIFY_INVAL_ENTRY: Final = Struct("<QII")
"""parent, namelen, flags; then the name."""
NOTIFY_DELETE: Final = Struct("<QQI4x")
"""parent, child, namelen; then the name."""
NOTIFY_STORE: Final = Struct("<QQI4x")
"""nodeid, offset, size; then the data."""
NOTIFY_RETRIEVE: Final = Struct("<QQQI4x")
"""notify_unique, nodeid, offset, size."""
NOTIFY_RETRIEVE_IN: Final = Struct("<8xQI20x")
"""What the NOTIFY_REPLY to it brings: offset, size; then the data."""
NOTIFY_PRUNE: Final = Struct("<I12x")
"""count; then that many ``u64`` node ids."""
