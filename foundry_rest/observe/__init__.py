"""The package's own observers of events: log and statistics."""
