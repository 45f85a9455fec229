"""Print the route of one call through the package: `python tools/route.py complete`.

The route is every Python call inside foundry_rest/ that the calling thread makes, in order, as
`file:function`, indented by its depth among such calls; a generator counts each time it is entered. The
totals follow. The answers come from a fault server, whose own code, foundry_rest/testing/, is left out.
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import cache, partial
from itertools import pairwise
from pathlib import Path, PurePosixPath
from types import FrameType

import foundry_rest
from foundry_rest import FoundryAPIClient
from foundry_rest.config import Config
from foundry_rest.errors import ServiceError
from foundry_rest.testing import DEMO_MODEL, Answer, FaultServer, Request, Script, json_error, paced

PACKAGE = Path(foundry_rest.__file__).parent
#: Runs in the server's threads; what of it runs in the caller's is no part of a user's call.
LEFT_OUT = PurePosixPath("testing")
CHAT = "/v1/chat/completions"
PROMPT = "Hi"
#: Seconds between two packets: a client that reads several at once takes a shorter route.
PACE = 0.001
TOTALS = (
    "{name:12}{calls:4} own calls in {files:2} own files, "
    "{folder_changes:3} changes of folder, {depth:2} own frames deep"
)


@dataclass(frozen=True, slots=True)
class Frame:
    """One Python call: its file below the package, its function, and its depth among own frames (from 1)."""

    file: str
    function: str
    depth: int

    def __str__(self) -> str:
        return f"{'  ' * (self.depth - 1)}{self.file}:{self.function}"


@dataclass(frozen=True, slots=True)
class Route:
    """The own frames of one call, in the order in which they were entered."""

    frames: tuple[Frame, ...]

    @property
    def totals(self) -> dict[str, int]:
        """Return own calls, files with at least one of them, changes of folder, and the deepest stack."""
        folders = [PurePosixPath(frame.file).parent for frame in self.frames]
        return {
            "calls": len(self.frames),
            "files": len({frame.file for frame in self.frames}),
            "folder_changes": sum(one != next_ for one, next_ in pairwise(folders)),
            "depth": max((frame.depth for frame in self.frames), default=0),
        }


def trace(call: Callable[[], object], package: Path = PACKAGE) -> Route:
    """Make a call and return its route through the code of a package."""
    frames: list[Frame] = []

    def note(frame: FrameType, event: str, _: object) -> None:
        file = _own_file(frame.f_code.co_filename, package) if event == "call" else None
        if file is not None:
            frames.append(Frame(file, frame.f_code.co_name, _depth(frame, package)))

    with _profiled(note):
        call()
    return Route(tuple(frames))


@contextlib.contextmanager
def _profiled(note: Callable[[FrameType, str, object], None]) -> Iterator[None]:
    """Have this thread's calls noted; no garbage of earlier calls is collected meanwhile."""
    before, collects = sys.getprofile(), gc.isenabled()
    gc.disable()
    sys.setprofile(note)
    try:
        yield
    finally:
        sys.setprofile(before)
        if collects:
            gc.enable()


@cache
def _own_file(name: str, package: Path) -> str | None:
    """Return a file's path below the package; ``None`` for one that lies elsewhere or is left out."""
    path = Path(name)
    if not path.is_relative_to(package):
        return None
    inner = PurePosixPath(path.relative_to(package).as_posix())
    return None if inner.is_relative_to(LEFT_OUT) else str(inner)


def _depth(frame: FrameType | None, package: Path) -> int:
    """Count the own frames of a stack."""
    count = 0
    while frame is not None:
        count += _own_file(frame.f_code.co_filename, package) is not None
        frame = frame.f_back
    return count


@dataclass(frozen=True, slots=True)
class Scenario:
    """One call: on which client, how often made before, and what answers it.

    Attributes:
        summary: What it is, for the command's help.
        call: Makes it.
        dialect: The generation that the client is told.
        model: The client's default model.
        retries: Tries after the first.
        warm_ups: How often the same call was made before, and answered well.
        answer: The answer to the call; ``None`` for a good one.
    """

    summary: str
    call: Callable[[FoundryAPIClient], object]
    dialect: str
    model: str = DEMO_MODEL
    retries: int | None = None
    warm_ups: int = 2
    answer: Script | None = None


def _complete(client: FoundryAPIClient) -> None:
    client.complete(PROMPT)


def _stream(client: FoundryAPIClient) -> None:
    for _ in client.stream_complete(PROMPT):
        pass


def _fail(client: FoundryAPIClient) -> None:
    with contextlib.suppress(ServiceError):
        client.complete(PROMPT)


SCENARIOS = {
    "complete": Scenario("a warm plain complete()", _complete, "openai"),
    "complete-2x": Scenario("a warm complete() on 2.x, which is a stream inside", _complete, "2.x"),
    "stream": Scenario("a warm stream_complete() on 2.x, read to its end", _stream, "2.x"),
    "error": Scenario(
        "a warm complete() that gets one 500 and is not repeated",
        _fail,
        "openai",
        retries=0,
        answer=json_error(500, "Inference failed"),
    ),
    "first": Scenario(
        "the first call of a client that knows the address alone", _complete, "auto", model="demo", warm_ups=0
    ),
}


def play(scenario: Scenario) -> Route:
    """Return the route of a scenario's call.

    It is played twice, each time on a client and a service of its own, so that late imports are over.
    """
    _play_once(scenario)
    return _play_once(scenario)


def _play_once(scenario: Scenario) -> Route:
    with FaultServer() as server:

        def well(request: Request) -> Script:
            return paced(server.healthy(request), PACE)

        answers: list[Answer] = [well] * scenario.warm_ups
        server.on("POST", CHAT, *answers, scenario.answer or well)
        with FoundryAPIClient(
            server.url,
            model=scenario.model,
            retries=scenario.retries,
            dialect=scenario.dialect,
            config=Config(),  # the environment steers nothing
        ) as client:
            for _ in range(scenario.warm_ups):
                scenario.call(client)
            return trace(partial(scenario.call, client))


def main(arguments: Sequence[str] | None = None) -> int:
    """Play one scenario or all of them, and print what was found."""
    options = _parser().parse_args(arguments)
    names = list(SCENARIOS) if options.counts else [options.scenario]
    routes = {name: play(SCENARIOS[name]) for name in names}
    show = _as_json if options.json else _as_text
    print(show(routes, counts=options.counts))
    return 0


def _parser() -> argparse.ArgumentParser:
    scenarios = "\n".join(f"  {name:12} {scenario.summary}" for name, scenario in SCENARIOS.items())
    parser = argparse.ArgumentParser(
        description="Print the route of one call through foundry_rest/.",
        epilog=f"scenarios:\n{scenarios}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("scenario", nargs="?", default="complete", choices=SCENARIOS, metavar="SCENARIO")
    parser.add_argument("--counts", action="store_true", help="the totals alone, of all scenarios")
    parser.add_argument("--json", action="store_true", help="print JSON: scenario -> totals and frames")
    return parser


def _as_json(routes: dict[str, Route], *, counts: bool) -> str:
    return json.dumps(
        {name: route.totals if counts else route.totals | asdict(route) for name, route in routes.items()},
        indent=2,
    )


def _as_text(routes: dict[str, Route], *, counts: bool) -> str:
    lines: list[str] = []
    for name, route in routes.items():
        lines += () if counts else map(str, route.frames)
        lines.append(TOTALS.format(name=name, **route.totals))
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
