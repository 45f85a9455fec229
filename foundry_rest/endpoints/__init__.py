"""What a user calls: each method builds an operation, sends it, and returns what it reads."""
