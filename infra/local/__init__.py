"""The embedded cloud: replaces AWS on one machine, on loopback only."""
