"""What a run takes over from earlier ones: the results in the journal that still hold."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from foundry_rest.batch.journal import Journal, Record, Written
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
    unknown = 0
    for written in journal.records():
        if isinstance(written, int):
            note(f"Line {written} of the journal cannot be read; its request is sent again.")
            continue
        request = index.find(written.record.custom_id)
        if request is None:
            unknown += 1
        elif written.record.key != request.key(meanings[request.model]):
            index.note_changed(request.line)
        else:
            index.note(request.line, None if _is_retried(written.record, retried) else _place(written))
    if unknown:
        note(f"Results in the journal whose requests are not in the input any more: {unknown:,}.")
    if changed := index.changed():
        note(f"Requests that were changed since they were answered, and are sent again: {changed:,}.")
    return index.answered()


def _is_retried(record: Record, retried: str) -> bool:
    if record.ok or retried == "none":
        return False
    return retried == "all" or record.transient


def _place(written: Written) -> Place:
    return Place(written.offset, written.length, written.record.ok)
