"""The AWS SDK's session. All clients of a process share it.

A session reads descriptions of AWS from files. That takes longer than a request, so it is done
once. boto3 is not used: its resources and transfers would only make the package larger.
"""

from functools import cache
from threading import RLock
from typing import Any

from botocore.parsers import JSONParser, ResponseParserFactory
from botocore.session import Session, get_session

# botocore: a session is not thread-safe, but its clients are. The embedded cloud has threads.
LOCK = RLock()


@cache
def session() -> Session:
    """The session of this process. Make clients of it only while holding `LOCK`."""
    made = get_session()
    made.register_component("response_parser_factory", _Parsers())
    return made


class _Parsers(ResponseParserFactory):
    """botocore's parsers of answers, but `_Parser` for those of DynamoDB's protocol."""

    def create_parser(self, protocol_name: str) -> Any:
        return _Parser() if protocol_name == "json" else super().create_parser(protocol_name)


class _Parser(JSONParser):
    """Takes the attributes of DynamoDB's items as JSON has them.

    botocore would copy each value, which takes half of the CPU time of a list. Only a binary value
    (type B, or a set of them) would differ: it stays base64. No row has one.
    """

    def _handle_map(self, shape: Any, value: Any) -> Any:
        if shape.value.name == "AttributeValue":
            return value
        return super()._handle_map(shape, value)  # type: ignore[misc]  # the stubs lack it
