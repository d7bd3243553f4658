"""How a deploy changes the indexes of a stage that exists, as DynamoDB allows it."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from moto import mock_aws
from moto.dynamodb.models import dynamodb_backends
from moto.dynamodb.models.table import Table

from infra import deploy, indexes
from infra.deploy import main
from infra.indexes import plan_steps, tables_of
from infra.package import stack_template
from tests.support.templates import load_template

TABLE = "slipway-dev-jobs"
MOST_BYTES = 51_200  # of a template in a request: "CloudFormation quotas"


def index(name: str, *attributes: str) -> dict[str, Any]:
    kinds = ("HASH", "RANGE")
    schema = [
        {"AttributeName": attribute, "KeyType": kind}
        for attribute, kind in zip(attributes, kinds, strict=False)
    ]
    projection = {"ProjectionType": "KEYS_ONLY"}
    return {"IndexName": name, "KeySchema": schema, "Projection": projection}


def template(*found: dict[str, Any]) -> str:
    used = {"id", *(key["AttributeName"] for each in found for key in each["KeySchema"])}
    table = {
        "TableName": {"Fn::Sub": "${ResourcePrefix}-jobs"},
        "BillingMode": "PAY_PER_REQUEST",
        "KeySchema": [{"AttributeName": "id", "KeyType": "HASH"}],
        "AttributeDefinitions": [{"AttributeName": n, "AttributeType": "S"} for n in sorted(used)],
        **({"GlobalSecondaryIndexes": list(found)} if found else {}),
    }
    names = ["ResourcePrefix", "BuildLogDir", "RepositoryPattern", "TaskRoles"]
    bucket = {"Type": "AWS::S3::Bucket", "Properties": {"BucketName": "packages"}}
    return json.dumps(
        {
            "Parameters": {name: {"Type": "String"} for name in names},
            "Resources": {
                "JobsTable": {"Type": "AWS::DynamoDB::Table", "Properties": table},
                "Packages": bucket,
            },
            "Outputs": {"Packages": {"Value": {"Ref": "Packages"}}},
        }
    )


OLD = template(index("a", "x"), index("b", "y"), index("c", "z"))
NEW = template(index("a-ids", "x"), index("b-ids", "y", "w"), index("c", "z"))


class DynamoDB:
    """Updates tables as DynamoDB does: one index at a time, which can be read only later."""

    def __init__(self) -> None:
        self.log: list[str] = []
        self.filling = 0
        self.leaving: dict[str, Any] | None = None

    def update(self, name: str, resource: dict[str, Any]) -> Any:
        properties = resource["Properties"]
        table = dynamodb_backends["123456789012"]["eu-west-1"].tables[name]
        wanted = {each["IndexName"]: each for each in properties.get("GlobalSecondaryIndexes", [])}
        present = {each.name for each in table.global_indexes}
        changed = wanted.keys() ^ present
        used = {
            key["AttributeName"]
            for each in (properties, *wanted.values())
            for key in each["KeySchema"]
        }
        assert {each["AttributeName"] for each in properties["AttributeDefinitions"]} == used
        assert len(changed) <= 1, f"DynamoDB changes one index at a time, not {sorted(changed)}"
        assert self.filling == 0, "an index of the table is being created"
        assert self.leaving is None, "an index of the table is being deleted"
        table.attr = properties["AttributeDefinitions"]
        backend = dynamodb_backends["123456789012"]["eu-west-1"]
        for each in changed:
            verb = "delete" if each in present else "create"
            self.log.append(f"{verb} {each}")
            self.filling = 2 if verb == "create" else 0
            request = {"IndexName": each} if verb == "delete" else wanted[each]
            backend.update_table_global_indexes(table, [{verb.capitalize(): request}])
        return table

    def wait(self, _: float) -> None:
        self.filling, self.leaving = max(0, self.filling - 1), None


@pytest.fixture
def dynamodb(monkeypatch: pytest.MonkeyPatch) -> Iterator[DynamoDB]:
    fake = DynamoDB()

    def update(
        cls: type[Table],
        original_resource: Table,
        new_resource_name: str,
        cloudformation_json: dict[str, Any],
        account_id: str,
        region_name: str,
    ) -> Any:
        return fake.update(original_resource.name, cloudformation_json)

    describe = Table.describe

    def describe_filling(self: Table, base_key: str = "TableDescription") -> Any:
        described = describe(self, base_key)
        found = described[base_key].get("GlobalSecondaryIndexes", [])
        if fake.filling and found:
            found[-1]["IndexStatus"] = "CREATING"
        if fake.leaving is not None:
            found.append({**fake.leaving, "IndexStatus": "DELETING"})
        return described

    monkeypatch.setattr(Table, "update_from_cloudformation_json", classmethod(update))
    monkeypatch.setattr(Table, "describe", describe_filling)
    monkeypatch.setattr(indexes, "sleep", fake.wait)
    with mock_aws():
        yield fake


@pytest.fixture
def run(dynamodb: DynamoDB, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Runs `make deploy STAGE=dev` with this template; the functions' stack is only noted."""
    change = deploy._change

    def note_functions(cloudformation: Any, name: str, *more: Any) -> Any:
        if not name.endswith("-app"):
            try:
                return change(cloudformation, name, *more)
            except ClientError as error:  # where AWS makes a change set that fails
                if "No updates are to be performed" in str(error):
                    return more[-1]
                raise
        assert dynamodb.filling == 0, "the new functions would read an index that is not filled"
        dynamodb.log.append("update the functions")
        return more[-1]

    def outputs(cloudformation: Any, name: str) -> Any:
        return {"EndpointURL": "https://x.example/api/", "Packages": "packages"}

    monkeypatch.setattr(deploy, "write_package", lambda *_, **__: None)
    monkeypatch.setattr(deploy, "_upload", lambda *_: "https://packages.example/x")
    monkeypatch.setattr(deploy, "_change", note_functions)
    monkeypatch.setattr(deploy, "find_outputs", outputs)
    monkeypatch.setattr(deploy, "upgrade", lambda *_, **__: 0)
    monkeypatch.setattr(deploy, "sleep", lambda _: dynamodb.log.append("wait for old workers"))
    monkeypatch.setattr(deploy, "read_schema", lambda *_: 0)

    def deploy_template(text: str) -> None:
        monkeypatch.setattr(deploy, "stack_template", lambda: text)
        main(["dev", "--yes", "RepositoryPattern=team/*", "TaskRoles=ecs-*"])

    return deploy_template


