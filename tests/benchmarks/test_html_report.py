"""The HTML report: nothing missing, nothing loaded, nothing claimed too much."""

from __future__ import annotations

import base64
import dataclasses
import gzip
import html.parser
import shutil
import subprocess
from pathlib import Path

import pytest

from snapfs.benchmarks.html import make_page, make_picture
from snapfs.benchmarks.html.collection import collect
from snapfs.benchmarks.html.commands import repeat_command
from snapfs.benchmarks.html.families import in_words, standings
from snapfs.benchmarks.html.scales import (
    LogScale,
    decade_bounds,
    decade_ticks,
    ratio_bounds,
    ratio_ticks,
)
from snapfs.benchmarks.protocols import CacheState
from snapfs.benchmarks.results import (
    Comparison,
    Counted,
    ProcessMemory,
    Results,
    decode,
    encode,
)
from snapfs.benchmarks.summary import estimate_all
from snapfs.benchmarks.verdicts import Verdict
from snapfs.cli.main import main
from snapfs.errors import InvalidArgumentError
from support.benchmarking import results_of, simulated_blocks

TARGETS = ("base", "fast", "same", "slow")


def comparison(size: int, seed: int = 1, **changes: object) -> Comparison:
    """Return one cell: "slow" is, by half; "fast" is, by half; "same" is the same."""
    time = size / 1e9
    times = {"base": time, "base#2": time, "same": time}
    times |= {"slow": time * 1.5, "fast": time / 2}
    names = ("base", "base#2", "fast", "same", "slow")
    blocks = tuple(simulated_blocks(times, seed, blocks=9, spread=0.002))
    made = Comparison(
        scenario="copy_up_latency",
        question="How long does a <copy> take?",
        operation="copy-up",
        parameters={"size_bytes": size},
        cache=CacheState.WARM,
        operations=1,
        runs=5,
        warmups=1,
        placement="two-cpus",
        backing="ext4 (rw)",
        reference="base",
        control="base#2",
        instances=names,
        rejected={"liar": "does not hold: keeps <data>"},
        refused={"other": "it has no layers"},
        blocks=blocks,
        counted={},
        estimates=estimate_all(blocks, names, "base", "base#2", f"seed {size}"),
    )
    return dataclasses.replace(made, **changes)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def results() -> Results:
    made = results_of(*(comparison(size) for size in (4096, 65536, 1 << 20)))
    return dataclasses.replace(made, left_out={"far_question": "no such disk"})


class Page(html.parser.HTMLParser):
    """What the tests look at: elements, their attributes and texts."""

    VOID = frozenset({"br", "meta", "link", "img", "input", "hr"})

    def __init__(self, page: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.texts: dict[int, str] = {}
        self._open: list[int] = []
        self.feed(page)
        assert not self._open, "an element is not closed"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {key: value or "" for key, value in attrs}))
        if tag not in self.VOID:
            self._open.append(len(self.elements) - 1)

    def handle_endtag(self, tag: str) -> None:
        assert self.elements[self._open.pop()][0] == tag

    def handle_data(self, data: str) -> None:
        for index in self._open:
            self.texts[index] = self.texts.get(index, "") + data

    def find(self, tag: str, **wanted: str) -> list[tuple[dict[str, str], str]]:
        return [
            (attributes, self.texts.get(index, ""))
            for index, (name, attributes) in enumerate(self.elements)
            if name == tag
            and all(
                attributes.get(key.rstrip("_").replace("_", "-")) == value
                for key, value in wanted.items()
            )
        ]


def test_every_cell_has_every_target_with_a_number_or_a_reason(
    results: Results,
) -> None:
    page = Page(make_page([results]))

    cells = page.find("details", class_="cell")
    assert len(cells) == 3
    for attributes, words in cells:
        assert attributes["data-scenario"] == "copy_up_latency"
        for name in TARGETS:
            assert name in words
        assert "liar: n/a (does not hold: keeps <data>)" in words
        assert "other: n/a (it has no layers)" in words
        assert "snapfs bench run --profile quick --only copy_up_latency" in words
    labels = {attributes["data-label"] for attributes, _ in cells}
    assert labels == {each.label for each in results.comparisons}


def test_what_could_not_be_compared_is_named(results: Results) -> None:
    (_, words) = Page(make_page([results])).find("section", id="heat")[0]

    assert "far_question: n/a (no such disk)" in words


