"""A result as text, in the manner of hyperfine: one table a comparison, then words."""

from __future__ import annotations

import itertools
import math
import statistics
from collections.abc import Iterator, Sequence
from typing import Final

from snapfs.benchmarks.results import Comparison, Counted, Estimate, Results
from snapfs.benchmarks.summary import family_ratio
from snapfs.benchmarks.table import Printer
from snapfs.benchmarks.verdicts import Effect, Verdict
from snapfs.benchmarks.wording import digits, percent, rate, short_time, time_unit

GLYPHS: Final = {
    Verdict.FASTER: "▲ faster",
    Verdict.SLOWER: "▼ slower",
    Verdict.SAME: "≈ same",
    Verdict.UNKNOWN: "? too few blocks",
}

# A "same" that could not have seen more than this is a weak one, and says so.
WEAK: Final = 0.10

# Counters worth a column; the file has all of them.
_COUNTERS: Final = (
    ("target.syscalls", "TARGET CALLS"),
    ("client.syscalls", "CLIENT CALLS"),
    ("target.cpu_ns", "TARGET CPU"),
    ("client.cpu_ns", "CLIENT CPU"),
    ("target.bytes_written", "BYTES WRITTEN"),
    ("target.syncs", "SYNCS"),
    ("client.mounts", "MOUNTS"),
    ("target.voluntary_switches", "SWITCHES"),
    ("target.fuse_requests", "FUSE REQUESTS"),
)


def print_results(results: Results, printer: Printer) -> None:
    """Print everything that a reader needs to judge the numbers."""
    machine = results.machine
    printer.line(
        f"{machine.cpu}, {machine.usable_cpus} CPUs, "
        f"{machine.memory_bytes / 2**30:.0f} GiB, Linux {machine.kernel} "
        f"({machine.virtualisation})"
    )
    printer.line(
        f"profile {results.profile}, seed {results.seed}; times are of one operation; "
        "lower is better; in brackets 95 % intervals"
    )
    for scenario, group in itertools.groupby(
        results.comparisons, key=lambda each: each.scenario
    ):
        comparisons = list(group)
        printer.line()
        printer.line(f"{scenario}: {comparisons[0].question}")
        for comparison in comparisons:
            _print_comparison(comparison, printer)
        _print_summary(comparisons, results.seed, printer)
    _print_targets(results, printer)


def _print_comparison(comparison: Comparison, printer: Printer) -> None:
    kept = sum(not block.is_discarded for block in comparison.blocks)
    discarded = len(comparison.blocks) - kept
    disturbed = sum(
        bool(block.disturbance) and not block.is_discarded
        for block in comparison.blocks
    )
    printer.line()
    printer.line(
        f"  {comparison.label}, on {comparison.backing.split(' ')[0]}: {kept} blocks"
        f" of {comparison.runs} x {comparison.operations or 'many'}"
        f" {comparison.operation}"
        + (f", {discarded} redone" if discarded else "")
        + (f", {disturbed} disturbed" if disturbed else "")
    )
    unit = time_unit(comparison.estimates[comparison.reference].median.value)
    has_rate = any(each.bytes_per_s for each in comparison.estimates.values())
    # Without enough values for p99, p50 only repeats the median.
    has_tail = any(each.p99 for each in comparison.estimates.values())
    columns = ["TARGET", ">MEDIAN", ">[95 %]", ">MIN"]
    columns += [">P50", ">P99"] * has_tail + [">RATE"] * has_rate
    columns += [">RATIO", ">[95 %]", "VERDICT"]
    rows = []
    for name in comparison.instances:
        estimate = comparison.estimates[name]
        row = [_row_name(name, comparison), *_times(estimate, unit)]
        row += list(_tail(estimate, unit)) * has_tail
        row += [rate(estimate.bytes_per_s)] * has_rate
        rows.append([*row, *_effect(estimate.effect)])
    printer.table(columns, rows)
    _print_noise(comparison, printer)
    _print_counters(comparison, printer)
    for name, reason in {**comparison.rejected, **comparison.refused}.items():
        printer.line(f"  {name}: n/a ({reason})")


def _row_name(name: str, comparison: Comparison) -> str:
    if name == comparison.reference:
        return f"{name} (baseline)"
    return "  its A/A control" if name == comparison.control else name


def _times(estimate: Estimate, unit: tuple[float, str]) -> Iterator[str]:
    size, _ = unit
    median = estimate.median
    yield short_time(median.value, unit)
    yield f"{digits(median.low / size)} … {digits(median.high / size)}"
    yield short_time(estimate.minimum, unit)


def _tail(estimate: Estimate, unit: tuple[float, str]) -> Iterator[str]:
    yield short_time(estimate.p50.value, unit)
    yield short_time(estimate.p99.value, unit) if estimate.p99 else "-"


def _effect(effect: Effect | None) -> Iterator[str]:
    if effect is None:
        yield from ("1.00", "", "")
        return
    yield f"{effect.ratio:.2f}"
    yield f"{effect.low:.2f} … {effect.high:.2f}"
    yield verdict_words(effect)


