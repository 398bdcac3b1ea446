"""Each rule of ``image lint`` on images that break it, and on such that do not."""

from __future__ import annotations

import dataclasses
import json
import os
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import pytest

from snapfs.inspect.contents import DirectoryContents
from snapfs.inspect.directory_index import directory_index
from snapfs.inspect.findings import Severity
from snapfs.inspect.inspection import Inspection, Layer
from snapfs.inspect.lint import CHECKERS, RULES, lint
from snapfs.overlay_format import XattrPrefix
from support.applied_layers import Item, directory, entry, symlink, tar_of
from support.inspected import inspected
from support.layouts import LayoutWriter

Found = list[tuple[str | None, int | None]]

# What no rule minds: the layers' times are pinned, a user is set.
CLEAN: Final[tuple[Item, ...]] = (
    directory("etc"),
    entry("etc/passwd", b"root:x:0:0::/:/bin/sh\napp:x:1:1::/:/bin/sh\n"),
    entry("etc/group", b"root:x:0:\napp:x:1:\n"),
    directory("bin"),
    entry("bin/sh", b"\x7fELF", mode=0o755),
    directory("tmp", 0o1777),
)
USER: Final = {"User": "app:app"}


@dataclasses.dataclass(frozen=True)
class Broken:
    """Images on top of :data:`CLEAN`, and what one rule says of them."""

    rule: str
    id: str
    layers: Sequence[Sequence[Item]]
    found: Found
    config: dict[str, Any] = dataclasses.field(default_factory=dict)


KEY: Final = b"-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1r\n"
CAPABILITY: Final = {"security.capability": b"\x01\0\0\2\0\x20\0\0\0\0\0\0\0\0\0\0"}
BIG: Final = 150_000


def big(letter: bytes) -> bytes:
    return letter * BIG


def elf(linker: bytes) -> bytes:
    """Return the beginning of a 64-bit program with one segment, its linker's name."""
    header = b"\x7fELF\2\1\1" + bytes(9)
    header += struct.pack("<HHIQQQIHHHHHH", 2, 62, 1, 0, 64, 0, 0, 64, 56, 1, 0, 0, 0)
    name = linker + b"\0"
    return header + struct.pack("<IIQQQQQQ", 3, 4, 120, 0, 0, len(name), 0, 1) + name


