"""The result of a run: to read, to keep, to hold against an earlier one, to look at."""

from __future__ import annotations

import importlib
import os
import platform
import statistics
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from comparison.cases import SLOW, Row
from comparison.subjects import SUBJECTS
from comparison.targets import TARGETS, Rows

Result = dict[str, Any]
PACKAGES = (
    "urllib3",
    "requests",
    "openai",
    "ollama",
    "litellm",
    "msgspec",
    "foundry_rest",
    "foundry-local-sdk",
)
#: Rows of the plot, and how many panels stand side by side.
PLOTTED = (
    "import: CPU",
    "call: CPU",
    "stream: CPU per event",
    "64 threads, 50 ms latency",
    "16 parallel streams",
    "runtime, first token, reused connection",
)
_ABREAST = 3
OURS = "ours"
#: Okabe and Ito's colours: ours, and the others.
_OURS, _OTHERS = "#0072B2", "#999999"


# ---------------------------------------------------------------- the result as data


def to_result(rows: Rows, *, missing: dict[str, str], notes: list[str], short: bool) -> Result:
    """Return all that a run found, ready for JSON."""
    return {
        "machine": machine(),
        "versions": {name: found for name in PACKAGES if (found := _version(name))},
        "short": short,
        "missing": missing,
        "notes": notes,
        "rows": {title: _row(row) for title, row in rows.items()},
        "targets": [
            dict(zip(("target", "figure", "limit", "verdict"), each, strict=True)) for each in verdicts(rows)
        ],
    }


