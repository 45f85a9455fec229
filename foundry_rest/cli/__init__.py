"""The command ``foundry-rest``: arguments in, endpoints called, text out; no logic."""
