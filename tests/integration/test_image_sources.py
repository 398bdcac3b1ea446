"""The same image from every kind of SOURCE that files can be: the same answers."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
from pathlib import Path

import pytest

from support.command import Command
from support.demo_sources import sources_of
from support.sandbox import REPOSITORY

PATHS = ("/etc/motd", "/etc/issue")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("sources")


@pytest.fixture(scope="module")
def stocked(place: Path) -> Command:
    """The command on a store that tests only look at."""
    made = Command(place / "root")
    made.environment["XDG_CACHE_HOME"] = str(place / "cache")
    return made


@pytest.fixture(scope="module")
def sources(place: Path, stocked: Command) -> dict[str, str]:
    return sources_of(place, stocked)


@pytest.mark.root
def test_every_kind_of_source_shows_the_same_tree_and_contents(
    stocked: Command, sources: dict[str, str]
) -> None:
    listings = {}
    for kind, source in sources.items():
        found = map(
            json.loads, stocked.ok("image", "find", "--json", source).splitlines()
        )
        # Without an entry a directory has a time of its own on disk.
        listings[kind] = [
            (name["path"], name["type"], name["mode"], name["size_bytes"])
            for name in found
        ]
        assert stocked.ok("image", "cat", source, *PATHS) == "base\nchanged\n", kind

    for kind, listing in listings.items():
        assert listing == listings["oci"], kind


@pytest.mark.parametrize("kind", ["docker-archive", "oci-archive"])
def test_an_archive_may_come_through_a_pipe(
    stocked: Command, sources: dict[str, str], kind: str
) -> None:
    path = sources[kind].removeprefix(f"{kind}:").partition(":")[0]
    words = [*stocked.words, "image", "ls", f"{kind}:-", "/etc"]

    def through_a_pipe(content: bytes) -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(
            words,
            env=stocked.environment,
            input=content,
            capture_output=True,
            check=False,
        )

    whole = through_a_pipe(Path(path).read_bytes())
    cut_off = through_a_pipe(Path(path).read_bytes()[:3000])
    nothing = through_a_pipe(b"")

    assert whole.returncode == 0, whole.stderr
    assert whole.stdout.decode() == stocked.ok("image", "ls", sources[kind], "/etc")
    assert (cut_off.returncode, nothing.returncode) == (7, 7)
    assert cut_off.stderr.count(b"\n") == nothing.stderr.count(b"\n") == 1


@pytest.mark.root
def test_history_and_resolution_are_told_on_the_command_line(
    stocked: Command, sources: dict[str, str], tmp_path: Path
) -> None:
    (told,) = map(
        json.loads,
        stocked.ok("image", "blame", "--json", sources["oci"], PATHS[1]).splitlines(),
    )
    why = json.loads(stocked.ok("image", "why", "--json", sources["oci"], PATHS[0]))
    stocked.ok("image", "get", sources["oci"], PATHS[0], tmp_path / "copy")

    assert (told["layer"], told["did"], told["command"]) == (2, "added", "RUN change")
    assert (why["layer"], why["problem"]) == (1, "")
    assert (tmp_path / "copy").read_text() == "base\n"


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        pytest.param(["cat", "/etc/mtod"], 3, "did you mean '/etc/motd'?", id="near"),
        pytest.param(["cat", "/etc"], 2, "a directory, not a file", id="directory"),
        pytest.param(["ls", "--at", "3"], 2, "has the layers 1 to 2", id="no-layer"),
        pytest.param(["ls", "--at", "1", "--layer", "1"], 2, "exclude", id="both"),
        pytest.param(["blame", "/never"], 3, "no layer has '/never'", id="never"),
    ],
)
@pytest.mark.root
def test_mistakes_are_one_line_with_the_way_out(
    stocked: Command, sources: dict[str, str], words: list[str], code: int, says: str
) -> None:
    done = stocked("image", words[0], sources["oci"], *words[1:])

    assert (done.returncode, done.stderr.count("\n")) == (code, 1)
    assert says in done.stderr


@pytest.mark.parametrize(
    ("source", "says"),
    [
        pytest.param("oci:layot", "did you mean 'layout'?", id="layout"),
        pytest.param("./oci.tra", "did you mean 'oci.tar'?", id="path"),
        pytest.param("tar:oci.trr", "did you mean 'oci.tar'?", id="tar"),
        pytest.param("layers:layouts", "did you mean 'layout'?", id="layers"),
        pytest.param("oci:none/at/all", "no directory 'none/at/all'\n", id="nowhere"),
    ],
)
@pytest.mark.root
def test_a_file_that_is_not_there_brings_the_nearest_names(
    stocked: Command,
    sources: dict[str, str],
    place: Path,
    monkeypatch: pytest.MonkeyPatch,
    source: str,
    says: str,
) -> None:
    assert sources
    monkeypatch.chdir(place)

    done = stocked("image", "ls", source)

    assert (done.returncode, done.stderr.count("\n")) == (3, 1)
    assert says in done.stderr


@pytest.mark.root
def test_why_names_what_is_near_to_what_is_not_there(
    stocked: Command, sources: dict[str, str]
) -> None:
    told = stocked.ok("image", "why", sources["oci"], "/etc/mtod")

    assert told == "/etc/mtod: nothing is there; did you mean '/etc/motd'?\n"


@pytest.mark.root
def test_a_damaged_blob_is_found_although_its_index_is_kept(
    command: Command, tmp_path: Path
) -> None:
    command.environment["XDG_CACHE_HOME"] = str(tmp_path / "cache")
    sources = sources_of(tmp_path, command)
    before = command("image", "verify", sources["oci"])
    (layer, *_) = map(
        json.loads, command.ok("image", "layers", "--json", sources["oci"]).splitlines()
    )
    blob = tmp_path / "layout/blobs" / layer["digest"].replace(":", "/")
    content = bytearray(blob.read_bytes())
    content[-1] ^= 1
    blob.write_bytes(content)

    after = command("image", "verify", "--json", sources["oci"])

    assert (before.returncode, before.stdout.count(" ok")) == (0, 2)
    assert after.returncode == 7
    first, second = map(json.loads, after.stdout.splitlines())
    assert layer["digest"] in first["problem"]
    assert second["problem"] == ""


@pytest.mark.parametrize("verb", ["layers", "ls", "verify"])
def test_what_is_no_tar_is_named_in_the_error(
    command: Command, tmp_path: Path, verb: str
) -> None:
    command.environment["XDG_CACHE_HOME"] = str(tmp_path / "cache")
    (tmp_path / "layer.tar").write_bytes(b"no tar")

    done = command("image", verb, f"tar:{tmp_path}/layer.tar")

    assert (done.returncode, done.stderr.count("\n")) == (7, 1)
    assert f"tar:{tmp_path}/layer.tar" in done.stderr


@pytest.mark.root
def test_every_command_of_the_page_runs(
    stocked: Command, sources: dict[str, str], tmp_path: Path
) -> None:
    page = (REPOSITORY / "docs/debugging.md").read_text()
    rows = r"^\|[^|]*\| `snapfs (image \w+ .*SOURCE.*?)` \|$"
    commands = re.findall(rows, page, re.MULTILINE)

    for text in commands:
        words = text.replace("SOURCE", sources["oci"])
        words = words.replace("OTHER", sources["docker-archive"])
        for file in ("motd", "report.html"):
            words = words.replace(f"./{file}", str(tmp_path / file))
        stocked.ok(*shlex.split(words))

    assert len(commands) == 17


# What prints one document; all others print an object a line.
DOCUMENTS = ("why", "waste", "ci", "report")


@pytest.mark.root
@pytest.mark.parametrize(
    ("verb", "words"),
    [
        ("layers", []),
        ("ls", ["/etc/motd"]),
        ("blame", ["/etc/motd"]),
        ("why", ["/etc/motd"]),
        ("waste", []),
        ("diff", ["OTHER"]),
        ("lint", ["--fail-on", "never"]),
        ("ci", ["--lowest-efficiency", "0"]),
        ("verify", []),
        ("report", ["-o", "PAGE"]),
    ],
)
def test_the_page_lists_the_keys_of_each_json(
    stocked: Command,
    sources: dict[str, str],
    tmp_path: Path,
    verb: str,
    words: list[str],
) -> None:
    page = (REPOSITORY / "docs/debugging.md").read_text().rpartition("## JSON")[2]
    (row,) = re.findall(rf"^\| `{verb}`[^|]*\| (.*) \|$", page, re.MULTILINE)
    listed = re.findall(r"`(\w+)`", row.partition(";")[0])
    (tmp_path / "other").mkdir()
    places = {"OTHER": f"dir:{tmp_path / 'other'}", "PAGE": str(tmp_path / "page")}
    given = [places.get(word, word) for word in words]

    printed = stocked("image", verb, "--json", sources["oci"], *given).stdout
    document = json.loads(printed if verb in DOCUMENTS else printed.splitlines()[0])

    assert list(document) == listed
