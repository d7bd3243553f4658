"""The embedded cloud keeps what AWS keeps, and forgets the rest: `make run` may run for days."""

import gc
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from moto import mock_aws
from moto.dynamodb.models import dynamodb_backends
from moto.dynamodb.models.dynamo_type import Item

from infra.local.aws import clock, codebuild, fidelity

ACCOUNT, REGION = "123456789012", "eu-west-1"
TABLE = "rows"


@pytest.fixture(autouse=True)
def aws(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "local")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "local")
    monkeypatch.setenv("AWS_DEFAULT_REGION", REGION)
    fidelity.install()
    clock.reset()
    with mock_aws():
        yield
    clock.reset()


@pytest.fixture
def dynamodb() -> Any:
    client = boto3.client("dynamodb")
    client.create_table(
        TableName=TABLE,
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
    )
    return client


def items() -> int:
    gc.collect()
    return sum(isinstance(each, Item) for each in gc.get_objects())


def test_an_item_that_was_written_many_times_is_in_memory_once(dynamodb: Any) -> None:
    before = items()
    for number in range(50):
        dynamodb.put_item(TableName=TABLE, Item={"id": {"S": "a"}, "n": {"N": str(number)}})
        dynamodb.get_item(TableName=TABLE, Key={"id": {"S": "a"}})
    assert items() - before == 1


def test_a_deleted_item_is_not_in_memory(dynamodb: Any) -> None:
    before = items()
    dynamodb.put_item(TableName=TABLE, Item={"id": {"S": "a"}})
    dynamodb.delete_item(TableName=TABLE, Key={"id": {"S": "a"}})
    assert items() == before


def test_a_transaction_is_forgotten_with_its_token(dynamodb: Any) -> None:
    """DynamoDB keeps tokens for ten minutes: TransactWriteItems, ClientRequestToken."""
    put = {"TableName": TABLE, "Item": {"id": {"S": "a"}}}
    for _ in range(3):
        dynamodb.transact_write_items(TransactItems=[{"Put": put}])
    known = vars(dynamodb_backends[ACCOUNT][REGION])["request_tokens"]
    assert len(known) == 3
    clock.advance(fidelity.TOKEN_LIFETIME)
    dynamodb.transact_write_items(TransactItems=[{"Put": put}])
    assert len(known) == 1


def test_a_request_for_a_build_is_forgotten_with_its_token() -> None:
    """CodeBuild keeps tokens for five minutes: StartBuild, idempotencyToken."""
    client = boto3.client("codebuild")
    client.create_project(
        name="builds",
        source={"type": "NO_SOURCE", "buildspec": "version: 0.2"},
        artifacts={"type": "NO_ARTIFACTS"},
        environment={
            "type": "LINUX_CONTAINER",
            "image": "x",
            "computeType": "BUILD_GENERAL1_SMALL",
        },
        serviceRole="arn:aws:iam::123456789012:role/builds",
    )
    known = codebuild.engine()._tokens
    for token in ("one", "two"):
        client.start_build(projectName="builds", idempotencyToken=token)
    assert len(known) == 2
    clock.advance(codebuild.TOKEN_LIFETIME)
    client.start_build(projectName="builds", idempotencyToken="three")
    assert len(known) == 1