def test_nothing_is_loaded_from_elsewhere(results: Results) -> None:
    page = make_page([results])

    for tag, attributes in Page(page).elements:
        assert tag not in ("link", "img", "iframe", "object")
        assert "src" not in attributes
        if tag == "a":
            assert attributes["href"].startswith("#")
    assert "http:" not in page.replace("http://www.w3.org/2000/svg", "")
    assert "https:" not in page
    assert "url(" not in page
    assert "@import" not in page


def test_the_page_holds_the_results_whole(results: Results) -> None:
    (packed,) = Page(make_page([results])).find("script", class_="results")

    found = decode(gzip.decompress(base64.b64decode(packed[1])))

    assert found == results


def test_links_lead_to_what_is_there(results: Results) -> None:
    page = Page(make_page([results]))

    names = [each["id"] for _, each in page.elements if "id" in each]
    links = {attributes["href"].removeprefix("#") for attributes, _ in page.find("a")}
    assert len(names) == len(set(names))
    assert links <= set(names)


def test_only_what_the_interval_allows_is_said(results: Results) -> None:
    found = {each.target: each for each in standings(collect([results]).entries)}

    assert found["slow"].verdict is Verdict.SLOWER
    assert found["slow"].low <= 1.5 <= found["slow"].high
    assert in_words(found["slow"]).endswith("times slower than base (3 cells)")
    assert found["fast"].verdict is Verdict.FASTER
    assert in_words(found["fast"]).startswith("2.")
    assert found["same"].verdict is Verdict.SAME
    assert in_words(found["same"]).startswith("no difference above")


def test_a_clear_interval_below_the_noise_is_no_claim(results: Results) -> None:
    (slow,) = (
        each for each in standings(collect([results]).entries) if each.target == "slow"
    )

    noisy = dataclasses.replace(slow, floor=0.6)

    assert noisy.verdict is Verdict.SAME
    assert "no difference above 60%" in in_words(noisy)


def test_curves_have_a_point_for_each_measured_value(results: Results) -> None:
    page = Page(make_page([results]))

    curves = page.find("section", id="curves")
    assert curves
    titles = [words for _, words in page.find("title") if "size_bytes" in words]
    for name in TARGETS:
        for size in ("4K", "64K", "1M"):
            assert sum(f"{name}, size_bytes {size}:" in words for words in titles) == 1


def test_percentiles_are_drawn_where_there_are_values_enough() -> None:
    single = comparison(4096)
    many = comparison(4096, seed=2)
    blocks = tuple(
        dataclasses.replace(
            block,
            samples={
                name: tuple(
                    dataclasses.replace(each, durations_ns=(each.elapsed_ns,) * 40)
                    for each in samples
                )
                for name, samples in block.samples.items()
            },
        )
        for block in many.blocks
    )
    many = dataclasses.replace(
        many,
        parameters={"size_bytes": 8192},
        blocks=blocks,
        estimates=estimate_all(blocks, many.instances, "base", "base#2", "seed"),
    )

    page = Page(make_page([results_of(single, many)]))

    drawn = page.find("svg", aria_label="percentiles of single operations")
    assert len(drawn) == 1
    assert "p99.9" in drawn[0][1]


def test_what_is_not_ours_is_escaped(results: Results) -> None:
    hostile = "</script><b onload=alert(1)>"
    renamed = dataclasses.replace(
        results,
        targets={hostile: next(iter(results.targets.values()))},
        command=("snapfs", hostile),
    )

    page = make_page([renamed])

    assert hostile not in page
    assert not any("onload" in each for _, each in Page(page).elements)


def test_of_a_cell_in_two_files_the_last_one_counts(results: Results) -> None:
    again = dataclasses.replace(results, comparisons=(comparison(4096, seed=7),))

    found = collect([results, again])

    assert len(found.entries) == 3
    assert sum(entry.run is again for entry in found.entries) == 1


def test_the_same_cell_on_two_filesystems_is_two(results: Results) -> None:
    on_btrfs = comparison(4096, backing="btrfs (rw)")

    found = collect([results, results_of(on_btrfs)])

    assert len(found.entries) == 4
    assert list(found.scenarios) == ["copy_up_latency", "copy_up_latency on btrfs"]
    assert {each.cells for each in standings(found.entries[3:])} == {1}
    assert "warm two-cpus btrfs" in make_page([results, results_of(on_btrfs)])


def test_a_cell_that_another_file_has_is_not_missing() -> None:
    name = f"copy_up_latency {comparison(4096).label}"
    left_out = {name: "the run ended before it"}
    ended = dataclasses.replace(results_of(comparison(1)), left_out=left_out)

    assert collect([ended]).left_out == left_out
    assert collect([ended, results_of(comparison(4096))]).left_out == {}


