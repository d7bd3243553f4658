"""Deletes resources that CloudFormation would keep when it deletes a stack, with what they hold.

Each function may be repeated: a resource that is already deleted is no error.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import boto3
from botocore.exceptions import ClientError

# The codes for a missing resource, from the API references of the services.
_MISSING = frozenset({"ResourceNotFoundException", "NoSuchBucket"})
# In seconds. A table is deleted in less than a minute.
_PATIENCE: Any = {"Delay": 2, "MaxAttempts": 300}


def remove_table(session: boto3.Session, name: str) -> None:
    """Delete a table with its rows, although it is protected, and wait until its name is free.

    DynamoDB keeps a backup of a table with point-in-time recovery for 35 days, without cost.
    """
    dynamodb = session.client("dynamodb")
    with _if_it_exists():
        if dynamodb.describe_table(TableName=name)["Table"].get("DeletionProtectionEnabled"):
            dynamodb.update_table(TableName=name, DeletionProtectionEnabled=False)
            # DynamoDB refuses to delete a table that is being updated.
            dynamodb.get_waiter("table_exists").wait(TableName=name, WaiterConfig=_PATIENCE)
        dynamodb.delete_table(TableName=name)
    dynamodb.get_waiter("table_not_exists").wait(TableName=name, WaiterConfig=_PATIENCE)


def remove_bucket(session: boto3.Session, name: str) -> None:
    """Delete a bucket with all versions of its objects."""
    s3 = session.client("s3")
    with _if_it_exists():
        # A page has at most a thousand entries, as many as one deletion takes.
        for page in s3.get_paginator("list_object_versions").paginate(Bucket=name):
            found = [*page.get("Versions", []), *page.get("DeleteMarkers", [])]
            objects = [{"Key": each["Key"], "VersionId": each["VersionId"]} for each in found]
            if objects:
                delete: Any = {"Objects": objects, "Quiet": True}
                s3.delete_objects(Bucket=name, Delete=delete)
        s3.delete_bucket(Bucket=name)


def remove_log_group(session: boto3.Session, name: str) -> None:
    """Delete a log group with its logs."""
    with _if_it_exists():
        session.client("logs").delete_log_group(logGroupName=name)


def remove_secret(session: boto3.Session, arn: str) -> None:
    """Delete a secret at once. Otherwise its name would be in use for a week or longer."""
    with _if_it_exists():
        session.client("secretsmanager").delete_secret(
            SecretId=arn, ForceDeleteWithoutRecovery=True
        )


# By the type of the resource in CloudFormation.
REMOVALS: Mapping[str, Callable[[boto3.Session, str], None]] = {
    "AWS::DynamoDB::Table": remove_table,
    "AWS::S3::Bucket": remove_bucket,
    "AWS::Logs::LogGroup": remove_log_group,
    "AWS::SecretsManager::Secret": remove_secret,
}


@contextmanager
def _if_it_exists() -> Iterator[None]:
    try:
        yield
    except ClientError as error:
        if error.response["Error"]["Code"] not in _MISSING:
            raise