def verdict_words(effect: Effect) -> str:
    """Return the verdict; a "same" says what it could not have seen.

    That is weak where the machine was noisy, and must not read like a proof.
    """
    words = GLYPHS[effect.verdict]
    if effect.verdict is not Verdict.SAME:
        return words
    if effect.resolution > WEAK:
        seen = percent(effect.resolution)
        return f"{words}, but only differences above {seen} would show"
    return f"{words} within {percent(effect.resolution)}"


def _print_noise(comparison: Comparison, printer: Printer) -> None:
    effect = comparison.estimates[comparison.control].effect
    assert effect is not None
    warning = ""
    if effect.verdict not in (Verdict.SAME, Verdict.UNKNOWN):
        warning = "; the two baselines DIFFER: do not trust this comparison"
    elif effect.floor > WEAK:
        warning = "; it is wide: smaller differences do not show here"
    printer.line(f"  noise floor: {percent(effect.floor)}{warning}")


def _print_counters(comparison: Comparison, printer: Printer) -> None:
    columns, rows = counter_table(comparison)
    if rows:
        printer.table(columns, rows)


def counter_table(comparison: Comparison) -> tuple[list[str], list[list[str]]]:
    """Return the titles and rows of what was counted; no rows if nothing was."""
    counted = comparison.counted
    shown = [
        (counter, title)
        for counter, title in _COUNTERS
        if any(any(each.counts.get(counter, ())) for each in counted.values())
    ]
    memory = any(each.memory for each in counted.values())
    columns = ["COUNTED, PER OPERATION", *(f">{title}" for _, title in shown)]
    columns += [">PSS"] * memory
    if not shown and not memory:
        return columns, []
    rows = []
    for name, each in counted.items():
        row = [name, *(_per_operation(each, counter) for counter, _ in shown)]
        pss = sum(process.pss_bytes for process in each.memory)
        row += [f"{pss / 2**20:.1f} MiB" if each.memory else "-"] * memory
        rows.append(row)
    return columns, rows


def _per_operation(counted: Counted, counter: str) -> str:
    """Return the median of the runs; "-" if there is no such counter."""
    values = counted.counts.get(counter)
    if values is None:
        return "-"
    value = statistics.median(values) / counted.operations
    if counter.endswith("_ns"):
        return short_time(value / 1e9)
    return f"{value:.2f}".rstrip("0").rstrip(".")


def _print_summary(
    comparisons: Sequence[Comparison], seed: int, printer: Printer
) -> None:
    """Say in words what each target did, over all cells with one baseline."""
    printer.line()
    by_reference = sorted(comparisons, key=lambda each: each.reference)
    for reference, group in itertools.groupby(by_reference, lambda c: c.reference):
        cells = list(group)
        names = sorted({name for each in cells for name in each.instances})
        for name in names:
            having = [each for each in cells if name in each.instances]
            if name not in (reference, having[0].control):
                printer.line(f"  {_sentence(having, name, reference, seed)}")


def _sentence(
    comparisons: Sequence[Comparison], name: str, reference: str, seed: int
) -> str:
    ratio, interval = family_ratio(comparisons, name, f"{seed}/{name}/family")
    verdicts = [_effect_of(each, name).verdict for each in comparisons]
    tally = ", ".join(
        f"{verdicts.count(verdict)} {verdict}"
        for verdict in Verdict
        if verdict in verdicts
    )
    word = "faster" if ratio < 1 else "slower"
    low, high = interval.low, interval.high
    if ratio < 1:
        ratio, low, high = 1 / ratio, 1 / high, 1 / low
    return (
        f"{name} ran {ratio:.2f} ({low:.2f} … {high:.2f}) times "
        f"{word if not math.isclose(ratio, 1, abs_tol=0.005) else 'as fast'} "
        f"{'than' if not math.isclose(ratio, 1, abs_tol=0.005) else 'as'} {reference}"
        f" ({tally}{_weakness(comparisons, name)}; geometric mean)"
    )


def _weakness(comparisons: Sequence[Comparison], name: str) -> str:
    """Say how many of the "same" are weak; "" for none."""
    effects = [_effect_of(each, name) for each in comparisons]
    weak = [
        effect.resolution
        for effect in effects
        if effect.verdict is Verdict.SAME and effect.resolution > WEAK
    ]
    if not weak:
        return ""
    return f", {len(weak)} of them weak: up to {percent(max(weak))} would not show"


def _effect_of(comparison: Comparison, name: str) -> Effect:
    effect = comparison.estimates[name].effect
    assert effect is not None
    return effect


def _print_targets(results: Results, printer: Printer) -> None:
    """Print what makes the comparison lopsided, and what the targets broke."""
    printer.line()
    rows = [
        (name, each.fairness.version, each.fairness.durability, each.fairness.threads)
        for name, each in results.targets.items()
    ]
    printer.table(("TARGET", "VERSION", "DURABILITY", "THREADS"), rows, indent=0)
    for name, each in results.targets.items():
        broken = [claim for claim in each.semantics if claim.problem]
        untested = [claim for claim in each.semantics if claim.untested]
        held = len(each.semantics) - len(broken) - len(untested)
        if not each.semantics:
            continue
        words = f"{name}: {held} of {len(each.semantics)} claims hold"
        if untested:
            words += f", {len(untested)} not tried ({untested[0].untested})"
        printer.line(words)
        for claim in broken:
            printer.line(f"  ✗ {claim.claim}: {claim.problem}")
