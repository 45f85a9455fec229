"""How each service generation spells things; pure."""
