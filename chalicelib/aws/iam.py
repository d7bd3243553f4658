"""IAM: whether roles exist."""

from chalicelib.aws.clients import calling, client
from chalicelib.errors import Rejected


def has_role(role: str) -> bool:
    """Whether the role with this ARN or name exists. Raises Rejected if the look is denied."""
    name = role.rpartition("/")[2]
    try:
        with calling("IAM GetRole"):
            found = client("iam").get_role(RoleName=name)["Role"]
    except Rejected as refusal:
        if refusal.code == "NoSuchEntity":
            return False
        raise
    # A role has only one path, and a role of another account has the same name but another ARN.
    return role in {name, found["Arn"]}
