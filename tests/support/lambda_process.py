"""A process as Lambda starts it: imports a handler from the present directory and calls it.

`python -S lambda_process.py MODULE.FUNCTION` reads a JSON list of events from stdin. The last line
on stderr is JSON: ms of CPU time for the import and for each event, the
answers, and whether Python collects garbage.
"""

import gc
import json
import os
import sys
import time
from types import SimpleNamespace

sys.path[0] = os.getcwd()
events = json.load(sys.stdin)
CONTEXT = SimpleNamespace(
    aws_request_id="deef4878-7910-11e6-8f14-25afc3e9ae33",
    function_name=os.environ.get("AWS_LAMBDA_FUNCTION_NAME"),
    memory_limit_in_mb=512,
    get_remaining_time_in_millis=lambda: 15_000,
)


def main() -> None:
    module, _, function = sys.argv[1].rpartition(".")
    started = time.process_time()
    handler = getattr(__import__(module, fromlist=[function]), function)
    imported = time.process_time()
    requests, answers = [], []
    for event in events:
        before = time.process_time()
        answers.append(handler(event, CONTEXT))
        requests.append((time.process_time() - before) * 1000)
    result = {
        "import": (imported - started) * 1000,
        "requests": requests,
        "answers": answers,
        "collects_garbage": gc.isenabled(),
    }
    print(json.dumps(result, default=str), file=sys.stderr)


main()
