"""The loop: observe AWS, decide the next step with a pure rule, act, record."""
