"""One layer into an active snapshot that somebody else prepared, in place.

What containerd's own unpack asks for: the snapshot is known by its mounts alone, the
layer by its stored blob. A process of its own writes straight into the upperdir; the
diff ID is found on the way, and is the answer.
"""

from __future__ import annotations

import contextlib
import logging
import os
import re
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Final

from snapfs.closing import Closing
from snapfs.differ import Content
from snapfs.digest import Digest
from snapfs.errors import FailedPreconditionError, SnapfsError, UnimplementedError
from snapfs.image.descriptor import Descriptor
from snapfs.image.media_types import OCI_LAYER, is_layer
from snapfs.image.source import BlobReader
from snapfs.layer.form import OverlayForm
from snapfs.layer.limits import Limits, Policy
from snapfs.layer.removal import discard_tree
from snapfs.model import Mount, SnapshotDetails, Usage
from snapfs.overlay_format import XattrPrefix
from snapfs.snapshotter import LayerTargets
from snapfs.stopping import Stop
from snapfs.syscalls import syncfs
from snapfs.unpack.chain import Chain
from snapfs.unpack.messages import Applied, LayerJob
from snapfs.unpack.processes import LayerProcess
from snapfs.unpack.rebasing import LayerRebaser, may_be_rebased
from snapfs.unpack.starting import LayerProcesses

_log: Final = logging.getLogger(__name__)

_OPEN: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
# The layers of an image follow each other closely, unless they are downloaded between.
_LINGER_S: Final = 5.0
_ESCAPED: Final = re.compile(r"\\(.)")

BlobOpener = Callable[[Descriptor, str], BlobReader]
"""Opens a blob of the content store, given its descriptor and the namespace."""


