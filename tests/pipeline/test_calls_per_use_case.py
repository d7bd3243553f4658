"""The number of AWS calls of each use case; it does not grow with the history.

Each HTTP request reads its token with one GetItem. The webhook has no token. `pytest -s` prints
the table.
"""

from collections.abc import Callable

import pytest

from chalicelib.pipeline.glances import SHARED
from chalicelib.pipeline.reconcilers.loop import reconcile
from infra.local.aws import codebuild
from tests.faults import traffic_cases
from tests.support.embedded import MINUTE, Cloud, sha
from tests.support.sdk import Calls
from tests.support.shifts import shift_traffic

TABLE = {
    "receive a push": "GetItem*2 BatchGetItem UpdateItem TransactWriteItems SendMessageBatch",
    "receive it again": "GetItem*2 BatchGetItem TransactWriteItems",
    "start a build": "GetItem*3 Query DescribeImages UpdateItem*2 StartBuild",
    "see a build's progress": "GetItem BatchGetBuilds UpdateItem",
    "reconcile an unchanged build": "GetItem BatchGetBuilds",
    "end a build and deploy it": "GetItem*2 BatchGetBuilds DescribeImages BatchGetItem*2 "
    "UpdateItem TransactWriteItems Query SendMessageBatch",
    "reconcile an ended build": "GetItem",
    "begin a rollout": "GetItem BatchGetItem DescribeServices DescribeTaskDefinition*2 "
    "DescribeImages BatchGetImage GetRole RegisterTaskDefinition PutItem "
    "UpdateItem*2 UpdateService",
    "see a rollout's tasks": "GetItem BatchGetItem DescribeServices ListTasks UpdateItem",
    "show a rollout": "GetItem*2 ListTasks*2 DescribeTasks",
    "show it to another viewer": "GetItem*2",
    "show a waiting deployment": "GetItem*3 BatchGetItem",
    "show a running build": "GetItem*2 GetLogEvents",
    "show a running build with news": "GetItem*2 GetLogEvents UpdateItem",
    "list running builds": "GetItem*2 Query BatchGetItem",
    "reconcile an unchanged rollout": "GetItem BatchGetItem DescribeServices",
    "end a rollout": "GetItem BatchGetItem DescribeServices ListServiceDeployments "
    "DescribeServiceRevisions DescribeServiceDeployments ListTasks DescribeTasks "
    "PutItem TransactWriteItems SendMessageBatch",
    "reconcile an idle service": "GetItem BatchGetItem DescribeServices",
    "request a build": "GetItem*2 UpdateItem TransactWriteItems SendMessageBatch",
    "request a build with a key": "GetItem*3 UpdateItem TransactWriteItems SendMessageBatch",
    "repeat that request": "GetItem*3",
    "cancel a queued build": "GetItem*4 TransactWriteItems",
    "preview a rollback": "GetItem*3 BatchGetItem*3 DescribeImages DescribeServices BatchGetImage "
    "GetRole DescribeTaskDefinition",
    "request a rollback": "GetItem*3 BatchGetItem*3 DescribeImages DescribeServices BatchGetImage "
    "GetRole UpdateItem TransactWriteItems SendMessageBatch",
    "begin a rollback": "GetItem*2 BatchGetItem*2 DescribeServices DescribeImages BatchGetImage "
    "GetRole RegisterTaskDefinition PutItem UpdateItem*2 UpdateService",
    "end a rollback": "GetItem BatchGetItem*2 DescribeServices ListServiceDeployments "
    "DescribeServiceRevisions DescribeServiceDeployments ListTasks DescribeTasks "
    "PutItem TransactWriteItems SendMessageBatch",
    "plan a deployment": "GetItem*3 DescribeImages DescribeServices DescribeTaskDefinition*2 "
    "BatchGetItem*2 BatchGetImage GetRole",
    "request a deployment": "GetItem*3 DescribeImages DescribeServices DescribeTaskDefinition*2 "
    "BatchGetItem BatchGetImage GetRole UpdateItem TransactWriteItems SendMessageBatch",
    "change the config": "GetItem*2 BatchGetItem*2 DescribeImages DescribeServices "
    "DescribeTaskDefinition*2 BatchGetImage GetRole UpdateItem TransactWriteItems SendMessageBatch",
    "repeat that change": "GetItem*2 BatchGetItem SendMessageBatch",
    "show the config": "GetItem*2 BatchGetItem",
    "see a rollout fail": "GetItem*2 BatchGetItem DescribeServices ListServiceDeployments "
    "DescribeServiceRevisions ListTasks DescribeTasks TransactWriteItems SendMessageBatch",
    "see a build fail": "GetItem*2 BatchGetBuilds GetLogEvents TransactWriteItems Query",
    "read the end of a log": "GetItem*2 GetLogEvents*3",
    "read the log of a rollout": "GetItem*3 DescribeServices ListTasks*2 DescribeTasks",
    "read the log of an old release": "GetItem*4",
    "create a service": "GetItem*3 DescribeImages UpdateItem TransactWriteItems",
    "show a build": "GetItem*2",
    "show a queued build": "GetItem*2 Query BatchGetItem",
    "look at the line": "GetItem*2 Query BatchGetItem UpdateItem",
    "look at the line of two services": "GetItem*2 Query BatchGetItem UpdateItem",
    "start a build while another service waits": "GetItem*3 Query BatchGetItem DescribeImages "
    "UpdateItem StartBuild TransactWriteItems",
    "supersede a build": "GetItem*2 BatchGetItem*2 Query UpdateItem",
    "retry a build": "GetItem*3 UpdateItem TransactWriteItems SendMessageBatch",
    "receive a pull request": "GetItem*2 BatchGetItem UpdateItem TransactWriteItems "
    "SendMessageBatch",
    "receive its end": "GetItem BatchGetItem*2 TransactWriteItems*2",
    "list builds": "GetItem*2 Query BatchGetItem",
    "list all services": "GetItem Query BatchGetItem*3",
    "show a job": "GetItem*2",
    "get the numbers of a week": "GetItem BatchGetItem Query",
    "get the numbers of a project": "GetItem*2 Query*2",
    "get the numbers of a service": "GetItem*3 BatchGetItem",
    "get the numbers for Prometheus": "GetItem BatchGetItem*2 Query",
    "run the schedule, no row is due": "Query*5 ReceiveMessage",
}

