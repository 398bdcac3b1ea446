"""Images by way of containerd's socket; a made-up containerd that can also fail."""

from __future__ import annotations

import contextlib
import os
import random
import socketserver
import tempfile
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from snapfs.digest import Digest
from snapfs.errors import (
    DataLossError,
    FailedPreconditionError,
    InvalidArgumentError,
    NotFoundError,
    PermissionDeniedError,
    UnavailableError,
)
from snapfs.image.descriptor import Descriptor
from snapfs.image.source import BlobReader
from snapfs.image.verified import open_verified
from snapfs.remote.containerd_blobs import PIECE_BYTES
from snapfs.remote.containerd_images import ContainerdImageSource
from support.fake_containerd import FakeContainerd, unavailable
from support.memory_store import MemoryStore
from support.served import served
from support.unprivileged import NOBODY

NAME = "docker.io/library/demo:1"


@pytest.fixture
def fake() -> FakeContainerd:
    return FakeContainerd()


@pytest.fixture
def address(fake: FakeContainerd, tmp_path: Path) -> Iterator[str]:
    with fake.served(tmp_path) as path:
        yield path


def descriptor_of(digest: str, size_bytes: int) -> Descriptor:
    return Descriptor("", Digest(digest), size_bytes)


def read_all(reader: BlobReader, size_bytes: int = 1 << 20) -> bytes:
    with contextlib.closing(reader):
        return b"".join(iter(lambda: reader.read(size_bytes), b""))


def noise(size_bytes: int) -> bytes:
    return random.Random(size_bytes).randbytes(size_bytes)


@pytest.mark.parametrize("reference", [NAME, "demo:1", "library/demo:1"])
def test_root_is_the_target_of_the_name(
    fake: FakeContainerd, address: str, reference: str
) -> None:
    target = fake.add_image(NAME)

    with ContainerdImageSource(address, "default", reference) as source:
        root = source.root()

    assert source.name == f"containerd:{reference}"
    assert (root.media_type, str(root.digest)) == (target.media_type, target.digest)
    assert (root.size_bytes, root.annotations) == (target.size, {"made": "up"})


def test_the_exact_name_goes_before_what_it_may_be_short_for(
    fake: FakeContainerd, address: str
) -> None:
    fake.add_image("docker.io/library/demo:latest")
    exact = fake.add_image("demo")

    with ContainerdImageSource(address, "default", "demo") as source:
        assert str(source.root().digest) == exact.digest


def test_names_that_are_not_dockers_are_found_as_they_are(
    fake: FakeContainerd, address: str
) -> None:
    target = fake.add_image("UPPER case, and blanks")

    with ContainerdImageSource(address, "default", "UPPER case, and blanks") as source:
        assert str(source.root().digest) == target.digest


@pytest.mark.parametrize(
    ("reference", "expected"),
    [
        pytest.param("demmo:1", "did you mean docker.io/library/demo:1", id="typo"),
        pytest.param("demo:2", "did you mean docker.io/library/demo:1", id="tag"),
        pytest.param(
            "demo:none", "did you mean docker.io/library/demo:1", id="another tag"
        ),
        pytest.param(
            "example.org/some/where/demo:1",
            "did you mean docker.io/library/demo:1",
            id="registry",
        ),
        pytest.param("zzz", "it has 2 others", id="nothing near"),
    ],
)
def test_missing_image_brings_names_that_are_near(
    fake: FakeContainerd, address: str, reference: str, expected: str
) -> None:
    fake.add_image(NAME)
    fake.add_image("quay.io/prometheus/node-exporter:v1")

    with (
        ContainerdImageSource(address, "default", reference) as source,
        pytest.raises(NotFoundError, match=expected) as caught,
    ):
        source.root()

    assert reference in str(caught.value)


def test_missing_image_names_the_namespaces_that_have_it(
    fake: FakeContainerd, address: str
) -> None:
    fake.add_image(NAME, "k8s.io")

    with (
        ContainerdImageSource(address, "default", "demo:1") as source,
        pytest.raises(NotFoundError, match=r"k8s\.io has it") as caught,
    ):
        source.root()

    assert "CONTAINERD_NAMESPACE" in str(caught.value)


def test_missing_image_in_an_empty_namespace(address: str) -> None:
    with (
        ContainerdImageSource(address, "nowhere", "demo") as source,
        pytest.raises(NotFoundError, match="nowhere has no image 'demo'; it has none"),
    ):
        source.root()