CASES: Final = (
    Broken(
        "private-key",
        "also-where-a-layer-deletes-it",
        [
            [entry("root/.ssh/id_rsa", KEY), entry("srv/tls.key", b"not a key")],
            [entry("root/.ssh/.wh.id_rsa")],
        ],
        [("root/.ssh/id_rsa", 2)],
    ),
    Broken(
        "private-key",
        "not-public-parts-nor-keys-for-tests",
        [
            [
                entry("srv/cert.pem", b"-----BEGIN CERTIFICATE-----\nMII\n"),
                entry("srv/tests/key.pem", KEY),
                entry("srv/encrypted.p8", b"-----BEGIN ENCRYPTED PRIVATE KEY-----\nM"),
                entry("srv/empty.pem", b""),
                entry("srv/code.py", b"'-----BEGIN PRIVATE KEY-----\nM'"),
            ]
        ],
        [("srv/encrypted.p8", 2)],
    ),
    Broken(
        "stored-credentials",
        "of-several-programs",
        [
            [
                entry("root/.git-credentials", b"https://me:s3cret@host\n"),
                entry("app/.npmrc", b"//registry/:_authToken=npm_abcdef\n"),
                entry("root/.docker/config.json", b'{"auths":{"h":{"auth":"bWU6"}}}'),
                entry("root/.aws/credentials", b"[a]\naws_secret_access_key = abcd\n"),
                entry("root/.netrc", b"machine h login me password s3cret\n"),
                entry("root/.pypirc", b"[pypi]\nusername = a\npassword = pypi-x\n"),
                entry("home/u/.pgpass", b"h:5432:d:u:s3cret\n"),
            ]
        ],
        [
            ("app/.npmrc", 2),
            ("home/u/.pgpass", 2),
            ("root/.aws/credentials", 2),
            ("root/.docker/config.json", 2),
            ("root/.git-credentials", 2),
            ("root/.netrc", 2),
            ("root/.pypirc", 2),
        ],
    ),
    Broken(
        "stored-credentials",
        "not-where-a-variable-or-nothing-is",
        [
            [
                entry("app/.npmrc", b"//registry/:_authToken=${NPM_TOKEN}\nproxy=x\n"),
                entry("root/.git-credentials", b"https://host/path\n"),
                entry("root/.docker/config.json", b'{"auths": {}}'),
                entry("root/.pypirc", b"[pypi]\nusername = me\n"),
            ]
        ],
        [],
    ),
    Broken(
        "secret-in-config",
        "in-the-environment",
        [],
        [(None, None)] * 2,
        {
            "Env": [
                "DB_PASSWORD=hunter22",
                "DB_PASSWORD_FILE=/run/secrets/x",
                "GPG_KEY=A035C8C19219BA821ECEA86B64E628F8D684696D",
                "API_TOKEN=",
                "USE_TOKEN=true",
                "SECRET_DIR=x/y/z",
            ],
            "Labels": {"my_api_key": "abcdef"},
        },
    ),
    Broken(
        "missing-program",
        "it-is-not-there",
        [],
        [(None, None)],
        {"Entrypoint": ["/srv/app"]},
    ),
    Broken(
        "missing-program",
        "it-is-not-executable",
        [[entry("srv/app", b"#!/bin/sh\n", mode=0o644)]],
        [("srv/app", 2)],
        {"Entrypoint": ["/srv/app"]},
    ),
    Broken(
        "missing-program",
        "its-interpreter-is-not-there",
        [[entry("srv/app", b"#!/bin/bash -e\n", mode=0o755)]],
        [("srv/app", 2)],
        {"Cmd": ["./app"], "WorkingDir": "/srv"},
    ),
    Broken(
        "missing-program",
        "its-lines-end-as-in-windows",
        [[entry("bin/app", b"#!/bin/sh\r\n", mode=0o755)]],
        [("bin/app", 2)],
        {"Cmd": ["app"], "Env": ["PATH=/usr/bin:/bin"]},
    ),
    Broken(
        "missing-program",
        "its-linker-is-not-there",
        [[entry("bin/app", elf(b"/lib64/ld-linux.so.2"), mode=0o755)]],
        [("bin/app", 2)],
        {"Entrypoint": ["/bin/app"]},
    ),
    Broken(
        "missing-program",
        "the-linker-of-its-interpreter-is-not-there",
        [
            [
                entry("bin/app", b"#!/bin/python\n", mode=0o755),
                entry("bin/python", elf(b"/lib/ld-musl.so.1"), mode=0o755),
            ]
        ],
        [("bin/python", 2)],
        {"Entrypoint": ["/bin/app"]},
    ),
    Broken(
        "missing-program",
        "not-a-script-through-a-link",
        [[entry("opt/app", b"#! /bin/sh\n", mode=0o755), symlink("bin/a", "/opt/app")]],
        [],
        {"Entrypoint": ["a"], "Cmd": ["/never/executed"]},
    ),
    Broken(
        "missing-user",
        "user-and-group",
        [],
        [(None, None)] * 2,
        {"User": "nobody:wheel"},
    ),
    Broken("missing-user", "not-a-number", [], [], {"User": "1000:1000"}),
    Broken("root-user", "unset", [], [(None, None)], {"User": ""}),
    Broken("root-user", "by-number", [], [(None, None)], {"User": "0:5"}),
    Broken(
        "deleted-later",
        "by-a-whiteout-and-an-opaque-directory",
        [
            [entry("big", big(b"a")), entry("d/e", big(b"b")), entry("small", b"c")],
            [entry(".wh.big"), entry(".wh.small")],
            [directory("d"), entry("d/.wh..wh..opq")],
        ],
        [("big", 2), ("d/e", 2)],
    ),
    Broken(
        "attributes-only",
        "chmod",
        [[entry("big", big(b"a"))], [entry("big", big(b"a"), mode=0o600)]],
        [("big", 2)],
    ),
    Broken(
        "overwritten-later",
        "another-content",
        [[entry("big", big(b"a"))], [entry("big", big(b"b"))]],
        [("big", 2)],
    ),
    Broken(
        "many-layers",
        "more-than-120",
        [[entry(f"f{number}", b"")] for number in range(121)],
        [(None, None)],
    ),
    Broken(
        "escaping-path",
        "dots",
        [[entry("../escaped", b"")]],
        [(None, 2)],
    ),
    Broken(
        "whiteout-of-nothing",
        "also-in-the-lowest-layer",
        [[entry(".wh.never")], [entry("etc/.wh.group")]],
        [("never", 2)],
    ),
    Broken(
        "shadowed-symlink",
        "a-directory-over-a-link-to-one",
        [
            [
                directory("usr/lib"),
                symlink("lib", "usr/lib"),
                symlink("to", "etc/group"),
            ],
            [directory("lib"), entry("lib/x", b""), directory("to")],
        ],
        [("lib", 3)],
    ),
    Broken(
        "setuid-file",
        "setuid-and-setgid-above-the-base",
        [
            [
                entry("bin/su", b"", mode=0o4755),
                entry("bin/wall", b"", mode=0o2755),
                entry("bin/locked", b"", mode=0o2644),
                directory("shared", 0o2755),
            ]
        ],
        [("bin/su", 2), ("bin/wall", 2)],
    ),
    Broken(
        "file-capabilities",
        "ping",
        [[entry("bin/ping", b"", mode=0o755, xattrs=CAPABILITY)]],
        [("bin/ping", 2)],
    ),
    Broken(
        "world-writable",
        "files-and-directories",
        [
            [
                entry("f", b"", mode=0o666),
                directory("d", 0o777),
                directory("sticky", 0o1777),
                symlink("link", "f"),
            ]
        ],
        [("d", 2), ("f", 2)],
    ),
    Broken(
        "device-node",
        "character-and-block",
        [[entry("dev/null", type_=b"3", device=(1, 3))]],
        [("dev/null", 2)],
    ),
    Broken(
        "package-cache",
        "apt-and-pip",
        [
            [
                entry("var/lib/apt/lists/main_Packages", big(b"p")),
                entry("root/.cache/pip/http/x", big(b"w")),
                entry("var/cache/apk/tiny", b"x"),
                entry("srv/.cache/pip/x", big(b"z")),
            ],
            [entry("var/lib/apt/lists/more", big(b"m"))],
        ],
        [
            ("root/.cache/pip", 2),
            ("var/lib/apt/lists", 2),
            ("var/lib/apt/lists", 3),
        ],
    ),
    Broken(
        "package-cache",
        "not-where-a-layer-removes-it",
        [[entry("var/cache/apt/x.bin", big(b"p"))], [entry("var/cache/apt/.wh.x.bin")]],
        [],
    ),
    Broken(
        "broken-symlink",
        "nowhere-and-round-and-round",
        [
            [
                symlink("gone", "never"),
                symlink("round", "round"),
                symlink("good", "/etc/passwd"),
                symlink("etc/mtab", "/proc/self/mounts"),
                symlink("etc/man", "/usr/share/man/man1/x.1.gz"),
                symlink("above", "../../etc/group"),
            ]
        ],
        [("gone", 2), ("round", 2)],
    ),
    Broken(
        "unpinned-times",
        "the-builds-own",
        [
            [
                entry("a", b"", mtime=1_704_067_000),
                entry("b", b"", mtime=1_704_067_001),
                entry("old", b"", mtime=1_500_000_000),
            ],
            [
                entry("c", b"", mtime=1_704_067_200),
                entry("d", b"", mtime=1_704_067_200),
            ],
        ],
        [("b", 2)],
    ),
)


