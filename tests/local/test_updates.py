"""An update that is applied at once leaves the same item, and gets the same answer, as in moto."""

import re
from collections.abc import Iterator
from typing import Any

import boto3
import moto.dynamodb.models
import pytest
from botocore.exceptions import ClientError
from moto import mock_aws
from moto.dynamodb.parsing import executors, validators

TABLE = "rows"
ITEM: dict[str, Any] = {
    "id": {"S": "a"},
    "text": {"S": "x"},
    "number": {"N": "2"},
    "fraction": {"N": "0.5"},
    "members": {"SS": ["a", "b"]},
    "map": {"M": {"a": {"L": [{"N": "1"}]}}},
}
NAMES = {f"#{name}": name for name in (*ITEM, "absent")}
VALUES: dict[str, Any] = {
    ":text": {"S": "y"},
    ":empty": {"S": ""},
    ":number": {"N": "3"},
    ":members": {"SS": ["b", "c", "d"]},
    ":others": {"SS": ["e"]},
    ":numbers": {"NS": ["1"]},
    ":all": {"SS": ["a", "b"]},
    ":map": {"M": {"b": {"NULL": True}}},
    ":large": {"S": "x" * 405_000},
    ":half": {"S": "x" * 250_000},
}
APPLIED = (
    "SET #text = :text",
    "SET #text = :empty, #map = :map",
    "SET #absent = :number REMOVE #text, #map ADD #number :number",
    "SET #text = if_not_exists (#text, :text), #absent = if_not_exists (#absent, :number)",
    "SET #absent = if_not_exists (#number, :text)",
    "SET #text = :text DELETE #members :members",
    "REMOVE #absent, #text",
    "REMOVE #text ADD #members :members",
    "ADD #number :number, #fraction :number, #absent :number",
    "ADD #absent :members",
    "DELETE #members :all",
    "DELETE #absent :all",
    "DELETE #members :others",
)
# What moto refuses, and other forms.
OTHERS = (
    "SET #id = :text",
    "REMOVE #id",
    "SET #text = :text, #text = :empty",
    "SET #text = :text REMOVE #text",
    "SET #text = :missing",
    "SET #text = if_not_exists (#missing, :text)",
    "ADD #text :number",
    "ADD #text :text",
    "ADD #number :members",
    "ADD #members :numbers",
    "DELETE #members :numbers",
    "DELETE #members :number",
    "SET #text = :large",
    "SET #text = :half, #absent = :half",
    "SET #map.a[0] = :number",
    "SET #number = #number + :number",
    "SET #text = #absent",
    "SET #map.a = list_append (#map.a, :text)",
    "SET text = :text",
    "ADD #number :number SET #text = :text",
    "SET #text = :text SET #map = :map",
    "SET #text :text",
)


@pytest.fixture
def dynamodb(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "local")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "local")
    with mock_aws():
        client = boto3.client("dynamodb", region_name="eu-west-1")
        client.create_table(
            TableName=TABLE,
            KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
            AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
            BillingMode="PAY_PER_REQUEST",
        )
        yield client


def update(dynamodb: Any, expression: str, item: Any) -> Any:
    """Update the item, or none; return the answer and the item after it."""
    key = {"id": ITEM["id"]}
    dynamodb.delete_item(TableName=TABLE, Key=key)
    if item is not None:
        dynamodb.put_item(TableName=TABLE, Item=item)
    names = {each: NAMES[each] for each in re.findall(r"#\w+", expression) if each in NAMES}
    values = {each: VALUES[each] for each in re.findall(r":\w+", expression) if each in VALUES}
    more = {"ExpressionAttributeNames": names, "ExpressionAttributeValues": values}
    try:
        answer = dynamodb.update_item(
            TableName=TABLE,
            Key=key,
            UpdateExpression=expression,
            ReturnValues="ALL_NEW",
            **{name: given for name, given in more.items() if given},
        )["Attributes"]
    except ClientError as error:
        answer = str(error)
    return answer, dynamodb.get_item(TableName=TABLE, Key=key).get("Item")


@pytest.mark.parametrize("item", [ITEM, None], ids=["an item", "no item"])
@pytest.mark.parametrize("expression", [*APPLIED, *OTHERS])
def test_an_update_has_the_result_that_it_has_in_moto(
    dynamodb: Any, monkeypatch: pytest.MonkeyPatch, expression: str, item: Any
) -> None:
    found = update(dynamodb, expression, item)
    models: Any = moto.dynamodb.models
    assert models.UpdateExpressionExecutor is not executors.UpdateExpressionExecutor
    for module, name in (
        (validators, "UpdateExpressionValidator"),
        (executors, "UpdateExpressionExecutor"),
    ):
        monkeypatch.setattr(models, name, getattr(module, name))
    assert found == update(dynamodb, expression, item)
    assert expression in OTHERS or type(found[0]) is dict


@pytest.mark.parametrize("expression", APPLIED)
def test_an_update_of_the_usual_form_is_applied_at_once(
    dynamodb: Any, monkeypatch: pytest.MonkeyPatch, expression: str
) -> None:
    monkeypatch.delattr(validators.UpdateExpressionValidator, "get_ast_processors")
    answer, after = update(dynamodb, expression, ITEM)
    assert answer == after


def test_a_value_of_an_update_is_no_part_of_another_item(dynamodb: Any) -> None:
    """A set that grows is not the set of the request before."""
    expression = "ADD #members :members"
    first = update(dynamodb, expression, ITEM)
    assert first == update(dynamodb, expression, ITEM)
    assert first[1]["members"] == {"SS": ["a", "b", "c", "d"]}
