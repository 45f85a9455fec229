"""Carry one call to the service and its answer back."""
