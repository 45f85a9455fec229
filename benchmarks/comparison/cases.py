"""What is compared: a table of cases, and how one is run: all its subjects in turns, A B A B."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

from comparison.behaviour import Behaviour
from comparison.crew import Crew
from comparison.measures import Figures
from comparison.subjects import SUBJECTS, is_installed

HAND = ("http.client", "urllib3", "requests", "requests.Session")
PEERS = ("openai", "ollama", "litellm")
OURS = ("ours bare", "ours", "ours 2.x")
EVERYBODY = (*HAND, "http.client streamed", *PEERS, *OURS)
STREAMERS = (*HAND, *PEERS, "ours bare", "ours")
FEW = ("http.client", "urllib3", "requests.Session", "openai", "ours", "ours 2.x")
#: Left out of the short form: its import takes seconds.
SLOW = ("litellm",)


@dataclass(frozen=True)
class Row:
    """Hold one line of the result.

    Attributes:
        unit: Of the values.
        values: One for each round, by subject.
        more_is_better: For rates.
    """

    unit: str
    values: dict[str, list[float]]
    more_is_better: bool = False

    def median(self, subject: str) -> float | None:
        """Return a subject's median; ``None`` when it did not take part."""
        values = self.values.get(subject)
        return statistics.median(values) if values else None


@dataclass(frozen=True)
class Case:
    """Say what is measured.

    Attributes:
        measure: Name of the measure.
        shows: Title of a row and its unit, by the measure's figure.
        subjects: Who takes part.
        behaviour: How the stub answers; ``None`` for the real runtime.
        arguments: Of the measure, in the long form.
        short: What differs in the short form.
        rounds: Turns of each subject, in the long and in the short form.
        fresh: Each turn has a process of its own.
    """

    measure: str
    shows: dict[str, tuple[str, str]]
    subjects: tuple[str, ...]
    behaviour: Behaviour | None
    arguments: Mapping[str, object] = field(default_factory=dict)
    short: Mapping[str, object] = field(default_factory=dict)
    rounds: tuple[int, int] = (9, 3)
    fresh: bool = False


def _costs(title: str, unit: str = "us") -> dict[str, tuple[str, str]]:
    return {"cpu": (f"{title}: CPU", unit), "wall": (f"{title}: wall", unit)}


_TURN: Mapping[str, object] = {"seconds": 0.3}
_BRIEF: Mapping[str, object] = {"seconds": 0.03}


def _stream(title: str, framing: str = "events", events: int = 500) -> Case:
    costs = {"cpu": (f"{title}: CPU per event", "us"), "wall": (f"{title}: wall per event", "us")}
    return Case("stream", costs, STREAMERS, Behaviour(events, framing), {**_TURN, "events": events}, _BRIEF)


def _threads(parallel: int, wait: int) -> Case:
    shows = {"rate": (f"{parallel} threads, {wait} ms latency", "calls/s")}
    arguments = {"seconds": 1.0, "parallel": parallel}
    return Case("threads", shows, FEW, Behaviour(wait_ms=wait), arguments, {"seconds": 0.05}, (5, 1))


def _delay(title: str, framing: str = "events") -> Case:
    shows = {"p50": (f"{title}: median", "ms"), "p99": (f"{title}: 99 %", "ms")}
    paced = Behaviour(100, framing, gap_ms=2)
    return Case("delay", shows, FEW[:-1], paced, {"streams": 10}, {"streams": 1}, (5, 1))


def _first_token(title: str, *, reuse: bool) -> Case:
    shows = {"wall": (f"runtime, first token, {title} connection", "ms")}
    subjects = ("http.client", "http.client quickack", "urllib3", "openai", "ours bare", "ours")
    arguments: Mapping[str, object] = {"times": 15, "reuse": reuse}
    return Case("first_token", shows, subjects, None, arguments, {"times": 5})


def _memory(measure: str, figure: str, title: str, unit: str, count: Mapping[str, object], few: int) -> Case:
    brief: Mapping[str, object] = dict.fromkeys(count, few)
    return Case(
        measure,
        {figure: (title, unit)},
        (*HAND, *PEERS, "ours"),
        Behaviour(),
        count,
        brief,
        (3, 1),
        fresh=True,
    )


