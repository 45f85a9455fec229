"""The circuit breaker: policy, breaker, registry of addresses, record, storages."""
