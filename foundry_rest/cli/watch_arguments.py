"""The arguments of the commands that watch over the service: ``check``, ``monitor`` and ``doctor``."""

from __future__ import annotations

import argparse

from foundry_rest.cli.exit_codes import CHECK_EXIT_CODES, DOCTOR_EXIT_CODES, describe
from foundry_rest.cli.options import MODEL_HELP, add_options, add_watching_options

_RANGES = """\
RANGE is as in other plugins: 0.5 (more alerts), 10: (less), 10:20, @10:20
(inside), ~:10; NAME is latency (the default, in seconds), memory (of the
service, in MB) or answer (in seconds).
"""


def add_check(check: argparse.ArgumentParser) -> None:
    """Add the arguments of ``check``."""
    check.epilog = f"{_RANGES}\nexit codes:\n{describe(CHECK_EXIT_CODES)}\n"
    _add_verdict_options(check)
    check.set_defaults(tokens=1)
    add_options(check, "metrics-textfile", "ping", "splay", json="print one JSON object in place of the line")


def add_monitor(monitor: argparse.ArgumentParser) -> None:
    """Add the arguments of ``monitor``."""
    monitor.epilog = _RANGES
    _add_verdict_options(monitor)
    monitor.add_argument(
        "--interval", type=float, default=5.0, metavar="S", help="seconds from check to check (default 5)"
    )
    monitor.add_argument(
        "--tokens", type=int, default=16, metavar="N", help="tokens for --answer (default 16)"
    )
    monitor.add_argument("--count", type=int, metavar="N", help="end after N checks")
    monitor.add_argument(
        "--web", type=int, metavar="PORT", help="also show it as a page on this machine; 0 for a free port"
    )
    add_options(monitor, json="print a JSON object for each check and change")


def add_doctor(doctor: argparse.ArgumentParser) -> None:
    """Add the arguments of ``doctor``."""
    doctor.epilog = f"""\
The report holds no keys, no user name and no home directory, so it can be
pasted into an issue.

exit codes:
{describe(DOCTOR_EXIT_CODES)}
"""
    add_options(doctor, model=f"{MODEL_HELP}, that is wanted (default: FOUNDRY_MODEL)")
    doctor.add_argument("--offline", action="store_true", help="ask no service and no network")
    doctor.add_argument("--strict", action="store_true", help="exit 1 for a warning, too")
    add_options(doctor, "json")
    add_watching_options(
        doctor, within="seconds for all checks (default 2)", retries="tries after the first (default 0)"
    )
    doctor.set_defaults(timeout=2.0)


def _add_verdict_options(parser: argparse.ArgumentParser) -> None:
    add_options(parser, model="alias or id of a model that must be loaded")
    parser.add_argument("--answer", action="store_true", help="also let the model give a token")
    add_options(parser, "warning", "critical")
    add_watching_options(
        parser, within="seconds for a check (default 10)", retries="tries after the first (default 0)"
    )
    parser.set_defaults(timeout=10.0, warning=[], critical=[])
