"""Contents of files, read from blobs that may lie far away."""

from __future__ import annotations

from pathlib import Path

import pytest

from snapfs.image.descriptor import Descriptor
from snapfs.image.layout import open_layout
from snapfs.image.resolve import open_image
from snapfs.image.source import BlobReader
from snapfs.inspect.contents import BlobContents
from snapfs.layer.index_cache import IndexCache
from snapfs.layer.limits import Limits
from snapfs.unpack.indexes import layer_index
from support.applied_layers import entry
from support.layouts import Packing
from support.unpack_images import layout_of

CONTENT = b"content" * 1000


@pytest.mark.parametrize(
    ("packing", "offsets"),
    [
        pytest.param(Packing.GZIP, [0], id="inflated-from-the-beginning"),
        pytest.param(Packing.ZSTD, [0], id="zstd-too"),
        pytest.param(Packing.NONE, [0, 66_560], id="plain-from-where-the-file-is"),
    ],
)
def test_a_blob_is_opened_no_more_often_than_it_takes(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    packing: Packing,
    offsets: list[int],
) -> None:
    entries = [entry("a", b"x" * 65_536), entry("b", CONTENT)]
    layout = layout_of(tmp_path / "i", entries, packing=packing)
    with open_layout("i", str(layout)) as source:
        (layer,) = open_image(source).layers
        index = layer_index(source, layer, IndexCache(str(tmp_path)), Limits())
        asked = []
        real = source.open_blob

        def counted(descriptor: Descriptor, offset: int = 0) -> BlobReader:
            asked.append(offset)
            return real(descriptor, offset)

        monkeypatch.setattr(source, "open_blob", counted)
        node = index.lookup(b"b")
        assert node is not None

        read = b"".join(BlobContents(source, layer).read(b"b", index.entry(node)))

    assert read == CONTENT
    assert asked == offsets