def image(path: Path, *layers: Sequence[Item], **config: Any) -> Path:  # noqa: ANN401
    writer = LayoutWriter(path)
    for layer in layers:
        writer.add_layer([tar_of(layer)])
    return writer.finish(**config)


@pytest.mark.parametrize(
    "case", [pytest.param(case, id=f"{case.rule}-{case.id}") for case in CASES]
)
def test_a_rule_finds_what_breaks_it_and_nothing_else(
    tmp_path: Path, case: Broken
) -> None:
    config = {**USER, **case.config}
    layout = image(tmp_path / "i", CLEAN, *case.layers, **config)

    with inspected(layout, tmp_path / "c") as inspection:
        checked = lint(inspection, [rule for rule in RULES if rule != case.rule])

    found = [(f.path and os.fsdecode(f.path), f.layer) for f in checked.findings]
    assert sorted(found, key=str) == sorted(case.found, key=str)
    assert {f.rule.id for f in checked.findings} <= {case.rule}
    assert len(checked.skipped) == len(RULES) - 1


def test_a_clean_image_has_no_findings(tmp_path: Path) -> None:
    layout = image(tmp_path / "i", CLEAN, **USER, Cmd=["sh"])

    with inspected(layout, tmp_path / "c") as inspection:
        checked = lint(inspection)

    assert checked.findings == ()
    assert checked.rules == tuple(RULES.values())


