"""Ask the same twice, with a cache: the second answer costs the service nothing.

Uses the service that runs (FOUNDRY_ENDPOINT, or `foundry-rest serve`) and its default model (FOUNDRY_MODEL).
Give a file to keep the answers for the next run:

    python examples/cached.py answers.sqlite
"""

import sys
import tempfile
from pathlib import Path

from foundry_rest import FoundryAPIClient, ResponseCache


def main(file: Path) -> None:
    """Ask as a whole, as a stream and with a mark; print where each answer came from."""
    cache = ResponseCache(file, max_bytes=64 * 1024 * 1024, max_age=24 * 3600)
    with FoundryAPIClient(cache=cache) as client:
        for _ in range(2):
            # Temperature 0 gives the same answer each time, so it is kept without a mark.
            reply = client.complete("Explain quantum computing", temperature=0)
            print(f"{_source(cached=reply.cached):12}{reply.elapsed * 1000:8.1f} ms  {reply.content[:40]!r}")
        with client.stream_complete("Explain quantum computing", temperature=0) as stream:
            pieces = sum(1 for _ in stream)
        print(f"{_source(cached=stream.cached):12}{pieces} pieces, as they came from the service")
        # An answer of chance is kept where you say so, here for an hour; cache=False asks anew.
        client.complete("Write a story about AI", cache=3600)
        again = client.complete("Write a story about AI", cache=3600)
        print(f"{_source(cached=again.cached):12}{again.content[:40]!r}")
        print(f"{client.stats().total.cached} calls were answered by the cache, which holds")
        print(f"{cache.stats().entries} answers in {cache.stats().bytes:,} bytes")


def _source(*, cached: bool) -> str:
    return "cache" if cached else "service"


if __name__ == "__main__":
    if len(sys.argv) > 1:
        main(Path(sys.argv[1]))
    else:
        with tempfile.TemporaryDirectory() as folder:
            main(Path(folder, "answers.sqlite"))
