"""Slipway, a CI/CD control plane: it builds pushes, deploys images to ECS and rolls back."""

import gc
import os

if "AWS_LAMBDA_FUNCTION_NAME" in os.environ:
    # Imports make many objects and hardly any garbage: to look for it takes a tenth of a start.
    # `starting.ready` enables it again.
    gc.disable()
