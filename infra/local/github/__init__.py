"""GitHub's REST API on loopback, for tests, the demo and `make run`."""
