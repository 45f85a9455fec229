"""The command ``foundry-rest``: it reads arguments, calls endpoints and prints text; no logic."""
