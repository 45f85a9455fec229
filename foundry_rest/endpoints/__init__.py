"""The endpoints that users call: each method builds an operation, sends it, and parses the response."""
