"""Every error class of snapfs; a leaf that imports nothing.

The classes map one to one onto containerd's error classes (its ``errdefs``), so
that the adapters ``service/status.py`` (gRPC) and ``cli/exit_codes.py`` can
translate each of them in one table. A message names the object, its state and,
where there is one, the way out.
"""


class SnapfsError(Exception):
    """Any error that snapfs raises on purpose."""


class InvalidArgumentError(SnapfsError):
    """The request can never succeed as it is written."""


class NotFoundError(SnapfsError):
    """The named object does not exist."""


class AlreadyExistsError(SnapfsError):
    """The name is taken."""


class FailedPreconditionError(SnapfsError):
    """The object is not in the state that the request needs."""


class UnavailableError(SnapfsError):
    """This host lacks a driver, a device, a kernel feature or a running service."""


class PermissionDeniedError(SnapfsError):
    """The caller may not do this."""


class ResourceExhaustedError(SnapfsError):
    """A limit, a quota or the space on a disk is used up."""


class UnimplementedError(SnapfsError):
    """Not ours to do; another component may."""


class UnsafeLayerError(SnapfsError):
    """A layer holds an entry that would escape its directory or break a limit."""


class DataLossError(SnapfsError):
    """Content or metadata is damaged or contradicts itself."""


class DigestMismatchError(DataLossError):
    """Content does not have the digest that its reference promises."""
