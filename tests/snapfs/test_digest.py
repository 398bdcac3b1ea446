from __future__ import annotations

import hashlib

import pytest

from snapfs.digest import Digest, chain_ids, is_digest, sha256
from snapfs.errors import InvalidArgumentError, UnimplementedError

_EMPTY_TAR = sha256(bytes(1024))


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("", id="empty"),
        pytest.param("sha256", id="no-colon"),
        pytest.param("sha256:", id="no-hex"),
        pytest.param("sha256:" + "a" * 63, id="short"),
        pytest.param("sha256:" + "a" * 65, id="long"),
        pytest.param("sha256:" + "A" * 64, id="upper-case"),
        pytest.param("sha256:" + "g" * 64, id="not-hex"),
        pytest.param("sha256:" + "../" * 21 + "a", id="path"),
        pytest.param("sha256:" + "a" * 64 + "\n", id="newline"),
        pytest.param("SHA256:" + "a" * 64, id="upper-case-algorithm"),
    ],
)
def test_what_is_not_a_digest_is_refused(text: str) -> None:
    with pytest.raises(InvalidArgumentError, match="is not a digest"):
        Digest(text)


def test_an_algorithm_that_is_not_ours_is_named() -> None:
    with pytest.raises(UnimplementedError, match="'blake3' is not supported"):
        Digest("blake3:" + "a" * 64)


@pytest.mark.parametrize("algorithm", ["sha256", "sha512"])
def test_a_digest_hashes_with_its_own_algorithm(algorithm: str) -> None:
    expected = hashlib.new(algorithm, b"content").hexdigest()
    digest = Digest(f"{algorithm}:{expected}")

    hasher = digest.hasher()
    hasher.update(b"con")
    hasher.update(b"tent")

    assert hasher.hexdigest() == digest.hex


def test_chain_ids_are_those_of_the_specification() -> None:
    # image-spec config.md: c6f988f4... is the base of its example.
    base = Digest(
        "sha256:c6f988f4874bb0add23a778f753c65efe992244e148a1d2ec2a8b664fb66bbd1"
    )
    empty = Digest(
        "sha256:5f70bf18a086007016e948b04aed3b82103a36bea41755b6cddfaf10ace3c6ef"
    )

    assert chain_ids([base, empty])[-1] == Digest(
        "sha256:c3191d32a37d7159b2e30830937d2e30268ad6c375a773a8994911a3aba9b93f"
    )


def test_the_same_layer_thrice_has_three_chain_ids() -> None:
    assert [str(chain_id) for chain_id in chain_ids([_EMPTY_TAR] * 3)] == [
        "sha256:5f70bf18a086007016e948b04aed3b82103a36bea41755b6cddfaf10ace3c6ef",
        "sha256:170b376f64fb30995c140276be3d71dfb256b308d86183ca3b22aa93a79ad548",
        "sha256:7800f80a93336d416612f372faa5f69eb67b353ce6ae9535fa0848f8784c74b1",
    ]


def test_no_layers_have_no_chain_id() -> None:
    assert chain_ids([]) == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("sha256:" + "0" * 64, True),
        ("blake3:" + "a" * 64, True),
        ("app:1.2", False),
        ("debian", False),
        ("", False),
    ],
)
def test_digests_are_told_from_names(text: str, expected: bool) -> None:
    assert is_digest(text) is expected
