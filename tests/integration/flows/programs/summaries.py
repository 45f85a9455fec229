"""Summarise the texts of a folder, four at a time: python summaries.py FOLDER SUMMARIES.csv."""

import csv
import sys
from pathlib import Path

from foundry_rest import FoundryAPIClient


def summarise(client: FoundryAPIClient, folder: Path, table: Path) -> None:
    """Write a line for each text, in order, with its summary or the error in its place."""
    texts = ((path.name, path.read_text("utf-8")) for path in sorted(folder.glob("*.txt")))
    asked = ({"custom_id": name, "prompt": f"Summarise:\n{text}", "temperature": 0} for name, text in texts)
    with table.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("file", "summary", "error"))
        for result in client.batch(asked, max_concurrency=4, ordered=True):
            writer.writerow((result.custom_id, result.value and result.value.content, result.error))


if __name__ == "__main__":
    with FoundryAPIClient() as made:
        summarise(made, Path(sys.argv[1]), Path(sys.argv[2]))
