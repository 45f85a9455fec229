"""What the journal has for the requests of a run: results of earlier runs that still hold, and its own."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from foundry_rest.batch.journal import Journal, Record
from foundry_rest.batch.request_index import Place, RequestIndex

#: Which failures of earlier runs are sent again: none, those that may succeed later, or all.
RETRIES = ("none", "transient", "all")


def note_earlier(
    journal: Journal,
    index: RequestIndex,
    meanings: Mapping[str, str],
    retried: str,
    note: Callable[[str], object],
) -> int:
    """Note in the index which requests have a result that holds, and return their number.

    A result holds if the request, its model and the service's generation are the same as then.

    Args:
        journal: The results of earlier runs.
        index: The requests.
        meanings: What each model's name stands for.
        retried: Which failures are sent again, one of ``RETRIES``.
        note: Called with sentences for people.
    """
    unreadable, unknown = note_results(journal, index, meanings, retried=retried)
    if unreadable:
        note(f"Lines of the journal that cannot be read, as a crash leaves them: {unreadable:,}.")
    if unknown:
        note(f"Results in the journal whose requests are not in the input any more: {unknown:,}.")
    if changed := index.changed():
        note(f"Requests that were changed since they were answered, and are sent again: {changed:,}.")
    return index.answered()


def note_results(
    journal: Journal,
    index: RequestIndex,
    meanings: Mapping[str, str],
    *,
    start: int = 0,
    retried: str = "none",
) -> tuple[int, int]:
    """Note the places of results; return how many lines cannot be read, and how many nobody asks for.

    Args:
        journal: The results.
        index: The requests.
        meanings: What each model's name stands for.
        start: Size of the journal before the first of them.
        retried: Which failures are sent again, one of ``RETRIES``.
    """
    unreadable = unknown = 0
    for written in journal.records(start):
        if isinstance(written, int):
            unreadable += 1
            continue
        offset, length, record = written
        request = index.find(record.custom_id)
        if request is None:
            unknown += 1
        elif record.key != request.key(meanings[request.model]):
            index.note_changed(request.line)
        else:
            index.note(request.line, Place(offset, length, record.ok), again=_is_retried(record, retried))
    return unreadable, unknown


def _is_retried(record: Record, retried: str) -> bool:
    if record.ok or retried == "none":
        return False
    return retried == "all" or record.transient