@pytest.mark.parametrize("size_bytes", [0, 1, PIECE_BYTES, 3 * PIECE_BYTES + 17])
def test_blobs_of_any_length_come_whole_and_in_pieces(
    fake: FakeContainerd, address: str, size_bytes: int
) -> None:
    content = noise(size_bytes)
    descriptor = descriptor_of(fake.add_blob(content), size_bytes)

    with ContainerdImageSource(address, "default", NAME) as source:
        got = read_all(open_verified(source, descriptor))

    assert got == content
    assert [size for _, size in fake.reads] == [
        min(PIECE_BYTES, size_bytes - at) for at in range(0, size_bytes, PIECE_BYTES)
    ]


def test_reading_may_begin_anywhere(fake: FakeContainerd, address: str) -> None:
    content = noise(PIECE_BYTES + 100)
    descriptor = descriptor_of(fake.add_blob(content), len(content))

    with ContainerdImageSource(address, "default", NAME) as source:
        for offset in (0, 1, PIECE_BYTES - 1, len(content) - 1, len(content)):
            assert read_all(source.open_blob(descriptor, offset)) == content[offset:]
        assert read_all(source.open_blob(descriptor, len(content) + 1)) == b""


def test_small_reads_ask_containerd_no_more_often(
    fake: FakeContainerd, address: str
) -> None:
    content = noise(1000)
    descriptor = descriptor_of(fake.add_blob(content), len(content))

    with ContainerdImageSource(address, "default", NAME) as source:
        assert read_all(source.open_blob(descriptor), 7) == content

    assert fake.reads == [(0, 1000)]


def test_many_blobs_are_read_at_once(fake: FakeContainerd, address: str) -> None:
    contents = [noise(PIECE_BYTES + number) for number in range(4)]
    descriptors = [descriptor_of(fake.add_blob(c), len(c)) for c in contents]

    with (
        ContainerdImageSource(address, "default", NAME) as source,
        ThreadPoolExecutor() as pool,
    ):
        got = list(
            pool.map(
                lambda descriptor: read_all(open_verified(source, descriptor)),
                descriptors,
            )
        )

    assert got == contents


def test_blob_that_is_missing_names_it_and_the_way_out(
    fake: FakeContainerd, address: str
) -> None:
    missing = descriptor_of("sha256:" + "5" * 64, 7)

    with (
        ContainerdImageSource(address, "k8s.io", NAME) as source,
        pytest.raises(NotFoundError) as caught,
    ):
        source.open_blob(missing)

    assert str(missing.digest) in str(caught.value)
    assert f"ctr --namespace k8s.io content fetch {NAME}" in str(caught.value)


def test_lost_connection_costs_one_piece(fake: FakeContainerd, address: str) -> None:
    content = noise(2 * PIECE_BYTES)
    descriptor = descriptor_of(fake.add_blob(content), len(content))
    left = [True, True]

    def fail_late_in_the_second_piece(number: int) -> None:
        if len(fake.reads) > 1 and number == 3 and left:
            left.pop()
            raise unavailable()

    fake.before_send = fail_late_in_the_second_piece

    with ContainerdImageSource(address, "default", NAME) as source:
        assert read_all(open_verified(source, descriptor)) == content

    again = (PIECE_BYTES, PIECE_BYTES)
    assert fake.reads == [(0, PIECE_BYTES), again, again, again]


def test_containerd_that_stays_away_is_unavailable(
    fake: FakeContainerd, tmp_path: Path
) -> None:
    content = noise(2 * PIECE_BYTES)
    descriptor = descriptor_of(fake.add_blob(content), len(content))

    with contextlib.ExitStack() as stack:
        with fake.served(tmp_path) as address:
            source = stack.enter_context(ContainerdImageSource(address, "a", NAME))
            reader = source.open_blob(descriptor)
            assert len(reader.read(PIECE_BYTES)) == PIECE_BYTES

        with pytest.raises(UnavailableError, match="start containerd") as caught:
            reader.read(1)

    assert address in str(caught.value)


def test_blob_that_was_removed_meanwhile_is_not_found(
    fake: FakeContainerd, address: str
) -> None:
    content = noise(2 * PIECE_BYTES)
    descriptor = descriptor_of(fake.add_blob(content), len(content))

    with ContainerdImageSource(address, "default", NAME) as source:
        reader = source.open_blob(descriptor)
        reader.read(PIECE_BYTES)
        fake.blobs.clear()

        with pytest.raises(NotFoundError, match=str(descriptor.digest)):
            reader.read(1)


