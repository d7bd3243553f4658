"""Git credentials: the secret that a project's builds use to fetch private repositories."""

from typing import Annotated

from msgspec import Meta

from chalicelib.domain.fields import END

GitCredential = Annotated[
    str,
    Meta(
        # Secrets Manager's API reference, CreateSecret: a name has at most 512 of these characters,
        # and an ARN ends with six more. No colon after the name: CodeBuild would read the text
        # behind it as a key of a JSON secret.
        pattern=(
            r"^arn:aws(?:-[a-z]+){0,3}:secretsmanager:[a-z]{2}(?:-[a-z]+){1,3}-[0-9]{1,2}"
            rf":[0-9]{{12}}:secret:slipway/git/[A-Za-z0-9/_+=.@-]{{1,507}}{END}"
        ),
        max_length=600,
        description=(
            "the ARN of a Secrets Manager secret below slipway/git/: "
            "arn:aws:secretsmanager:<region>:<account>:secret:slipway/git/<name>"
        ),
        extra_json_schema={"format": "git-credential"},
    ),
]
