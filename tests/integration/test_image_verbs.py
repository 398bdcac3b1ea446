"""Every verb of ``snapfs image`` on every kind of SOURCE, against the kernel's overlay.

The layers are laid out by hand and mounted by mount(8), each number of them; what the
mounts show is what the commands must say.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
from click.testing import CliRunner

from snapfs.cli.main import main
from support.applied_layers import Item, directory, entry, hard_link, merged, symlink
from support.containerd import Containerd, Generation, require_generation
from support.docker_registry import docker_registry
from support.hand_layers import lay_by_hand
from support.layouts import archive_of
from support.pushed_images import push_layout
from support.sandbox import Sandbox
from support.source_forms import FORMS, NAME
from support.tree_metadata import Metadata, Tree, read_metadata
from support.unpack_images import layout_of

pytestmark = pytest.mark.root

ROOT: Final = directory("./", 0o755)

LAYERS: Final[tuple[tuple[Item, ...], ...]] = (
    (
        ROOT,
        directory("etc", 0o750, owner=(0, 4)),
        entry("etc/motd", b"first motd\n", mode=0o640, owner=(1, 2)),
        entry("etc/kept", b"kept", xattrs={"user.note": b"n"}),
        directory("etc/old"),
        entry("etc/old/a", b"hidden a"),
        entry("etc/old/b", b"hidden bb"),
        directory("usr"),
        directory("usr/bin"),
        entry("usr/bin/tool", b"#!/bin/sh\n", mode=0o4755),
        hard_link("usr/bin/link", "usr/bin/tool"),
        symlink("bin", "usr/bin"),
        symlink("usr/bin/absolute", "/etc/motd"),
        directory("srv"),
        entry("srv/chmod", b"attributes alone"),
        entry("srv/type", b"a file before"),
        directory("srv/gone"),
        entry("srv/gone/deep", b"deep in a deleted directory"),
        directory("dev"),
        entry("dev/fifo", type_=b"6", mode=0o622),
        entry("dev/null", type_=b"3", mode=0o666, device=(1, 3)),
    ),
    (
        ROOT,
        directory("etc", 0o755),
        entry("etc/motd", b"second motd, longer\n"),
        directory("etc/old"),
        entry("etc/old/.wh..wh..opq"),
        entry("etc/old/c", b"new c"),
        directory("srv"),
        entry("srv/chmod", b"attributes alone", mode=0o600),
        directory("srv/type"),
        entry("srv/type/now", b"a directory now"),
        entry("srv/.wh.gone"),
    ),
    (
        ROOT,
        directory("etc"),
        entry("etc/.wh.motd"),
        directory("srv"),
        directory("srv/gone"),
        entry("srv/gone/other", b"back again"),
        directory("usr"),
        directory("usr/bin"),
        entry("usr/bin/.wh.link"),
    ),
)

PATHS: Final = (
    *("etc/motd", "etc/kept", "etc/old", "etc/old/a", "etc/old/c", "usr/bin/tool"),
    *("usr/bin/link", "bin", "srv/chmod", "srv/type", "srv/type/now", "srv/gone"),
    *("srv/gone/deep", "srv/gone/other", "dev/null"),
)


@dataclasses.dataclass(frozen=True)
class Truth:
    """What the kernel says.

    Attributes:
        layers: The directories, the lowest first.
        views: What the lowest one, two ... of them show together.
        seen_bytes: Of the files in the last view, each once.
    """

    layers: tuple[Path, ...]
    views: tuple[Tree, ...]
    seen_bytes: int


@dataclasses.dataclass(frozen=True)
class Outcome:
    code: int
    out: bytes
    err: str

    @property
    def records(self) -> list[Any]:
        assert self.code == 0, self.err
        return [json.loads(line) for line in self.out.splitlines()]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("verbs")


@pytest.fixture(scope="module")
def truth(place: Path) -> Truth:
    layers = [place / f"layer-{number}" for number in range(1, len(LAYERS) + 1)]
    for layer, items in zip(layers, LAYERS, strict=True):
        lay_by_hand(layer, items)
    views = []
    for count in range(1, len(layers) + 1):
        target = place / f"merged-{count}"
        with merged(target, *reversed(layers[:count])):
            views.append(read_metadata(os.fsencode(target)))
            seen = stored_in(target)
            if count == len(layers):
                subprocess.run(["cp", "-a", target, place / "flat"], check=True)
                tar = ("tar", "-C", target, "--xattrs", "--format=pax", "-czf")
                subprocess.run([*tar, place / "flat.tar.gz", "."], check=True)
    return Truth(tuple(layers), tuple(views), seen)


def stored_in(top: Path) -> int:
    """Return the bytes of all files below a directory, hard links once."""
    sizes = {}
    for folder, _, names in os.walk(top):
        for name in names:
            status = os.lstat(Path(folder, name))
            if os.path.isfile(Path(folder, name)) and not os.path.islink(
                Path(folder, name)
            ):
                sizes[status.st_dev, status.st_ino] = status.st_size
    return sum(sizes.values())


@pytest.fixture(scope="module")
def layout(place: Path) -> Path:
    return layout_of(place / "layout", *LAYERS)


@pytest.fixture(scope="module")
def registry(place: Path, layout: Path) -> Iterator[str]:
    with docker_registry(place / "registry") as host:
        push_layout(layout, host, "team/verbs:v1")
        yield f"docker://{host}/team/verbs:v1"


@pytest.fixture(scope="module")
def containerd(place: Path, layout: Path) -> Iterator[str]:
    """The socket of a containerd that has the image."""
    with Sandbox() as sandbox:
        running = Containerd(sandbox, require_generation("packaged"), "native")
        running.ctr("images", "import", "--no-unpack", archive_of(layout))
        yield str(sandbox.home / "containerd.sock")


@pytest.fixture(scope="module")
def store(place: Path, layout: Path) -> Path:
    """A store that has the image unpacked as the snapshot 'verbs'."""
    with CliRunner().isolation():
        words = ("unpack", f"oci:{layout}", "--name", "verbs")
        assert main(["--root", str(place / "store"), *words]) == 0
    return place / "store"


class Verbs:
    """Runs ``snapfs image`` in this process, on one SOURCE.

    Where SOURCE is standard input, each call gets ``piped`` through a pipe of its own.
    """

    def __init__(
        self,
        source: str,
        place: Path,
        *,
        root: Path | None = None,
        piped: Path | None = None,
        **environment: str,
    ) -> None:
        self.source = source
        self._root = root or place / "no-store"
        self._piped = piped
        self._environment = {"XDG_CACHE_HOME": str(place / "cache"), **environment}

    def __call__(self, verb: str, *words: str) -> Outcome:
        with (
            CliRunner().isolation(env=self._environment) as streams,
            _standard_input(self._piped),
        ):
            root = ("--root", str(self._root), "image", verb)
            code = main([*root, self.source, *words])
            return Outcome(code, streams[0].getvalue(), streams[1].getvalue().decode())


@contextlib.contextmanager
def _standard_input(file: Path | None) -> Iterator[None]:
    if file is None:
        yield
        return
    before = os.dup(0)
    with subprocess.Popen(["cat", file], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        os.dup2(process.stdout.fileno(), 0)
        try:
            yield
        finally:
            os.dup2(before, 0)
            os.close(before)


@pytest.fixture(
    params=[
        *FORMS,
        *("pipe", "layers", "docker", "snapshot"),
        pytest.param("containerd", marks=pytest.mark.containerd),
    ]
)
def layered(request: pytest.FixtureRequest, place: Path, truth: Truth) -> Verbs:
    """A SOURCE that has the three layers."""
    form = request.param
    if form == "layers":
        return Verbs("layers:" + ":".join(map(str, reversed(truth.layers))), place)
    if form == "docker":
        return Verbs(request.getfixturevalue("registry"), place)
    if form == "containerd":
        socket = request.getfixturevalue("containerd")
        return Verbs(f"containerd:{NAME}", place, CONTAINERD_ADDRESS=socket)
    if form == "snapshot":
        store = request.getfixturevalue("store")
        return Verbs("snapshot:verbs", place, root=store)
    layout = request.getfixturevalue("layout")
    if form == "pipe":
        kind, _, file = FORMS["docker-skopeo"](layout).partition(":")
        return Verbs(f"{kind}:-", place, piped=Path(file))
    return Verbs(FORMS[form](layout), place)


@pytest.fixture(params=["dir", "tar"])
def flat(request: pytest.FixtureRequest, place: Path, truth: Truth) -> Verbs:
    """A SOURCE that has what the layers show together, as one layer."""
    assert truth.views
    name = {"dir": "flat", "tar": "flat.tar.gz"}[request.param]
    return Verbs(f"{request.param}:{place / name}", place)


def expected(tree: Tree) -> dict[str, dict[str, object]]:
    """Return a view as ``find --json`` must tell it, without layers."""
    told = {}
    for path, meta in tree.items():
        if path == b".":
            continue
        shape: dict[str, object] = {
            "type": meta.type.replace(" ", "-"),
            "mode": f"{meta.mode:04o}",
            "uid": meta.uid,
            "gid": meta.gid,
            "mtime": rfc_3339(meta.mtime_ns),
        }
        if meta.type == "symlink":
            shape["target"] = meta.content.decode()
        else:
            shape["size_bytes"] = meta.size
        if "device" in meta.type:
            shape["device"] = list(meta.device)
        if meta.xattrs:
            shape["xattrs"] = {n: value.hex() for n, value in meta.xattrs.items()}
        told["/" + path.decode()] = shape
    return told


def rfc_3339(time_ns: int) -> str:
    seconds, rest = divmod(time_ns, 10**9)
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds)) + f".{rest:09}Z"


def told(records: list[Any]) -> dict[str, dict[str, object]]:
    kept = {}
    for record in records:
        shape = {
            k: v for k, v in record.items() if k not in ("path", "layer", "opaque")
        }
        if shape["type"] == "symlink":
            del shape["size_bytes"]
            shape["mode"] = "0777"
        kept[record["path"]] = shape
    return kept


def check_the_tree(verbs: Verbs, view: Tree, *options: str) -> None:
    """Hold ``find``, ``tree``, ``ls``, ``cat`` and ``get`` to a view."""
    assert told(verbs("find", "--json", *options).records) == expected(view)
    assert told(verbs("tree", "--json", *options).records) == expected(view)
    names = sorted(p for p in view if p.startswith(b"srv/") and p.count(b"/") == 1)
    listed = verbs("ls", "/srv", *options).out.decode().splitlines()
    assert listed == [name.decode().removeprefix("srv/") for name in names]
    drawn = verbs("tree", *options).out.decode().splitlines()
    assert len(drawn) == len(view)


def check_the_contents(verbs: Verbs, items: dict[str, bytes], place: Path) -> None:
    for path, content in items.items():
        copy = place / "copy"
        copy.unlink(missing_ok=True)
        assert verbs("cat", path).out == content, path
        assert verbs("get", path, str(copy)).code == 0
        assert copy.read_bytes() == content


CONTENTS: Final = {
    "/etc/kept": b"kept",
    "/bin/tool": b"#!/bin/sh\n",
    "/srv/chmod": b"attributes alone",
    "/srv/type/now": b"a directory now",
    "/srv/gone/other": b"back again",
}


def test_the_tree_of_every_layer_is_the_mounts(
    layered: Verbs, truth: Truth, place: Path
) -> None:
    for number, view in enumerate(truth.views, 1):
        check_the_tree(layered, view, "--at", str(number))
    check_the_tree(layered, truth.views[-1])
    check_the_contents(layered, CONTENTS, place)


def test_the_tree_of_one_layer_is_the_mounts(
    flat: Verbs, truth: Truth, place: Path
) -> None:
    check_the_tree(flat, truth.views[-1])
    check_the_contents(flat, CONTENTS, place)


def test_layers_counts_what_the_mounts_show(layered: Verbs, truth: Truth) -> None:
    counted = [
        (row["added"], row["changed"], row["removed"], row["whiteouts"])
        for row in layered("layers", "--json").records
    ]

    before: Tree = {}
    wanted = []
    for number, (view, layer) in enumerate(zip(truth.views, truth.layers, strict=True)):
        changed = [path for path in before if event(truth, number, path) == "changed"]
        whiteouts = sum(
            not os.lstat(Path(folder, name)).st_rdev
            and Path(folder, name).is_char_device()
            for folder, _, names in os.walk(layer)
            for name in names
        )
        added, removed = set(view) - set(before), set(before) - set(view)
        wanted.append((len(added - {b"."}), len(changed), len(removed), whiteouts))
        before = view
    assert counted == wanted


def event(truth: Truth, number: int, path: bytes) -> str:
    """Return what a layer, from 0, does to a path; "" for nothing."""
    before = truth.views[number - 1].get(path) if number else None
    after = truth.views[number].get(path)
    if path == b"." or before == after is None:
        return ""
    if before is None or after is None:
        return "added" if before is None else "removed"
    own = truth.layers[number] / os.fsdecode(path)
    if not os.path.lexists(own):
        return ""
    # A file that is stored again is changed, even if nobody can tell.
    is_directory = {before.type, after.type} == {"directory"}
    return "" if is_directory and _bare(before) == _bare(after) else "changed"


def _bare(meta: Metadata) -> Metadata:
    return dataclasses.replace(meta, links=())


def test_blame_tells_what_each_mount_changes(layered: Verbs, truth: Truth) -> None:
    records = layered("blame", "--json", *(f"/{path}" for path in PATHS)).records

    found = [(record["path"], record["layer"], record["did"]) for record in records]
    wanted = [
        (f"/{path}", number + 1, did)
        for path in PATHS
        for number in range(len(truth.layers))
        if (did := event(truth, number, path.encode()))
    ]
    assert found == wanted


def test_why_names_the_layer_that_the_mount_shows(layered: Verbs, truth: Truth) -> None:
    for path in PATHS:
        answer = json.loads(layered("why", f"/{path}", "--json").out)
        is_seen = path.encode() in truth.views[-1]
        assert bool(answer["problem"]) is not is_seen, path
        if not is_seen or path == "bin":
            continue
        # The highest that has it is the one that shows it.
        having = [
            number
            for number, layer in enumerate(truth.layers, 1)
            if os.path.lexists(layer / path)
        ]
        assert answer["layer"] == having[-1], path
    assert json.loads(layered("why", "/bin/tool", "--json").out)["symlinks"] == [
        {"path": "/bin", "target": "usr/bin", "layer": 1}
    ]


def test_waste_is_what_is_stored_and_not_seen(layered: Verbs, truth: Truth) -> None:
    stored = sum(map(stored_in, truth.layers))

    answer = json.loads(layered("waste", "--json").out)

    causes: Counter[str] = Counter()
    layers: Counter[int] = Counter()
    for one in answer["files"]:
        causes[one["cause"]] += one["bytes"]
        layers[one["layer"]] += one["bytes"]
    assert answer["total_bytes"] == stored - truth.seen_bytes == causes.total()
    assert causes["attributes"] == len(b"attributes alone")
    assert set(causes) == {"attributes", "deleted", "overwritten"}
    assert {t["cause"]: t["bytes"] for t in answer["causes"]} == causes
    assert {t["layer"]: t["bytes"] for t in answer["layers"]} == layers
    assert (
        layered("waste").out.decode().splitlines()[-4:]
        == [
            *(f"  {t['cause']}: {t['bytes']} B" for t in answer["causes"]),
            *(f"  layer {t['layer']}: {t['bytes']} B" for t in answer["layers"]),
        ][-4:]
    )


def test_one_layer_alone_wastes_nothing(flat: Verbs) -> None:
    assert json.loads(flat("waste", "--json").out) == {
        "total_bytes": 0,
        "causes": [],
        "layers": [],
        "files": [],
    }
    assert (
        flat("waste").out == b"nothing: each byte is seen, and none is stored twice\n"
    )


def test_verify_checks_images_and_refuses_directories(
    layered: Verbs, flat: Verbs
) -> None:
    for verbs in (layered, flat):
        done = verbs("verify", "--json")
        if verbs.source.startswith(("layers:", "dir:", "snapshot:")):
            assert (done.code, done.out) == (2, b"")
            assert "nothing to unpack or to verify;" in done.err
        else:
            assert {record["problem"] for record in done.records} == {""}


def test_sources_that_show_the_same_do_not_differ(layered: Verbs, flat: Verbs) -> None:
    assert layered("diff", flat.source, "--exit-code").out == b""


def test_ci_and_report_measure_what_is_stored_and_not_seen(
    layered: Verbs, truth: Truth, tmp_path: Path
) -> None:
    stored = [stored_in(layer) for layer in truth.layers]
    wasted = sum(stored) - truth.seen_bytes
    page = tmp_path / "page.html"

    told = layered("ci", "--json", "--lowest-efficiency", "0.99")
    answer = json.loads(told.out)
    reported = layered("report", "-o", str(page))

    assert told.code == 1
    assert (answer["stored_bytes"], answer["wasted_bytes"]) == (sum(stored), wasted)
    assert answer["user_bytes"] == sum(stored[1:])
    assert answer["efficiency"] == pytest.approx(1 - wasted / sum(stored))
    assert reported.code == 0, reported.err
    assert f"{wasted} B" in page.read_text()


def test_lint_finds_what_the_mounts_show(layered: Verbs, truth: Truth) -> None:
    told = layered("lint", "--json", "--fail-on", "never").records

    found = {(one["rule"], one["path"]) for one in told}
    devices = {
        f"/{os.fsdecode(path)}"
        for path, meta in truth.views[-1].items()
        if "device" in meta.type
    }
    broken = {
        f"/{os.fsdecode(path)}"
        for path, meta in truth.views[-1].items()
        if meta.type == "symlink" and meta.content == b"/etc/motd"
    }
    assert {path for rule, path in found if rule == "device-node"} == devices
    assert {path for rule, path in found if rule == "broken-symlink"} == broken


def test_one_squashed_layer_shows_what_the_mounts_show(
    layered: Verbs, truth: Truth, place: Path, tmp_path: Path
) -> None:
    done = layered("squash", "-o", str(tmp_path / "flat.tar"))

    assert done.code == 0, done.err
    flat = Verbs(f"oci-archive:{tmp_path}/flat.tar", place)
    assert told(flat("find", "--json").records) == expected(truth.views[-1])


@pytest.mark.containerd
@pytest.mark.slow
def test_containerds_images_show_the_same(
    sandbox: Sandbox,
    generation: Generation,
    truth: Truth,
    layout: Path,
    place: Path,
) -> None:
    running = Containerd(sandbox, generation, "native")
    running.ctr("images", "import", "--no-unpack", archive_of(layout))
    socket = str(sandbox.home / "containerd.sock")
    verbs = Verbs(f"containerd:{NAME}", place, CONTAINERD_ADDRESS=socket)

    test_the_tree_of_every_layer_is_the_mounts(verbs, truth, place)
    test_layers_counts_what_the_mounts_show(verbs, truth)
    test_blame_tells_what_each_mount_changes(verbs, truth)
    test_why_names_the_layer_that_the_mount_shows(verbs, truth)
    test_waste_is_what_is_stored_and_not_seen(verbs, truth)
    assert {row["problem"] for row in verbs("verify", "--json").records} == {""}