TRAFFIC = {
    "begin a rollout that moves traffic": "GetItem BatchGetItem DescribeServices "
    "DescribeTaskDefinition*2 DescribeImages BatchGetImage GetRole RegisterTaskDefinition "
    "PutItem UpdateItem*2 UpdateService",
    "see a hook": "GetItem BatchGetItem DescribeServices DescribeServiceDeployments "
    "DescribeServiceRevisions UpdateItem*2 ListTasks",
    "reconcile a deployment that awaits approval": "GetItem BatchGetItem DescribeServices "
    "DescribeServiceDeployments DescribeServiceRevisions",
    "show a deployment that awaits approval": "GetItem*2 ListTasks*2 DescribeTasks",
    "approve the traffic": "GetItem*5 TransactWriteItems SendMessageBatch",
    "approve it again": "GetItem*3",
    "give ECS the approval": "GetItem BatchGetItem DescribeServices "
    "DescribeServiceDeployments DescribeServiceRevisions ContinueServiceDeployment",
    "see the traffic move": "GetItem BatchGetItem DescribeServices "
    "DescribeServiceDeployments DescribeServiceRevisions UpdateItem*2 ListTasks",
    "reconcile a rollout that moves traffic": "GetItem BatchGetItem DescribeServices "
    "DescribeServiceDeployments DescribeServiceRevisions",
    "see the second hook": "GetItem BatchGetItem DescribeServices "
    "DescribeServiceDeployments DescribeServiceRevisions Query UpdateItem*3 ListTasks",
    "reject the traffic": "GetItem*5 DescribeServices TransactWriteItems SendMessageBatch",
    "take the rollout back": "GetItem*2 BatchGetItem*2 DescribeServices "
    "DescribeServiceDeployments DescribeServiceRevisions*2 ListServiceDeployments "
    "UpdateItem StopServiceDeployment SendMessageBatch",
    "reconcile a service after that": "GetItem BatchGetItem DescribeServices UpdateItem",
}


