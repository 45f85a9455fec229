"""Ask one of several services, and another one where that fails.

    failover.py [URL...]

The services are the addresses given, else those of FOUNDRY_ENDPOINT (with commas between them), else the one
that runs here, and one that is switched off.
"""

import os
import sys

from foundry_rest import BreakerPolicy, FoundryAPIClient, FoundryError, ServiceSpec

#: Nobody listens there: a machine that is off.
OFF = "http://127.0.0.1:9"


def services() -> list[ServiceSpec]:
    """Return the services to ask; the first bears twice as much as the others."""
    named = sys.argv[1:] or os.environ.get("FOUNDRY_ENDPOINT", "").split(",")
    addresses = named if len(named) > 1 else [OFF, *filter(None, named)]
    return [ServiceSpec(url, weight=2.0 if not number else 1.0) for number, url in enumerate(addresses)]


def main() -> int:
    """Ask some questions, and tell who answered and how the services are."""
    # Two failures in a row, and a service is left alone for ten seconds; then it gets one call as a probe.
    breaker = BreakerPolicy(failures=2, reset_after=10.0)
    with FoundryAPIClient(services=services(), breaker=breaker, deadline=60) as client:
        for question in ("What is the capital of France?", "What is the capital of Japan?"):
            try:
                reply = client.complete(question, max_tokens=100)
            except FoundryError as error:
                print(f"nobody answers: {error}")
                for attempt in error.attempts:
                    print(f"  {attempt.number}. {attempt.url}: {attempt.message}")
                return 1
            print(f"{reply.content}  ({reply.url})")
        for service in client.targets():
            print(f"{service.url}: circuit {service.circuit} {service.reason}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
