"""Secrets and parameters that task definitions refer to: only whether they exist, no values."""

from collections.abc import Collection
from typing import Any

from chalicelib.aws.clients import calling, client
from chalicelib.errors import Rejected

# DescribeParameters answers in pages, also empty ones (its page in the API reference).
_PAGES = 10


def labels_of(secret: str) -> dict[str, list[str]] | None:
    """The staging labels of the versions of a secret, by name or ARN.

    None if Secrets Manager has no such secret, or if it is to be deleted. Raises Rejected if the
    look is denied.
    """
    try:
        with calling("Secrets Manager DescribeSecret"):
            answer = client("secretsmanager").describe_secret(SecretId=secret)
    except Rejected as refusal:
        if refusal.code == "ResourceNotFoundException":
            return None
        raise
    labels: dict[str, list[str]] = answer.get("VersionIdsToStages") or {}
    return None if "DeletedDate" in answer else labels


def existing_parameters(names: Collection[str]) -> set[str]:
    """Those of at most 25 names, or ARNs of one-part names, that exist.

    A filter has up to 50 values (ParameterStringFilter), and an ARN is two names. Raises Rejected
    if the look is denied, or if Parameter Store returns too many pages.
    """
    values = sorted({form for name in names for form in _forms(name)})
    found: set[str] = set()
    token: dict[str, str] = {}
    for _ in range(_PAGES):
        page = _page(values, token)
        found |= {each["Name"] for each in page["Parameters"]}
        if not page.get("NextToken"):
            return {name for name in names if _forms(name) & found}
        token = {"NextToken": page["NextToken"]}
    raise Rejected(f"SSM DescribeParameters: no end after {_PAGES} pages")


def _page(names: list[str], token: dict[str, str]) -> Any:
    with calling("SSM DescribeParameters"):
        return client("ssm").describe_parameters(
            ParameterFilters=[{"Key": "Name", "Option": "Equals", "Values": names}],
            MaxResults=50,
            **token,
        )


def _forms(name: str) -> set[str]:
    """The names that a parameter may have: `DB` and `/DB` have the same ARN."""
    if not name.startswith("arn:"):
        return {name}
    short = name.rpartition("/")[2]
    return {short, f"/{short}"}