class Meter:
    """Records the operations that a use case calls, in the order of their first calls."""

    def __init__(self, calls: Calls) -> None:
        self.table: dict[str, str] = {}
        self._calls = calls

    def __call__(self, use_case: str, act: Callable[[], object]) -> None:
        self._calls.clear()
        act()
        self.table[use_case] = " ".join(
            name.partition(".")[2] + (f"*{times}" if times > 1 else "")
            for name, times in self._calls.counted.items()
        )
        print(f"{use_case:32} {self.table[use_case]}")


def test_every_use_case_makes_a_known_number_of_calls(cloud: Cloud, calls: Calls) -> None:
    meter = Meter(calls)
    service = f"service-{cloud.service_id}"
    path = f"/v1/cicd/services/{cloud.service_id}"
    for number in (1, 2):
        cloud.release(number)

    meter("receive a push", lambda: cloud.push(sha(3), delivery="three"))
    meter("receive it again", lambda: cloud.push(sha(3), delivery="three"))
    meter("start a build", lambda: reconcile("build-3"))
    codebuild.engine().claim()
    meter("see a build's progress", lambda: reconcile("build-3"))
    meter("reconcile an unchanged build", lambda: reconcile("build-3"))
    cloud.finish_build(3, settle=False)
    meter("end a build and deploy it", lambda: reconcile("build-3"))
    meter("reconcile an ended build", lambda: reconcile("build-3"))
    meter("begin a rollout", lambda: reconcile(service))
    meter("see a rollout's tasks", lambda: reconcile(service))
    meter("reconcile an unchanged rollout", lambda: reconcile(service))
    cloud.finish_rollout(settle=False)
    meter("end a rollout", lambda: reconcile(service))
    meter("reconcile an idle service", lambda: reconcile(service))
    cloud.settle()

    tag = cloud.build(2)["image_tag"]
    meter("request a build", lambda: cloud.api.post(f"{path}/build", {}))
    with_key = {"headers": {"Idempotency-Key": "k"}}
    meter("request a build with a key", lambda: cloud.api.post(f"{path}/build", {}, **with_key))
    meter("repeat that request", lambda: cloud.api.post(f"{path}/build", {}, **with_key))
    meter("cancel a queued build", lambda: cloud.api.post("/v1/cicd/jobs/build-5/cancel"))
    meter("preview a rollback", cloud.preview)
    meter("request a rollback", cloud.roll_back)
    meter("begin a rollback", lambda: reconcile(service))
    cloud.finish_rollout(settle=False)
    meter("end a rollback", lambda: reconcile(service))
    meter("plan a deployment", lambda: cloud.plan(tag))
    meter("request a deployment", lambda: cloud.deploy(tag))
    cloud.settle()
    config = f"/v1/services/{cloud.service_id}/config"
    cloud.finish_rollout()
    change = {"environment": {"A": "1"}}
    meter("change the config", lambda: cloud.api.patch(config, change))
    meter("repeat that change", lambda: cloud.api.patch(config, change))
    meter("show the config", lambda: cloud.api.get(config))
    cloud.settle()
    log = "/v1/cicd/deployments/{}/logs"
    active = cloud.service()["active_deployment_id"]
    meter("show a rollout", lambda: cloud.deployment(active))
    meter("show it to another viewer", lambda: cloud.deployment(active))
    cloud.advance(SHARED + 1)
    waiting = cloud.deploy(tag).body["deployment_id"]
    meter("show a waiting deployment", lambda: cloud.deployment(waiting))
    cloud.api.post(f"/v1/cicd/jobs/deploy-{waiting}/cancel")
    meter("read the log of a rollout", lambda: cloud.api.get(log.format(active)))
    cloud.fail_rollout(settle=False)
    meter("see a rollout fail", lambda: reconcile(service))
    cloud.finish_rollout()
    cloud.enter_phase(4, "BUILD")
    cloud.write_log(4, "#7 [1/2] FROM alpine")
    cloud.build(4)
    meter("show a running build", lambda: cloud.build(4))
    cloud.write_log(4, "#8 [2/2] RUN make")
    meter("show a running build with news", lambda: cloud.build(4))
    meter("list running builds", lambda: cloud.api.get(f"{path}/builds"))
    cloud.end_build(4, "FAILED", settle=False)
    meter("see a build fail", lambda: reconcile("build-4"))
    cloud.settle()

    cloud.advance(MINUTE)
    meter("read the end of a log", lambda: cloud.api.get("/v1/cicd/builds/4/logs"))
    new = {"name": "new", "git_url": "https://github.com/a/b.git", "image_repository": "hello"}
    meter("create a service", lambda: cloud.api.post("/v1/projects/1/services", new))
    meter("show a build", lambda: cloud.build(1))
    meter("list builds", lambda: cloud.api.get(f"{path}/builds"))
    meter("list all services", lambda: cloud.api.get("/v1/services"))
    meter("show a job", lambda: cloud.job("build-1"))
    meter("get the numbers of a week", lambda: cloud.api.get("/v1/cicd/metrics"))
    project = f"/v1/cicd/projects/{cloud.project}/metrics"
    meter("get the numbers of a project", lambda: cloud.api.get(project))
    meter("get the numbers of a service", lambda: cloud.api.get(f"{path}/metrics"))
    meter("get the numbers for Prometheus", lambda: cloud.api.get("/v1/metrics"))
    cloud.advance(61 * MINUTE)
    cloud.service()  # writes the token's row
    meter("read the log of an old release", lambda: cloud.api.get(log.format(1)))
    for _ in range(2):
        cloud.tick()
    meter("run the schedule, no row is due", cloud.tick)
    queue_builds(cloud, meter)
    assert meter.table == TABLE


