"""A process as Lambda starts it that answers the same requests again and again, without AWS.

`python -S warm_process.py MODULE.FUNCTION` reads JSON from stdin: `events`, by name a list of two
events, and the `seconds` to measure each. The first event warms the caches of the process. The
answers of AWS to the second event are recorded. From then on the second event is repeated, and
each call of AWS gets its recorded answer before it reaches the network.

The last line on stderr is JSON: by event the ms of CPU time of each repetition, the ms that one
takes, the MB of memory that the process has had at most, and how many samples of the stack were in
the code of each owner. A sample belongs to the innermost frame that is not Python's own library, so
`json` and `re` count for their caller.
"""

import json
import os
import signal
import sys
import time
from types import FrameType, SimpleNamespace
from typing import Any

sys.path[0] = os.getcwd()
CONTEXT = SimpleNamespace(
    aws_request_id="deef4878-7910-11e6-8f14-25afc3e9ae33",
    function_name=os.environ.get("AWS_LAMBDA_FUNCTION_NAME"),
    memory_limit_in_mb=512,
    get_remaining_time_in_millis=lambda: 15_000,
)
# Seconds between two samples. No multiple of it is a period of the machine's clock.
INTERVAL = 0.00037
# The directory of the package, and the path that its bytecode names.
ROOTS = (f"{os.getcwd()}/", "/var/task/")
OURS = ("app.py", "chalicelib")


class Network:
    """Records the answers of AWS, then gives them again in the same order."""

    def __init__(self) -> None:
        from botocore.httpsession import URLLib3Session

        self._send: Any = URLLib3Session.send
        self._recorded: list[tuple[Any, Any]] = []
        self._next: int | None = None
        session: Any = URLLib3Session
        session.send = lambda session, request: self.send(session, request)

    def record(self) -> None:
        self._recorded, self._next = [], None

    def replay(self) -> None:
        self._next = 0

    @property
    def calls(self) -> int:
        return len(self._recorded)

    def send(self, session: Any, request: Any) -> Any:
        if self._next is None:
            answer = self._send(session, request)
            _ = answer.content  # read it now
            self._recorded.append((_operation(request), answer))
            return answer
        operation, answer = self._recorded[self._next]
        self._next += 1
        if operation != _operation(request):
            raise RuntimeError(f"{_operation(request)} instead of {operation}: not the same work")
        return answer


def _operation(request: Any) -> Any:
    return request.headers.get("X-Amz-Target") or request.url


class Samples:
    """Counts the owners of the running code."""

    def __init__(self) -> None:
        self.counts: dict[str, int] = {}
        self._owners: dict[str, str] = {}
        signal.signal(signal.SIGALRM, self._take)

    def _take(self, _signal: int, frame: FrameType | None) -> None:
        while frame is not None:
            name = frame.f_code.co_filename
            owner = self._owners.get(name)
            if owner is None:
                owner = self._owners[name] = _owner(name)
            if owner:
                self.counts[owner] = self.counts.get(owner, 0) + 1
                return
            frame = frame.f_back

    def start(self) -> None:
        self.counts = {}
        signal.setitimer(signal.ITIMER_REAL, INTERVAL, INTERVAL)

    def stop(self) -> None:
        signal.setitimer(signal.ITIMER_REAL, 0)


def _owner(path: str) -> str:
    """The package of a file; empty for Python's own files."""
    if path == __file__:
        return "this"
    for root in ROOTS:
        if path.startswith(root):
            top = path[len(root) :].partition("/")[0]
            return "slipway" if top in OURS else top.removesuffix(".py")
    return ""


def _peak() -> float:
    """The MB that this program has had at most. `getrusage` shows what its parent had, too."""
    with open("/proc/self/status") as status:
        (line,) = [each for each in status if each.startswith("VmHWM:")]
    return int(line.split()[1]) / 1024


def measure(handler: Any, network: Network, events: list[Any], seconds: float) -> dict[str, Any]:
    """The figures of one event."""
    network.record()
    handler(events[0], CONTEXT)
    network.record()
    wanted = handler(events[1], CONTEXT)

    def again() -> None:
        network.replay()
        answer = handler(events[1], CONTEXT)
        if answer["statusCode"] != wanted["statusCode"] or answer["body"] != wanted["body"]:
            raise RuntimeError(f"another answer: {answer}")

    times = []
    began = time.perf_counter()
    while time.perf_counter() < began + seconds:
        before = time.process_time()
        again()
        times.append((time.process_time() - before) * 1000)
    wall = (time.perf_counter() - began) * 1000 / len(times)
    samples = Samples()
    samples.start()
    until = time.perf_counter() + seconds
    while time.perf_counter() < until:
        again()
    samples.stop()
    status, size = wanted["statusCode"], len(wanted["body"])
    return {
        "status": status,
        "bytes": size,
        "calls": network.calls,
        "times": times,
        "wall": wall,
        "peak": _peak(),
        "samples": samples.counts,
    }


def main() -> None:
    asked = json.load(sys.stdin)
    module, _, function = sys.argv[1].rpartition(".")
    handler = getattr(__import__(module, fromlist=[function]), function)
    network = Network()
    figures = {
        name: measure(handler, network, events, asked["seconds"])
        for name, events in asked["events"].items()
    }
    print(json.dumps(figures), file=sys.stderr)


main()