def changed_config(layout: Path, **changes: object) -> Path:
    """Change the image's config, and what points at it."""
    from demo.make_image import as_json, blob_path, digest

    index = json.loads((layout / "index.json").read_text())
    named = index["manifests"][0]
    blob = layout / "blobs" / named["digest"].replace(":", "/")
    manifest = json.loads(blob.read_text())
    old = layout / "blobs" / manifest["config"]["digest"].replace(":", "/")
    content = as_json(json.loads(old.read_text()) | changes)
    (layout / blob_path(content)).write_bytes(content)
    manifest["config"] |= {"digest": digest(content), "size": len(content)}
    document = as_json(manifest)
    (layout / blob_path(document)).write_bytes(document)
    named |= {"digest": digest(document), "size": len(document)}
    (layout / "index.json").write_text(json.dumps(index))
    return layout


def test_build_arguments_and_a_missing_history_are_found(tmp_path: Path) -> None:
    steps = [
        {"created_by": "|2 NPM_TOKEN=abcdef USER=x /bin/sh -c npm ci"},
        {"created_by": "|1 API_KEY=$KEY /bin/sh -c true", "empty_layer": True},
        {"created_by": "/bin/sh -c TOKEN=abcdef true", "empty_layer": True},
    ]
    layout = changed_config(image(tmp_path / "i", CLEAN, **USER), history=steps)
    without = changed_config(image(tmp_path / "j", CLEAN, **USER), history=[])

    with inspected(layout, tmp_path / "c") as inspection:
        told = [(f.rule.id, f.message) for f in lint(inspection).findings]
    with inspected(without, tmp_path / "c") as inspection:
        silent = [f.rule.id for f in lint(inspection).findings]

    assert told == [
        ("secret-in-config", "the build argument NPM_TOKEN is in the history")
    ]
    assert silent == ["missing-history"]


@pytest.mark.parametrize("created", ["2020-13-01T00:00:00Z", "0000-01-01T00:00:00Z"])
def test_a_step_at_a_time_that_never_was_is_no_finding(
    tmp_path: Path, created: str
) -> None:
    steps = [{"created": created, "created_by": "COPY . /"}]
    layout = changed_config(image(tmp_path / "i", CLEAN, **USER), history=steps)

    with inspected(layout, tmp_path / "c") as inspection:
        findings = lint(inspection).findings

    assert findings == ()


@pytest.mark.parametrize(("user", "rules"), [("9" * 5000, []), ("000", ["root-user"])])
def test_a_user_is_a_number_of_any_length(
    tmp_path: Path, user: str, rules: list[str]
) -> None:
    layout = image(tmp_path / "i", CLEAN, User=user)

    with inspected(layout, tmp_path / "c") as inspection:
        told = [f.rule.id for f in lint(inspection).findings]

    assert told == rules


