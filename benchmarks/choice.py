"""What does the choice of one of three services cost a call? Exit code 1 above 3 microseconds.

python benchmarks/choice.py
"""

from __future__ import annotations

import sys
from timeit import repeat

from foundry_rest import FoundryAPIClient
from foundry_rest.resilience.failover import choose
from foundry_rest.services.group import Member

SERVICES = ("http://127.0.0.1:1", "http://127.0.0.1:2", "http://127.0.0.1:3")
#: Most microseconds a call.
MOST = 3.0
TURNS = 20_000


def main() -> int:
    """Print the least of seven measurements, in microseconds, for both ways to choose."""
    worst = 0.0
    for prefer in ("least", "first"):
        with FoundryAPIClient(services=SERVICES, prefer=prefer) as client:
            members = client._context.group.members  # noqa: SLF001 (what a call does first)

            def pick(members: tuple[Member, ...] = members, prefer: str = prefer) -> Member:
                return choose([each for each in members if not each.retry_in], prefer)

            micros = min(repeat(pick, number=TURNS, repeat=7)) / TURNS * 1e6
        print(f"{prefer}: {micros:.2f} us")
        worst = max(worst, micros)
    return int(worst > MOST)


if __name__ == "__main__":
    sys.exit(main())
