"""Images in containerd's content store: ``containerd:REF``."""

from __future__ import annotations

import contextlib
import difflib
import re
from collections.abc import Iterator, Sequence
from typing import Final

from snapfs.api import content_pb2, images_pb2
from snapfs.api.containerd_methods import BLOB_INFO, GET_IMAGE, LIST_IMAGES
from snapfs.api.methods import NAMESPACE_HEADER
from snapfs.closing import Closing
from snapfs.digest import Digest
from snapfs.errors import (
    DataLossError,
    InvalidArgumentError,
    NotFoundError,
    PermissionDeniedError,
    SnapfsError,
    UnavailableError,
    UnimplementedError,
)
from snapfs.image.descriptor import Descriptor
from snapfs.image.registry.name import parse_name
from snapfs.image.source import BlobReader
from snapfs.image.strict_json import shown
from snapfs.remote.channel import Channel
from snapfs.remote.containerd_blobs import ContainerdBlobReader
from snapfs.remote.snapshotter import encodable

# What ctr uses where nothing is said (containerd, defaults and pkg/namespaces).
DEFAULT_ADDRESS: Final = "/run/containerd/containerd.sock"
DEFAULT_NAMESPACE: Final = "default"

# Where images are that users miss in another namespace: ctr's and nerdctl's,
# Kubernetes's (CRI), Docker's.
_USUAL_NAMESPACES: Final = (DEFAULT_NAMESPACE, "k8s.io", "moby")

# containerd, pkg/identifiers/validate.go.
_NAMESPACE: Final = re.compile(r"[A-Za-z0-9]+(?:[-._][A-Za-z0-9]+)*")
_LONGEST_NAMESPACE: Final = 76

# For one piece of a blob, or the list of all images.
_TIMEOUT_S: Final = 60.0

_ADVICE: Final = "start containerd, or name its socket (CONTAINERD_ADDRESS)"

_NEAR: Final = 3


