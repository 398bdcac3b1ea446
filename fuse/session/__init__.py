"""A FUSE session: the mount, the loop that answers the kernel, and its workers."""

from snapfs.fuse.session.connection import Connection
from snapfs.fuse.session.forgetting import forget_handlers
from snapfs.fuse.session.handshake import initialise
from snapfs.fuse.session.mounting import MountOptions, mount
from snapfs.fuse.session.notifier import Notifier
from snapfs.fuse.session.pool import WorkerPool
from snapfs.fuse.session.request import Buffer, Handler, Later, Reply, Request
from snapfs.fuse.session.session import WORKERS, Session
from snapfs.fuse.session.statistics import Statistics
from snapfs.fuse.session.task import Task
from snapfs.fuse.session.tracing import Trace
from snapfs.fuse.session.workers import Wait

__all__ = [
    "WORKERS",
    "Buffer",
    "Connection",
    "Handler",
    "Later",
    "MountOptions",
    "Notifier",
    "Reply",
    "Request",
    "Session",
    "Statistics",
    "Task",
    "Trace",
    "Wait",
    "WorkerPool",
    "forget_handlers",
    "initialise",
    "mount",
]
