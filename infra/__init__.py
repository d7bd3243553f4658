"""Slipway's infrastructure: the AWS stack, the buildspec and the embedded cloud."""
