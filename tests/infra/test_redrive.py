"""`make redrive`, the response to the alarm about dead letters."""

import pytest
from botocore.exceptions import ClientError

from infra import redrive, stacks
from infra.local.aws.queues import DEAD_LETTERS, DEAD_TELLINGS, TELLINGS
from infra.stacks import Stack
from tests.support.embedded import Cloud, client

OUTPUTS = {
    "QueueUrl": "https://sqs.eu-west-1.amazonaws.com/123456789012/slipway-wakeups",
    "TablePrefix": "slipway",
}


def test_it_prints_how_many_messages_go_back(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    stack = Stack("CREATE_COMPLETE", {}, OUTPUTS)
    monkeypatch.setattr(stacks, "find_stack", lambda *_: stack)
    sqs = client("sqs")
    dead = sqs.get_queue_url(QueueName=DEAD_LETTERS)["QueueUrl"]
    for _ in range(2):
        sqs.send_message(QueueUrl=dead, MessageBody='{"v": 1, "reconcile": "build-1"}')
    tellings = sqs.get_queue_url(QueueName=DEAD_TELLINGS)["QueueUrl"]
    sqs.send_message(
        QueueUrl=tellings, MessageBody="{}", MessageGroupId="1-1", MessageDeduplicationId="1"
    )
    redrive.main(["dev"])
    redrive.main(["dev"])
    assert capsys.readouterr().out.splitlines() == [
        "About 3 dead letters go back to their queues.",
        "No dead letters.",
    ]
    back = sqs.get_queue_url(QueueName=TELLINGS)["QueueUrl"]
    assert len(sqs.receive_message(QueueUrl=back)["Messages"]) == 1


def test_an_application_of_an_earlier_version_has_no_queue_of_tellings(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    stack = Stack("CREATE_COMPLETE", {}, OUTPUTS | {"TablePrefix": "earlier"})
    monkeypatch.setattr(stacks, "find_stack", lambda *_: stack)
    redrive.main(["dev"])
    assert capsys.readouterr().out == "No dead letters.\n"


def test_refused_credentials_print_two_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise ClientError({"Error": {"Code": "AccessDenied", "Message": "no"}}, "DescribeStacks")

    monkeypatch.setattr(stacks, "find_stack", refuse)
    with pytest.raises(SystemExit, match=r".*AccessDenied.*\nCheck that these credentials.*"):
        redrive.main(["dev"])
