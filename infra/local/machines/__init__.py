"""What really runs: builds, containers, a registry, the HTTP API."""
