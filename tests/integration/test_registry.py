"""Images to and from a real registry: Debian's docker-registry on loopback."""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Final

import msgspec
import pytest

from snapfs.digest import Digest, sha256
from snapfs.errors import DataLossError, DigestMismatchError, NotFoundError
from snapfs.image.descriptor import Descriptor
from snapfs.image.media_types import (
    OCI_CONFIG,
    OCI_INDEX,
    OCI_LAYER_GZIP,
    OCI_MANIFEST,
)
from snapfs.image.registry.name import parse_name
from snapfs.image.registry.push import Outcome, RegistryTarget
from snapfs.image.registry.settings import RegistrySettings
from snapfs.image.registry.source import RegistrySource
from snapfs.image.registry.transport import Patience
from snapfs.image.verified import MemoryReader, open_verified, read_document
from support.docker_registry import docker_registry
from support.hostile_registry import hostile_registry

REPOSITORY: Final = "team/app"
CONFIG: Final = b'{"architecture":"amd64","os":"linux"}'
# Several chunks and ranges of the settings below.
LAYER: Final = random.Random(1).randbytes(3_000_000)


@dataclasses.dataclass(frozen=True)
class Pushed:
    """An image that was pushed: its documents, and where it is."""

    host: str
    manifest: bytes
    index: bytes


@pytest.fixture
def settings(tmp_path: Path) -> RegistrySettings:
    (tmp_path / "certs.d").mkdir()
    return RegistrySettings(
        (tmp_path / "certs.d",),
        patience=Patience(attempts=3, first_wait_s=0.01, longest_wait_s=0.02),
        connections=3,
        range_bytes=300_000,
        chunk_bytes=700_000,
    )


@pytest.fixture
def upstream(tmp_path: Path) -> Iterator[str]:
    with docker_registry(tmp_path / "upstream") as host:
        yield host


@pytest.fixture
def pushed(upstream: str, settings: RegistrySettings) -> Pushed:
    """An image under the tag ``v1``, and an index of it under ``multi``."""
    manifest = document(
        OCI_MANIFEST,
        config=described(OCI_CONFIG, CONFIG),
        layers=[described(OCI_LAYER_GZIP, LAYER)],
    )
    index = document(OCI_INDEX, manifests=[described(OCI_MANIFEST, manifest)])
    with RegistryTarget(parse_name(f"{upstream}/{REPOSITORY}:v1"), settings) as target:
        outcomes = {push(target, CONFIG), push(target, LAYER)}
        target.push_manifest(manifest, OCI_MANIFEST)
        target.push_manifest(index, OCI_INDEX, "multi")
    assert outcomes == {Outcome.UPLOADED}
    return Pushed(upstream, manifest, index)


def described(media_type: str, content: bytes) -> dict[str, object]:
    digest = str(sha256(content))
    return {"mediaType": media_type, "digest": digest, "size": len(content)}


def document(media_type: str, **fields: object) -> bytes:
    return msgspec.json.encode({"schemaVersion": 2, "mediaType": media_type, **fields})


def push(target: RegistryTarget, content: bytes, *mount_from: str) -> Outcome:
    descriptor = Descriptor("", sha256(content), len(content))
    return target.push_blob(
        descriptor, lambda offset: MemoryReader(content, offset), mount_from
    )


def pull(host: str, reference: str, settings: RegistrySettings) -> tuple[bytes, bytes]:
    """Return an image's top document and its layer, both verified."""
    name = parse_name(f"{host}/{REPOSITORY}{reference}")
    with RegistrySource(name, settings) as source:
        root = read_document(source, source.root())
        return root, read_layer(source)


def read_layer(source: RegistrySource, size: int = len(LAYER)) -> bytes:
    layer = Descriptor(OCI_LAYER_GZIP, sha256(LAYER), size)
    with closing(open_verified(source, layer)) as reader:
        return b"".join(iter(lambda: reader.read(100_000), b""))


def configure(settings: RegistrySettings, host: str, text: str) -> None:
    folder = settings.host_folders[0] / host
    folder.mkdir()
    (folder / "hosts.toml").write_text(text)


def test_what_was_pushed_is_pulled_by_tag_and_by_digest(
    pushed: Pushed, settings: RegistrySettings
) -> None:
    for reference in (":v1", f"@{sha256(pushed.manifest)}"):
        assert pull(pushed.host, reference, settings) == (pushed.manifest, LAYER)


def test_an_index_is_pulled(pushed: Pushed, settings: RegistrySettings) -> None:
    name = parse_name(f"{pushed.host}/{REPOSITORY}:multi")

    with RegistrySource(name, settings) as source:
        root = source.root()
        index = read_document(source, root)
        below = Descriptor(OCI_MANIFEST, sha256(pushed.manifest), len(pushed.manifest))
        manifest = read_document(source, below)

    assert root.media_type == OCI_INDEX
    assert (index, manifest) == (pushed.index, pushed.manifest)


