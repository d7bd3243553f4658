"""The `slipway` command. It uses only the HTTP API, and imports nothing of the application."""

VERSION = "0.1.0"
