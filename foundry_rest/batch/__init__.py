"""Many requests from a file: checked, sent in a bounded window, journalled, written as OpenAI's output."""