def test_machines_are_not_mixed(results: Results) -> None:
    other = dataclasses.replace(
        results, machine=dataclasses.replace(results.machine, cpu="another")
    )

    with pytest.raises(InvalidArgumentError, match="different machines"):
        collect([results, other])


def test_the_command_of_a_cell_asks_for_that_cell_alone(results: Results) -> None:
    asked = ("--baseline", "base", "--backing", "tmpfs", "--size-mb=700", "--json")
    run = dataclasses.replace(results, command=("snapfs", "bench", "run", *asked))

    line = repeat_command(collect([run]).entries[1])

    assert line == (
        "snapfs bench run --profile quick --only copy_up_latency "
        "--cell 'size_bytes=65536 warm' --cpus 2 "
        "--targets base,fast,liar,same,slow --seed 1 "
        "--baseline base --backing tmpfs --size-mb=700"
    )


def test_the_picture_is_one_svg_of_the_scenarios_asked_for(results: Results) -> None:
    picture = make_picture([results], ["copy_up_latency"])

    page = Page(picture)
    assert page.elements[0][1]["xmlns"] == "http://www.w3.org/2000/svg"
    assert "copy_up_latency" in page.texts[0]
    with pytest.raises(InvalidArgumentError, match="nothing to draw"):
        make_picture([results], ["no_such_scenario"])


def test_report_writes_the_page_and_the_picture(
    results: Results, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file, page = tmp_path / "r.json", tmp_path / "r.html"
    file.write_bytes(encode(results))

    words = ("bench", "report", str(file), "-o", str(page))
    code = main([*words, "--picture", str(tmp_path / "r.svg")])

    assert code == 0
    assert page.read_text().startswith("<!doctype html>")
    assert (tmp_path / "r.svg").read_text().startswith("<svg")
    assert "is written" in capsys.readouterr().err


def test_report_refuses_what_is_no_result(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "no.json"
    file.write_text("{}")

    code = main(["bench", "report", str(file), "-o", str(tmp_path / "r.html")])

    assert code == 7
    assert "no.json: this is no benchmark result" in capsys.readouterr().err
    assert not (tmp_path / "r.html").exists()


@pytest.mark.parametrize(
    ("value", "place"), [(1, 10.0), (10, 60.0), (100, 110.0), (1000, 110.0)]
)
def test_a_logarithmic_axis_keeps_factors_equally_long(
    value: float, place: float
) -> None:
    assert LogScale(1, 100, 10, 110)(value) == pytest.approx(place)


def test_ticks_are_few_and_lie_within_their_bounds() -> None:
    low, high = ratio_bounds([0.01, 40, float("inf")])
    ticks = ratio_ticks(low, high)

    assert 1.0 in ticks
    assert len(ticks) <= 8
    assert low <= min(ticks)
    assert max(ticks) <= high
    low, high = decade_bounds([3e-6, 4e-2])
    assert low <= 3e-6
    assert high >= 4e-2
    assert 2 <= len(decade_ticks(low, high)) <= 7


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("chromium"), reason="chromium is not installed")
@pytest.mark.parametrize("width", [1280, 390])
def test_a_browser_shows_every_sample_and_has_nothing_to_complain_of(
    results: Results, tmp_path: Path, width: int
) -> None:
    page = tmp_path / "r.html"
    page.write_text(make_page([results]))

    shown = subprocess.run(
        (
            *("chromium", "--headless=new", "--no-sandbox", "--disable-gpu"),
            *(f"--user-data-dir={tmp_path / 'profile'}", "--enable-logging=stderr"),
            *(f"--window-size={width},1000", "--virtual-time-budget=5000"),
            *("--dump-dom", f"file://{page}#cell-1"),
        ),
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )

    assert "CONSOLE" not in shown.stderr
    samples = [
        sample
        for block in results.comparisons[0].blocks
        for each in block.samples.values()
        for sample in each
    ]
    assert shown.stdout.count("<title>block ") == len(samples)


def test_memory_is_shown_with_the_cells_it_was_counted_after() -> None:
    cells = [
        comparison(
            size,
            counted={
                "fast": Counted(1, {}, {}, (ProcessMemory("s", size * 9, size * 8),))
            },
        )
        for size in (1 << 20, 1 << 21)
    ]

    page = Page(make_page([results_of(*cells)]))

    ((_, words),) = page.find("section", id="memory")
    assert "8.0 MiB" in words
    assert "16.0 MiB" in words
    assert "copy_up_latency size_bytes=2097152 warm two-cpus" in words
