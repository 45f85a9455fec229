"""The project's own bounds, held against one run: ratios of medians (issue 5)."""

from __future__ import annotations

from dataclasses import dataclass

from comparison.cases import Row

Rows = dict[str, Row]


@dataclass(frozen=True)
class Target:
    """Bound one figure.

    Attributes:
        row: Title of the row.
        subject: Whose figure.
        limit: Largest value, or smallest for rates.
        peer: Whose figure divides it.
        minus: Whose figure is taken off, for what is added to an unavoidable part.
    """

    row: str
    subject: str
    limit: float
    peer: str = ""
    minus: str = ""

    def figure(self, rows: Rows) -> float | None:
        """Return what is bounded; ``None`` when a part of it was not measured."""
        row = rows.get(self.row)
        own = row.median(self.subject) if row else None
        other = row.median(self.peer or self.minus) if row and (self.peer or self.minus) else None
        if own is None or ((self.peer or self.minus) and other is None):
            return None
        return own / (other or 1.0) if self.peer else own - (other or 0.0)

    def is_met(self, figure: float, rows: Rows) -> bool:
        """Tell whether the bound holds."""
        return figure >= self.limit if rows[self.row].more_is_better else figure <= self.limit

    @property
    def text(self) -> str:
        """Return what is bounded, in words."""
        other = f" / {self.peer}" if self.peer else f" - {self.minus}" if self.minus else ""
        return f"{self.row}: {self.subject}{other}"


TARGETS = (
    *(
        Target("import: CPU", name, limit, peer)
        for name in ("foundry_rest", "FoundryAPIClient")
        for limit, peer in ((1.35, "requests"), (0.35, "openai"))
    ),
    Target("start: CPU", "foundry-rest --help", 1.5, "import argparse"),
    Target("call: CPU", "ours", 0.60, "requests"),
    Target("call: CPU", "ours", 0.33, "openai"),
    Target("call: CPU", "ours", 3.0, "http.client"),
    Target("call: CPU", "ours 2.x", 0.60, "requests"),
    Target("call: CPU", "ours 2.x", 0.33, "openai"),
    Target("call: CPU", "ours 2.x", 3.0, "http.client streamed"),
    Target("stream: CPU per event", "ours", 0.10, "openai"),
    Target("stream: CPU per event", "ours", 1.4, "urllib3"),
    Target("delay of a token: 99 %", "ours", 1.0, minus="http.client"),
    Target("delay of a token, close-delimited: 99 %", "ours", 1.0, minus="http.client"),
    Target("runtime, answer of 8 tokens", "ours 2.x", 1.15, "http.client"),
    Target("runtime, answer of 8 tokens", "ours 2.x", 1.15, "http.client streamed"),
    Target("runtime, first token, reused connection", "ours", 1.15, "http.client quickack"),
    Target("runtime, first token, new connection", "ours", 1.15, "http.client quickack"),
    Target("64 threads, 50 ms latency", "ours", 2.5, "openai"),
    Target("16 parallel streams", "ours", 5.0, "openai"),
    Target("memory: growth after 1,000 calls", "ours", 5.0),
    Target("memory: growth after 1,000 calls", "ours 2.x", 5.0),
    Target("left by closed clients: threads", "ours", 0),
    Target("left by closed clients: files", "ours", 0),
)