class LayerApplier(Closing):
    """Applies layers to active snapshots of one store; any number at a time.

    Args:
        targets: The store.
        root: Its state directory: layers' indexes are kept there.
        prefix: Where its marks are kept.
        open_blob: Opens what is to be applied.
        is_durable: What was written is on disk when a call returns, also where its
            caller does not ask for that: so a commit has little left to do.
        limits: Against hostile layers.
        policy: What of a layer reaches the disk.

    Attributes:
        rebaser: Settles at its commit what is applied before its parent is known.
    """

    def __init__(
        self,
        targets: LayerTargets,
        root: str,
        prefix: XattrPrefix,
        open_blob: BlobOpener,
        *,
        is_durable: bool,
        limits: Limits | None = None,
        policy: Policy | None = None,
    ) -> None:
        self._targets = targets
        self._root = root
        self._form = OverlayForm(prefix)
        self._open_blob = open_blob
        self._is_durable = is_durable
        self._limits = limits or Limits()
        self._policy = policy or Policy()
        self.rebaser = LayerRebaser(targets, self._form, self._policy)
        self._lock = threading.Lock()
        self._at_work: set[str] = set()
        self._ending: set[threading.Thread] = set()
        self._processes = LayerProcesses()

    def apply(
        self,
        content: Content,
        mounts: Sequence[Mount],
        namespace: str,
        *,
        is_synced: bool,
        stop: Stop,
    ) -> Content:
        """See :meth:`snapfs.differ.Differ.apply`."""
        if not is_layer(content.media_type):
            raise UnimplementedError(
                f"{content.media_type!r} is no layer that snapfs reads"
            )
        descriptor = Descriptor(
            content.media_type, Digest(content.digest), content.size_bytes
        )
        target = self._targets.active_in(os.path.dirname(writable_directory(mounts)))
        if target is None:
            raise UnimplementedError(
                "the mounts are not those of an active snapshot of this store"
            )
        with self._alone_in(target), self._opened(target) as upper:
            blob = self._open_blob(descriptor, namespace)
            try:
                applied = self._filled(target, upper, descriptor, blob, stop)
            except BaseException:
                self._undo(target, upper)
                raise
            finally:
                blob.close()
            if is_synced or self._is_durable:
                syncfs(upper)
            if not applied.needs.links:  # copies of lower files were not counted
                usage = Usage(applied.size_bytes, applied.inodes)
                self._targets.note_usage(target, usage)
        return Content(OCI_LAYER, applied.diff_id, applied.plain_bytes)

    def close(self) -> None:
        """End; what is still being cached of layers that are applied is waited for."""
        self._processes.close()
        with self._lock:
            ending = list(self._ending)
        for thread in ending:
            thread.join()

    def _filled(
        self,
        target: SnapshotDetails,
        upper: int,
        descriptor: Descriptor,
        blob: BlobReader,
        stop: Stop,
    ) -> Applied:
        """Fill the open upperdir of ``target``."""
        process = LayerProcess(self._processes)
        is_rebased = may_be_rebased(target)
        job = LayerJob(
            label=f"layer {descriptor.digest}",
            size_bytes=descriptor.size_bytes,
            digest=str(descriptor.digest),
            diff_id="",
            is_lowest=not target.lowerdirs and not is_rebased,
            xattr_prefix=self._form.prefix,
            cache=self._root,
            memory_bytes=0,
            limits=self._limits,
            policy=self._policy,
            lists_marks=is_rebased,
        )
        try:
            with stop.calling(process.stop):
                applied = process.run(job, blob, upper, lambda _progress: None)
            for warning in applied.warnings:
                _log.warning("%s: %s", job.label, warning)
            if is_rebased:
                self.rebaser.note(target, applied)
            else:
                self._settle(target, upper, applied)
        except BaseException:
            process.finish()
            raise
        finally:
            self._finish_later(process)
        return applied

    def _finish_later(self, process: LayerProcess) -> None:
        """See ``process`` to its end, on a thread: the layer is complete before.

        What it still does, caching the layer's index, its caller need not wait for.
        Then the nursery rests, unless a layer follows.
        """

        def finish() -> None:
            try:
                process.finish()
                self._processes.rest(_LINGER_S)
            finally:
                with self._lock:
                    self._ending.discard(thread)

        thread = threading.Thread(target=finish, name="finish", daemon=True)
        with self._lock:
            self._ending.add(thread)
        thread.start()

    def _settle(self, target: SnapshotDetails, upper: int, applied: Applied) -> None:
        """Give the layer what it takes from those below it."""
        with Chain(self._form, keep_owners=self._policy.keep_owners) as chain:
            for lower in reversed(target.lowerdirs):
                chain.add(lower)
            chain.settle(upper, applied.needs)
        if applied.needs.root_opaque and target.lowerdirs:
            self._targets.hide_below(target.info.name)

    def _undo(self, target: SnapshotDetails, upper: int) -> None:
        """Take away what was written; what was wrong before is not hidden by this."""
        try:
            self.rebaser.forget(target)
            discard_tree(upper)
        except (OSError, SnapfsError) as error:
            name = target.info.name
            _log.warning("a part of a layer stays in %r: %s", name, error)

    @contextlib.contextmanager
    def _alone_in(self, target: SnapshotDetails) -> Iterator[None]:
        """Keep others from applying to the same snapshot.

        Raises:
            FailedPreconditionError: Somebody does.
        """
        with self._lock:
            if target.directory in self._at_work:
                raise FailedPreconditionError(
                    f"a layer is being applied to snapshot {target.info.name!r}"
                )
            self._at_work.add(target.directory)
        try:
            yield
        finally:
            with self._lock:
                self._at_work.discard(target.directory)

    @contextlib.contextmanager
    def _opened(self, target: SnapshotDetails) -> Iterator[int]:
        """Yield a descriptor of the upperdir, which is empty.

        Raises:
            UnimplementedError: It is not: what a layer changes of files that are
                there already, containerd's own differ knows.
        """
        upper = os.open(target.content, _OPEN)
        try:
            with os.scandir(upper) as entries:
                if next(entries, None) is not None:
                    self._targets.note_usage(target, None)
                    raise UnimplementedError(
                        f"snapshot {target.info.name!r} is not empty"
                    )
            yield upper
        finally:
            os.close(upper)


def writable_directory(mounts: Sequence[Mount]) -> str:
    """Return the directory that takes the changes made under ``mounts``; "" if none.

    The source of a writable bind mount, or the ``upperdir`` of a union.
    """
    if len(mounts) != 1:
        return ""
    mount = mounts[0]
    if mount.type == "bind":
        return "" if "ro" in mount.options else mount.source
    for option in mount.options:
        name, _, value = option.partition("=")
        if name == "upperdir":
            return _ESCAPED.sub(r"\1", value)
    return ""