def present() -> list[str]:
    described = boto3.client("dynamodb").describe_table(TableName=TABLE)["Table"]
    return sorted(each["IndexName"] for each in described["GlobalSecondaryIndexes"])


def test_new_indexes_are_filled_before_the_functions_change_and_old_ones_stay_until_then(
    run: Callable[[str], None], dynamodb: DynamoDB, capsys: pytest.CaptureFixture[str]
) -> None:
    run(OLD)
    assert dynamodb.log == ["update the functions"]
    dynamodb.log.clear()
    run(NEW)
    assert dynamodb.log == [
        "create a-ids",
        "create b-ids",
        "update the functions",
        "wait for old workers",
        "delete a",
        "delete b",
    ]
    assert present() == ["a-ids", "b-ids", "c"]
    printed = capsys.readouterr().out
    assert "updated 3 times before the functions and 2 times after" in printed
    assert f"table {TABLE}: DynamoDB fills or deletes the index a-ids" in printed
    dynamodb.log.clear()
    run(NEW)
    assert dynamodb.log == ["update the functions"]


@pytest.mark.parametrize("steps", [1, 2, 4, 5])
def test_an_interrupted_deploy_goes_on_where_it_stopped(
    run: Callable[[str], None],
    dynamodb: DynamoDB,
    monkeypatch: pytest.MonkeyPatch,
    steps: int,
) -> None:
    run(OLD)
    dynamodb.log.clear()
    change = deploy._change

    def change_until(*arguments: Any) -> Any:
        if len(dynamodb.log) == steps:
            raise KeyboardInterrupt
        return change(*arguments)

    monkeypatch.setattr(deploy, "_change", change_until)
    with pytest.raises(KeyboardInterrupt):
        run(NEW)
    monkeypatch.setattr(deploy, "_change", change)
    run(NEW)
    made = [each for each in dynamodb.log if each.startswith(("create", "delete"))]
    assert made == ["create a-ids", "create b-ids", "delete a", "delete b"]
    assert present() == ["a-ids", "b-ids", "c"]


def test_a_deploy_that_was_interrupted_while_an_index_is_deleted_does_not_make_it_again(
    run: Callable[[str], None], dynamodb: DynamoDB
) -> None:
    run(OLD)
    run(NEW)
    dynamodb.log.clear()
    dynamodb.leaving = index("b", "y")
    run(NEW)
    assert dynamodb.log == ["update the functions"]
    assert present() == ["a-ids", "b-ids", "c"]


def test_an_index_with_another_definition_needs_another_name() -> None:
    changed = template(index("a", "y"))
    with pytest.raises(ValueError, match="the index a has a new definition"):
        plan_steps(changed, tables_of(template(index("a", "x"))))


def test_the_template_without_a_change_of_indexes_stays_as_it_is() -> None:
    text = stack_template()
    assert plan_steps(text, {}) == indexes.Steps((text,), ())
    assert plan_steps(text, tables_of(text)) == indexes.Steps((text,), ())


def test_each_step_of_the_real_template_fits_into_a_request_and_changes_only_indexes() -> None:
    text = stack_template()
    before = tables_of(text)
    for name in ("JobsTable", "ServicesTable"):
        table = before[name]
        old = {each.removesuffix("-ids"): found for each, found in table.indexes.items()}
        before[name] = table.with_indexes(old)
    steps = plan_steps(text, before)
    assert (len(steps.before), len(steps.after)) == (5, 4)
    for step in (*steps.before, *steps.after):
        assert len(step.encode()) <= MOST_BYTES
        assert _without_indexes(step) == _without_indexes(text)
    assert steps.after[-1] == text


def _without_indexes(text: str) -> dict[str, Any]:
    found = load_template(text)
    for resource in found["Resources"].values():
        for name in ("GlobalSecondaryIndexes", "AttributeDefinitions"):
            resource.get("Properties", {}).pop(name, None)
    return found
