"""What an engine's own failures mean: a table by class name, because none of the engines is imported here.

What a task itself raises comes back as its result, so whatever an executor's future raises is the engine's.
"""

from __future__ import annotations

import enum


class Verdict(enum.Enum):
    """What becomes of a call whose task the engine failed."""

    #: The task may have been lost on its way or with its worker: it is submitted again.
    AGAIN = "again"
    #: The engine has tried several workers already.
    LOST = "lost"
    #: No task will be run.
    BROKEN = "broken"
    #: The workers have other code than this process.
    UNREADABLE = "unreadable"


#: Name of a class, of the failure itself or of one of its bases -> verdict; what is not here is ``AGAIN``.
_VERDICTS = {
    "KilledWorker": Verdict.LOST,  # dask: the task was under way on several workers that died
    "BrokenExecutor": Verdict.BROKEN,  # the standard library's pools, loky's
    "ClosedClientError": Verdict.BROKEN,
    "ImportError": Verdict.UNREADABLE,
    "AttributeError": Verdict.UNREADABLE,
    "PickleError": Verdict.UNREADABLE,
}


def verdict_on(failure: BaseException) -> Verdict:
    """Return what a future's exception means."""
    names = (cls.__name__ for cls in type(failure).__mro__)
    return next((_VERDICTS[name] for name in names if name in _VERDICTS), Verdict.AGAIN)
