"""Read and check a whole input before the first request: one pass, in constant memory."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import IO

import msgspec

from foundry_rest.batch.findings import Defaults, Finding, check_row
from foundry_rest.batch.input_rows import read_rows
from foundry_rest.batch.request_index import RequestIndex
from foundry_rest.batch.shards import Shard
from foundry_rest.batch.template import Template
from foundry_rest.schema.batch import BatchRequest


class Selection(msgspec.Struct, frozen=True):
    """Which rows of an input are taken.

    Attributes:
        limit: Number of rows from the start; ``None`` for all.
        shard: Part of these; ``None`` for all.
    """

    limit: int | None = None
    shard: Shard | None = None


class Intake:
    """One pass over an input, which fills an index.

    Args:
        index: Gets the requests.
        defaults: What the command line says about rows that are prompts.
        report: Called with each finding.

    Attributes:
        rows: Rows that were read.
        findings: Findings that were reported.
        urls: Requests of each route.
    """

    def __init__(self, index: RequestIndex, defaults: Defaults, report: Callable[[Finding], None]) -> None:
        self._index, self._defaults, self._report = index, defaults, report
        self.rows = self.findings = 0
        self.urls: Counter[str] = Counter()

    def read(self, source: IO[bytes], form: str, selection: Selection) -> None:
        """Read the rows, put the requests into the index, and report whatever is wrong.

        Raises:
            ConfigError: The columns of a CSV file cannot be used.
        """
        if form == "csv" and self._defaults.template is None:
            self._defaults = msgspec.structs.replace(self._defaults, template=Template("{prompt}"))
        for row in read_rows(source, form):
            if self.rows == selection.limit:
                break
            self.rows += 1
            if isinstance(row, Finding):
                self._find(row)
                continue
            if form == "csv" and self.rows == 1 and self._defaults.template is not None:
                self._defaults.template.check(row.given)  # type: ignore[arg-type]
            request = check_row(row.line, row.given, self._defaults)
            if isinstance(request, BatchRequest):
                self._add(row.line, request, selection.shard)
            else:
                self._find(*request)
        if not self.rows:
            self._find(Finding(0, "empty_file", "the input has no request"))

    def _add(self, line: int, request: BatchRequest, shard: Shard | None) -> None:
        first = None
        if shard is None or shard.holds(request.custom_id):
            first = self._index.add(line, request)
            self.urls[request.url] += first is None
        if first is not None:
            text = f"custom_id {request.custom_id!r} is that of line {first}, too"
            self._find(Finding(line, "duplicate_custom_id", text))

    def _find(self, *findings: Finding) -> None:
        for finding in findings:
            self.findings += 1
            self._report(finding)