def test_more_than_was_asked_for_is_refused(fake: FakeContainerd, address: str) -> None:
    descriptor = descriptor_of(fake.add_blob(b"seven!!"), 7)
    fake.extra = noise(100)

    with (
        ContainerdImageSource(address, "default", NAME) as source,
        pytest.raises(DataLossError, match="more than the 7 bytes at 0"),
    ):
        source.open_blob(descriptor).read(7)


def test_less_than_was_asked_for_is_refused(fake: FakeContainerd, address: str) -> None:
    digest = fake.add_blob(b"seven!!")

    with ContainerdImageSource(address, "default", NAME) as source:
        reader = source.open_blob(descriptor_of(digest, 7))
        fake.blobs[digest] = b"six..."

        with pytest.raises(DataLossError, match="6 of the 7 bytes"):
            reader.read(7)


@pytest.mark.parametrize("digest", ["", "sha256:abc", "nonsense"])
def test_image_whose_target_has_no_digest_is_damaged(
    fake: FakeContainerd, address: str, digest: str
) -> None:
    fake.add_image(NAME).digest = digest

    with (
        ContainerdImageSource(address, "default", NAME) as source,
        pytest.raises(DataLossError, match="containerd's record"),
    ):
        source.root()


def test_nobody_there_names_the_socket_and_the_way_out(tmp_path: Path) -> None:
    address = str(tmp_path / "s")

    with (
        ContainerdImageSource(address, "default", NAME) as source,
        pytest.raises(UnavailableError, match="start containerd") as caught,
    ):
        source.root()

    assert address in str(caught.value)
    assert "snapfs serve" not in str(caught.value)


def test_socket_of_another_service_is_told(tmp_path: Path) -> None:
    with (
        served(tmp_path, MemoryStore()) as address,
        ContainerdImageSource(address, "default", NAME) as source,
        pytest.raises(UnavailableError, match="not containerd's socket") as caught,
    ):
        source.root()

    assert address in str(caught.value)


def test_socket_that_speaks_another_protocol_is_told(tmp_path: Path) -> None:
    address = str(tmp_path / "docker.sock")

    class Http(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            self.request.recv(65536)
            self.wfile.write(b"HTTP/1.1 400 Bad Request\r\n\r\n" + b"x" * 100)

    with socketserver.UnixStreamServer(address, Http) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            with (
                ContainerdImageSource(address, "default", NAME) as source,
                pytest.raises(UnavailableError, match="broke the protocol") as caught,
            ):
                source.root()
        finally:
            server.shutdown()
            thread.join()

    assert address in str(caught.value)


@pytest.mark.root
def test_socket_of_root_is_refused_to_others(fake: FakeContainerd) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root makes sockets that others may not use")
    with (
        tempfile.TemporaryDirectory(prefix="snapfs-test-") as directory,
        fake.served(Path(directory)) as address,
        ContainerdImageSource(address, "default", NAME) as source,
    ):
        os.chmod(directory, 0o755)
        os.chmod(address, 0o600)
        os.seteuid(NOBODY)
        try:
            with pytest.raises(PermissionDeniedError, match="for root") as caught:
                source.root()
        finally:
            os.seteuid(0)

    assert address in str(caught.value)


@pytest.mark.parametrize("namespace", ["", "a/b", "-a", "a" * 77, "ä", "a\nb"])
def test_namespace_that_cannot_be_one_is_refused(namespace: str) -> None:
    with pytest.raises(InvalidArgumentError, match="namespace"):
        ContainerdImageSource("/run/x", namespace, NAME)


def test_name_that_is_not_text_is_refused(address: str) -> None:
    with (
        ContainerdImageSource(address, "default", os.fsdecode(b"\xff")) as source,
        pytest.raises(InvalidArgumentError, match="not UTF-8"),
    ):
        source.root()


def test_closed_source_takes_its_readers_along(
    fake: FakeContainerd, address: str
) -> None:
    descriptor = descriptor_of(fake.add_blob(b"content"), 7)
    source = ContainerdImageSource(address, "default", NAME)
    reader = source.open_blob(descriptor)
    closed = source.open_blob(descriptor)
    closed.close()
    closed.close()

    with pytest.raises(FailedPreconditionError, match="reader is closed"):
        closed.read(1)
    source.close()
    source.close()

    with pytest.raises(FailedPreconditionError, match="was closed"):
        reader.read(1)
