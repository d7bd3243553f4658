"""The HTTP API: each view parses, authorises, calls the pipeline and serialises."""
