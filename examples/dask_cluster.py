"""One batch on several machines, with dask: each worker asks the Foundry Local of its own machine.

    dask_cluster.py [SCHEDULER INPUT OUTPUT]

Without arguments it starts two workers on this machine. Run it again after a crash: what has a result is not
asked again, because the journal lies beside the output, on the machine that runs this program.
"""

import sys
import tempfile
from pathlib import Path

from distributed import Client

from foundry_rest import FoundryAPIClient
from foundry_rest.batch.job import Outcome, answer_file
from foundry_rest.batch.run import Settings

#: Calls at a time for each worker: enough that none of them waits for the next request.
CALLS_PER_WORKER = 3


def run(cluster: Client, source: Path, output: Path) -> Outcome:
    """Answer the prompts of a file on a cluster."""
    workers = len(cluster.scheduler_info(n_workers=-1)["workers"])
    # No address is given, so that every worker finds its own service.
    with FoundryAPIClient(deadline=120) as client:
        return answer_file(
            client,
            source,
            output,
            settings=Settings(concurrency=CALLS_PER_WORKER * workers),
            executor=cluster.get_executor(),
        )


def main(arguments: list[str]) -> int:
    """Run the batch and return an exit code."""
    if arguments:
        with Client(arguments[0]) as cluster:
            outcome = run(cluster, Path(arguments[1]), Path(arguments[2]))
    else:
        local = Client(n_workers=2, threads_per_worker=CALLS_PER_WORKER, dashboard_address=None)
        with tempfile.TemporaryDirectory() as folder, local as cluster:
            source, output = Path(folder, "prompts.txt"), Path(folder, "answers.jsonl")
            source.write_text(
                "What is the capital of France?\nWhat is the capital of Italy?\n", encoding="utf-8"
            )
            outcome = run(cluster, source, output)
            print(output.read_text(encoding="utf-8"))
    print(outcome.counts)
    return 0 if outcome.is_whole else 1


if __name__ == "__main__":  # dask's processes import this file again
    sys.exit(main(sys.argv[1:]))
