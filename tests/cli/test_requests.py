"""Requests of the command line: repeated safely, and the token goes to one address only."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from slipway_cli.client import Client
from slipway_cli.errors import Failed, Failure, NoAccess, NoAnswer, WrongUsage
from slipway_cli.following import Follower
from slipway_cli.names import JobName, find_service

from tests.cli import rows
from tests.support.scripted_api import DROPPED, Response, ScriptedApi, problem, scripted_api

BUSY = problem(503, "unavailable", "AWS is busy", Retry_After="7")
STALE = problem(409, "concurrent_update", "changed", Retry_After="1")
DEPLOY = "/v1/cicd/services/1/deploy"


class Sleeps(list[float]):
    """Pauses that take no time."""

    def __call__(self, seconds: float) -> None:
        self.append(seconds)


@pytest.fixture
def sleeps() -> Sleeps:
    return Sleeps()


@pytest.fixture
def client(api: ScriptedApi, sleeps: Sleeps) -> Client:
    return Client(api.url, "slw_secret", sleep=sleeps)


def test_a_request_is_repeated_with_the_same_key_until_it_is_accepted(
    api: ScriptedApi, client: Client, sleeps: Sleeps
) -> None:
    api.on(f"POST {DEPLOY}", DROPPED, BUSY, STALE, {"deployment_id": 4})
    assert client.post(DEPLOY, {"image_tag": "a:b"}) == {"deployment_id": 4}
    keys = {each.headers["Idempotency-Key"] for each in api.received}
    assert (len(api.received), len(keys)) == (4, 1)
    assert {json.dumps(each.body) for each in api.received} == {'{"image_tag": "a:b"}'}
    assert 0.5 <= sleeps[0] < 1
    assert 7 <= sleeps[1] <= 9
    assert 1 <= sleeps[2] <= 1.5


def test_two_requests_have_two_keys(api: ScriptedApi, client: Client) -> None:
    api.on(f"POST {DEPLOY}", {})
    client.post(DEPLOY)
    client.post(DEPLOY)
    assert len({each.headers["Idempotency-Key"] for each in api.received}) == 2


def test_a_retry_after_is_honoured_up_to_half_a_minute(
    api: ScriptedApi, client: Client, sleeps: Sleeps
) -> None:
    api.on("GET /v1/whoami", problem(429, "too_many_requests", "slow", Retry_After="86400"), {})
    client.get("/v1/whoami")
    assert 30 <= sleeps[0] <= 38


@pytest.mark.parametrize(
    ("answer", "error", "tries"),
    [
        (DROPPED, NoAnswer, 4),
        (BUSY, NoAnswer, 4),
        (Response(b"<h1>Bad gateway</h1>", 502), NoAnswer, 4),
        (STALE, Failed, 4),
        (problem(409, "rollback_in_progress", "rolls back"), Failed, 1),
        (problem(400, "invalid_input", "wrong"), WrongUsage, 1),
        (problem(404, "not_found", "missing"), WrongUsage, 1),
        (problem(401, "unauthorized", "expired"), NoAccess, 1),
        (problem(403, "forbidden", "requires role admin"), NoAccess, 1),
        (Response(b"<h1>It works!</h1>"), NoAccess, 1),
        (Response([], 404), NoAccess, 1),
        (Response({"a": 1}, 302, {"Location": "https://elsewhere.example/"}), NoAccess, 1),
        (Response(b"[" * 100_000), NoAccess, 1),
    ],
)
def test_only_what_may_pass_is_repeated(
    api: ScriptedApi, client: Client, answer: Response, error: type[Failure], tries: int
) -> None:
    api.on("GET /v1/whoami", answer)
    with pytest.raises(error) as raised:
        client.get("/v1/whoami")
    assert type(raised.value) is error
    assert len(api.received) == tries


REFUSED = problem(409, "concurrent_update", "changed")
EXPIRED = problem(401, "unauthorized", "expired")
CUT_OFF = Response(b'{"deployment_id": 4, "job', 202, {"Content-Length": "60"})


def test_an_answer_that_is_cut_off_is_asked_for_again(
    api: ScriptedApi, client: Client, sleeps: Sleeps
) -> None:
    api.on(f"POST {DEPLOY}", CUT_OFF, {"deployment_id": 4})
    assert client.post(DEPLOY) == {"deployment_id": 4}
    assert len({each.headers["Idempotency-Key"] for each in api.received}) == 1
    api.on("GET /v1/whoami", CUT_OFF)
    with pytest.raises(NoAnswer, match="ended in the middle of the answer"):
        client.get("/v1/whoami")


def test_an_outage_is_noticed_once(api: ScriptedApi, sleeps: Sleeps) -> None:
    notices: list[str] = []
    client = Client(api.url, "slw_secret", sleep=sleeps, notice=notices.append)
    api.on("GET /v1/whoami", BUSY, BUSY, BUSY, {}, BUSY, DROPPED, {})
    client.get("/v1/whoami")
    assert notices == ["Slipway is busy (503); trying again"]
    client.get("/v1/whoami")
    assert notices[1:2] == notices[:1]
    assert len(notices) == 3


@pytest.mark.parametrize(
    ("answers", "uncertain"),
    [
        ([DROPPED], True),
        ([DROPPED, EXPIRED], True),
        ([BUSY, REFUSED], True),
        ([Response(b"<h1>Timed out</h1>", 504), EXPIRED], True),
        ([DROPPED, STALE], True),
        ([Response(b"<html>", 202)], True),
        ([REFUSED], False),
        ([STALE], False),
        ([STALE, EXPIRED], False),
        ([problem(429, "too_many_requests", "slow"), EXPIRED], False),
    ],
)
def test_a_change_may_be_accepted_if_an_earlier_answer_was_lost(
    api: ScriptedApi, client: Client, answers: list[Response], uncertain: bool
) -> None:
    api.on(f"POST {DEPLOY}", *answers)
    with pytest.raises(Failure) as raised:
        client.post(DEPLOY)
    assert raised.value.uncertain is uncertain
    api.on("GET /v1/whoami", *answers)
    with pytest.raises(Failure) as raised:
        client.get("/v1/whoami")
    assert not raised.value.uncertain


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (Response({"message": "no Route matched"}, 404), "status 404: no Route matched"),
        (
            Response({"message": "Missing Authentication Token"}, 403),
            "status 403: Missing Authentication Token",
        ),
        (Response({"message": "Request Too Long"}, 413), "status 413: Request Too Long"),
        (Response({"code": "x"}, 404), "status 404"),
        (Response({"code": 3, "detail": None}, 401), "status 401"),
        (Response({"message": None}, 409), "status 409"),
    ],
)
def test_an_error_that_is_not_of_slipway_names_status_and_address(
    api: ScriptedApi, client: Client, answer: Response, words: str
) -> None:
    api.on("GET /v1/whoami", answer)
    with pytest.raises(NoAccess) as raised:
        client.get("/v1/whoami")
    assert str(raised.value) == (
        f"{api.url} does not answer as Slipway does ({words}). "
        "Check the address (with its stage, such as https://host/api)."
    )


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_the_token_does_not_follow_a_redirect(
    api: ScriptedApi, client: Client, status: int
) -> None:
    with scripted_api() as other:
        other.on("GET /v1/whoami", {"role": "admin"})
        api.on("GET /v1/whoami", Response({}, status, {"Location": f"{other.url}/v1/whoami"}))
        with pytest.raises(NoAccess, match="redirects to"):
            client.get("/v1/whoami")
        assert other.received == []


def test_a_request_to_this_machine_passes_no_proxy(
    api: ScriptedApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    api.on("GET /v1/whoami", {"role": "viewer"})
    with scripted_api() as proxy:
        monkeypatch.setenv("http_proxy", proxy.url)
        monkeypatch.delenv("no_proxy", raising=False)
        assert Client(api.url, "slw_secret").get("/v1/whoami") == {"role": "viewer"}
        assert proxy.received == []


def test_a_path_escapes_its_parts(api: ScriptedApi, client: Client) -> None:
    api.on("GET /v1/services", rows.page(rows.service(), after="x/y+z"), rows.page())
    assert list(client.pages("/v1/services", limit=50)) == [rows.service()]
    assert api.received[1].query == {"limit": "50", "cursor": "x/y+z"}


SERVICES = [
    rows.service("web", "shop", id=1),
    rows.service("web", "Blog", id=2),
    rows.service("api", "shop", id=3),
]


@pytest.mark.parametrize(
    ("wanted", "number"), [("shop/web", 1), ("blog/web", 2), ("Shop/API", 3), ("api", 3)]
)
def test_a_service_is_found_by_its_full_name_or_by_a_unique_one(
    api: ScriptedApi, client: Client, wanted: str, number: int
) -> None:
    api.on("GET /v1/services", rows.page(*SERVICES[:2], after="2"), rows.page(SERVICES[2]))
    assert find_service(client, wanted)["id"] == number


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        ("web", "Several services have the name web: Blog/web, shop/web"),
        ("shop/wep", "No service shop/wep. There is: Blog/web, shop/api, shop/web"),
        ("other/api", "No service other/api. There is: shop/api"),
        ("1", "No service 1. There is: Blog/web, shop/api, shop/web"),
    ],
)
def test_another_name_lists_the_candidates(
    api: ScriptedApi, client: Client, wanted: str, message: str
) -> None:
    api.on("GET /v1/services", rows.page(*SERVICES))
    with pytest.raises(WrongUsage) as raised:
        find_service(client, wanted)
    assert str(raised.value) == message


def test_names_that_differ_only_in_spaces_are_different_services(
    api: ScriptedApi, client: Client
) -> None:
    spaced = [rows.service("x", "a  b", id=1), rows.service("x", "a b", id=2)]
    api.on("GET /v1/services", rows.page(*spaced))
    assert find_service(client, "a b/x")["id"] == 2
    assert find_service(client, "a  b/x")["id"] == 1
    with pytest.raises(WrongUsage, match="There is: a  b/x, a b/x"):
        find_service(client, " a b/x")


BUILD = JobName("build", 1)
LOG = "GET /v1/cicd/builds/1/logs"


def _log(*messages: str, after: str | None, complete: bool = False) -> dict[str, Any]:
    lines = [{"timestamp": "2026-01-02T03:04:05.000Z", "message": each} for each in messages]
    return {"lines": lines, "next_cursor": after, "complete": complete, "expired": False}


def _followed(client: Client, sleeps: Sleeps, **options: Any) -> list[str]:
    follower = Follower(client, now=lambda: sum(sleeps), sleep=sleeps)
    pages = follower.log(BUILD, **{"tail": None, "follow": True, **options})
    return [line["message"] for page in pages for line in page["lines"]]


def test_a_followed_log_has_each_line_once_although_requests_fail(
    api: ScriptedApi, client: Client, sleeps: Sleeps
) -> None:
    lines = [f"line {number}" for number in range(30)]

    def at_cursor(request: Any) -> Response:
        """As CloudWatch: two lines for each cursor, and the cursor stays where there are none."""
        if len(api.received) % 3 == 0:
            return DROPPED
        begin = int(request.query.get("cursor", "0"))
        shown = lines[begin : begin + 2]
        end = begin + len(shown)
        done = end == len(lines) and not shown
        body = _log(*shown, after=str(end), complete=done)
        return Response(body, headers={} if done else {"Retry-After": "2"})

    api.on(LOG, at_cursor)
    assert _followed(client, sleeps) == lines
    assert sleeps.count(2.0) > 10


def test_a_log_without_follow_ends_at_its_present_end(
    api: ScriptedApi, client: Client, sleeps: Sleeps
) -> None:
    api.on(LOG, _log(after="1"), _log("a", after="2"), _log("b", after="3"), _log(after="3"))
    assert _followed(client, sleeps, follow=False) == ["a", "b"]
    assert len(sleeps) == len(api.received) - 1
    assert 0 < sum(sleeps) < 1


@pytest.mark.parametrize("size", [1, 1000])
def test_a_log_that_is_written_all_the_time_ends_without_follow(
    api: ScriptedApi, client: Client, sleeps: Sleeps, size: int
) -> None:
    """Three pages are old. The next ones are written while the command reads."""
    begun = datetime.now(UTC)

    def written(_: Any) -> Response:
        number = len(api.received)
        assert number < 100
        at = begun + timedelta(minutes=number - 3)
        line = {"timestamp": at.isoformat(), "message": str(number)}
        page = {**_log(after=str(number)), "lines": [line] * size}
        return Response(page, headers={"Retry-After": "2"})

    api.on(LOG, written)
    assert set(_followed(client, sleeps, follow=False)) == {"1", "2", "3", "4"}
    assert len(sleeps) == 3


def test_the_last_lines_of_a_log_are_one_page(
    api: ScriptedApi, client: Client, sleeps: Sleeps
) -> None:
    api.on(LOG, _log("y", "z", after="9"), _log("more", after="10"))
    assert _followed(client, sleeps, tail=2, follow=False) == ["y", "z"]


def test_full_pages_of_a_followed_log_have_pauses_between_them(
    api: ScriptedApi, client: Client, sleeps: Sleeps
) -> None:
    pages = [_log(*["x"] * 1000, after=str(number)) for number in range(3)]
    api.on(LOG, *pages, _log(after="3", complete=True))
    assert len(_followed(client, sleeps)) == 3000
    assert len(sleeps) == 3
    assert all(sleeps)


def test_a_log_that_begins_with_its_last_lines_goes_on_from_there(
    api: ScriptedApi, client: Client, sleeps: Sleeps
) -> None:
    api.on(LOG, _log("y", "z", after="9"), _log(after="9", complete=True))
    assert _followed(client, sleeps, tail=2) == ["y", "z"]
    assert [each.query for each in api.received] == [
        {"tail": "2"},
        {"limit": "1000", "cursor": "9"},
    ]


def test_a_job_is_followed_through_an_outage_of_minutes(
    api: ScriptedApi, client: Client, sleeps: Sleeps
) -> None:
    outage = [BUSY] * 20
    api.on("GET /v1/cicd/builds/1", rows.build(1, "building"), *outage, rows.build(1))
    follower = Follower(client, now=lambda: sum(sleeps), sleep=sleeps)
    seen: list[str] = []
    row = follower.until_ended(BUILD, lambda row: seen.append(row["status"]))
    assert row["status"] == "success"
    assert seen == ["building", "success"]


def test_a_long_outage_ends_the_command(api: ScriptedApi, client: Client, sleeps: Sleeps) -> None:
    api.on("GET /v1/cicd/builds/1", rows.build(1, "building"), BUSY)
    follower = Follower(client, now=lambda: sum(sleeps), sleep=sleeps)
    with pytest.raises(NoAnswer):
        follower.until_ended(BUILD, lambda _: None)
    assert 300 < sum(sleeps) < 400


def test_an_expired_token_ends_a_follower_at_once(
    api: ScriptedApi, client: Client, sleeps: Sleeps
) -> None:
    expired = problem(401, "unauthorized", "the token has expired")
    api.on("GET /v1/cicd/builds/1", rows.build(1, "building"), expired)
    with pytest.raises(NoAccess, match="slipway login"):
        Follower(client, sleep=sleeps).until_ended(BUILD, lambda _: None)


def test_a_login_is_not_shown_by_accident(tmp_path: Path) -> None:
    assert "slw_secret" not in repr(Client("https://a.example", "slw_secret"))


def test_a_job_that_awaits_a_person_is_asked_for_less_often(
    api: ScriptedApi, client: Client, sleeps: Sleeps
) -> None:
    path = "GET /v1/cicd/deployments/4"
    moves = rows.awaiting(awaiting=None, approval=None)
    api.on(path, *[rows.awaiting()] * 30, *[moves] * 2, rows.deployment(4))
    follower = Follower(client, now=lambda: sum(sleeps), sleep=sleeps)
    follower.until_ended(JobName("deploy", 4), lambda _: None)
    assert sleeps[0] < 1
    assert sleeps[29:] == [15, 3, 3]
