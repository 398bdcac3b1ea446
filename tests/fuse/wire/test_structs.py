from __future__ import annotations

from struct import Struct

import pytest

from snapfs.fuse.wire import ioctls, structs

# sizeof() of linux/fuse.h 7.45 as a C compiler gives it.
SIZES = {
    "IN_HEADER": 40,
    "OUT_HEADER": 16,
    "ATTR": 88,
    "ENTRY": 40,
    "ENTRY_ATTR": 128,
    "ATTR_HEAD": 16,
    "ATTR_OUT": 104,
    "OPEN_OUT": 16,
    "WRITE_OUT": 8,
    "STATFS_OUT": 80,
    "XATTR_SIZE_OUT": 8,
    "LOCK_OUT": 24,
    "BMAP_OUT": 8,
    "IOCTL_OUT": 16,
    "POLL_OUT": 8,
    "LSEEK_OUT": 8,
    "COPY_FILE_RANGE_OUT": 8,
    "STATX_TIME": 16,
    "STATX_OUT": 288,
    "DIRENT": 24,
    "DIRENTPLUS": 152,
    "INIT_IN": 16,
    "INIT_IN_EXT": 64,
    "INIT_OUT": 64,
    "FORGET_IN": 8,
    "BATCH_FORGET_IN": 8,
    "FORGET_ONE": 16,
    "GETATTR_IN": 16,
    "SETATTR_IN": 88,
    "MKNOD_IN": 16,
    "MKDIR_IN": 8,
    "RENAME_IN": 8,
    "RENAME2_IN": 16,
    "LINK_IN": 8,
    "OPEN_IN": 8,
    "CREATE_IN": 16,
    "READ_IN": 40,
    "WRITE_IN": 40,
    "RELEASE_IN": 24,
    "FSYNC_IN": 16,
    "SETXATTR_IN": 8,
    "SETXATTR_IN_EXT": 16,
    "GETXATTR_IN": 8,
    "FLUSH_IN": 24,
    "LOCK_IN": 48,
    "ACCESS_IN": 8,
    "INTERRUPT_IN": 8,
    "BMAP_IN": 16,
    "IOCTL_IN": 32,
    "POLL_IN": 24,
    "FALLOCATE_IN": 32,
    "LSEEK_IN": 24,
    "COPY_FILE_RANGE_IN": 56,
    "SETUPMAPPING_IN": 40,
    "REMOVEMAPPING_IN": 4,
    "REMOVEMAPPING_ONE": 16,
    "SYNCFS_IN": 8,
    "STATX_IN": 24,
    "NOTIFY_POLL": 8,
    "NOTIFY_INVAL_INODE": 24,
    "NOTIFY_INVAL_ENTRY": 16,
    "NOTIFY_DELETE": 24,
    "NOTIFY_STORE": 24,
    "NOTIFY_RETRIEVE": 32,
    "NOTIFY_RETRIEVE_IN": 40,
    "NOTIFY_PRUNE": 16,
    "EXTENSION_HEADER": 8,
    "EXTENSION_GROUPS": 4,
    "SECURITY_CONTEXTS": 8,
    "SECURITY_CONTEXT": 8,
}


@pytest.mark.parametrize(("name", "size"), SIZES.items())
def test_a_structure_has_the_size_of_the_kernel_header(name: str, size: int) -> None:
    structure: Struct = getattr(structs, name)

    assert structure.size == size


def test_every_structure_is_measured() -> None:
    defined = {name for name, value in vars(structs).items() if type(value) is Struct}

    assert defined == set(SIZES)


def test_setattr_fields_lie_where_the_kernel_puts_them() -> None:
    body = bytearray(88)
    for offset, value in ((0, 1), (16, 2), (32, 3), (56, 4), (68, 5), (76, 6), (80, 7)):
        body[offset] = value

    fields = structs.SETATTR_IN.unpack(body)

    valid, fh, size, owner, atime, mtime, ctime, *rest = fields
    assert (valid, fh, size, owner, atime, mtime, ctime) == (1, 0, 2, 0, 3, 0, 0)
    assert rest == [4, 0, 0, 5, 6, 7]  # nanoseconds, mode, uid, gid


def test_whole_replies_are_their_parts_in_one() -> None:
    attr = tuple(range(100, 116))
    entry = (7, 0, 1, 2, 3, 4)

    whole = structs.ENTRY_ATTR.pack(*entry, *attr)
    plus = structs.DIRENTPLUS.pack(*entry, *attr, 9, 10, 11, 8)

    assert whole == structs.ENTRY.pack(*entry) + structs.ATTR.pack(*attr)
    assert plus == whole + structs.DIRENT.pack(9, 10, 11, 8)
    assert structs.ATTR_OUT.pack(5, 6, *attr) == (
        structs.ATTR_HEAD.pack(5, 6) + structs.ATTR.pack(*attr)
    )


def test_ioctl_arguments_have_the_size_that_their_numbers_name() -> None:
    pairs = (
        (ioctls.CLONE, ioctls.CLONE_ARGUMENT),
        (ioctls.BACKING_OPEN, ioctls.BACKING_MAP),
        (ioctls.BACKING_CLOSE, ioctls.BACKING_ID),
    )

    assert all(number >> 16 & 0x3FFF == layout.size for number, layout in pairs)
