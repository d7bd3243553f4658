"""The embedded cloud: AWS's part in Slipway, on one machine and loopback only."""
