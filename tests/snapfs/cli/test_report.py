"""The report: numbers by brute force, safety, and what a browser makes of it."""

from __future__ import annotations

import html
import json
import random
import re
import shutil
import subprocess
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path

import pytest

from snapfs.cli.report import make_page, page
from snapfs.cli.report.facts import Facts, gather
from snapfs.cli.report.treemap import treemap_data
from snapfs.inspect.changes import ChangeKind
from snapfs.inspect.overview import Branch
from support.applied_layers import Item, directory, entry, hard_link, symlink, tar_of
from support.example_images import write_examples
from support.inspected import inspected, shown
from support.layouts import LayoutWriter

# Names that would run, load or turn something around if a page took them for markup.
HOSTILE = (
    "</script><script>alert(1)</script>",
    "<img src=x onerror=alert(2)>",
    "<!--",
    "\u202egnp.exe",
    "new\nline\x1b[31m",
    "&amp;",
    "\udcff",
)


def facts_of(tmp_path: Path, *layers: list[Item], **config: object) -> Facts:
    writer = LayoutWriter(tmp_path / "image")
    for layer in layers:
        writer.add_layer([tar_of(layer)])
    writer.finish(**config)
    with inspected(tmp_path / "image", tmp_path / "cache") as inspection:
        return gather(inspection, "<oci>:'image'")


@pytest.fixture
def hostile(tmp_path: Path) -> str:
    base = [directory("d"), *(entry(f"d/{name}", b"x" * 5000) for name in HOSTILE)]
    top: list[Item] = [
        entry("d/.wh.&amp;"),
        entry("root/.netrc", b"password s3cret"),
        symlink("</ul><script>", "never"),
    ]
    return make_page(
        facts_of(tmp_path, base, top, Env=["DB_PASSWORD=s3cret", "A=</code><b>"])
    )


class Page(HTMLParser):
    """Which elements there are, and what they refer to."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: Counter[str] = Counter()
        self.references: list[str] = []
        self.handlers: list[str] = []
        self.styles: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements[tag] += 1
        for name, value in attrs:
            if name in ("src", "href", "action", "data"):
                self.references.append(value or "")
            if name.startswith("on"):
                self.handlers.append(name)
            if name == "style":
                self.styles.append(value or "")


def test_no_name_of_the_image_becomes_markup(hostile: str) -> None:
    found = Page(hostile)

    assert found.elements["script"] == 2
    assert found.elements["img"] == 0
    assert (found.handlers, found.styles) == ([], [])
    assert {r for r in found.references if not r.startswith("#")} == {"data:,"}
    assert "http://" not in hostile
    assert "https://" not in hostile
    assert "\u202e" not in hostile
    assert "\x1b" not in hostile


def test_no_secret_is_repeated(hostile: str) -> None:
    assert "DB_PASSWORD" in hostile
    assert "s3cret" not in hostile


def tree_of(text: str) -> dict[str, object]:
    """Return the treemap's data as the browser would read it."""
    found = re.search(r'<script type="application/json" id="tree">(.*?)</script>', text)
    assert found is not None
    read: dict[str, object] = json.loads(found[1])
    return read


def test_the_treemaps_data_survive_hostile_names(hostile: str) -> None:
    (branch, *_) = tree_of(hostile)["c"]  # type: ignore[misc]  # JSON has no types

    names = {child["n"] for child in branch["c"]}  # type: ignore[has-type]  # as above
    assert {"<", "<!--", "<img src=x onerror=alert(2)>", "\\xff"} <= names


def a_layer(rng: random.Random) -> list[Item]:
    items: list[Item] = []
    files: list[str] = []
    for top in "ab":
        items.append(directory(top))
        if rng.random() < 0.2:
            items.append(entry(f"{top}/.wh..wh..opq"))
        for name in "xyz":
            match rng.randrange(5):
                case 0 | 1:
                    files.append(f"{top}/{name}")
                    items.append(entry(files[-1], rng.randbytes(rng.randrange(40))))
                case 2 if files:
                    items.append(hard_link(f"{top}/{name}", rng.choice(files)))
                case 3:
                    items.append(entry(f"{top}/.wh.{name}"))
    return items


@pytest.mark.parametrize("seed", range(20))
def test_the_sums_are_those_of_the_trees_before_and_after(
    tmp_path: Path, seed: int
) -> None:
    rng = random.Random(seed)
    layers = [a_layer(rng) for _ in range(4)]

    facts = facts_of(tmp_path, *layers)

    with inspected(tmp_path / "image", tmp_path / "cache") as inspection:
        views = [
            shown(inspection, inspection.tree(at=number)) for number in range(1, 5)
        ]
    seen = {meta.links or path: meta.size for path, meta in views[-1].items()}
    assert facts.seen_bytes == sum(seen.values())
    assert len(facts.files) == len(
        {m.links or path for path, m in views[-1].items() if m.type == "file"}
    )
    assert sum(file.size_bytes for file in facts.files) == facts.seen_bytes
    before: set[bytes] = set()
    for view, change in zip(views, facts.changes, strict=True):
        after = set(view) - {b"."}
        assert change.paths[ChangeKind.ADDED] == len(after - before)
        assert change.paths[ChangeKind.REMOVED] == len(before - after)
        before = after


