"""Pushing an image: its blobs first, its manifest last.

Source: distribution-spec, "Push".
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from enum import StrEnum

from snapfs.closing import Closing
from snapfs.digest import Digest, sha256
from snapfs.errors import DigestMismatchError, SnapfsError
from snapfs.image.descriptor import Descriptor
from snapfs.image.registry.client import Call, Client
from snapfs.image.registry.endpoints import Capability
from snapfs.image.registry.hosts import find_endpoints
from snapfs.image.registry.mirrors import Mirrors
from snapfs.image.registry.name import RegistryName
from snapfs.image.registry.settings import RegistrySettings
from snapfs.image.registry.statuses import refusal
from snapfs.image.registry.uploads import Session, Upload
from snapfs.image.source import BlobReader


class Outcome(StrEnum):
    """How a blob came to be in the repository."""

    EXISTED = "existed"
    MOUNTED = "mounted"
    UPLOADED = "uploaded"


class RegistryTarget(Closing):
    """A repository to push to; any number of threads may push blobs at once.

    The first host that has the capability ``push`` gets everything: content that
    is spread over several hosts would be of no use.

    Raises:
        InvalidArgumentError: A ``hosts.toml`` or a certificate is malformed.
        FailedPreconditionError: No host of the registry takes pushes.
    """

    def __init__(self, name: RegistryName, settings: RegistrySettings) -> None:
        self._image = name
        self._settings = settings
        endpoints = find_endpoints(name, settings.host_folders)
        takers = [one for one in endpoints if Capability.PUSH & one.capabilities]
        self._mirrors = Mirrors(takers[:1], name, settings)
        self._client: Client = self._mirrors.only(Capability.PUSH)
        self._scopes = (f"repository:{name.repository}:pull,push",)

    def has_blob(self, digest: Digest) -> bool:
        """Return whether the repository has the blob.

        Raises:
            SnapfsError: As the host's refusal says.
        """
        target = f"{self._image.repository}/blobs/{digest}"
        response = self._client.send(Call("HEAD", target, self._scopes))
        if response.status in (200, 404):
            response.close()
            return response.status == 200
        raise refusal(response, self._client.host, f"blob {digest}")

    def push_blob(
        self,
        descriptor: Descriptor,
        open_at: Callable[[int], BlobReader],
        mount_from: Iterable[str] = (),
    ) -> Outcome:
        """Make sure that the repository has a blob, sending as little as can be.

        Args:
            descriptor: Of the blob.
            open_at: Opens the blob for reading from an offset on; called again
                where an upload broke off.
            mount_from: Repositories of the same registry that may have it.

        Raises:
            PermissionDeniedError: The registry takes no push from us.
            DigestMismatchError: The host got other content than the digest names.
            DataLossError: The blob is shorter than its descriptor says.
            UnavailableError: The host cannot be reached, after all repeats.
        """
        if self.has_blob(descriptor.digest):
            return Outcome.EXISTED
        upload = Upload(
            self._client,
            self._image.repository,
            descriptor,
            open_at,
            self._settings.chunk_bytes,
        )
        session = None
        for repository in mount_from:
            # A host that cannot mount begins an ordinary upload instead.
            session = upload.begin(repository)
            if session is None:
                return Outcome.MOUNTED
        try:
            upload.send(session or self._begin(upload))
        except SnapfsError:
            # The last answer may have been lost, not the blob.
            if not self._has_quietly(descriptor.digest):
                raise
        return Outcome.UPLOADED

    def push_manifest(
        self, content: bytes, media_type: str, reference: str = ""
    ) -> Descriptor:
        """Put a manifest or index under ``reference``: a tag or digest.

        Without one it goes under the name that the target was made with; an image
        of an index goes under its digest.

        Raises:
            InvalidArgumentError: The registry finds it malformed.
            FailedPreconditionError: It lacks a blob that the manifest names.
            DigestMismatchError: The host stored it under another digest.
            SnapfsError: As the host's refusal says.
        """
        reference = reference or self._image.reference
        digest = Digest(reference) if ":" in reference else sha256(content)
        hasher = digest.hasher()
        hasher.update(content)
        if hasher.hexdigest() != digest.hex:
            raise DigestMismatchError(f"the manifest to push is not {digest}")
        target = f"{self._image.repository}/manifests/{reference}"
        headers = {"Content-Type": media_type}
        response = self._client.send(
            Call("PUT", target, self._scopes, headers, body=content)
        )
        if response.status != 201:
            what = f"manifest {reference!r} of {self._image.repository!r}"
            raise refusal(response, self._client.host, what)
        response.close()
        stored = response.headers.get("Docker-Content-Digest", "")
        if stored.startswith("sha256:") and stored != str(sha256(content)):
            raise DigestMismatchError(
                f"{self._client.host!r} stored manifest {reference!r} as {stored}, "
                f"which is not {sha256(content)}"
            )
        return Descriptor(media_type, digest, len(content))

    def close(self) -> None:
        """Close all connections."""
        self._mirrors.close()

    def _begin(self, upload: Upload) -> Session:
        session = upload.begin()
        assert session is not None, "only a mount needs no upload"
        return session

    def _has_quietly(self, digest: Digest) -> bool:
        try:
            return self.has_blob(digest)
        except SnapfsError:
            return False  # the upload's own error is the one to report
