"""Hiding who called AWS: its messages name roles and the account, and viewers read them.

The forms of ARNs are from the IAM User Guide, "IAM identifiers".
"""

from chalicelib.domain.regex import regex

MASK = "***"

_PRINCIPAL = regex(
    r"arn:[a-z-]{3,20}:(?:iam|sts)::[0-9]{12}:"
    r"(?:root|(?:assumed-role|federated-user|role|user)/[A-Za-z0-9+=,.@_/-]*[A-Za-z0-9_])"
)
# The account in another ARN, or as ECR writes it: "in the registry with id '123456789012'".
_ACCOUNT = regex(
    r"(arn:[a-z-]{3,20}:[a-z0-9-]{1,40}:[a-z0-9-]{0,30}:|registry with id ')[0-9]{12}\b"
)


def without_identities(message: str) -> str:
    """A message of AWS without ARNs of roles and users, and without the number of the account."""
    return _ACCOUNT.sub(rf"\1{MASK}", _PRINCIPAL.sub(MASK, message))
