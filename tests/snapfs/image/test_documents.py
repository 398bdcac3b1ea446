from __future__ import annotations

import contextlib
import json
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from snapfs.digest import sha256
from snapfs.errors import DataLossError, InvalidArgumentError, SnapfsError
from snapfs.image import media_types
from snapfs.image.config import ImageConfig, parse_config
from snapfs.image.descriptor import Platform
from snapfs.image.documents import (
    Index,
    Manifest,
    document_type,
    parse_document,
    parse_index,
    parse_manifest,
)

_BLOB: Final = {
    "mediaType": media_types.OCI_CONFIG,
    "digest": str(sha256(b"")),
    "size": 0,
}
_LAYER: Final = _BLOB | {"mediaType": media_types.OCI_LAYER_GZIP}
_MANIFEST: Final = {"schemaVersion": 2, "config": _BLOB, "layers": [_LAYER]}
_INDEX: Final = {
    "schemaVersion": 2,
    "manifests": [_BLOB | {"mediaType": media_types.OCI_MANIFEST}],
}
_CONFIG: Final = {
    "os": "linux",
    "architecture": "arm64",
    "rootfs": {"type": "layers", "diff_ids": [str(sha256(b""))]},
}


def _manifest(**changes: object) -> bytes:
    return json.dumps(_MANIFEST | changes).encode()


def _index(**changes: object) -> bytes:
    return json.dumps(_INDEX | changes).encode()


def _config(**changes: object) -> bytes:
    return json.dumps(_CONFIG | changes).encode()


def _read_manifest(content: bytes) -> Manifest:
    return parse_manifest(content, media_types.OCI_MANIFEST, "the manifest")


def _read_index(content: bytes) -> Index:
    return parse_index(content, media_types.OCI_INDEX, "the index")


def test_a_manifest_has_its_config_and_layers() -> None:
    manifest = _read_manifest(_manifest(annotations={"a": "b"}))

    assert manifest.config.media_type == media_types.OCI_CONFIG
    assert [layer.digest for layer in manifest.layers] == [sha256(b"")]
    assert manifest.annotations == {"a": "b"}


def test_an_index_has_platforms_and_takes_unknown_media_types() -> None:
    entry = _BLOB | {
        "mediaType": "application/x-unheard-of",
        "platform": {"os": "linux", "architecture": "arm", "variant": "v7"},
    }

    index = _read_index(_index(manifests=[entry]))

    assert index.manifests[0].platform == Platform("linux", "arm", "v7")


