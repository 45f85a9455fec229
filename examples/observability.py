"""See what calls do: a log of JSON lines, figures, metrics for Prometheus, and traces where OpenTelemetry is.

Uses the service that runs (FOUNDRY_ENDPOINT, or `foundry-rest serve`) and its default model (FOUNDRY_MODEL).
"""

import sys
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from foundry_rest import FoundryAPIClient, FoundryError, Stats, Timeouts, configure_logging
from foundry_rest.events import CallFinished, Event
from foundry_rest.observe.textfile import JobTextfile


def main() -> None:
    """Make some calls, one of which fails, and show what is known of them."""
    configure_logging("DEBUG", stream=sys.stdout, json=True)  # no prompt, no answer, no key is in it
    slow: list[str] = []

    def note(event: Event) -> None:
        """Hear of every event; this one is for calls that took long."""
        if isinstance(event, CallFinished) and event.elapsed > 0.5:
            slow.append(f"{event.call} took {event.elapsed:.2f} s")

    observers = [note, *_opentelemetry()]
    with (
        tempfile.TemporaryDirectory() as folder,
        JobTextfile(Path(folder, "observability.prom")) as job,
        FoundryAPIClient(observers=observers, timeout=Timeouts.adaptive(floor=2, ceiling=60)) as client,
    ):
        for number in range(3):
            for _ in client.stream_complete(f"Count to {number}", temperature=0):
                pass
        with suppress(FoundryError):
            client.complete("Hello", model="no-such-model")
        stats = client.stats()
        job.items |= {"ok": stats.total.ok, "failed": stats.total.errors}
        print(stats)
        print(f"p95 {stats.total.latencies.p95:.3f} s, slow calls: {slow or 'none'}")
        # Figures of several processes are sent as JSON and put together.
        together = Stats.merged([stats, Stats.from_dict(stats.to_dict())])
        print(f"two such processes would have made {together.total.calls} calls")
        _print_metrics(client)


def _opentelemetry() -> list[Callable[[Event], object]]:
    """Return an observer that makes spans, where the extra `otel` is installed."""
    try:
        from foundry_rest.observe.opentelemetry import OpenTelemetry
    except ImportError:
        return []
    return [OpenTelemetry()]  # to the providers that the program has set up; without any it costs little


def _print_metrics(client: FoundryAPIClient) -> None:
    """Print what Prometheus would get, where the extra `prometheus` is installed."""
    try:
        from prometheus_client import CollectorRegistry, generate_latest

        from foundry_rest.observe.prometheus import StatsCollector
    except ImportError:
        return
    registry = CollectorRegistry()
    registry.register(StatsCollector(client.stats))
    lines = generate_latest(registry).decode().splitlines()
    print("\n".join(line for line in lines if line.startswith("foundry_rest_calls_total")))


if __name__ == "__main__":
    main()