def machine() -> dict[str, object]:
    """Return what the figures depend on."""
    load = os.getloadavg() if hasattr(os, "getloadavg") else ()
    return {
        "system": platform.platform(),
        "processor": _processor(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "load": [round(each, 2) for each in load],
    }


def verdicts(rows: Rows) -> Iterator[tuple[str, float | None, str, str]]:
    """Yield each target with its figure, its limit and how it was met."""
    for target in TARGETS:
        figure = target.figure(rows)
        more = target.row in rows and rows[target.row].more_is_better
        limit = f"{'>=' if more else '<='} {target.limit:g}"
        yield target.text, figure, limit, _verdict(figure, target.limit, more=more)


def _verdict(figure: float | None, limit: float, *, more: bool) -> str:
    if figure is None:
        return "not measured"
    if figure >= limit if more else figure <= limit:
        return "met"
    return f"missed by {abs(figure / limit - 1):.0%}" if limit else f"missed by {figure:g}"


def _row(row: Row) -> Result:
    subjects = {
        name: {
            "median": round(statistics.median(values), 4),
            "spread": [round(min(values), 4), round(max(values), 4)],
            "values": [round(value, 4) for value in values],
        }
        for name, values in row.values.items()
        if values
    }
    return {"unit": row.unit, "more_is_better": row.more_is_better, "subjects": subjects}


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text("utf-8").splitlines() if info.exists() else []
    return next(
        (line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")),
        platform.processor(),
    )


# ---------------------------------------------------------------- to read


def lines_of(result: Result) -> Iterator[str]:
    """Yield the whole report, as Markdown."""
    rows = result["rows"]
    starts = {title: row for title, row in rows.items() if not row["subjects"].keys() <= SUBJECTS.keys()}
    calls = {title: row for title, row in rows.items() if title not in starts}
    yield from ("## Run", "", *_facts(result), "")
    yield from _medians("Medians of starts", starts)
    yield from _medians("Medians", calls)
    yield from _ratios(calls)
    yield from _target_lines(result["targets"])


def _medians(title: str, rows: dict[str, Result]) -> Iterator[str]:
    """Yield a table of medians; the last column is the widest spread of any subject."""
    if not rows:
        return
    names = _columns(rows)
    yield from (
        f"## {title}",
        "",
        _line("what", "unit", *names, "spread"),
        _line(*["---"] * (len(names) + 3)),
    )
    for what, row in rows.items():
        cells = [_short(row["subjects"][name]["median"]) if name in row["subjects"] else "" for name in names]
        yield _line(what, row["unit"], *cells, _spread(row))
    yield ""


def _ratios(rows: dict[str, Result]) -> Iterator[str]:
    """Yield a table of what ours is, divided by each of the others."""
    names = [name for name in _columns(rows) if name != OURS]
    yield from (f"## Ratios: {OURS} / other", "", _line("what", *names), _line(*["---"] * (len(names) + 1)))
    for what, row in rows.items():
        found = {name: each["median"] for name, each in row["subjects"].items()}
        if found.get(OURS):
            cells = [f"{found[OURS] / found[name]:.2f}" if found.get(name) else "" for name in names]
            yield _line(what, *cells)
    yield ""


def _target_lines(targets: list[Result]) -> Iterator[str]:
    measured = [each for each in targets if each["figure"] is not None]
    yield from ("## Targets", "", _line("what", "figure", "bound", "verdict"), _line(*["---"] * 4))
    for each in measured:
        yield _line(each["target"], f"{each['figure']:.2f}", each["limit"], each["verdict"])
    if len(measured) < len(targets):
        yield from ("", f"{len(targets) - len(measured)} further targets were not measured.")


def _columns(rows: dict[str, Result]) -> list[str]:
    """Return the subjects that appear, in the order of their table."""
    found = dict.fromkeys(name for row in rows.values() for name in row["subjects"])
    return [name for name in SUBJECTS if name in found] + [name for name in found if name not in SUBJECTS]


def _line(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


def change_lines(result: Result, earlier: Result) -> Iterator[str]:
    """Yield how each median has changed since an earlier run."""
    yield from ("", "## Change against the saved run", "")
    yield from (_line("what", "subject", "then", "now", "change"), _line(*["---"] * 5))
    for title, row in result["rows"].items():
        before = earlier["rows"].get(title, {"subjects": {}})["subjects"]
        for name, each in row["subjects"].items():
            if name in before:
                then, now = before[name]["median"], each["median"]
                change = f"{now / then - 1:+.0%}" if then else "-"
                yield _line(title, name, _short(then), _short(now), change)


def _facts(result: Result) -> Iterator[str]:
    machine, versions = result["machine"], result["versions"]
    yield f"{machine['processor']}, {machine['cores']} cores, load {machine['load']}, {machine['system']},"
    yield f"Python {machine['python']}, " + ", ".join(f"{name} {found}" for name, found in versions.items())
    yield "Short form: it shows that all runs, not how fast it is." if result["short"] else "Long form."
    yield from (f"{name}: {why}." for name, why in result["missing"].items())
    yield from (f"Left out: {note}" for note in dict.fromkeys(result["notes"]))


def _ranked(row: Result) -> list[tuple[str, Result]]:
    """Return the subjects, the best one first."""
    return sorted(row["subjects"].items(), key=lambda item: item[1]["median"], reverse=row["more_is_better"])


def _spread(row: Result) -> str:
    """Return the widest distance of a subject's turns from its median."""
    away = [
        max(each["median"] - each["spread"][0], each["spread"][1] - each["median"]) / abs(each["median"])
        for each in row["subjects"].values()
        if each["median"]
    ]
    return f"{max(away):.0%}" if away else ""


def _short(value: float) -> str:
    """Return three digits of a number.

    >>> _short(0.01234), _short(12.34), _short(12345.6)
    ('0.0123', '12.3', '12,346')
    """
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


# ---------------------------------------------------------------- to look at


def plot(result: Result, file: Path) -> None:
    """Draw the main rows as bars; the file's suffix names the format.

    Raises:
        ImportError: matplotlib is not installed; it comes with the extra ``bench``.
    """
    mpl = importlib.import_module("matplotlib")
    mpl.use("Agg")
    # The same figures make the same file, with text as text.
    mpl.rcParams.update({"svg.hashsalt": "foundry_rest", "svg.fonttype": "none"})
    plt = importlib.import_module("matplotlib.pyplot")

    shown = [title for title in PLOTTED if title in result["rows"]]
    down = max(1, -(-len(shown) // _ABREAST))
    figure, panels = plt.subplots(down, _ABREAST, figsize=(12, 3 * down), squeeze=False)
    for panel, title in zip(panels.flat, shown, strict=False):
        _draw(panel, title, result["rows"][title])
    for panel in list(panels.flat)[len(shown) :]:
        panel.axis("off")
    figure.tight_layout()
    figure.savefig(file, metadata={"Date": None} if file.suffix == ".svg" else None)
    plt.close(figure)


def _draw(panel: Any, title: str, row: Result) -> None:
    """Draw one row: a bar for each subject, the best one on top."""
    # The slow ones would flatten all other bars; the tables have them.
    ranked = [each for each in _ranked(row)[::-1] if each[0] not in SLOW]
    names = [name for name, _ in ranked]
    medians = [each["median"] for _, each in ranked]
    ours = ("ours", "foundry", "Foundry")
    bars = panel.barh(names, medians, color=[_OURS if n.startswith(ours) else _OTHERS for n in names])
    panel.bar_label(bars, labels=[f" {_short(value)}" for value in medians], fontsize=7)
    panel.set_title(f"{title} ({row['unit']})", fontsize=9)
    panel.tick_params(labelsize=7)
    panel.set_xticks([])
    panel.margins(x=0.15)
    panel.spines[["top", "right", "bottom"]].set_visible(False)
