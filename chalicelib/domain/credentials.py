"""Git credentials: which secret a project's builds may fetch private repositories with."""

import re

from chalicelib.errors import InvalidInput

# Secrets Manager's API reference, CreateSecret: a name has at most 512 of these characters, and an
# ARN ends in six more. No colon after the name: CodeBuild would read a key of a JSON secret there.
_ARN = re.compile(
    r"arn:aws(?:-[a-z]+){0,3}:secretsmanager:[a-z]{2}(?:-[a-z]+){1,3}-[0-9]{1,2}:[0-9]{12}"
    r":secret:slipway/git/[A-Za-z0-9/_+=.@-]{1,507}",
    re.ASCII,
)


def parse_git_credential(value: object, field: str = "git_credential") -> str:
    """Read the ARN of a Secrets Manager secret whose name begins with `slipway/git/`.

    Builds may read such secrets alone. The value is not repeated in the error, for it may be a
    token that was sent by mistake. Raises InvalidInput (invalid_git_credential).
    """
    if not isinstance(value, str) or not _ARN.fullmatch(value):
        raise InvalidInput(
            "a git credential is named by the ARN of a Secrets Manager secret below slipway/git/: "
            "arn:aws:secretsmanager:<region>:<account>:secret:slipway/git/<name>",
            code="invalid_git_credential",
            field=field,
        )
    return value