def test_a_second_push_sends_nothing_and_another_repository_mounts(
    pushed: Pushed, settings: RegistrySettings
) -> None:
    same = parse_name(f"{pushed.host}/{REPOSITORY}:v2")
    with RegistryTarget(same, settings) as target:
        assert push(target, LAYER) is Outcome.EXISTED

    other = parse_name(f"{pushed.host}/team/other:v1")
    with RegistryTarget(other, settings) as target:
        assert push(target, LAYER, "team/none", REPOSITORY) is Outcome.MOUNTED
        assert target.has_blob(sha256(LAYER))


def test_an_unknown_tag_and_repository_are_reported(
    pushed: Pushed, settings: RegistrySettings
) -> None:
    with pytest.raises(NotFoundError, match="manifest unknown"):
        pull(pushed.host, ":nope", settings)
    with (
        RegistrySource(parse_name(f"{pushed.host}/team/none"), settings) as source,
        pytest.raises(NotFoundError),
    ):
        source.root()


def test_the_registry_refuses_a_blob_with_another_digest(
    upstream: str, settings: RegistrySettings
) -> None:
    descriptor = Descriptor("", sha256(b"other"), len(LAYER))

    with (
        RegistryTarget(parse_name(f"{upstream}/{REPOSITORY}"), settings) as target,
        pytest.raises(DigestMismatchError),
    ):
        target.push_blob(descriptor, lambda offset: MemoryReader(LAYER, offset))


def test_a_registry_in_proxy_mode_is_asked_first_and_keeps_what_it_fetched(
    pushed: Pushed, settings: RegistrySettings, tmp_path: Path
) -> None:
    with docker_registry(tmp_path / "proxy", f"http://{pushed.host}") as proxy:
        text = f'server = "http://127.0.0.1:1"\n[host."http://{proxy}"]'
        configure(settings, pushed.host, text)

        assert pull(pushed.host, ":v1", settings) == (pushed.manifest, LAYER)

    kept = tmp_path / "proxy/storage/docker/registry/v2/repositories" / REPOSITORY
    assert (kept / "_manifests").is_dir()


def test_mirrors_that_lack_the_image_or_are_gone_are_passed_over(
    pushed: Pushed, settings: RegistrySettings, tmp_path: Path
) -> None:
    with docker_registry(tmp_path / "empty") as empty:
        text = (
            f'server = "http://{pushed.host}"\n'
            f'[host."http://127.0.0.1:1"]\n[host."http://{empty}"]'
        )
        configure(settings, pushed.host, text)

        assert pull(pushed.host, ":v1", settings) == (pushed.manifest, LAYER)


def test_a_blob_that_changed_in_the_registrys_storage_is_refused(
    pushed: Pushed, settings: RegistrySettings, tmp_path: Path
) -> None:
    stored = blob_path(tmp_path / "upstream", sha256(LAYER))
    stored.write_bytes(bytes([LAYER[0] ^ 1]) + LAYER[1:])

    with pytest.raises(DigestMismatchError, match=str(sha256(LAYER))):
        pull(pushed.host, ":v1", settings)


def test_a_blob_that_was_cut_off_in_the_registrys_storage_is_refused(
    pushed: Pushed, settings: RegistrySettings, tmp_path: Path
) -> None:
    blob_path(tmp_path / "upstream", sha256(LAYER)).write_bytes(LAYER[:-1])

    with pytest.raises(DataLossError, match="has 2999999 bytes"):
        pull(pushed.host, ":v1", settings)


def test_a_manifest_that_changed_in_the_registrys_storage_is_refused(
    pushed: Pushed, settings: RegistrySettings, tmp_path: Path
) -> None:
    digest = sha256(pushed.manifest)
    blob_path(tmp_path / "upstream", digest).write_bytes(pushed.manifest + b" ")

    with pytest.raises((DataLossError, NotFoundError)):
        pull(pushed.host, f"@{digest}", settings)


def test_a_download_that_a_mirror_cuts_off_ends_at_the_registry(
    pushed: Pushed, settings: RegistrySettings
) -> None:
    with hostile_registry() as mirror:
        mirror.add_blob(LAYER)
        mirror.does.cuts.extend([100_000, 0, 0, 0, 0, 0, 0, 0])
        text = f'server = "http://{pushed.host}"\n[host."{mirror.url}"]'
        configure(settings, pushed.host, text)

        assert pull(pushed.host, ":v1", settings) == (pushed.manifest, LAYER)


def blob_path(folder: Path, digest: Digest) -> Path:
    blobs = folder / "storage/docker/registry/v2/blobs"
    return blobs / digest.algorithm / digest.hex[:2] / digest.hex / "data"
