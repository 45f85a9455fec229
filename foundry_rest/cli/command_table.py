"""The commands: one row for each name, with its help and where its arguments are added.

A row names that function by text: a command's arguments are made only when it is asked for.
"""

from __future__ import annotations


class Command:
    """One command.

    Attributes:
        name: What is typed.
        arguments: ``module:function`` of ``foundry_rest.cli``, which adds its arguments to a parser.
        text: What it does, without a capital and a full stop.
        examples: Two uses of it, as a shell takes them, without the name of the program in front.
        runs: The command of which this is another name; ``""`` for none.
    """

    def __init__(self, name: str, arguments: str, text: str, examples: tuple[str, str], runs: str) -> None:
        self.name, self.arguments, self.text = name, arguments, text
        self.examples, self.runs = examples, runs


#: In the order of ``--help``: models that answer, models, the service, and what is around them.
_ROWS: tuple[tuple[str, str, str, tuple[str, str], str], ...] = (
    (
        "demo",
        "service_arguments:add_demo",
        "start the embedded runtime with a tiny built-in model and show an answer, a story and figures",
        ("foundry-rest demo", "foundry-rest demo --json"),
        "",
    ),
    (
        "chat",
        "chat_arguments:add_chat_arguments",
        "ask a model; the prompt is an argument, or stdin, or both; without one, a terminal talks with it",
        (
            'foundry-rest chat "What is the capital of France?"',
            'cat report.txt | foundry-rest chat -t 0 "Summarise this in one sentence"',
        ),
        "",
    ),
    (
        "run",
        "chat_arguments:add_run_arguments",
        "ask or talk with the model that is named first, as ollama's run does; another name of chat",
        ("foundry-rest run phi-4-mini --keep", 'foundry-rest run phi-4-mini "Where is Rome?"'),
        "chat",
    ),
    (
        "batch",
        "batch_arguments:add_batch",
        "answer a file of prompts or of OpenAI's batch lines; run again, it goes on",
        (
            "foundry-rest batch prompts.txt -o results.jsonl",
            "foundry-rest batch mails.csv --prompt 'Summarise: {text}' -o results.jsonl",
        ),
        "",
    ),
    (
        "embed",
        "task_arguments:add_embed",
        "print the vector of each text as JSON",
        (
            "foundry-rest embed -m embed-model 'The first text' 'The second'",
            "cat page.txt | foundry-rest embed -m embed-model - --json",
        ),
        "",
    ),
    (
        "transcribe",
        "task_arguments:add_transcribe",
        "print what is spoken in an audio file",
        (
            "foundry-rest transcribe -m whisper-tiny meeting.wav",
            "foundry-rest transcribe -m whisper-tiny --language de talk.wav --json",
        ),
        "",
    ),
    (
        "models",
        "model_arguments:add_models",
        "list the models the service knows",
        ("foundry-rest models", "foundry-rest models --cached --json"),
        "",
    ),
    (
        "list",
        "model_arguments:add_list",
        "list the models on disk, as ollama's list does; `models` with other defaults",
        ("foundry-rest list", "foundry-rest list --all --json"),
        "models",
    ),
    (
        "ps",
        "model_arguments:add_ps",
        "list the models in memory; the same as models --loaded",
        ("foundry-rest ps", "foundry-rest ps --json"),
        "models",
    ),
    (
        "show",
        "model_arguments:add_show",
        "print what is known of a model",
        ("foundry-rest show phi-4-mini", "foundry-rest show phi-4-mini --device GPU --json"),
        "",
    ),
    (
        "load",
        "model_arguments:add_load",
        "load a model into memory and print its id",
        ("foundry-rest load phi-4-mini", "foundry-rest load phi-4-mini --device GPU"),
        "",
    ),
    (
        "unload",
        "model_arguments:add_unload",
        "drop a model from memory, or all of them and print their ids",
        ("foundry-rest unload phi-4-mini", "foundry-rest unload --all"),
        "",
    ),
    (
        "stop",
        "model_arguments:add_unload",
        "drop a model from memory; another name of unload",
        ("foundry-rest stop phi-4-mini", "foundry-rest stop --all"),
        "unload",
    ),
    (
        "download",
        "model_arguments:add_download",
        "fetch a model from the catalog and print its id",
        ("foundry-rest download phi-4-mini", "foundry-rest download phi-4-mini --embedded"),
        "",
    ),
    (
        "pull",
        "model_arguments:add_download",
        "fetch a model from the catalog; another name of download",
        ("foundry-rest pull phi-4-mini", "foundry-rest pull phi-4-mini --embedded"),
        "download",
    ),
    (
        "rm",
        "model_arguments:add_rm",
        "delete a model from the disk; another name of models remove",
        ("foundry-rest rm phi-4-mini", "foundry-rest rm phi-4-mini --yes --json"),
        "models",
    ),
    (
        "health",
        "service_arguments:add_health",
        "tell how the service is; exits 3 when there is none, 4 when it is silent",
        ("foundry-rest health", "foundry-rest health --timeout 2 --json"),
        "",
    ),
    (
        "check",
        "watch_arguments:add_check",
        "give one line and an exit code to Nagios, Icinga or cron",
        ("foundry-rest check -w 0.5 -c 2", "foundry-rest check -m phi-4-mini --answer -c answer=10"),
        "",
    ),
    (
        "doctor",
        "watch_arguments:add_doctor",
        "look for what is wrong here, with the service and on the way to it; starts and changes nothing",
        ("foundry-rest doctor", "foundry-rest doctor -m phi-4-mini --strict"),
        "",
    ),
    (
        "monitor",
        "watch_arguments:add_monitor",
        "check again and again: a screen, a page, or a line a change",
        ("foundry-rest monitor", "foundry-rest monitor --web 8080 --interval 10"),
        "",
    ),
    (
        "bench",
        "bench_arguments:add_bench",
        "measure how fast the service answers, and tell what to set a client to",
        ("foundry-rest bench", "foundry-rest bench --concurrency 4 --requests 40 --plot bench.svg"),
        "",
    ),
    (
        "serve",
        "service_arguments:add_serve",
        "run the embedded runtime in the foreground for other processes",
        ("foundry-rest serve --demo", "foundry-rest serve --model-dir ~/models/phi --port 5273"),
        "",
    ),
    (
        "logs",
        "service_arguments:add_logs",
        "print the end of the service's own log, and where it is",
        ("foundry-rest logs -n 50", "foundry-rest logs -f"),
        "",
    ),
    (
        "cache",
        "cache_arguments:add_cache",
        "look into a file of kept answers, or clear it; asks no service",
        (
            "foundry-rest cache stats answers.sqlite",
            "foundry-rest cache clear answers.sqlite --older-than 86400",
        ),
        "",
    ),
    (
        "url",
        "service_arguments:add_url",
        "print the address of the service, for other programs",
        ("foundry-rest url", 'OPENAI_BASE_URL="$(foundry-rest url)/v1" python program.py'),
        "",
    ),
    (
        "completion",
        "help_arguments:add_completion",
        "print a script that completes commands and options in a shell",
        (
            'eval "$(foundry-rest completion bash)"',
            "foundry-rest completion fish > ~/.config/fish/completions/foundry-rest.fish",
        ),
        "",
    ),
    (
        "help",
        "help_arguments:add_help",
        "explain exit codes, variables or files, or a command",
        ("foundry-rest help exit-codes", "foundry-rest help environment"),
        "",
    ),
)
COMMANDS = {row[0]: Command(*row) for row in _ROWS}
