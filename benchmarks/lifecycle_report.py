"""The lifecycle's comparisons as one table: both sides, ratios with intervals."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from snapfs.benchmarks.estimates import Interval, has_quantile, quantile_ratio
from snapfs.benchmarks.lifecycle import CALLS, NOOP, OURS, SYNCED, THEIRS
from snapfs.benchmarks.report import verdict_words
from snapfs.benchmarks.results import Comparison, Results
from snapfs.benchmarks.summary import kept_blocks
from snapfs.benchmarks.table import Printer
from snapfs.benchmarks.wording import percent, short_time

_CALL: Final = "snapshot_call_latency"
_P50: Final = 0.5
_P99: Final = 0.99

_Calls = Mapping[tuple[str, int], Comparison]


def print_lifecycle(results: Results, printer: Printer) -> None:
    """Print every call by the number of snapshots, then what is asked once."""
    calls = {
        (str(each.parameters["call"]), int(each.parameters["snapshots"])): each
        for each in results.comparisons
        if each.scenario == _CALL and "files" not in each.parameters
    }
    machine = results.machine
    printer.line(
        f"{machine.cpu}, {machine.usable_cpus} CPUs, Linux {machine.kernel}; seed "
        f"{results.seed}; in brackets 95 % intervals; below 1 {OURS} is faster"
    )
    printer.line()
    _print_calls(calls, printer)
    printer.line()
    _print_flatness(calls, printer)
    printer.line()
    _print_others(results.comparisons, printer)
    for each in results.comparisons:
        for name, reason in each.rejected.items():
            printer.line(f"{each.scenario} {each.label}: {name}: n/a ({reason})")


def _print_calls(calls: _Calls, printer: Printer) -> None:
    rows = [
        (
            call,
            str(count),
            short_time(comparison.estimates[OURS].p50.value),
            short_time(comparison.estimates[THEIRS].p50.value),
            _above_noop(calls, call, count),
            _ratio(comparison, _P50),
            _ratio(comparison, _P99),
            _floor(comparison),
            _verdict(comparison),
        )
        for call, count, comparison in _in_order(calls)
    ]
    columns = ("CALL", ">SNAPSHOTS", f">{OURS.upper()} P50", ">OVERLAYFS P50")
    ratios = (">ABOVE NO-OP", ">P50 RATIO", ">P99 RATIO", ">FLOOR", "VERDICT")
    printer.table((*columns, *ratios), rows, indent=0)


def _print_flatness(calls: _Calls, printer: Printer) -> None:
    """Print how much longer a call takes with the most snapshots than the fewest."""
    counts = sorted({count for _, count in calls})
    if len(counts) < 2:
        return
    few, many = counts[0], counts[-1]
    rows = [
        (call, *(_flatness(calls[call, few], calls[call, many], name) for name in both))
        for call in CALLS
        if {(call, few), (call, many)} <= calls.keys()
        and (both := _both(calls[call, few]))
    ]
    title = f"P50 WITH {many} SNAPSHOTS / WITH {few}"
    printer.table((title, f">{OURS.upper()}", ">OVERLAYFS"), rows, indent=0)


def _print_others(comparisons: Sequence[Comparison], printer: Printer) -> None:
    rows = []
    for each in comparisons:
        if each.scenario == _CALL and "files" not in each.parameters:
            continue
        words = [f"{key}={value}" for key, value in each.parameters.items()]
        name = " ".join([each.scenario, *words])
        names = [t for t in each.instances if t not in (each.reference, each.control)]
        pairs = [(target, each.reference) for target in names]
        if {OURS, SYNCED} <= set(names):
            pairs.append((SYNCED, OURS))
        rows += [(name, *_other_row(each, *pair)) for pair in pairs]
    columns = ("ASKED ONCE", "TARGET", ">P50", "AGAINST", ">P50", ">P50 RATIO")
    printer.table((*columns, ">FLOOR", "VERDICT"), rows, indent=0)


def _other_row(comparison: Comparison, name: str, reference: str) -> Iterator[str]:
    yield name
    yield short_time(comparison.estimates[name].p50.value)
    yield reference
    yield short_time(comparison.estimates[reference].p50.value)
    yield _ratio(comparison, _P50, name, reference)
    yield _floor(comparison)
    # The rule is for the baseline; between two others the interval must do.
    yield _verdict(comparison, name) if reference == comparison.reference else ""


def _in_order(calls: _Calls) -> Iterator[tuple[str, int, Comparison]]:
    for key in sorted(calls, key=lambda key: (CALLS.index(key[0]), key[1])):
        comparison = calls[key]
        if len(_both(comparison)) == 2:
            yield (*key, comparison)


def _both(comparison: Comparison) -> Sequence[str]:
    return [name for name in (OURS, THEIRS) if name in comparison.instances]


def _latencies(comparison: Comparison, name: str) -> list[list[float]]:
    return [
        [value for sample in block.samples[name] for value in sample.latencies]
        for block in kept_blocks(comparison.blocks)
    ]


def _ratio(
    comparison: Comparison, fraction: float, name: str = OURS, reference: str = THEIRS
) -> str:
    """Return the ratio of quantiles within this comparison; "-" on too few values."""
    if not {name, reference} <= set(comparison.instances):
        return "-"
    ours, theirs = (_latencies(comparison, each) for each in (name, reference))
    if not all(has_quantile(sum(map(len, half)), fraction) for half in (ours, theirs)):
        return "-"
    seed = f"{comparison.label}/{name}/{reference}/{fraction}"
    return _shown(*quantile_ratio(ours, theirs, fraction, seed, are_paired=True))


def _flatness(few: Comparison, many: Comparison, name: str) -> str:
    seed = f"{few.label}/{many.label}/{name}"
    halves = _latencies(many, name), _latencies(few, name)
    return _shown(*quantile_ratio(*halves, _P50, seed, are_paired=False))


def _shown(value: float, interval: Interval) -> str:
    return f"{value:.2f} ({interval.low:.2f} … {interval.high:.2f})"


def _above_noop(calls: _Calls, call: str, count: int) -> str:
    """Return what a call costs above one that the same server does not know."""
    noop = calls.get((NOOP, count))
    if call == NOOP or noop is None or OURS not in noop.estimates:
        return ""
    difference = (
        calls[call, count].estimates[OURS].p50.value - noop.estimates[OURS].p50.value
    )
    return f"{difference * 1e6:+.0f} us"


def _floor(comparison: Comparison) -> str:
    effect = comparison.estimates[comparison.control].effect
    assert effect is not None
    return percent(effect.floor)


def _verdict(comparison: Comparison, name: str = OURS) -> str:
    """Return the verdict against containerd's; "" where that is not the baseline."""
    effect = comparison.estimates[name].effect
    if comparison.reference != THEIRS or effect is None:
        return ""
    return verdict_words(effect)
