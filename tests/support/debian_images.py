"""Layers of a real distribution, from apt's configured mirror.

What was made of downloads is kept in ``.cache/images``; a file there is complete, since
it is renamed to its name.
"""

from __future__ import annotations

import gzip
import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Final

from demo.make_image import base_layer
from support.applied_layers import directory, entry
from support.layouts import LayoutWriter, Packing
from support.sandbox import REPOSITORY
from support.tar_stream import tar_stream

_CACHE: Final = REPOSITORY / ".cache/images"
# Hard links (perl, git), small files (perl), large ones (cpp), a program that gets
# a capability (ping).
_PACKAGES: Final = ("perl", "perl-base", "git", "iputils-ping", "cpp-12", "python3.11")
_MERGED: Final = ("bin", "lib", "lib64", "sbin")  # symlinks into usr since Debian 12
# With its dependencies beyond what _WITH_PIP has.
_INSTALLED_LATER: Final = ("tree", "less", "file", "libmagic1", "libmagic-mgc")
_WITH_PIP: Final = ("python3", "python3-pip")
_WHEEL: Final = "pygments"
_TAR: Final = (
    *("tar", "--create", "--format=pax", "--numeric-owner", "--sort=name", "--xattrs"),
    *("--xattrs-include=security.capability", "--pax-option=delete=atime,delete=ctime"),
)


def add_debian_layers(writer: LayoutWriter) -> None:
    """Add a base, packages, Python libraries, changes of modes, and deletions.

    Without a mirror the base is made of this machine's programs, and there are no
    packages.
    """
    base = _cached("debian-base.tar", _make_base)
    if base is None:
        writer.add_layer([gzip.decompress(base_layer().blob)])
    else:
        writer.add_tar(base)
        packages = _cached("debian-packages.tar", _make_packages)
        if packages is not None:
            writer.add_tar(packages)
    with tempfile.TemporaryDirectory(prefix="snapfs-test-") as scratch:
        tar = Path(scratch, "libraries.tar")
        _pack(Path(sysconfig.get_path("purelib")), tar, "usr/local/site-packages")
        writer.add_tar(tar)
    # Its parents have no entry there, and everybody gives those another time.
    writer.add_layer(tar_stream([directory("usr"), directory("usr/local")]))
    if base is not None:
        writer.add_layer(
            tar_stream(
                [
                    directory("usr"),
                    directory("usr/share"),
                    entry("usr/share/.wh.doc"),
                    entry("usr/share/.wh.locale"),
                    directory("var"),
                    directory("var/lib"),
                    directory("var/lib/dpkg", 0o700),
                    directory("var/lib/dpkg/info"),
                    entry("var/lib/dpkg/info/.wh..wh..opq"),
                    entry("var/lib/dpkg/info/format", b"1\n"),
                ]
            )
        )


def write_installing_image(path: Path, name: str) -> LayoutWriter | None:
    """Write a Debian with apt and pip, and packages to install in ``/packages``.

    None without a mirror.
    """
    base = _cached("debian-pip.tar", _make_base_with_pip)
    packages = _cached("packages.tar", _make_uninstalled)
    if base is None or packages is None:
        return None
    writer = LayoutWriter(path, name)
    writer.add_tar(base, Packing.NONE)
    writer.add_tar(packages, Packing.NONE)
    return writer


def _make_base_with_pip(tar: Path) -> None:
    _bootstrap(tar, f"--include={','.join(_WITH_PIP)}")


def _make_uninstalled(tar: Path) -> None:
    folder = tar.parent / "packages"
    folder.mkdir()
    words = ("apt-get", "-qq", "download", *_INSTALLED_LATER)
    subprocess.run(words, cwd=folder, check=True)
    pip = (sys.executable, "-m", "pip", "--quiet", "download", "--no-deps", _WHEEL)
    subprocess.run(pip, cwd=folder, check=True)
    _pack(folder, tar, "packages")


def _cached(name: str, make: Callable[[Path], None]) -> Path | None:
    """Return a file of the cache, made if it is missing; None if that is impossible."""
    path = _CACHE / name
    if path.exists():
        return path
    _CACHE.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="building-", dir=_CACHE) as scratch:
        made = Path(scratch, name)
        try:
            make(made)
        except (OSError, subprocess.CalledProcessError):
            return None
        made.rename(path)
    return path


def _make_base(tar: Path) -> None:
    _bootstrap(tar)


def _bootstrap(tar: Path, *options: str) -> None:
    if shutil.which("mmdebstrap") is None or os.geteuid() != 0:
        raise FileNotFoundError("no mmdebstrap, or not root")
    words = ("mmdebstrap", "--quiet", "--variant=minbase", "--mode=root")
    subprocess.run([*words, *options, "bookworm", tar], check=True)


def _make_packages(tar: Path) -> None:
    scratch = tar.parent
    subprocess.run(["apt-get", "-qq", "download", *_PACKAGES], cwd=scratch, check=True)
    root = scratch / "root"
    for name in _MERGED:
        (root / "usr" / name).mkdir(parents=True)
        (root / name).symlink_to(f"usr/{name}")
    for package in scratch.glob("*.deb"):
        plain = scratch / "package.tar"
        with plain.open("wb") as file:
            unpacking = ("dpkg-deb", "--fsys-tarfile", package)
            subprocess.run(unpacking, stdout=file, check=True)
        words = ("tar", "--extract", "--keep-directory-symlink", "--same-owner", "-p")
        subprocess.run([*words, "-f", plain, "-C", root], check=True)
    ping = root / "usr/bin/ping"
    if shutil.which("setcap") is not None:
        subprocess.run(["setcap", "cap_net_raw+ep", ping], check=True)
    for name in _MERGED:
        (root / name).unlink()
    _pack(root, tar, ".")


def _pack(root: Path, tar: Path, name: str) -> None:
    # GNU tar's own replacement of names; "S" leaves the targets of symlinks alone.
    transform = (f"--transform=s,^\\.,{name},S",) if name != "." else ()
    words = (*_TAR, *transform, "--exclude=__pycache__", f"--file={tar}")
    subprocess.run([*words, "-C", root, "."], check=True)
