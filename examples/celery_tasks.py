"""Prompts as Celery tasks that outlive a service that is down, a worker that is killed, and a limit of time.

    celery -A celery_tasks worker --concurrency 2
    python celery_tasks.py "What is the capital of France?"

The worker uses the Foundry Local of its own machine (FOUNDRY_ENDPOINT, or `foundry-rest serve`). CELERY_URL
names the Redis server of both.
"""

import functools
import os
import random
import sys
from typing import Any

from celery import Celery, Task
from celery.signals import worker_process_shutdown

from foundry_rest import BreakerPolicy, ChatReply, CircuitOpen, FoundryAPIClient, TransportError

#: Seconds for one call, its retries and the load of a model included.
DEADLINE = 120
#: Redis gives a task that nobody has acknowledged after so many seconds to another worker, also while it is
#: under way: it must be above the deadline, the limits of a task, and the longest countdown of a retry.
VISIBILITY_TIMEOUT = 600
#: Seconds that an open circuit keeps calls from a service that is down, at first and at most.
CIRCUIT, LONGEST_CIRCUIT = float(os.environ.get("CIRCUIT_SECONDS", "10")), 120
#: Seconds until a task that found nobody is tried again while the circuit is still closed.
PAUSE = 1
#: Tries of a task while the service is down, which is hours; fewer of one whose call was lost: it may be the
#: one that ends the service.
TRIES, TRIES_OF_A_LOST_CALL = 200, 3

url = os.environ.get("CELERY_URL", "redis://127.0.0.1:6379/0")
app = Celery("celery_tasks", broker=url, backend=url)
app.conf.update(
    broker_transport_options={"visibility_timeout": VISIBILITY_TIMEOUT},
    broker_connection_retry_on_startup=True,
    # A task is acknowledged when it is done. Nothing is kept but its result, so doing it twice does no harm.
    task_acks_late=True,
    task_reject_on_worker_lost=True,
    # One that waits behind a slow one would wait with this worker although another is free.
    worker_prefetch_multiplier=1,
    task_soft_time_limit=DEADLINE + 30,
    task_time_limit=DEADLINE + 60,
)


@functools.cache
def client() -> FoundryAPIClient:
    """Return the client of this process; its first task makes it, after the fork."""
    breaker = BreakerPolicy(failures=2, reset_after=CIRCUIT, reset_max=LONGEST_CIRCUIT)
    return FoundryAPIClient(deadline=DEADLINE, retries=1, breaker=breaker, max_concurrency=1)


@worker_process_shutdown.connect
def close(**_: object) -> None:
    """Close the client of a process that ends."""
    if client.cache_info().currsize:
        client().close()


@app.task(bind=True, max_retries=TRIES)
def complete(self: Task, prompt: str, **parameters: Any) -> str:  # noqa: ANN401 (those of `complete`)
    """Return the model's answer; while no service is there, try again later."""
    try:
        reply: ChatReply = client().complete(prompt, **parameters)
    except CircuitOpen as error:
        # Those that wait for the same service do not all come back at the same moment.
        seconds = error.retry_in + random.uniform(0, 1)  # noqa: S311 (no secret)
        raise self.retry(countdown=seconds, exc=error) from error
    except TransportError as error:
        tries = TRIES_OF_A_LOST_CALL if error.sent else TRIES
        raise self.retry(countdown=PAUSE, exc=error, max_retries=tries) from error
    return reply.content


if __name__ == "__main__":
    for prompt in sys.argv[1:] or ["What is the capital of France?"]:
        task = complete.delay(prompt)  # pyright: ignore[reportFunctionMemberAccess] (Celery tells no types)
        print(task.get(timeout=VISIBILITY_TIMEOUT))
