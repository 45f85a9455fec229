"""Who listens to events: log and stats."""
