"""The report of one run as one HTML page: figures and plots, no script, nothing from elsewhere.

It holds numbers, the classes of errors and the reason of a stop; never a prompt, an answer or a key.
"""

from __future__ import annotations

from collections.abc import Iterable
from html import escape

from foundry_rest.batch.figures import BatchSummary
from foundry_rest.batch.svg import histogram_plot, progress_plot
from foundry_rest.batch.units import duration, estimate, rate, share
from foundry_rest.control_characters import visible
from foundry_rest.schema.distribution import Percentiles

_STYLE = """
:root {
  color-scheme: light dark;
  --page: #f4f5f7; --card: #ffffff; --edge: #dfe3e8; --grid: #e6e9ed; --text: #1a1f26; --quiet: #58626e;
  --succeeded: #2563c9; --failed: #c8421a; --before: #8b95a1; --unsent: #dfe3e8;
}
@media (prefers-color-scheme: dark) {
  :root {
    --page: #101317; --card: #191d23; --edge: #2c323a; --grid: #2a3038; --text: #e7eaee; --quiet: #9ca6b2;
    --succeeded: #6ea8fe; --failed: #ff8c61; --before: #6c7683; --unsent: #2c323a;
  }
}
* { box-sizing: border-box; }
body {
  margin: 0 auto; padding: clamp(1rem, 3vw, 2.5rem); max-width: 68rem; background: var(--page);
  color: var(--text); font: 16px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif;
  font-variant-numeric: tabular-nums; overflow-wrap: anywhere;
}
html { background: var(--page); }
h1 { margin: 0; font-size: 1.6rem; line-height: 1.25; }
h2 { margin: 0; font-size: 1.05rem; }
.state { margin: .25rem 0 1.25rem; color: var(--quiet); }
.share { display: flex; gap: 2px; height: .75rem; border-radius: .375rem; overflow: hidden; }
.share span { min-width: 3px; background: var(--kind); }
.figures { display: flex; flex-wrap: wrap; gap: 1rem 1.75rem; margin: 1.25rem 0; }
.figures div { min-width: 7.5rem; padding-left: .75rem; border-left: 3px solid var(--kind, var(--edge)); }
.percentiles { display: flex; flex-wrap: wrap; gap: .5rem 1.75rem; }
dl, dt, dd { margin: 0; }
dt, .note { color: var(--quiet); font-size: .875rem; }
dd { white-space: nowrap; }
.figures dd { font-size: 1.5rem; font-weight: 600; line-height: 1.3; }
.cards { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 26rem), 1fr)); gap: 1rem; }
section {
  min-width: 0; padding: 1rem 1.25rem 1.1rem; background: var(--card); border: 1px solid var(--edge);
  border-radius: .625rem;
}
section.wide, section:last-child:nth-child(even) { grid-column: 1 / -1; }
section.wide .frame { padding-top: 1rem; }
.note { margin: .15rem 0 0; }
.key::before {
  content: ""; display: inline-block; width: .9em; height: .2em; margin-right: .4em; vertical-align: middle;
  background: var(--kind); border-radius: .1em;
}
.key + .key { margin-left: 1.2em; }
.succeeded { --kind: var(--succeeded); }
.failed { --kind: var(--failed); }
.before { --kind: var(--before); }
.unsent { --kind: var(--unsent); }
.frame { padding: 2.2rem 1.5rem 2rem 2.9rem; }
.plot { display: block; width: 100%; height: 13rem; overflow: visible; }
.plot text { fill: var(--quiet); font-size: 12px; }
.plot line { stroke: var(--grid); }
.plot polyline { fill: none; stroke: var(--kind); stroke-width: 2; stroke-linejoin: round; }
.plot polyline { vector-effect: non-scaling-stroke; }
.plot svg { overflow: visible; }
.plot polygon { fill: var(--kind); opacity: .12; }
.plot .bar { fill: var(--succeeded); stroke: var(--card); }
.plot line.mark { stroke: var(--text); stroke-dasharray: 3 3; }
.plot text.mark { fill: var(--text); }
.errors { display: grid; gap: .6rem; margin-top: .75rem; }
.errors div { display: grid; grid-template-columns: 1fr auto; column-gap: 1rem; }
.errors dt { color: var(--text); }
.errors dd { font-size: .875rem; font-weight: 600; }
.errors dd.length { grid-column: 1 / -1; min-width: 3px; height: .5rem; border-radius: .25rem; }
.errors dd.length { background: var(--failed); }
@media print { section { break-inside: avoid; } }
"""

_PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>{title}</title>
<style>{style}</style>
</head>
<body>
<header>
<h1>{title}</h1>
<p class="state">{state}</p>
</header>
<main>
{parts}
</main>
</body>
</html>
"""


def render(summary: BatchSummary, title: str = "Batch report") -> str:
    """Return the report as a whole HTML page."""
    parts = (_shares(summary), _headline(summary), _cards(summary))
    return _PAGE.format(
        title=_text(title), state=_text(_state(summary)), style=_STYLE, parts="\n".join(filter(None, parts))
    )


def _text(text: str) -> str:
    return escape(visible(text, keep_lines=False))


def _state(summary: BatchSummary) -> str:
    done = summary.total - summary.unsent
    parts = [f"{done:,} of {summary.total:,} requests done"]
    if summary.stopped:
        parts.append(f"stopped early: {summary.stopped}")
    elif summary.unsent and summary.remaining is not None:
        parts.append(f"about {estimate(summary.remaining)} left")
    return ", ".join(parts)


def _parts(summary: BatchSummary) -> list[tuple[str, str, int]]:
    """Return (class, name, count) of the parts that make the whole batch."""
    return [
        ("succeeded", "Succeeded", summary.succeeded),
        ("failed", "Failed", summary.failed),
        ("before", "Done before", summary.done_before),
        ("unsent", "Not done", summary.unsent),
    ]


def _shares(summary: BatchSummary) -> str:
    """Return one bar, of which each part has its share."""
    parts = [(kind, name, count) for kind, name, count in _parts(summary) if count]
    told = ", ".join(f"{name}: {share(count, summary.total)}" for _, name, count in parts)
    spans = "".join(f'<span class="{kind}" style="flex: {count}"></span>' for kind, _, count in parts)
    return f'<div class="share" role="img" aria-label="{escape(told)}">{spans}</div>' if parts else ""


def _headline(summary: BatchSummary) -> str:
    counts = [
        (kind, name, f"{count:,}")
        for kind, name, count in _parts(summary)
        if count or kind in {"succeeded", "failed"}
    ]
    speed = [
        ("", "Time", duration(summary.elapsed)),
        ("", "Requests/s", rate(summary.requests_per_second)),
    ]
    tokens = [
        ("", "Tokens out/s", rate(summary.tokens_per_second)),
        ("", "Tokens in", f"{summary.prompt_tokens:,}"),
        ("", "Tokens out", f"{summary.completion_tokens:,}"),
    ]
    has_tokens = summary.prompt_tokens or summary.completion_tokens
    rows = [counts, [*speed, *(tokens if has_tokens else ())]]
    return "".join(_list("figures", row) for row in rows)


def _list(kind: str, rows: Iterable[tuple[str, str, str]]) -> str:
    """Return a list of (class, name, value)."""
    shown = (f'<div class="{part}"><dt>{name}</dt><dd>{value}</dd></div>' for part, name, value in rows)
    return f'<dl class="{kind}">{"".join(shown)}</dl>'


def _cards(summary: BatchSummary) -> str:
    latency = summary.latency if summary.latency_histogram else None
    cards = (
        _progress(summary),
        _histogram("Latency", "of requests that succeeded", summary.latency_histogram, latency),
        _histogram("Time to first token", "of streams", summary.first_token_histogram, summary.first_token),
        _errors(summary.errors),
    )
    return f'<div class="cards">{"".join(cards)}</div>'


def _card(name: str, inside: str, kind: str = "") -> str:
    return f'<section class="{kind}"><h2>{name}</h2>{inside}</section>\n'


def _progress(summary: BatchSummary) -> str:
    shown = {"succeeded": summary.succeeded, "failed": summary.failed}
    if not any(shown.values()):
        return _card("Progress", '<p class="note">No request has ended yet.</p>', "wide")
    keys = "".join(f'<span class="key {name}">{name}</span>' for name, count in shown.items() if count)
    return _card("Progress", f'<p class="note">{keys}</p>{progress_plot(summary.progress)}', "wide")


def _histogram(name: str, what: str, bars: list[tuple[float, int]], found: Percentiles | None) -> str:
    if not bars or found is None:
        return ""
    values = [("", each, duration(getattr(found, each))) for each in found.__struct_fields__]
    plot = histogram_plot(name, bars, found) + _list("percentiles", values)
    return _card(name, f'<p class="note">{what}, on a logarithmic axis</p>{plot}')


def _errors(errors: dict[str, int]) -> str:
    if not errors:
        return ""
    ordered = sorted(errors.items(), key=lambda item: -item[1])
    failed, most = sum(errors.values()), ordered[0][1]
    rows = (
        f"<div><dt>{_text(name)}</dt><dd>{count:,} ({share(count, failed)})</dd>"
        f'<dd class="length" style="width: {count / most:.1%}"></dd></div>'
        for name, count in ordered
    )
    return _card("Errors by class", f'<dl class="errors">{"".join(rows)}</dl>')
