"""Pure rules: no I/O, no clock, and of Slipway's own modules only `errors` is imported."""
