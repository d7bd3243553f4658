"""Pure rules: no I/O, no clock, no other room of ours."""
