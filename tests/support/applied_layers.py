"""Layers for tests: tars written down in a line each, and applied to a directory."""

from __future__ import annotations

import contextlib
import io
import os
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from snapfs.layer.apply import Applied, Progress, apply_layer
from snapfs.layer.form import OverlayForm
from snapfs.layer.limits import Limits, Policy
from snapfs.layer.lower_settle import lower_needs, settle_with_lower
from snapfs.overlay_format import XattrPrefix
from snapfs.tar.reader import TarReader
from support.disks import mounted

TRUSTED = OverlayForm(XattrPrefix.TRUSTED)
MTIME = 1_600_000_000

Item = tuple[tarfile.TarInfo, bytes]


def entry(
    name: str,
    content: bytes = b"",
    *,
    type_: bytes = tarfile.REGTYPE,
    mode: int = 0o644,
    owner: tuple[int, int] = (0, 0),
    mtime: float | str = MTIME,
    link: str = "",
    device: tuple[int, int] = (0, 0),
    xattrs: Mapping[str, bytes] | None = None,
) -> Item:
    """Return one member of a tar."""
    info = tarfile.TarInfo(name)
    info.type, info.mode, info.linkname = type_, mode, link
    info.uid, info.gid = owner
    info.size = len(content)
    info.devmajor, info.devminor = device
    headers: dict[str, str] = {}
    if isinstance(mtime, str):
        headers["mtime"] = mtime
    else:
        info.mtime = mtime
    for key, value in (xattrs or {}).items():
        text = value.decode("utf-8", "surrogateescape")
        headers[f"SCHILY.xattr.{key}"] = text
    info.pax_headers = headers
    return info, content


def directory(name: str, mode: int = 0o755, **more: object) -> Item:
    """Return a directory."""
    return entry(name, type_=tarfile.DIRTYPE, mode=mode, **more)  # type: ignore[arg-type]  # passed on as they are


def symlink(name: str, target: str, **more: object) -> Item:
    """Return a symbolic link."""
    return entry(name, type_=tarfile.SYMTYPE, mode=0o777, link=target, **more)  # type: ignore[arg-type]  # passed on as they are


def hard_link(name: str, target: str, **more: object) -> Item:
    """Return another name of ``target``."""
    return entry(name, type_=tarfile.LNKTYPE, link=target, **more)  # type: ignore[arg-type]  # passed on as they are


def tar_of(items: Sequence[Item]) -> bytes:
    """Return a PAX tar of the items."""
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for info, content in items:
            tar.addfile(info, io.BytesIO(content))
    return file.getvalue()


@contextlib.contextmanager
def opened(path: Path) -> Iterator[int]:
    """Open a directory for the block."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield fd
    finally:
        os.close(fd)


def apply_tar(
    staging: Path,
    data: bytes,
    *,
    form: OverlayForm = TRUSTED,
    limits: Limits | None = None,
    policy: Policy | None = None,
    block_bytes: int = 1 << 20,
    progress: Progress | None = None,
) -> Applied:
    """Apply a plain tar to a new directory."""
    staging.mkdir(mode=0o700)
    stream = io.BytesIO(data)
    limits = limits or Limits()
    reader = TarReader(
        lambda: stream.read(block_bytes), extension_bytes=limits.extension_bytes
    )
    with opened(staging) as fd:
        return apply_layer(reader, fd, form, limits, policy or Policy(), progress)


def apply_items(staging: Path, *items: Item, **more: object) -> Applied:
    """Apply a layer of the items to a new directory."""
    return apply_tar(staging, tar_of(items), **more)  # type: ignore[arg-type]  # passed on as they are


def settle(
    staging: Path, applied: Applied, *lowers: Path, form: OverlayForm = TRUSTED
) -> str | None:
    """Settle an applied layer with the lower layers, highest first."""
    with contextlib.ExitStack() as stack:
        fds = [stack.enter_context(opened(lower)) for lower in lowers]
        fd = stack.enter_context(opened(staging))
        return settle_with_lower(fd, lower_needs(applied.tree), fds, form)


@contextlib.contextmanager
def merged(target: Path, *layers: Path, userxattr: bool = False) -> Iterator[Path]:
    """Mount layers read-only, highest first; one more, empty, lies below them."""
    empty = target.with_name(f"{target.name}.empty")
    empty.mkdir()
    lowers = ":".join(map(str, (*layers, empty)))
    options = f"lowerdir={lowers}" + (",userxattr" if userxattr else "")
    with mounted(target, "-t", "overlay", "-o", options, "overlay"):
        yield target
