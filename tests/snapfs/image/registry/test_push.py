"""Pushing: only what is missing is sent, and broken uploads go on."""

from __future__ import annotations

import dataclasses
from collections import deque
from collections.abc import Iterator

import pytest

from snapfs.digest import Digest, sha256
from snapfs.errors import (
    DataLossError,
    DigestMismatchError,
    FailedPreconditionError,
    PermissionDeniedError,
    UnavailableError,
)
from snapfs.image.descriptor import Descriptor
from snapfs.image.media_types import OCI_MANIFEST
from snapfs.image.registry.name import parse_name
from snapfs.image.registry.push import Outcome, RegistryTarget
from snapfs.image.registry.settings import RegistrySettings
from snapfs.image.verified import MemoryReader
from support.hostile_registry import HostileRegistry

from .conftest import MANIFEST, REPOSITORY

CHUNK = 40_000


@pytest.fixture(params=[CHUNK, 1 << 20], ids=["in-chunks", "at-once"])
def use(request: pytest.FixtureRequest, settings: RegistrySettings) -> RegistrySettings:
    return dataclasses.replace(settings, chunk_bytes=request.param)


@pytest.fixture
def target(
    registry: HostileRegistry, settings: RegistrySettings
) -> Iterator[RegistryTarget]:
    """A target that sends in chunks."""
    use = dataclasses.replace(settings, chunk_bytes=CHUNK)
    name = parse_name(f"{registry.host}/{REPOSITORY}:v2")
    with RegistryTarget(name, use) as opened:
        yield opened


class Blob:
    """A blob to push; counts how often it is opened."""

    def __init__(self, content: bytes) -> None:
        self.descriptor = Descriptor("", sha256(content), len(content))
        self.opened: list[int] = []
        self._content = content

    def open_at(self, offset: int) -> MemoryReader:
        self.opened.append(offset)
        return MemoryReader(self._content, offset)


def test_a_blob_is_uploaded(
    registry: HostileRegistry, use: RegistrySettings, blob: bytes
) -> None:
    pushed = Blob(blob)
    name = parse_name(f"{registry.host}/{REPOSITORY}:v2")

    with RegistryTarget(name, use) as target:
        outcome = target.push_blob(pushed.descriptor, pushed.open_at)

    assert outcome is Outcome.UPLOADED
    assert registry.blobs[str(pushed.descriptor.digest)] == blob
    assert pushed.opened == [0]


def test_an_empty_blob_is_uploaded(
    registry: HostileRegistry, target: RegistryTarget
) -> None:
    pushed = Blob(b"")

    target.push_blob(pushed.descriptor, pushed.open_at)

    assert registry.blobs[str(sha256(b""))] == b""


def test_a_blob_that_is_there_is_not_sent(
    registry: HostileRegistry, target: RegistryTarget, blob: bytes
) -> None:
    registry.add_blob(blob)
    pushed = Blob(blob)

    outcome = target.push_blob(pushed.descriptor, pushed.open_at)

    assert outcome is Outcome.EXISTED
    assert [one.method for one in registry.seen] == ["HEAD"]


def test_a_blob_of_another_repository_is_mounted(
    registry: HostileRegistry, target: RegistryTarget, blob: bytes
) -> None:
    registry.does.mounts = True
    pushed = Blob(blob)

    outcome = target.push_blob(pushed.descriptor, pushed.open_at, ["team/base"])

    assert outcome is Outcome.MOUNTED
    assert pushed.opened == []
    assert registry.seen[-1].query["from"] == ["team/base"]


def test_a_registry_that_cannot_mount_gets_the_blob(
    registry: HostileRegistry, target: RegistryTarget, blob: bytes
) -> None:
    pushed = Blob(blob)

    outcome = target.push_blob(pushed.descriptor, pushed.open_at, ["team/base"])

    assert outcome is Outcome.UPLOADED
    assert len(registry.requests("POST")) == 1


def test_a_broken_upload_goes_on_where_the_registry_is(
    registry: HostileRegistry, target: RegistryTarget, blob: bytes
) -> None:
    registry.does.keeps = deque([10_000, 0, CHUNK])
    pushed = Blob(blob)

    target.push_blob(pushed.descriptor, pushed.open_at)

    assert registry.blobs[str(pushed.descriptor.digest)] == blob
    assert len(registry.uploads) == 1
    assert 10_000 in pushed.opened


def test_an_upload_that_always_breaks_is_given_up(
    registry: HostileRegistry, target: RegistryTarget, blob: bytes
) -> None:
    registry.does.keeps = deque([0] * 20)
    pushed = Blob(blob)

    with pytest.raises(UnavailableError, match="connection broke"):
        target.push_blob(pushed.descriptor, pushed.open_at)


def test_other_content_than_was_promised_is_refused_by_the_registry(
    target: RegistryTarget, blob: bytes
) -> None:
    descriptor = Descriptor("", sha256(b"other"), len(blob))

    with pytest.raises(DigestMismatchError, match="digest did not match"):
        target.push_blob(descriptor, Blob(blob).open_at)


def test_a_blob_that_is_too_short_is_an_error(
    target: RegistryTarget, blob: bytes
) -> None:
    descriptor = Descriptor("", sha256(blob), len(blob) + 1)

    with pytest.raises(DataLossError, match="ends after 300000 of 300001"):
        target.push_blob(descriptor, Blob(blob).open_at)


def test_a_manifest_is_put_under_its_tag_and_under_a_digest(
    registry: HostileRegistry, target: RegistryTarget
) -> None:
    tagged = target.push_manifest(MANIFEST, OCI_MANIFEST)
    target.push_manifest(MANIFEST, OCI_MANIFEST, str(sha256(MANIFEST)))

    assert tagged == Descriptor(OCI_MANIFEST, sha256(MANIFEST), len(MANIFEST))
    assert registry.manifests[REPOSITORY, "v2"] == (OCI_MANIFEST, MANIFEST)


def test_a_manifest_goes_under_no_wrong_digest(
    registry: HostileRegistry, target: RegistryTarget
) -> None:
    with pytest.raises(DigestMismatchError):
        target.push_manifest(MANIFEST, OCI_MANIFEST, str(sha256(b"other")))

    assert registry.seen == []


def test_a_registry_that_stores_another_manifest_is_noticed(
    registry: HostileRegistry, target: RegistryTarget
) -> None:
    registry.does.stored_digest = str(Digest(f"sha256:{'0' * 64}"))

    with pytest.raises(DigestMismatchError, match="stored manifest"):
        target.push_manifest(MANIFEST, OCI_MANIFEST)


def test_a_refused_push_is_reported_with_the_registrys_words(
    registry: HostileRegistry, target: RegistryTarget
) -> None:
    registry.does.statuses = deque([403])

    with pytest.raises(PermissionDeniedError, match="as the test wants"):
        target.push_manifest(MANIFEST, OCI_MANIFEST)


def test_a_registry_without_a_host_for_pushes_is_an_error(
    registry: HostileRegistry, settings: RegistrySettings
) -> None:
    [folder] = settings.host_folders
    (folder / registry.host).mkdir()
    text = 'capabilities = ["pull", "resolve"]'
    (folder / registry.host / "hosts.toml").write_text(text)

    with pytest.raises(FailedPreconditionError, match="push"):
        RegistryTarget(parse_name(f"{registry.host}/a"), settings)
