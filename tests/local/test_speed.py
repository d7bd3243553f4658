"""The patches for speed change no answer."""

from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from moto import mock_aws

from infra.local.aws import fidelity

TABLE, INDEX = "rows", "by-owner"
OTHER = {
    "text": {"S": "ä"},
    "flag": {"BOOL": False},
    "nothing": {"NULL": True},
    "number": {"N": "-12"},
    "fraction": {"N": "0.5"},
    "map": {"M": {"a": {"L": [{"N": "1"}, {"S": ""}]}}},
    "list": {"L": [{"S": "x"}]},
}
ROW = {"id": {"S": "a"}, "owner": {"S": "me"}, **OTHER}


@pytest.fixture
def dynamodb(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "local")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "local")
    fidelity.install()
    with mock_aws():
        client = boto3.client("dynamodb", region_name="eu-west-1")
        names = ("id", "owner")
        client.create_table(
            TableName=TABLE,
            KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
            AttributeDefinitions=[{"AttributeName": name, "AttributeType": "S"} for name in names],
            BillingMode="PAY_PER_REQUEST",
            GlobalSecondaryIndexes=[
                {
                    "IndexName": INDEX,
                    "KeySchema": [{"AttributeName": "owner", "KeyType": "HASH"}],
                    "Projection": {
                        "ProjectionType": "INCLUDE",
                        "NonKeyAttributes": [*OTHER, "absent"],
                    },
                }
            ],
        )
        yield client


def by_owner(dynamodb: Any, **more: Any) -> Any:
    answer = dynamodb.query(
        TableName=TABLE,
        IndexName=INDEX,
        KeyConditionExpression="#owner = :owner",
        ExpressionAttributeNames={"#owner": "owner", **more.pop("names", {})},
        ExpressionAttributeValues={":owner": {"S": "me"}},
        **more,
    )
    return answer["Items"]


def test_an_index_shows_values_of_all_types(dynamodb: Any) -> None:
    dynamodb.put_item(TableName=TABLE, Item={**ROW, "hidden": {"S": "x"}})
    assert by_owner(dynamodb) == [ROW]


@pytest.mark.parametrize(
    ("path", "shown"),
    [
        ("#text", {"text": {"S": "ä"}}),
        ("#map.a[1]", {"map": {"M": {"a": {"L": [{"S": ""}]}}}}),
        ("absent", {}),
    ],
)
def test_a_query_shows_the_parts_that_it_asks_for(dynamodb: Any, path: str, shown: Any) -> None:
    dynamodb.put_item(TableName=TABLE, Item=ROW)
    names = {f"#{name}": name for name in ("text", "map") if name in path}
    assert by_owner(dynamodb, ProjectionExpression=path, names=names) == [shown]


def test_an_update_leaves_an_earlier_answer_as_it_was(dynamodb: Any) -> None:
    dynamodb.put_item(TableName=TABLE, Item=ROW)
    read = dynamodb.scan(TableName=TABLE)["Items"]
    dynamodb.update_item(
        TableName=TABLE,
        Key={"id": {"S": "a"}},
        UpdateExpression="SET #map.a[0] = :two",
        ExpressionAttributeNames={"#map": "map"},
        ExpressionAttributeValues={":two": {"N": "2"}},
    )
    assert read == [ROW]
    assert by_owner(dynamodb)[0]["map"] == {"M": {"a": {"L": [{"N": "2"}, {"S": ""}]}}}


def test_an_item_that_is_too_large_is_refused(dynamodb: Any) -> None:
    """Developer guide, "Quotas": 400 KB with the names of the attributes. moto allows 405,000."""
    half = {"S": "x" * 200_000}
    dynamodb.put_item(TableName=TABLE, Item={**ROW, "one": half, "two": half})
    with pytest.raises(ClientError, match="Item size has exceeded the maximum allowed size"):
        dynamodb.put_item(TableName=TABLE, Item={**ROW, "one": half, "two": half, "three": half})
