"""`make doctor` checks what Slipway needs: this machine, the AWS account, and a deployed stage.

`local` and the command line use only the standard library and old syntax, so that they run before
`make setup`, also with a Python that is too old. `aws` needs the packages of `.venv`.
"""
