"""The user of IAM that deploys in the rehearsal: it may do what `make policy` prints, no more."""

import json
from collections.abc import Mapping

from infra.permissions import DEPLOY, policy, values_of
from infra.rehearse.readback import client

_NAME = "operator"


def create_operator() -> Mapping[str, str]:
    """Create the user for both stages; return the variables with its credentials."""
    iam = client("iam")
    iam.create_user(UserName=_NAME)
    # AWS names a rule of the default bus without the bus, the emulator with it (AWS: Service
    # Authorization Reference, "Amazon EventBridge").
    rules = {
        "Effect": "Allow",
        "Action": "events:*",
        "Resource": "arn:aws:events:*:*:rule/default/*",
    }
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
