"""The pipeline: missing layers are applied side by side, and settled in order.

Every layer is applied by a process of its own into a staging directory. What a layer
takes from those below it (the attributes of directories that it only implies) is
settled in the order of the chain, as soon as those are complete.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass

from snapfs.errors import SnapfsError
from snapfs.image.layer_blobs import open_layer
from snapfs.image.resolve import ImageLayer
from snapfs.image.source import ImageSource, Interruptible
from snapfs.layer.dirindex_build import write_dirindex
from snapfs.layer.dirindex_format import GENERATION
from snapfs.layer.form import OverlayForm
from snapfs.layer.index_cache import IndexCache
from snapfs.model import SnapshotDetails, Usage
from snapfs.overlay_format import XattrPrefix
from snapfs.snapshotter import Store
from snapfs.stopping import Stop
from snapfs.unpack.chain import Chain
from snapfs.unpack.messages import Applied, LayerJob, Progress
from snapfs.unpack.processes import LayerProcess
from snapfs.unpack.results import UnpackedLayer
from snapfs.unpack.settings import UnpackObserver, UnpackSettings
from snapfs.unpack.sharing import CONTENT_LABEL, SharedLayers, content_key
from snapfs.unpack.staging import StagedLayers
from snapfs.unpack.starting import LayerProcesses


@dataclass(slots=True)
class _Work:
    """One layer on its way.

    Attributes:
        index: Of its staging directory.
        candidates: Snapshots that may hold the same content; while there are any,
            nothing is applied.
    """

    layer: ImageLayer
    index: int
    candidates: list[SnapshotDetails]
    process: LayerProcess
    future: Future[Applied] | None = None


class LayerPipeline:
    """Makes the missing layers of one image complete in their staging directories."""

    def __init__(
        self,
        store: Store,
        source: ImageSource,
        settings: UnpackSettings,
        observer: UnpackObserver,
        stop: Stop,
    ) -> None:
        status = store.status()
        self._store = store
        self._source = source
        self._settings = settings
        self._observer = observer
        self._stop = stop
        self._root = status.root
        self._form = OverlayForm(XattrPrefix(status.xattr_prefix))
        self._sharing = SharedLayers(store, IndexCache(status.root), settings.policy)

    def run(
        self, base: str, layers: Sequence[ImageLayer], staged: StagedLayers
    ) -> list[UnpackedLayer]:
        """Complete ``layers`` on the committed snapshot ``base``; "" for nothing.

        Raises:
            SnapfsError: A layer is damaged or unsafe, or the disk failed.
            UnavailableError: It was stopped.
        """
        with LayerProcesses() as processes:
            work = [
                _Work(
                    layer,
                    index,
                    self._sharing.candidates(layer.diff_id),
                    LayerProcess(processes),
                )
                for index, layer in enumerate(layers)
            ]
            return self._run(base, work, staged)

    def _run(
        self, base: str, work: Sequence[_Work], staged: StagedLayers
    ) -> list[UnpackedLayer]:

        def end_all() -> None:
            for item in work:
                item.process.stop()
            if isinstance(self._source, Interruptible):
                self._source.interrupt()

        with (
            self._stop.calling(end_all),
            self._pool(work) as pool,
            self._chain(base) as chain,
        ):
            for item in work:
                if not item.candidates:
                    item.future = pool.submit(self._apply, item, staged)
            return [self._finish(item, work, pool, chain, staged) for item in work]

    def _finish(
        self,
        item: _Work,
        work: Sequence[_Work],
        pool: ThreadPoolExecutor,
        chain: Chain,
        staged: StagedLayers,
    ) -> UnpackedLayer:
        """Complete a layer on the chain of those below it; put it on top."""
        self._stop.check()
        if item.future is None:
            with self._naming(item.layer):
                shared = self._share(item, chain)
            if shared is not None:
                return shared
            item.future = pool.submit(self._apply, item, staged)
        applied = _result(item.future, work)
        with self._naming(item.layer):
            descriptor = staged[item.index].open_fs()
            try:
                implied_key = chain.settle(descriptor, applied.needs)
                has_index = write_dirindex(
                    staged[item.index].descriptor, descriptor, self._form.prefix
                )
            finally:
                os.close(descriptor)
            item.process.finish()
            root_opaque = applied.needs.root_opaque
            chain.add(staged.content(item.index), root_opaque=root_opaque)
        return UnpackedLayer(
            item.layer,
            applied,
            content_key=implied_key and content_key(self._settings.policy, implied_key),
            root_opaque=root_opaque,
            usage=Usage(applied.size_bytes, applied.inodes),
            index_generation=GENERATION if has_index else 0,
        )

    def _share(self, item: _Work, chain: Chain) -> UnpackedLayer | None:
        """Share the content of a layer that is equal on disk, if there is one."""
        needs = self._sharing.needs(item.layer.diff_id)
        if needs is None:
            return None
        found = self._sharing.match(item.candidates, needs, chain)
        if found is None:
            return None
        chain.add(found.content, root_opaque=needs.root_opaque)
        self._observer.layer_reused(item.layer)
        return UnpackedLayer(
            item.layer,
            shares=found.info.name,
            content_key=found.info.labels[CONTENT_LABEL],
            root_opaque=needs.root_opaque,
        )

    def _apply(self, item: _Work, staged: StagedLayers) -> Applied:
        """Apply one layer, on a thread that waits for its process."""
        layer = item.layer
        self._observer.layer_started(layer)

        def tell(progress: Progress) -> None:
            self._observer.layer_progress(layer, progress)

        with contextlib.ExitStack() as held:
            directory = staged[item.index].make_fs()
            held.callback(os.close, directory)
            blob = open_layer(self._source, layer.descriptor)
            held.callback(blob.close)
            job = LayerJob(
                label=self._label(layer),
                size_bytes=layer.descriptor.size_bytes,
                digest=str(layer.descriptor.digest),
                diff_id=str(layer.diff_id),
                # image-spec config.md, "Layer ChainID": only then they are equal.
                is_lowest=layer.chain_id == layer.diff_id,
                xattr_prefix=self._form.prefix,
                cache=self._root,
                memory_bytes=self._settings.layer_memory_bytes,
                limits=self._settings.limits,
                policy=self._settings.policy,
            )
            lock = staged[item.index].descriptor
            applied = item.process.run(job, blob, directory, tell, held=(lock,))
        self._observer.layer_applied(layer, applied)
        return applied

    @contextlib.contextmanager
    def _pool(self, work: Sequence[_Work]) -> Iterator[ThreadPoolExecutor]:
        """Yield threads for the processes; all have ended afterwards.

        They end at once if something failed.
        """
        pool = ThreadPoolExecutor(self._settings.workers, "unpack")
        try:
            yield pool
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            for item in work:
                item.process.stop()
            raise
        finally:
            pool.shutdown()
            for item in work:
                item.process.finish()

    @contextlib.contextmanager
    def _chain(self, base: str) -> Iterator[Chain]:
        """Yield the chain that ``base`` consists of."""
        keep_owners = self._settings.policy.keep_owners
        with Chain(self._form, keep_owners=keep_owners) as chain:
            if base:
                details = self._store.details(base)
                for content in reversed((details.content, *details.lowerdirs)):
                    chain.add(content)
            yield chain

    @contextlib.contextmanager
    def _naming(self, layer: ImageLayer) -> Iterator[None]:
        """Say in an error which layer it is about."""
        try:
            yield
        except SnapfsError as error:
            raise type(error)(f"{self._label(layer)}: {error}") from error

    def _label(self, layer: ImageLayer) -> str:
        return f"{self._source.name}: layer {layer.descriptor.digest}"


def _result(future: Future[Applied], work: Sequence[_Work]) -> Applied:
    """Wait for one layer, but no longer once any other has failed."""
    others = [item.future for item in work if item.future is not None]
    while not future.done():
        # What ended before is looked at first: `wait` may have nothing else to tell.
        ended = [other for other in others if other.done()]
        for other in ended:
            other.result()
        others = [other for other in others if other not in ended]
        wait(others, None, FIRST_COMPLETED)
    return future.result()
