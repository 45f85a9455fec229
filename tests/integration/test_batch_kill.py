"""A batch on the real runtime survives kill -9: one result for each request, and few calls too many.

In each run of the tests it is killed at ten moments; ``FOUNDRY_TEST_KILLS=50 pytest
tests/integration/test_batch_kill.py`` takes fifty.
"""

from __future__ import annotations

import os
import random

import pytest
from support.batch_processes import Batch, lines, outcomes, results, text_of, write
from support.platforms import posix
from support.proxies import CountingProxy

from foundry_rest import FoundryAPIClient

pytestmark = [pytest.mark.runtime, posix]
KILLS = int(os.environ.get("FOUNDRY_TEST_KILLS", "10"))
ITEMS, WINDOW = 2000 if KILLS >= 50 else 1000, 4
ALIAS = "demo-chat"


def kill(run, proxy, new, more):
    """Kill a run as soon as it has so many new results, and so many more calls; return how many there are.

    The calls are for results that a run might hold back: right after it has written them it would lose none.
    """
    before, calls = run.answered(), proxy.calls
    run.wait_for(lambda: run.answered() - before >= new and proxy.calls > calls)
    calls = proxy.calls
    run.wait_for(lambda: proxy.calls - calls >= more)
    assert run.kill()
    return run.answered()


def test_killed_again_and_again(command, runtime, tmp_path):
    """However often it is killed: one answer for each request, and no more calls than were under way."""
    rng = random.Random(12)
    asked = lines(ITEMS, model=ALIAS, max_tokens=4, temperature=0)
    with CountingProxy(runtime.url) as proxy:
        batch = Batch(command, tmp_path, proxy.url)
        write(batch.input, asked)
        done = 0
        for left in range(KILLS, 0, -1):
            new = rng.randrange(2 * (ITEMS - done) // (left + 4) + 1)
            more = rng.randrange((ITEMS - done) // (4 * left + 4) + 1)
            done = kill(batch.start("--concurrency", WINDOW), proxy, new, more)
            assert not batch.output.exists()
        before = proxy.calls
        last = batch.run("--concurrency", WINDOW)
        total = proxy.calls
        again = batch.run()

    assert last.returncode == 0, last.stderr
    assert outcomes(batch.output) == dict.fromkeys((row["custom_id"] for row in asked), 200)
    assert sorted(record["custom_id"] for record in batch.records()) == sorted(results(batch.output))
    # The last run repeats nothing that has a result, and a further one has nothing to send.
    assert ITEMS / 3 < done < ITEMS
    assert total - before == ITEMS - done
    assert (again.returncode, proxy.calls) == (0, total)
    assert ITEMS < total <= ITEMS + KILLS * WINDOW
    # Each answer is that to its own prompt.
    found = results(batch.output)
    with FoundryAPIClient(runtime.url, model=ALIAS) as client:
        for row in rng.sample(asked, 20):
            reply = client.complete(row["body"]["messages"], max_tokens=4, temperature=0)
            assert text_of(found[row["custom_id"]]) == reply.content
