"""A night job: answer a file of prompts, survive whatever happens, and tell cron how it went.

    production.py [INPUT OUTPUT [TEXTFILE]]

It logs one JSON object a line to stdout, and leaves TEXTFILE (its name ends with .prom) for Prometheus.
Run it again after a crash, a reboot or an outage: what has a result is not asked again. Uses the service that
runs (FOUNDRY_ENDPOINT, or `foundry-rest serve`) and its default model (FOUNDRY_MODEL).
"""

import logging
import signal
import sys
import tempfile
from contextlib import nullcontext
from pathlib import Path

from platformdirs import user_state_dir

from foundry_rest import (
    BreakerPolicy,
    CircuitOpen,
    ConfigError,
    FoundryAPIClient,
    FoundryError,
    RetryPolicy,
    SqliteBreakers,
    TransportError,
)
from foundry_rest.batch.job import Outcome, answer_file
from foundry_rest.batch.run import Settings
from foundry_rest.batch.stop import SERVICE_DOWN, TERMINATED, Stop
from foundry_rest.observe.json_lines import JsonFormatter
from foundry_rest.observe.textfile import JobTextfile

#: What cron, systemd or a person is told.
OK, FAILED, WRONG_INPUT, SOME_FAILED, STOPPED_EARLY, RUN_AGAIN = 0, 1, 2, 6, 7, 75

log = logging.getLogger("night")


def main(arguments: list[str]) -> int:
    """Run the job and return its exit code."""
    lines = logging.StreamHandler(sys.stdout)
    lines.setFormatter(JsonFormatter())
    logging.basicConfig(handlers=[lines], level=logging.INFO)
    if arguments:
        return run(*map(Path, arguments))
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder, "prompts.txt")
        source.write_text("What is the capital of France?\nWhat is the capital of Italy?\n", encoding="utf-8")
        return run(source, Path(folder, "answers.jsonl"), Path(folder, "night.prom"))


def run(source: Path, output: Path, textfile: Path | None = None) -> int:
    """Answer the prompts of a file, leave a textfile, and return an exit code."""
    with nullcontext() if textfile is None else JobTextfile(textfile) as job:
        code, counts = answer(source, output)
        if job is not None:
            job.exit_code, job.items = code, counts
    return code


def answer(source: Path, output: Path) -> tuple[int, dict[str, int]]:
    """Answer the prompts of a file; return an exit code, and how many requests ended how."""
    stop = Stop()
    # systemd, Slurm and a shutdown send SIGTERM: the calls under way get 10 s.
    signal.signal(signal.SIGTERM, lambda *_: stop.ask(TERMINATED, grace=10))
    # Jobs that start every minute share what they know: a service that is down is not asked by each anew.
    circuits = SqliteBreakers(Path(user_state_dir("night-job"), "breakers.db"))
    client = FoundryAPIClient(
        deadline=120,
        retries=RetryPolicy(retries=4, base=0.5),
        breaker=BreakerPolicy(failures=3, reset_after=20),
        breaker_state=circuits,
    )
    with client:
        try:
            outcome = answer_file(
                client,
                source,
                output,
                settings=Settings(concurrency=4, retry_failed="transient", stop_after=6 * 3600, downtime=600),
                stop=stop,
            )
        except ConfigError as error:
            log.error("%s", error)  # noqa: TRY400 (the message says all; a traceback would say less)
            return WRONG_INPUT, {}
        except (TransportError, CircuitOpen) as error:
            log.error("no service, run again: %s", error)  # noqa: TRY400
            return RUN_AGAIN, {}
        except (FoundryError, OSError) as error:
            log.error("%s", error)  # noqa: TRY400
            return FAILED, {}
    counts = outcome.counts
    return report(outcome), {"succeeded": counts.succeeded, "failed": counts.failed}


def report(outcome: Outcome) -> int:
    """Log how the job went and return its exit code."""
    for line in str(outcome.summary).splitlines():
        log.info("%s", line)
    log.info("%s", outcome.counts)
    if outcome.reason == SERVICE_DOWN:
        log.error("the service is down, run again: %s", outcome.error)
        return RUN_AGAIN
    if outcome.counts.unsent:
        log.warning("stopped early (%s), run again", outcome.reason)
        return STOPPED_EARLY
    return OK if outcome.is_whole else SOME_FAILED


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
