"""Decide what a failure means and whether to try again."""
