"""A job for cron: one question, one line of log, and an exit code that tells how it went.

    0 7 * * *  cd /opt/jobs && FOUNDRY_DEADLINE=600 .venv/bin/python cron_job.py >>cron_job.log 2>&1

Nobody watches it, so the deadline bounds its time. Uses the service that runs (FOUNDRY_ENDPOINT, or
`foundry-rest serve`) and its default model (FOUNDRY_MODEL).
"""

import logging
import sys
import time

from foundry_rest import CircuitOpen, DeadlineExceeded, FoundryAPIClient, FoundryError, TransportError

QUESTION = "Explain quantum computing"
#: For cron and whoever reads its mail: 75 is "try again later", as sysexits.h has it.
OK, FAILED, RUN_AGAIN = 0, 1, 75

log = logging.getLogger("cron_job")


def main() -> int:
    """Ask the question and return the exit code."""
    logging.basicConfig(format="%(asctime)s %(levelname)s %(message)s", level=logging.INFO, stream=sys.stdout)
    logging.Formatter.converter = time.gmtime  # a log in local time goes back an hour once a year
    with FoundryAPIClient() as client:
        try:
            reply = client.complete(QUESTION, temperature=0)
        except (TransportError, CircuitOpen, DeadlineExceeded) as error:
            log.error("no answer now: %s", error)  # noqa: TRY400 (the message says all)
            return RUN_AGAIN
        except FoundryError as error:
            log.error("%s", error)  # noqa: TRY400
            return FAILED
    log.info("%s", reply.content)
    return OK


if __name__ == "__main__":
    sys.exit(main())