def test_hostile_texts_take_no_time_beyond_their_size(tmp_path: Path) -> None:
    # Each made some pattern of its kind take the square of its length, or more.
    size = 200_000
    layer = [
        entry("a/.pypirc", b"\n" * size),
        entry("b/.netrc", b"password" + b" " * size),
        entry("c/.pgpass", b"a" * size + b":::"),
        entry("d/x.pem", b"-----BEGIN " + b"A " * size),
        entry("e/.git-credentials", b"a" * size + b"://"),
    ]
    words = "TOKEN" * (size // 5)
    env = [f"{words}-=value", f"A={words}", "=" * size]
    layout = image(tmp_path / "i", layer, User="1", Env=env)
    steps = [{"created_by": f"|1 {words} {words}"}]

    with inspected(changed_config(layout, history=steps), tmp_path / "c") as inspection:
        findings = lint(inspection).findings

    assert findings == ()


def test_no_secret_is_repeated(tmp_path: Path) -> None:
    layer = [entry("root/.ssh/id_rsa", KEY), entry("r/.netrc", b"password s3cret")]
    layout = image(tmp_path / "i", layer, Env=["DB_PASSWORD=s3cret"])

    with inspected(layout, tmp_path / "c") as inspection:
        findings = lint(inspection).findings

    assert {"private-key", "stored-credentials", "secret-in-config"} <= {
        finding.rule.id for finding in findings
    }
    assert not any("s3cret" in finding.message for finding in findings)


def test_the_setuid_files_of_a_single_layer_are_told(tmp_path: Path) -> None:
    layout = image(tmp_path / "i", [entry("su", b"", mode=0o4755)], **USER)

    with inspected(layout, tmp_path / "c") as inspection:
        rules = [f.rule.id for f in lint(inspection).findings]

    assert "setuid-file" in rules


def test_directories_are_checked_by_the_rules_that_need_no_image(
    tmp_path: Path,
) -> None:
    (tmp_path / "open").write_text("")
    (tmp_path / "open").chmod(0o666)
    index = directory_index(str(tmp_path), XattrPrefix.USER)
    contents = DirectoryContents(str(tmp_path))
    layer = Layer(1, "", "", "", 0, str(tmp_path), index, contents)

    checked = lint(Inspection("directory", [layer]))

    assert [finding.rule.id for finding in checked.findings] == ["world-writable"]
    assert set(checked.skipped) == {c.rule.id for c in CHECKERS if c.needs_image}


def test_a_layer_of_more_than_a_gibibyte_is_large(tmp_path: Path) -> None:
    with (tmp_path / "large").open("wb") as file:
        file.truncate((1 << 30) + 1)
    index = directory_index(str(tmp_path), XattrPrefix.USER)
    contents = DirectoryContents(str(tmp_path))
    layer = Layer(1, "", "", "", 0, str(tmp_path), index, contents)

    checked = lint(Inspection("directory", [layer]))

    assert [finding.rule.id for finding in checked.findings] == ["large-layer"]


def test_a_nondistributable_layer_is_told(tmp_path: Path) -> None:
    from demo.make_image import as_json, blob_path, digest

    layout = image(tmp_path / "i", CLEAN, **USER)
    index = json.loads((layout / "index.json").read_text())
    named = index["manifests"][0]
    blob = layout / "blobs" / named["digest"].replace(":", "/")
    manifest = json.loads(blob.read_text())
    foreign = "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip"
    manifest["layers"][0]["mediaType"] = foreign
    document = as_json(manifest)
    (layout / blob_path(document)).write_bytes(document)
    named |= {"digest": digest(document), "size": len(document)}
    (layout / "index.json").write_text(json.dumps(index))

    with inspected(layout, tmp_path / "c") as inspection:
        found = [(f.rule.id, f.layer) for f in lint(inspection).findings]

    assert found == [("nondistributable-layer", 1)]


def test_every_rule_has_a_case_here_and_the_worst_come_first() -> None:
    tested = {case.rule for case in CASES if case.found}
    alone = {"missing-history", "large-layer", "nondistributable-layer"}
    severities = [list(Severity).index(rule.severity) for rule in RULES.values()]

    assert tested | alone == set(RULES)
    assert len(RULES) == len(CHECKERS)
    assert severities == sorted(severities)
