"""The dialect of 0.x, the options its requests are built with, and the catalogs of the samples."""

from __future__ import annotations

from pathlib import Path

from foundry_rest.config import Timeouts
from foundry_rest.dialects.generation0_cli import Generation0Dialect
from foundry_rest.schema import ModelInfo
from foundry_rest.transport.call import Options
from support.dialects import read

SAMPLES = Path(__file__).parents[1] / "samples" / "legacy-0.8"
#: The time-outs of a request that is patient, as those of OPTIONS allow.
PATIENT = Timeouts(first_token=77.0, idle=77.0, load=77.0)
OPTIONS = Options(Timeouts(first_token=3.0, idle=4.0, load=77.0), until=99.0, headers={"X-A": "1"})
LEGACY = Generation0Dialect()
GENERIC_CPU = "Phi-4-mini-instruct-generic-cpu:5"


def listed(name: str) -> list[ModelInfo]:
    """Return the catalog of a sample."""
    return read(LEGACY.models().listed(OPTIONS), (SAMPLES / f"{name}.json").read_bytes())


def place(call) -> tuple[str, str, str]:
    """Return how a call is sent and what it is called."""
    return call.method, call.path, call.label
