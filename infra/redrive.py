"""`make redrive` moves dead letters back to the queue after their cause is fixed.

It is optional: the schedule keeps retrying the rows that the messages name. A redrive retries them
at once and empties the queue that the alarm watches.
"""

import argparse
import sys
from collections.abc import Sequence
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from infra.stacks import Refused, open_session, stage_outputs


def redrive(sqs: Any, queue_url: str) -> int:
    """Move all dead letters of a queue back to it (SQS: StartMessageMoveTask).

    Returns their approximate number. Raises botocore's errors.
    """
    described = sqs.get_queue_attributes(
        QueueUrl=f"{queue_url}-dead", AttributeNames=["QueueArn", "ApproximateNumberOfMessages"]
    )["Attributes"]
    count = int(described["ApproximateNumberOfMessages"])
    if count:
        sqs.start_message_move_task(SourceArn=described["QueueArn"])
    return count


def main(arguments: Sequence[str] | None = None) -> None:
    """Move the dead letters of a deployed stage back to its queue."""
    parser = argparse.ArgumentParser(prog="make redrive", description=main.__doc__)
    parser.add_argument("stage", choices=["dev", "prod"])
    options = parser.parse_args(arguments)
    try:
        queue_url = stage_outputs(options.stage)["QueueUrl"]
        count = redrive(open_session().client("sqs"), queue_url)
    except Refused as refusal:
        sys.exit(str(refusal))
    except (BotoCoreError, ClientError) as error:
        sys.exit(f"{error}\nCheck that these credentials may move messages of the stage's queues.")
    print(f"About {count} dead letters go back to the queue." if count else "No dead letters.")


if __name__ == "__main__":
    main()
