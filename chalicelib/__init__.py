"""Slipway: a push becomes an image, the image a running ECS service, a bad one the last good."""
