"""Measurements. They print figures and never fail: figures depend on the machine."""
