"""`python -m infra.local.play.log_latency` measures how soon a written line is shown.

It writes lines to the log of a build in the embedded CloudWatch, and follows the log as a client
does: it reads the next page at once after lines, and after the seconds of Retry-After without any.
It prints the seconds from PutLogEvents until the line has arrived, as JSON. The time that the real
CloudWatch takes until it shows a line comes on top.
"""

import argparse
import json
import random
import statistics
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from infra.local.play import sample
from infra.local.play.client import Client
from infra.local.play.demo import serving

POLL = 2.0  # the Retry-After of a log without new lines


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lines", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=0.5, help="the mean pause between lines")
    options = parser.parse_args()
    log = Path("build/log_latency.log")
    log.parent.mkdir(exist_ok=True)
    with serving(simulate=True, log=log) as ready:
        client = Client(ready)
        build = _some_build(client)
        figures = {
            name: _measure(client, build, options.lines, options.seconds, poll)
            for name, poll in (("as Retry-After says", POLL), ("without a pause", 0.0))
        }
    print(json.dumps({"lines": options.lines, **figures}, indent=1))
    return 0


def _some_build(client: Client) -> Any:
    """A build with a log."""
    project = client.call("POST", "/v1/projects", {"name": "latency"}, expect=201)["id"]
    body = {
        "name": "web",
        "git_url": sample.GIT_URL,
        "branch": sample.BRANCH,
        "image_repository": sample.IMAGE_REPOSITORY,
    }
    service = client.call("POST", f"/v1/projects/{project}/services", body, expect=201)["id"]
    accepted = client.call("POST", f"/v1/cicd/services/{service}/build", {}, expect=202)
    while True:
        build = client.call("GET", f"/v1/cicd/builds/{accepted['build_id']}")
        if build["log_path"] and build["finished_at"]:
            return build
        time.sleep(0.2)


def _measure(client: Client, build: Any, lines: int, pause: float, poll: float) -> Any:
    written: dict[str, float] = {}
    writer = threading.Thread(target=_write, args=(client, build, lines, pause, written))
    path = f"/v1/cicd/builds/{build['id']}/logs"
    cursor = client.call("GET", f"{path}?tail=1")["next_cursor"]
    took: dict[str, float] = {}
    reads: list[float] = []
    writer.start()
    while len(took) < lines:
        began = time.monotonic()
        page = client.call("GET", f"{path}?cursor={cursor}")
        now, cursor = time.monotonic(), page["next_cursor"]
        reads.append(now - began)
        for line in page["lines"]:
            with suppress(KeyError):
                took[line["message"]] = now - written[line["message"]]
        if not page["lines"]:
            time.sleep(poll)
    writer.join()
    return {"shown": _percentiles(list(took.values())), "request": _percentiles(reads)}


def _write(client: Client, build: Any, lines: int, pause: float, written: dict[str, float]) -> None:
    group, job, stream = build["log_path"].rsplit("/", 2)
    logs, mark = client.aws("logs"), random.randbytes(4).hex()
    for number in range(lines):
        time.sleep(random.uniform(0, 2 * pause))
        message = f"{mark} {number}"
        written[message] = time.monotonic()
        event = {"timestamp": int(time.time() * 1000), "message": message}
        logs.put_log_events(logGroupName=group, logStreamName=f"{job}/{stream}", logEvents=[event])


def _percentiles(seconds: list[float]) -> dict[str, float]:
    cuts = statistics.quantiles(seconds, n=100)
    return {"p50": round(cuts[49], 3), "p95": round(cuts[94], 3)}


if __name__ == "__main__":
    raise SystemExit(main())