def test_embedded_data_is_decoded() -> None:
    manifest = _read_manifest(_manifest(config=_BLOB | {"data": "e30="}))

    assert manifest.config.data == b"{}"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        pytest.param(b"", "is not JSON", id="empty"),
        pytest.param(b"\xff\xfe", "is not JSON", id="not-utf-8"),
        pytest.param(b"\xef\xbb\xbf{}", "is not JSON", id="byte-order-mark"),
        pytest.param(b"[]", "Expected `object`", id="a-list"),
        pytest.param(_manifest() + b"{}", "is not JSON", id="two-documents"),
        pytest.param(b'{"x": NaN}', "is not JSON", id="nan"),
        pytest.param(b'{"x":' * 100_000, "nested too deeply", id="deep-objects"),
        pytest.param(b"[" * 100_000, "is|Expected", id="deep-lists"),
        pytest.param(
            b'{"x":' + b"[" * 100_000, "nested too deeply", id="deep-unknown-field"
        ),
        pytest.param(
            b'{"config":{},' + _manifest()[1:], r"\$\.config|twice", id="two-configs"
        ),
        pytest.param(
            b'{"schemaVersion":2,' + _manifest()[1:],
            "the key 'schemaVersion' occurs twice",
            id="duplicate-key",
        ),
        pytest.param(
            _manifest().replace(b'"size"', b'"size": 0, "size"', 1),
            "the key 'size' occurs twice",
            id="duplicate-nested-key",
        ),
        pytest.param(
            _manifest(x={}).replace(b'"x": {}', b'"x": {"y": 1, "y": 2}'),
            "the key 'y' occurs twice",
            id="duplicate-key-in-an-unknown-field",
        ),
        pytest.param(_manifest(schemaVersion=3), "schemaVersion is 3", id="version-3"),
        pytest.param(_manifest(schemaVersion="2"), r"schemaVersion`?", id="a-string"),
        pytest.param(_manifest(config=None), "has no config", id="no-config"),
        pytest.param(_manifest(layers=None), "has no layers", id="layers-null"),
        pytest.param(_manifest(layers={}), r"\$\.layers", id="layers-object"),
        pytest.param(
            _manifest(layers=[_LAYER, _LAYER | {"size": -1}]),
            r"\$\.layers\[1\]\.size",
            id="negative-size",
        ),
        pytest.param(
            _manifest(config=_BLOB | {"size": 1 << 63}), r"\$\.config\.size", id="2**63"
        ),
        pytest.param(
            _manifest(config=_BLOB | {"size": 1.5}), r"\$\.config\.size", id="float"
        ),
        pytest.param(
            _manifest(layers=[_LAYER, _LAYER | {"digest": "sha256:../../x"}]),
            r"layers\[1\]: .* is not a digest",
            id="digest-with-a-path",
        ),
        pytest.param(
            _manifest(config={"digest": _BLOB["digest"], "size": 0}),
            "config: no mediaType",
            id="no-media-type",
        ),
        pytest.param(
            _manifest(manifests=[]), "ambiguous.*field 'manifests'", id="manifests"
        ),
        pytest.param(
            _manifest(Manifests=[]), "ambiguous.*field 'Manifests'", id="manifests-case"
        ),
        pytest.param(
            _manifest(Layers=[]), "ambiguous.*'Layers' for 'layers'", id="layers-case"
        ),
        pytest.param(
            _manifest(config=_BLOB | {"Digest": "x"}),
            "config is ambiguous.*'Digest'",
            id="digest-case",
        ),
        pytest.param(
            _manifest(layers=[_LAYER | {"\u017fize": 7}]), "for 'size'", id="long-s"
        ),
        pytest.param(
            _manifest(mediaType=media_types.DOCKER_MANIFEST),
            "ambiguous.*its descriptor says",
            id="other-media-type",
        ),
        pytest.param(
            _manifest(mediaType=media_types.OCI_INDEX),
            "ambiguous.*its descriptor says",
            id="index-media-type",
        ),
    ],
)
def test_a_bad_manifest_is_refused_by_name(content: bytes, message: str) -> None:
    with pytest.raises(DataLossError, match=rf"^the manifest.*({message})"):
        _read_manifest(content)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        pytest.param(_index(config=_BLOB), "ambiguous.*'config'", id="config"),
        pytest.param(_index(layers=[]), "ambiguous.*'layers'", id="layers"),
        pytest.param(_index(manifests=None), "has no manifests", id="null"),
        pytest.param(_index(mediaType="text/plain"), "ambiguous", id="type"),
        pytest.param(_index(manifests=[{}]), r"digest", id="empty-entry"),
    ],
)
def test_a_bad_index_is_refused_by_name(content: bytes, message: str) -> None:
    with pytest.raises(DataLossError, match=rf"^the index.*{message}"):
        _read_index(content)


@pytest.mark.parametrize(
    ("content", "media_type"),
    [
        pytest.param(b"{}", sorted(media_types.SCHEMA1)[1], id="by-media-type"),
        pytest.param(
            b'{"schemaVersion": 1, "fsLayers": []}',
            media_types.OCI_MANIFEST,
            id="by-field",
        ),
        pytest.param(
            b'{"mediaType": "application/vnd.docker.distribution.manifest.v1+json"}',
            "",
            id="by-its-own-word",
        ),
    ],
)
def test_schema_1_is_refused_by_name(content: bytes, media_type: str) -> None:
    with pytest.raises(InvalidArgumentError, match=r"schema 1 manifest.*push .*again"):
        parse_document(content, media_type, "it")


def test_a_document_without_a_type_is_told_by_its_form() -> None:
    assert document_type(_index(), "it") == media_types.OCI_INDEX
    assert document_type(_manifest(), "it") == media_types.OCI_MANIFEST
    assert isinstance(parse_document(_index(), "", "it"), Index)
    assert isinstance(parse_document(_manifest(), "", "it"), Manifest)


