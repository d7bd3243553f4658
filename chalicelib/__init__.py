"""Slipway, a CI/CD control plane: it builds pushes, deploys images to ECS and rolls back."""
