"""Check what is in the wheel: every module, nothing foreign, a small model.

    python .ci/check_wheel.py WHEEL TREE

Run by .ci/run; TREE is the source tree that the wheel was built from.
"""

from __future__ import annotations

import sys
import zipfile
from pathlib import Path

PACKAGE = "foundry_rest"
MODEL = f"{PACKAGE}/demo_model/demo-chat/"
#: The most that the bundled model may take of the wheel, in bytes.
MODEL_BYTES = 1_500_000


def faults(sizes: dict[str, int], wanted: set[str]) -> list[str]:
    """Return what is wrong with a wheel, given its files' packed sizes and the names it must hold."""
    missing = sorted(wanted - sizes.keys())
    foreign = sorted(name for name in sizes if not name.startswith((f"{PACKAGE}/", f"{PACKAGE}-")))
    model = model_bytes(sizes)
    found = {
        f"not in the wheel: {missing}": missing,
        f"not ours: {foreign}": foreign,
        f"the model takes {model:,} bytes, not 1 to {MODEL_BYTES:,}": not 0 < model <= MODEL_BYTES,
    }
    return [text for text, is_wrong in found.items() if is_wrong]


def model_bytes(sizes: dict[str, int]) -> int:
    """Return the bytes that the bundled model takes."""
    return sum(size for name, size in sizes.items() if name.startswith(MODEL))


def wanted_of(tree: Path) -> set[str]:
    """Return what the wheel of a source tree must hold."""
    modules = {path.relative_to(tree).as_posix() for path in (tree / PACKAGE).rglob("*.py")}
    more = ("py.typed", "demo_model/README.md", "ops/monitor_page.html")
    return modules | {f"{PACKAGE}/{name}" for name in more}


def main(wheel: Path, tree: Path) -> str | None:
    """Print the wheel's size; return what is wrong with it."""
    sizes = {entry.filename: entry.compress_size for entry in zipfile.ZipFile(wheel).infolist()}
    total, model = wheel.stat().st_size, model_bytes(sizes)
    print(f"{wheel.name}: {total:,} bytes, {len(sizes)} files, of which the model {model:,} bytes")
    return "\n".join(faults(sizes, wanted_of(tree))) or None


if __name__ == "__main__":
    sys.exit(main(*map(Path, sys.argv[1:])))