def queue_builds(cloud: Cloud, meter: Meter) -> None:
    """Builds wait in the line, at first those of one service."""
    path = "/v1/cicd/services/{}/build"
    first = [cloud.ask_for_build(git_ref=f"ref-{number}") for number in range(5)]
    cloud.settle()
    meter("show a queued build", lambda: cloud.build(first[4]))
    meter("look at the line", lambda: reconcile(f"build-{first[4]}"))
    other = cloud.add_service("other")
    cloud.api.post(path.format(other), {})
    meter("look at the line of two services", lambda: reconcile(f"build-{first[4]}"))
    cloud.end_build(first[0], "FAILED", settle=False)
    meter("start a build while another service waits", lambda: reconcile(f"build-{first[2]}"))
    cloud.push(sha(4))
    newer = cloud.push(sha(5)).body["builds"][0]["build_id"]
    meter("supersede a build", lambda: reconcile(f"build-{newer}"))
    cloud.settle()
    meter("retry a build", lambda: cloud.api.post(f"/v1/cicd/builds/{first[0]}/retry"))
    cloud.change_service(build_pull_requests=True)
    meter("receive a pull request", lambda: cloud.pull("opened", sha(6)))
    meter("receive its end", lambda: cloud.pull("closed", sha(6)))


def test_traffic_and_its_approval_make_a_known_number_of_calls(cloud: Cloud, calls: Calls) -> None:
    meter = Meter(calls)
    traffic_cases.guarded_to_begin(traffic_cases.CANARY)(cloud)
    meter("begin a rollout that moves traffic", look)
    cloud.finish_rollout(settle=False)
    traffic_cases.SOON(cloud)
    meter("see a hook", look)
    meter("reconcile a deployment that awaits approval", look)
    meter("show a deployment that awaits approval", lambda: cloud.deployment(2))
    meter("approve the traffic", lambda: traffic_cases.approve(cloud))
    meter("approve it again", lambda: traffic_cases.approve(cloud))
    meter("give ECS the approval", look)
    traffic_cases.SOON(cloud)
    meter("see the traffic move", look)
    meter("reconcile a rollout that moves traffic", look)
    cloud.advance(MINUTE)
    meter("see the second hook", look)
    meter("reject the traffic", lambda: traffic_cases.reject(cloud))
    meter("take the rollout back", look)
    cloud.advance(MINUTE)
    meter("reconcile a service after that", look)
    assert meter.table == TRAFFIC