def test_a_document_of_another_type_is_refused() -> None:
    with pytest.raises(InvalidArgumentError, match="'text/plain', which is no image's"):
        parse_document(b"{}", "text/plain", "it")


def test_a_config_maps_its_history_to_its_layers() -> None:
    config = parse_config(
        _config(
            history=[
                {"created_by": "FROM", "empty_layer": False},
                {"created_by": "ENV A=b", "empty_layer": True},
            ],
            config={
                "Env": ["A=b"],
                "Cmd": None,
                "Entrypoint": "/bin/sh",
                "Labels": {"Maintainer": "a", "maintainer": "b"},
                "Volumes": {"/data": {}},
            },
        ),
        "the config",
    )

    assert config.commands() == ("FROM",)
    assert config.platform == Platform("linux", "arm64")
    assert config.process.environment == ("A=b",)
    assert config.process.entrypoint == ("/bin/sh",)
    assert config.process.volumes == ("/data",)


def test_a_history_of_another_length_says_nothing() -> None:
    config = parse_config(_config(history=[{}, {}]), "the config")

    assert config.commands() == ("",)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        pytest.param(_config(rootfs=None), "has no rootfs", id="no-rootfs"),
        pytest.param(_config(rootfs={}), "rootfs.type is missing", id="no-type"),
        pytest.param(
            _config(rootfs={"type": "files", "diff_ids": []}), "'files'", id="type"
        ),
        pytest.param(
            _config(rootfs={"type": "layers"}), "no diff_ids", id="no-diff-ids"
        ),
        pytest.param(
            _config(rootfs={"type": "layers", "diff_ids": ["sha256:x"]}),
            r"rootfs\.diff_ids\[0\].*is not a digest",
            id="not-a-digest",
        ),
        pytest.param(_config(history={}), r"\$\.history", id="history"),
        pytest.param(_config(config={"Env": [1]}), r"\$\.config\.Env", id="env"),
    ],
)
def test_a_bad_config_is_refused_by_name(content: bytes, message: str) -> None:
    with pytest.raises(DataLossError, match=f"^the config.*{message}"):
        parse_config(content, "the config")


_VALUES: Final = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=20)
    | st.sampled_from([str(sha256(b"")), media_types.OCI_MANIFEST, "linux", "layers"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    *(*_MANIFEST, *_INDEX, *_BLOB, *_CONFIG, "mediaType", "platform"),
                    *("data", "diff_ids", "type", "fsLayers", "Layers", "subject"),
                ]
            )
            | st.text(max_size=5),
            inner,
            max_size=6,
        )
    ),
    max_leaves=20,
)


def _each_reads_it_or_refuses(content: bytes) -> None:
    for media_type in ("", media_types.OCI_MANIFEST, media_types.DOCKER_INDEX):
        with contextlib.suppress(SnapfsError):
            document = parse_document(content, media_type, "it")
            assert isinstance(document, Manifest | Index)
    with contextlib.suppress(SnapfsError):
        assert isinstance(parse_config(content, "it"), ImageConfig)


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(content: bytes) -> None:
    _each_reads_it_or_refuses(content)


@given(_VALUES)
def test_any_json_is_read_or_refused(value: object) -> None:
    _each_reads_it_or_refuses(json.dumps(value).encode())


@given(st.sampled_from([_manifest(), _index(), _config()]), st.data())
def test_a_document_with_some_bytes_changed_is_read_or_refused(
    content: bytes, data: st.DataObject
) -> None:
    at = data.draw(st.integers(0, len(content) - 1))
    piece = data.draw(st.binary(max_size=4))

    _each_reads_it_or_refuses(content[:at] + piece + content[at + len(piece) :])


@given(_VALUES, st.sampled_from([_MANIFEST, _INDEX, _CONFIG]), st.data())
def test_a_document_with_one_field_changed_is_read_or_refused(
    value: object, document: dict[str, object], data: st.DataObject
) -> None:
    field = data.draw(st.sampled_from(sorted(document)))

    _each_reads_it_or_refuses(json.dumps(document | {field: value}).encode())