class ContainerdImageSource(Closing):
    """Implements :class:`snapfs.image.source.ImageSource` over containerd's socket.

    The connection is made at the first call; containerd may restart meanwhile.

    Args:
        socket: The path of containerd's socket.
        namespace: The namespace that has the image.
        reference: The image's name, as ``ctr images ls`` shows it, or as Docker's
            users shorten it (``debian``).
        timeout_s: How long one call may take.

    Raises:
        InvalidArgumentError: The namespace or the socket is not one by its form.
        UnavailableError: The path of the socket is too long, and its directory
            cannot be opened.
    """

    def __init__(
        self,
        socket: str,
        namespace: str,
        reference: str,
        *,
        timeout_s: float = _TIMEOUT_S,
    ) -> None:
        if len(namespace) > _LONGEST_NAMESPACE or not _NAMESPACE.fullmatch(namespace):
            raise InvalidArgumentError(
                f"{shown(namespace)} is not the name of a containerd namespace"
            )
        self._socket = socket
        self._namespace = namespace
        self._reference = reference
        self._timeout_s = timeout_s
        self._channel = self._connect(namespace)

    @property
    def name(self) -> str:
        """What messages call the source."""
        return f"containerd:{self._reference}"

    def root(self) -> Descriptor:
        """Return the descriptor of the index or manifest that has the name.

        Raises:
            NotFoundError: No image has the name; the message has those that are
                near, and the other namespaces that have it.
            UnavailableError: Nobody answers on the socket, or it is not containerd.
            PermissionDeniedError: The socket is not for this user.
            DataLossError: The image has no target that could be one.
        """
        with encodable(), self._explained():
            image = self._find(self._channel)
            if image is None:
                raise NotFoundError(self._missing_image())
        return _descriptor_of(image, self.name)

    def open_blob(self, descriptor: Descriptor, offset: int = 0) -> BlobReader:
        """Open a blob for reading from ``offset`` on.

        Raises:
            NotFoundError: containerd does not have it; the message says how that
                comes about.
            UnavailableError: As for :meth:`root`.
            PermissionDeniedError: As for :meth:`root`.
        """
        digest = str(descriptor.digest)
        with self._explained():
            try:
                response = self._channel.call(
                    BLOB_INFO, content_pb2.InfoRequest(digest=digest)
                )
            except NotFoundError as error:
                raise NotFoundError(self._missing_blob(digest)) from error
        size_bytes = response.info.size
        return ContainerdBlobReader(
            self._channel, digest, size_bytes, offset, self.name
        )

    def interrupt(self) -> None:
        """See :class:`snapfs.image.source.Interruptible`."""
        self.close()

    def close(self) -> None:
        """Break the connection; readers end with it. A second call does nothing."""
        self._channel.close()

    def _connect(self, namespace: str) -> Channel:
        return Channel(
            self._socket,
            timeout_s=self._timeout_s,
            metadata=((NAMESPACE_HEADER, namespace),),
            advice=_ADVICE,
        )

    def _find(self, channel: Channel) -> images_pb2.Image | None:
        for name in self._names():
            request = images_pb2.GetImageRequest(name=name)
            with contextlib.suppress(NotFoundError):  # then the next name, or None
                return channel.call(GET_IMAGE, request).image
        return None

    def _names(self) -> Sequence[str]:
        """Return the names that the reference may stand for, the exact one first."""
        try:
            full = str(parse_name(self._reference))
        except SnapfsError:
            return (self._reference,)  # containerd's names may be any text
        return tuple(dict.fromkeys((self._reference, full)))

    def _missing_image(self) -> str:
        said = (
            f"containerd's namespace {self._namespace} has no image"
            f" {shown(self._reference)}"
        )
        if elsewhere := list(self._namespaces_that_have_it()):
            return (
                f"{said}; {' and '.join(elsewhere)} "
                f"{'has' if len(elsewhere) == 1 else 'have'} it"
                " (CONTAINERD_NAMESPACE says where to look)"
            )
        request = images_pb2.ListImagesRequest()
        listed = self._channel.call(LIST_IMAGES, request).images
        names = sorted(image.name for image in listed)
        if not names:
            return f"{said}; it has none at all"
        if near := self._near(names):
            return f"{said}; did you mean {' or '.join(ascii(n)[1:-1] for n in near)}?"
        return f"{said}; it has {len(names)} others (ctr images ls shows them)"

    def _near(self, names: Sequence[str]) -> list[str]:
        """Return the names like the reference, or like it but for registry or tag."""
        base = _base_of(self._reference)
        bases = {_base_of(name) for name in names}
        near_bases = difflib.get_close_matches(base, bases, _NEAR)
        near = difflib.get_close_matches(self._reference, names, _NEAR)
        # The more alike the base, the further ahead.
        near += [n for wanted in near_bases for n in names if _base_of(n) == wanted]
        return list(dict.fromkeys(near))[:_NEAR]

    def _namespaces_that_have_it(self) -> Iterator[str]:
        for namespace in _USUAL_NAMESPACES:
            if namespace != self._namespace:
                with contextlib.closing(self._connect(namespace)) as channel:
                    if self._find(channel) is not None:
                        yield namespace

    def _missing_blob(self, digest: str) -> str:
        return (
            f"{self.name}: containerd's namespace {self._namespace} does not have the"
            f" blob {digest}; the image was pulled in part, for another platform, or"
            " its unpacked layers were discarded (discard_unpacked_layers): fetch it"
            f" with ctr --namespace {self._namespace} content fetch {self._reference}"
        )

    @contextlib.contextmanager
    def _explained(self) -> Iterator[None]:
        """Say what a refusal means for whoever wanted an image."""
        try:
            yield
        except UnimplementedError as error:
            raise UnavailableError(
                f"{self._socket} has no images: it is not containerd's socket"
                f" ({error}); {_ADVICE}"
            ) from error
        except PermissionDeniedError as error:
            raise PermissionDeniedError(
                f"{error}; containerd's socket is for root, or for the group that its"
                " configuration names"
            ) from error


def _base_of(name: str) -> str:
    """Return the last part of a name's path, without tag and digest."""
    return name.partition("@")[0].rpartition("/")[2].partition(":")[0]


def _descriptor_of(image: images_pb2.Image, where: str) -> Descriptor:
    target = image.target
    try:
        return Descriptor(
            target.media_type,
            Digest(target.digest),
            target.size,
            dict(target.annotations),
        )
    except InvalidArgumentError as error:
        raise DataLossError(f"{where}: containerd's record of it: {error}") from error