#: By the name that ``--only`` takes.
CASES: dict[str, tuple[Case, ...]] = {
    "first": (
        Case(
            "first_call",
            _costs("import and first call", "ms"),
            EVERYBODY,
            Behaviour(),
            {"times": 1},
            rounds=(7, 1),
            fresh=True,
        ),
        Case(
            "first_call",
            _costs("first call of a new client", "ms"),
            EVERYBODY,
            Behaviour(),
            {"times": 10},
            {"times": 2},
            (9, 2),
        ),
    ),
    "call": (
        Case("call", _costs("call"), EVERYBODY, Behaviour(), _TURN, _BRIEF),
        Case(
            "call",
            _costs("call with a prompt of 1 MB"),
            EVERYBODY,
            Behaviour(),
            {**_TURN, "prompt_size": 2**20},
            _BRIEF,
        ),
        Case("call", _costs("call with an answer of 1 MB"), STREAMERS, Behaviour(size=2**20), _TURN, _BRIEF),
    ),
    "stream": (
        _stream("stream"),
        _stream("stream in chunks of 16 bytes", "tiny", 100),
        _stream("stream, 16 events a chunk", "coalesced"),
    ),
    "delay": (_delay("delay of a token"), _delay("delay of a token, close-delimited", "close")),
    "threads": tuple(_threads(parallel, wait) for wait in (0, 50) for parallel in (1, 4, 16, 64)),
    "streams": (
        Case(
            "streams",
            {"rate": ("16 parallel streams", "events/s")},
            STREAMERS,
            Behaviour(200),
            {"seconds": 1.5, "parallel": 16},
            {"seconds": 0.2},
            (5, 1),
        ),
    ),
    "runtime": (
        Case(
            "answer_time",
            {"wall": ("runtime, answer of 8 tokens", "ms")},
            ("http.client", "http.client streamed", "urllib3", "requests", "openai", "ours", "ours 2.x"),
            None,
            {"times": 15},
            {"times": 5},
        ),
        _first_token("reused", reuse=True),
        _first_token("new", reuse=False),
    ),
    "memory": (
        _memory("resident", "resident", "memory: the process after a call", "MB", {}, 0),
        _memory("per_client", "traced", "memory: one more client", "KB", {"count": 50}, 5),
        _memory("per_connection", "traced", "memory: one more idle connection", "KB", {"parallel": 17}, 5),
    ),
    "growth": (
        Case(
            "growth",
            {
                "grown": ("memory: growth after 1,000 calls", "MB"),
                "per 10,000": ("memory: per 10,000 calls", "MB"),
            },
            ("http.client", "ours", "ours 2.x"),
            Behaviour(),
            {"early": 1000, "late": 100_000},
            {"late": 5000},
            (1, 1),
            fresh=True,
        ),
        Case(
            "leftovers",
            {
                "threads": ("left by closed clients: threads", ""),
                "files": ("left by closed clients: files", ""),
            },
            ("ours", "ours 2.x"),
            Behaviour(),
            {"count": 1000},
            {"count": 50},
            (1, 1),
            fresh=True,
        ),
    ),
}


def run_case(case: Case, url: str, crew: Crew, *, short: bool) -> Iterator[tuple[str, Row]]:
    """Run a case to its end; yield its rows with their titles."""
    base = url + case.behaviour.path if case.behaviour else url
    arguments = {**case.arguments, **(case.short if short else {})}
    taking_part = [name for name in case.subjects if is_installed(name) and not (short and name in SLOW)]
    turns: dict[str, list[Figures]] = {name: [] for name in taking_part}
    for _ in range(case.rounds[short]):
        for name in list(turns):
            figures = crew.ask(name, case.measure, fresh=case.fresh, url=base, **arguments)
            if figures is None:
                del turns[name]
            else:
                turns[name].append(figures)
    for figure, (title, unit) in case.shows.items():
        values = {name: [turn[figure] for turn in taken] for name, taken in turns.items()}
        yield title, Row(unit, values, more_is_better=unit.endswith("/s"))


def missing(*, short: bool) -> dict[str, str]:
    """Return the subjects that do not take part, and why."""
    slow = dict.fromkeys(SLOW, "left out of the short form") if short else {}
    return slow | {name: "not installed" for name in SUBJECTS if not is_installed(name)}


@contextmanager
def real_runtime() -> Iterator[str]:
    """Serve the demo model by Microsoft's runtime; yield the address, the model loaded.

    Raises:
        FoundryError: The runtime is not installed, or did not start.
    """
    import os

    from foundry_rest import FoundryAPIClient
    from foundry_rest.runtime import LocalRuntime, demo_model_dir

    os.environ["CI"] = "true"  # the native library uploads no telemetry then
    with LocalRuntime([demo_model_dir()]) as runtime:
        with FoundryAPIClient(runtime.url, model=runtime.models[0].alias) as client:
            client.complete("Say OK")
        yield runtime.url
