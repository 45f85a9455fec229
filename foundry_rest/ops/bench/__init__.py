"""The bench: how fast the service answers, at how many requests at a time, and what to set a client to."""

from foundry_rest.ops.bench.advice import Advice
from foundry_rest.ops.bench.figures import FORMULAS, BenchLevel, BenchRun, Spread
from foundry_rest.ops.bench.measuring import Measurement, measure
from foundry_rest.ops.bench.report import BenchReport, Warmup
from foundry_rest.ops.bench.run import bench
from foundry_rest.ops.bench.settings import BenchSettings, parse_goodput

__all__ = [
    "FORMULAS",
    "Advice",
    "BenchLevel",
    "BenchReport",
    "BenchRun",
    "BenchSettings",
    "Measurement",
    "Spread",
    "Warmup",
    "bench",
    "measure",
    "parse_goodput",
]