def look() -> None:
    """A worker reconciles the service."""
    reconcile("service-1")


@pytest.mark.parametrize(
    ("services", "transactions", "batches"), [(1, 1, 1), (2, 1, 1), (18, 1, 2), (30, 2, 3)]
)
def test_a_push_for_many_services_costs_few_more_calls(
    cloud: Cloud, calls: Calls, services: int, transactions: int, batches: int
) -> None:
    for number in range(1, services):
        cloud.add_service(f"service-{number}")
    calls.clear()
    answer = cloud.push(sha(1))
    assert len(answer.body["builds"]) == services
    assert calls.counted == {
        "dynamodb.GetItem": 2,
        "dynamodb.BatchGetItem": 1,
        # The channels, which each process knows for half a minute.
        "dynamodb.Query": 1,
        "dynamodb.UpdateItem": 1,
        "dynamodb.TransactWriteItems": transactions,
        "sqs.SendMessageBatch": batches,
    }


MOVES = {
    "see traffic move": "GetItem BatchGetItem DescribeServices DescribeServiceDeployments "
    "DescribeServiceRevisions ListTasks UpdateItem*2",
    "reconcile traffic that waits": "GetItem BatchGetItem DescribeServices "
    "DescribeServiceDeployments DescribeServiceRevisions",
    "request a rollback of moving traffic": "GetItem*3 BatchGetItem*3 DescribeImages "
    "DescribeServices*2 BatchGetImage GetRole UpdateItem TransactWriteItems SendMessageBatch",
    "take the traffic back": "GetItem*2 BatchGetItem*3 DescribeServices "
    "DescribeServiceDeployments DescribeServiceRevisions*2 ListServiceDeployments "
    "TransactWriteItems UpdateItem StopServiceDeployment SendMessageBatch",
    "end the rollback": "GetItem BatchGetItem*2 DescribeServices ListServiceDeployments "
    "DescribeServiceRevisions DescribeServiceDeployments ListTasks DescribeTasks PutItem "
    "TransactWriteItems SendMessageBatch",
}


def test_a_rollout_that_moves_traffic_costs_two_more_reads(cloud: Cloud, calls: Calls) -> None:
    meter = Meter(calls)
    service = f"service-{cloud.service_id}"
    shift_traffic(cloud, strategy={"type": "CANARY", "percent": 10, "step_minutes": 30})
    cloud.begin_release(2)
    cloud.finish_rollout(settle=False)
    cloud.advance(5)
    meter("see traffic move", lambda: reconcile(service))
    meter("reconcile traffic that waits", lambda: reconcile(service))
    meter("request a rollback of moving traffic", cloud.roll_back)
    meter("take the traffic back", lambda: reconcile(service))
    cloud.advance(10)
    meter("end the rollback", lambda: reconcile(service))
    assert cloud.statuses(2, 3) == ["rolled_back", "success"]
    assert meter.table == MOVES
