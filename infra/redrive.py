"""`make redrive`: dead letters go back to the queue, once what they failed of is mended.

Nothing is lost without it, for the schedule goes on trying whatever they name; it empties the queue
that the alarm watches, and has everything looked at now.
"""

import argparse
import sys
from collections.abc import Sequence
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from infra.stacks import Refused, open_session, stage_outputs


def redrive(sqs: Any, queue_url: str) -> int:
    """Move every dead letter of a queue back to it (SQS: StartMessageMoveTask); about how many.

    Raises botocore's errors.
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
