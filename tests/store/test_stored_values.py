"""Values of rows between DynamoDB and Python."""

from chalicelib import sdk
from chalicelib.store.connection import connection


def test_values_of_a_row_are_taken_as_dynamodb_sends_them() -> None:
    """Without a copy of each. Only a binary value shows the difference, and no row has one."""
    parser = sdk.session().get_component("response_parser_factory").create_parser("json")
    shape = connection().client.meta.service_model.operation_model("GetItem").output_shape
    body = b'{"Item": {"id": {"S": "x"}, "bytes": {"B": "YWI="}}}'
    found = parser.parse({"status_code": 200, "headers": {}, "body": body}, shape)
    assert found["Item"] == {"id": {"S": "x"}, "bytes": {"B": "YWI="}}
