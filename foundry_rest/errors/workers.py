"""The errors of an executor that makes calls on its workers; the tree draws them, too."""

from __future__ import annotations

from foundry_rest.errors.advice import Advice
from foundry_rest.errors.tree import TransportError


class WorkerLost(TransportError):
    """A call whose worker ended, each time that it was tried; the call may have been made."""

    advice = Advice(
        "Look into the worker's own log: it may have run out of memory, or the request ends the service."
    )


class ExecutorBroken(TransportError):
    """An executor that runs no more tasks, or none of ours; a call that was under way has no result."""

    sent = False
    advice = Advice("Make a new executor and run the batch again: what has a result is not sent again.")
