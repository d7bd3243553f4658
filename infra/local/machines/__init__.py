"""The parts that run for real: builds, containers, a registry, the HTTP API."""
