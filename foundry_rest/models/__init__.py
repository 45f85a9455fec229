"""Model names and aliases, what is on disk and in memory, loading, downloading, recoveries."""