def test_a_treemap_has_all_bytes_and_joins_what_is_small(tmp_path: Path) -> None:
    layer = [entry(f"d/{number}", b"x") for number in range(50)]
    facts = facts_of(tmp_path, [entry("large", b"y" * 1_000_000), *layer])

    root = json.loads(treemap_data(facts.tree))

    assert (root["b"], root["f"]) == (1_000_050, 51)
    assert [(node["n"], node["b"], node["f"]) for node in root["c"]] == [
        ("large", 1_000_000, 1),
        ("50 smaller", 50, 50),
    ]
    assert json.loads(treemap_data(Branch(b""))) == {"n": "", "b": 0, "f": 0, "l": 0}


def test_the_timeline_has_the_time_and_the_command_of_each_step(
    tmp_path: Path,
) -> None:
    text = make_page(facts_of(tmp_path, [entry("a", b"1")], [entry("b", b"22")]))

    timeline = text.partition('<section id="timeline">')[2].partition("</section>")[0]
    assert timeline.count("2024-01-01T00:00:00Z") == 2
    assert re.findall(r">(layer \d)<", timeline) == ["layer 0", "layer 1"]
    assert "added 2 B in 1 path" in timeline


def test_an_empty_image_has_a_report(tmp_path: Path) -> None:
    text = make_page(facts_of(tmp_path, [directory("./")]))

    assert "Nothing: each byte is seen" in text


def browse(text: str, tmp_path: Path, width: int, *options: str) -> tuple[str, str]:
    """Return the document after the script, and what the browser logged."""
    file = tmp_path / "page.html"
    file.write_text(text)
    done = subprocess.run(
        (
            *("chromium", "--headless=new", "--no-sandbox", "--disable-gpu"),
            *(f"--user-data-dir={tmp_path / 'profile'}", "--enable-logging=stderr"),
            *(f"--window-size={width},1000", "--virtual-time-budget=5000"),
            *(*options, "--dump-dom", f"file://{file}"),
        ),
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    return done.stdout, done.stderr


CHROMIUM = pytest.mark.skipif(
    not shutil.which("chromium"), reason="chromium is not installed"
)


@pytest.mark.slow
@CHROMIUM
def test_a_browser_draws_the_treemap_and_has_nothing_to_complain_of(
    hostile: str, tmp_path: Path
) -> None:
    document, log = browse(hostile, tmp_path, 1280)

    assert "CONSOLE" not in log
    drawn = re.findall(r'<button type="button" [^>]*title="([^"]*)', document)
    assert any(title.startswith("/d\n") for title in drawn)
    assert Page(document).elements["script"] == 2


@pytest.mark.slow
@CHROMIUM
def test_choosing_a_directory_looks_into_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    layer = [entry(f"a/b/{n}", b"x" * 1000) for n in range(5)]
    facts = facts_of(tmp_path, [*layer, entry("c/d", b"x" * 2000)])
    asset = page._asset

    def with_a_click(name: str) -> str:
        click = 'document.querySelector("#map button.opens").click();\n'
        return asset(name) + (click if name == "page.js" else "")

    monkeypatch.setattr(page, "_asset", with_a_click)

    document, log = browse(make_page(facts), tmp_path, 1280)

    assert "CONSOLE" not in log
    trail = re.search(r'<nav id="trail".*?</nav>', document, re.DOTALL)
    assert trail is not None
    assert re.findall(r">([^<]+)<", trail[0]) == ["/", "a/", " 4.9 KiB in 5 files"]
    assert 'title="/c' not in document


# A headless window is at least 500 pixels wide, a frame in it as wide as is asked.
FRAMES = """<!doctype html><meta charset="utf-8">
<iframe width="1280" height="800" srcdoc="{page}"></iframe>
<iframe width="390" height="800" srcdoc="{page}"></iframe>
<script>
onload = () => {{
  document.title = [...document.querySelectorAll("iframe")].map((frame) => {{
    const inner = frame.contentDocument.documentElement;
    return `${{inner.clientWidth}}/${{inner.scrollWidth}}`;
  }}).join(" ");
}};
</script>"""


@pytest.mark.slow
@CHROMIUM
def test_the_page_is_no_wider_than_its_window(tmp_path: Path) -> None:
    write_examples(tmp_path)  # they have commands that are long
    with inspected(tmp_path / "shop", tmp_path / "cache") as inspection:
        facts = gather(inspection, f"oci:{'long-name/' * 20}")
    framed = FRAMES.format(page=html.escape(make_page(facts)))

    document, _ = browse(framed, tmp_path, 1800)

    widths = re.findall(r"(\d+)/(\d+)", document.partition("</title>")[0])
    assert len(widths) == 2
    for (inner, scrolled), width in zip(widths, (1280, 390), strict=True):
        assert width - 50 < int(inner) <= width  # less a scroll bar
        assert inner == scrolled
