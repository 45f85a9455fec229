"""Verdicts on a service for people and for what watches it; built on the client alone."""
