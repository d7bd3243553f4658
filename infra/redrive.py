"""`make redrive` moves dead letters back to their queues after their cause is fixed.

It is optional: the schedule keeps retrying the rows that the messages name. A redrive retries them
at once and empties the queues that the alarms watch.
"""

import argparse
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from infra.stacks import Refused, open_session, stage_outputs
from infra.tellings import queue_name


def queues_of(outputs: Mapping[str, str]) -> list[str]:
    """The URLs of the queues of a stage that have dead letters, from its stack's outputs.

    The second one is missing if the application is not deployed, or has an earlier version.
    """
    wakeups = outputs["QueueUrl"]
    return [wakeups, f"{wakeups.rpartition('/')[0]}/{queue_name(outputs['TablePrefix'])}"]


def dead_letters_of(queue_url: str) -> str:
    """The URL of a queue's dead letters. The name of a FIFO queue ends with `.fifo`."""
    name = queue_url.removesuffix(".fifo")
    return f"{name}-dead{queue_url.removeprefix(name)}"


def is_missing_queue(error: ClientError) -> bool:
    """Whether SQS answers that there is no such queue. The code is that of its older protocol."""
    return error.response.get("Error", {}).get("Code") in {
        "AWS.SimpleQueueService.NonExistentQueue",
        "QueueDoesNotExist",
    }


def redrive(sqs: Any, queue_url: str) -> int:
    """Move all dead letters of a queue back to it (SQS: StartMessageMoveTask).

    Returns their approximate number, which is 0 if there is no such queue. Raises botocore's
    errors.
    """
    try:
        described = sqs.get_queue_attributes(
            QueueUrl=dead_letters_of(queue_url),
            AttributeNames=["QueueArn", "ApproximateNumberOfMessages"],
        )["Attributes"]
    except ClientError as error:
        if is_missing_queue(error):
            return 0
        raise
    count = int(described["ApproximateNumberOfMessages"])
    if count:
        sqs.start_message_move_task(SourceArn=described["QueueArn"])
    return count


def main(arguments: Sequence[str] | None = None) -> None:
    """Move the dead letters of a deployed stage back to their queues."""
    parser = argparse.ArgumentParser(prog="make redrive", description=main.__doc__)
    parser.add_argument("stage", choices=["dev", "prod"])
    options = parser.parse_args(arguments)
    try:
        outputs = stage_outputs(options.stage)
        sqs = open_session().client("sqs")
        count = sum(redrive(sqs, each) for each in queues_of(outputs))
    except Refused as refusal:
        sys.exit(str(refusal))
    except (BotoCoreError, ClientError) as error:
        sys.exit(f"{error}\nCheck that these credentials may move messages of the stage's queues.")
    print(f"About {count} dead letters go back to their queues." if count else "No dead letters.")


if __name__ == "__main__":
    main()
