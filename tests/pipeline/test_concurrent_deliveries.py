"""GitHub delivers one push many times at once, over HTTP: every service is built once."""

import http.client
import json
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from http import HTTPStatus
from typing import Any

from infra.local import gateway
from tests.builders import delivery_headers, push_payload
from tests.embedded import MIDNIGHT, Cloud
from tests.faults.rows import builds, rows

AT_ONCE = 32


def test_of_32_identical_deliveries_one_starts_the_builds(cloud: Cloud) -> None:
    cloud.add_service("second")
    payload = push_payload()
    payload["repository"] |= {"pushed_at": int(MIDNIGHT)}
    body = json.dumps(payload).encode()
    headers = {name: value for name, value in delivery_headers(body).items() if value}
    server = gateway.listen(0)
    gateway.attach(server, cloud.app)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    together = threading.Barrier(AT_ONCE)

    def deliver(_: int) -> tuple[int, Any]:
        connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=60)
        together.wait()
        while True:
            connection.request("POST", "/v1/webhooks/github", body=body, headers=headers)
            answer = connection.getresponse()
            told = json.loads(answer.read())
            # "Try again" is a right answer for some of so many; whoever gets it tries again.
            if answer.status != HTTPStatus.SERVICE_UNAVAILABLE:
                connection.close()
                return answer.status, told

    try:
        with ThreadPoolExecutor(AT_ONCE) as threads:
            answers = list(threads.map(deliver, range(AT_ONCE)))
    finally:
        server.shutdown()
        server.server_close()
    statuses = Counter(status for status, _ in answers)
    assert statuses == {202: 1, 200: AT_ONCE - 1}
    assert {build["service_id"] for build in builds().values()} == {1, 2}
    assert len(builds()) == 2
    told = {tuple(each["build_id"] for each in answer["builds"]) for _, answer in answers}
    assert len(told) == 1
    assert rows("receipts")["delivery:" + headers["X-GitHub-Delivery"]]["times"] == AT_ONCE
