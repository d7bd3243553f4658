"""The loop: observe AWS, let a pure rule decide the next step, act, record."""
