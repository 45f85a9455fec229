"""Model names and aliases, models on disk and in memory, loading, downloading, recoveries."""
