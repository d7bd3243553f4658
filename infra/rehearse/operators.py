"""The user of IAM that deploys in the rehearsal: it may do what `make policy` prints, no more."""

import json
from collections.abc import Mapping

from infra.permissions import DEPLOY, policy, values_of
from infra.rehearse.readback import client

_NAME = "operator"
_EVENTS = next(list(each.actions) for each in DEPLOY if each.sid == "Rules")


def create_operator() -> Mapping[str, str]:
    """Create the user for both stages; return the variables with its credentials."""
    iam = client("iam")
    iam.create_user(UserName=_NAME)
    # AWS checks the rule's ARN without the default bus (Service Authorization Reference, "Amazon
    # EventBridge"). The emulator checks one with the bus, or none. So only the actions are checked.
    rules = {"Effect": "Allow", "Action": _EVENTS, "Resource": "*"}
    iam.put_user_policy(
        UserName=_NAME,
        PolicyName="emulator",
        PolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [rules]}),
    )
    for stage in ("dev", "prod"):
        document = json.dumps(policy(DEPLOY, values_of(stage, {})))
        made = iam.create_policy(PolicyName=f"deploy-{stage}", PolicyDocument=document)
        iam.attach_user_policy(UserName=_NAME, PolicyArn=made["Policy"]["Arn"])
    key = iam.create_access_key(UserName=_NAME)["AccessKey"]
    return {
        "AWS_ACCESS_KEY_ID": key["AccessKeyId"],
        "AWS_SECRET_ACCESS_KEY": key["SecretAccessKey"],
    }
