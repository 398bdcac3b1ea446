"""The FUSE wire format: numbers, structures and the negotiation of a session."""

from snapfs.fuse.wire.flags import (
    ROOT_ID,
    UNIQUE_RESEND,
    FsyncFlag,
    InitFlag,
    InvalEntryFlag,
    OpenFlag,
    OpenInFlag,
    SetattrValid,
    SetxattrFlag,
    WriteFlag,
)
from snapfs.fuse.wire.negotiation import (
    FAST_FLAGS,
    PASSTHROUGH_FLAGS,
    Agreement,
    Negotiated,
    Wishes,
    negotiate,
)
from snapfs.fuse.wire.opcodes import (
    OPCODE_COUNT,
    UNANSWERED,
    NotifyCode,
    Opcode,
    opcode_name,
)

__all__ = [
    "FAST_FLAGS",
    "OPCODE_COUNT",
    "PASSTHROUGH_FLAGS",
    "ROOT_ID",
    "UNANSWERED",
    "UNIQUE_RESEND",
    "Agreement",
    "FsyncFlag",
    "InitFlag",
    "InvalEntryFlag",
    "Negotiated",
    "NotifyCode",
    "Opcode",
    "OpenFlag",
    "OpenInFlag",
    "SetattrValid",
    "SetxattrFlag",
    "Wishes",
    "WriteFlag",
    "negotiate",
    "opcode_name",
]
