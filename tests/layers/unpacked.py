"""Images unpacked into a real store, and what a mount of them shows."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator
from pathlib import Path

import snapfs
from snapfs.assembly.content_check import ContentCheck, DeepCheck
from snapfs.image.layout import open_layout
from snapfs.image.resolve import open_image
from snapfs.kernel_overlay import OverlayDriver
from snapfs.layer.limits import Policy
from snapfs.model import Durability, Kind, Stack
from snapfs.overlay_format import XattrPrefix
from snapfs.snapshotter import Store
from snapfs.unpack.results import Unpacked
from snapfs.unpack.settings import UnpackSettings
from snapfs.unpack.unpacking import unpack_image
from support.observer import Observer
from support.stores import opened_store
from support.tree_metadata import Tree


@dataclasses.dataclass(frozen=True, slots=True)
class ImageStore:
    """A store that images are unpacked into."""

    store: Store
    prefix: XattrPrefix

    def unpack(self, layout: Path, policy: Policy | None = None) -> Unpacked:
        """Unpack the one image of a layout.

        Raises:
            SnapfsError: It is refused.
        """
        settings = UnpackSettings(
            jobs=2, policy=policy or Policy(), durability=Durability.NONE
        )
        with contextlib.closing(open_layout("image", str(layout))) as source:
            return unpack_image(self.store, source, open_image(source), settings)

    def check_contents(
        self, layout: Path | None = None, *, repair: bool = False
    ) -> DeepCheck:
        """Compare all layers with their indexes, those of a layout with its blobs."""

        def opened() -> contextlib.AbstractContextManager[Store]:
            return contextlib.nullcontext(self.store)

        if layout is None:
            return ContentCheck(opened).run(repair=repair)
        with contextlib.closing(open_layout("image", str(layout))) as source:
            layers = open_image(source).layers
            return ContentCheck(opened, source, layers).run(repair=repair)

    def view(self, name: str, observer: Observer) -> Tree:
        """Return what a read-only overlay of the committed snapshot ``name`` shows.

        An empty directory lies below all, for two reasons: overlayfs refuses one
        lower layer alone, and a view of one layer would be a bind mount.
        """
        details = self.store.details(name)
        empty = Path(self.store.status().root, "tmp-empty")
        lowerdirs = (details.content, *details.lowerdirs, str(empty))
        driver = OverlayDriver(xattr_prefix=self.prefix)
        empty.mkdir()
        try:
            return observer.tree(driver.local_mounts(Stack(Kind.VIEW, lowerdirs)))
        finally:
            empty.rmdir()


@contextlib.contextmanager
def image_store(root: Path, prefix: XattrPrefix) -> Iterator[ImageStore]:
    """Make a store whose marks have ``prefix``."""
    if prefix is XattrPrefix.TRUSTED:
        with snapfs.open_store(root, driver="kernel") as store:
            yield ImageStore(store, prefix)
    else:
        # As a process in a user namespace makes it; root can use it as well.
        drivers = {"kernel": OverlayDriver(xattr_prefix=prefix)}
        with opened_store(root, drivers=drivers) as store:
            yield ImageStore(store, prefix)
