"""What tasks prove, and why they stopped."""

from typing import Any

import pytest
from msgspec.structs import replace

from chalicelib.domain.log_streams import LogStream
from chalicelib.domain.tasks import (
    Container,
    Task,
    awaited,
    bad_ends,
    explaining,
    failed_container,
    log_stream,
    missing_proof,
    why_stopped,
)

NEW = "arn:aws:ecs:eu-west-1:123456789012:task-definition/web:2"
OLD = "arn:aws:ecs:eu-west-1:123456789012:task-definition/web:1"
WANTED, OTHER = f"sha256:{'a' * 64}", f"sha256:{'b' * 64}"


IMAGE = f"registry/web@{WANTED}"


def app(digest: str | None = WANTED, *, name: str = "app") -> Container:
    return Container(name, IMAGE, digest)


def task(name: str = "t1", *containers: Container, **values: Any) -> Task:
    return Task(
        f"arn:aws:ecs:eu-west-1:123456789012:task/main/{name}",
        values.pop("definition", NEW),
        values.pop("status", "RUNNING"),
        values.pop("health", "UNKNOWN"),
        containers or (app(),),
        **values,
    )


def stopped(code: str, reason: str, *containers: Container, at: int = 1) -> Task:
    return task(
        "t1", *containers, status="STOPPED", stop_code=code, stopped_reason=reason, stopped_at=at
    )


def exited(code: int | None, name: str = "app", reason: str = "") -> Container:
    return Container(name, "image", exit_code=code, reason=reason)


@pytest.mark.parametrize(
    ("tasks", "missing"),
    [
        ([task("a"), task("b")], None),
        ([task("a", health="HEALTHY"), task("b")], None),
        ([task("a"), task("b", app(None))], None),
        ([task("a"), task("b", app(), Container("proxy", "proxy:1", OTHER))], None),
        ([task("a"), task("b", app(), app(name="migrate"))], None),
        ([], "0 of 2 tasks run the release"),
        ([task("a")], "1 of 2 tasks run the release"),
        ([task("a"), task("b"), task("c")], None),
        ([task("a"), task("b", status="PENDING")], "1 of 2 tasks run the release"),
        ([task("a"), task("b", health="UNHEALTHY")], "1 of 2 tasks run the release"),
        ([task("a"), task("b", app(OTHER))], f"task b runs {OTHER}, not {IMAGE}"),
        (
            [task("a"), task("b", app(), app(OTHER, name="migrate"))],
            f"task b runs {OTHER}, not {IMAGE}",
        ),
        (
            [task("a"), task("b", Container("app", "web:latest", WANTED))],
            f"task b runs an unknown image, not {IMAGE}",
        ),
    ],
)
def test_a_release_is_proven_by_as_many_running_tasks_of_its_image_as_are_desired(
    tasks: list[Task], missing: str | None
) -> None:
    assert missing_proof(tasks, image=IMAGE, digests={WANTED}, desired=2) == missing


def test_the_digest_of_a_platform_of_the_image_proves_it_too() -> None:
    tasks = [task("a"), task("b", app(OTHER))]
    for digests, proves in (({WANTED, OTHER}, True), ({WANTED}, False)):
        missing = missing_proof(tasks, image=IMAGE, digests=digests, desired=2)
        assert (missing is None) is proves


def test_a_task_proves_a_release_only_if_each_container_of_the_list_has_its_image() -> None:
    init = replace(app(name="migrate"), exit_code=0)
    reason = "CannotStartContainerError: exec: not found"
    never = replace(app(name="migrate"), status="STOPPED", reason=reason, essential=False)
    for containers, missing in (
        ((app(), init), None),
        ((app(),), f"the container migrate of task a does not run {IMAGE}"),
        ((app(), replace(init, image="web:1")), "the container migrate of task a does not run"),
        ((app(), replace(init, digest=OTHER)), f"task a runs {OTHER}, not {IMAGE}"),
        ((app(), never), "the container migrate of task a did not start: CannotStartContainerErr"),
        ((app(), replace(never, digest=None)), "the container migrate of task a did not start: "),
        ((app(), replace(never, exit_code=1)), None),
        ((app(), replace(never, status="RUNNING")), None),
        ((app(), init, replace(never, name="tool")), None),
    ):
        found = missing_proof(
            [task("a", *containers)],
            image=IMAGE,
            digests={WANTED},
            desired=1,
            containers=("app", "migrate"),
        )
        assert (found or "").startswith(missing or "")
        assert (found is None) == (missing is None)


def test_each_bad_end_of_a_container_of_the_list_is_named_once() -> None:
    def one(name: str, code: int) -> Task:
        proxy = replace(app(name="proxy"), exit_code=2)
        return task(name, app(), replace(app(name="migrate"), exit_code=code), proxy)

    tasks = [one("a", 1), one("b", 1), one("c", 137), one("d", 0)]
    assert bad_ends(tasks, ("app", "migrate")) == [
        "container migrate exited with code 1",
        "container migrate exited with code 137",
    ]


NOT_STARTED = (
    "CannotStartContainerError: dependency graph: failed to resolve container ordering dependency "
    "[migrate(web) (STOPPED->RUNNING) - Exit: 4] for target [app(web) (NONE->RUNNING)] as "
    "dependency did not exit successfully."
)


@pytest.mark.parametrize("code", ["EssentialContainerExited", "TaskFailedToStart"])
def test_a_failed_init_container_explains_a_task_and_not_the_one_that_waited(code: str) -> None:
    waited = exited(143, reason=NOT_STARTED)
    init = replace(exited(4, "migrate"), essential=False, awaited=True)
    found = stopped(code, "Task failed to start", waited, init, exited(143, "proxy"))
    assert why_stopped(found) == "container migrate exited with code 4"


@pytest.mark.parametrize(("code", "name"), [(0, "app"), (143, "app"), (4, "migrate")])
def test_an_init_container_that_ended_well_does_not_explain_a_crash(code: int, name: str) -> None:
    init = replace(exited(code, "migrate"), essential=False, awaited=True)
    found = failed_container(stopped("EssentialContainerExited", "", init, exited(3)))
    assert found is not None
    assert found.name == name


def test_a_task_that_never_started_is_explained_by_its_reason() -> None:
    one = stopped("TaskFailedToStart", "Task failed to start", exited(137, "proxy"), exited(None))
    assert why_stopped(one) == "Task failed to start"


def test_only_the_condition_success_makes_a_container_awaited() -> None:
    conditions = ("SUCCESS", "COMPLETE", "HEALTHY", "START")
    waiting = [
        {"name": f"w-{each}", "dependsOn": [{"containerName": each, "condition": each}]}
        for each in conditions
    ]
    definition = {"containerDefinitions": [*waiting, *({"name": each} for each in conditions)]}
    assert awaited(definition) == {"SUCCESS"}


@pytest.mark.parametrize(
    ("one", "why"),
    [
        (
            stopped("EssentialContainerExited", "Essential container in task exited", exited(1)),
            "container app exited with code 1",
        ),
        (
            stopped("EssentialContainerExited", "Essential container in task exited", exited(0)),
            "container app exited with code 0",
        ),
        (
            stopped(
                "EssentialContainerExited",
                "Essential container in task exited",
                exited(137, reason="OutOfMemoryError: Container killed due to memory usage"),
            ),
            "container app exited with code 137: "
            "OutOfMemoryError: Container killed due to memory usage",
        ),
        (
            stopped(
                "EssentialContainerExited",
                "Essential container in task exited",
                exited(143, "proxy"),
                exited(2),
            ),
            "container app exited with code 2",
        ),
        (
            stopped(
                "TaskFailedToStart",
                "CannotPullContainerError: pull image manifest has been retried 1 time(s)",
                exited(None, reason="CannotPullContainerError: not found"),
            ),
            "CannotPullContainerError: not found",
        ),
        (
            stopped("TaskFailedToStart", "ResourceInitializationError: no secret", exited(None)),
            "ResourceInitializationError: no secret",
        ),
        (
            stopped(
                "ServiceSchedulerInitiated",
                "Task failed ELB health checks in (target-group arn:aws:x)",
                exited(143),
            ),
            "Task failed ELB health checks in (target-group arn:aws:x)",
        ),
        (stopped("", "", exited(None)), "ECS gives no reason"),
    ],
)
def test_a_stopped_task_is_explained_by_its_container_or_by_ecs(one: Task, why: str) -> None:
    assert why_stopped(one) == why


def test_the_container_that_failed_is_not_one_that_ecs_stopped_with_it() -> None:
    containers: tuple[Container, ...] = (
        exited(143, "a"),
        exited(0, "b"),
        exited(137, "c"),
        exited(3, "d"),
    )
    ranked = []
    for _ in range(4):
        found = failed_container(stopped("EssentialContainerExited", "", *containers))
        assert found is not None
        ranked.append(found.name)
        containers = tuple(each for each in containers if each.name != found.name)
    assert ranked == ["d", "c", "b", "a"]


def test_a_container_that_is_not_essential_does_not_explain_the_end_of_a_task() -> None:
    agent = replace(exited(1, "agent"), essential=False)
    found = failed_container(stopped("EssentialContainerExited", "", agent, exited(0)))
    assert found is not None
    assert found.name == "app"


def test_a_task_stopped_by_hand_explains_a_failure_only_if_none_failed_by_itself() -> None:
    by_hand = stopped("UserInitiated", "Task stopped by user", at=9)
    crashed = stopped("EssentialContainerExited", "Essential container in task exited", at=5)
    assert explaining([by_hand, crashed], NEW) == [crashed, by_hand]


def test_tasks_that_ecs_wanted_to_stop_explain_no_failure() -> None:
    crashed = stopped("EssentialContainerExited", "Essential container in task exited", at=5)
    unhealthy = stopped("ServiceSchedulerInitiated", "Task failed container health checks", at=7)
    scaled_in = stopped("ServiceSchedulerInitiated", "Scaling activity initiated by (x)", at=9)
    other = replace(crashed, task_definition=OLD)
    running = task("r")
    assert explaining([crashed, unhealthy, scaled_in, other, running], NEW) == [unhealthy, crashed]


@pytest.mark.parametrize(
    ("driver", "options", "expected"),
    [
        (
            "awslogs",
            {"awslogs-group": "/ecs/web", "awslogs-stream-prefix": "a/b"},
            LogStream("/ecs/web", "a/b/app/t1"),
        ),
        ("awslogs", {"awslogs-group": "/ecs/web"}, LogStream("/ecs/web", "docker-id")),
        (
            "awslogs",
            {"awslogs-group": "/ecs/web", "awslogs-region": "eu-west-1"},
            LogStream("/ecs/web", "docker-id"),
        ),
        ("awslogs", {"awslogs-group": "/ecs/web", "awslogs-region": "us-east-1"}, None),
        ("awslogs", {}, None),
        ("awsfirelens", {"awslogs-group": "/ecs/web"}, None),
    ],
)
def test_the_log_of_a_container_is_found_in_its_definition(
    driver: str, options: dict[str, str], expected: LogStream | None
) -> None:
    configuration = {"logDriver": driver, "options": options}
    definition = {"containerDefinitions": [{"name": "app", "logConfiguration": configuration}]}
    container = replace(exited(1), runtime_id="docker-id")
    found = log_stream(definition, task("t1", container), container, region="eu-west-1")
    assert found == expected


def test_a_log_hides_the_values_of_variables_that_ordinary_text_does_not_have() -> None:
    logs = {"logDriver": "awslogs", "options": {"awslogs-group": "/ecs/web"}}
    values = ["12345678", "1234567", "one line\nand\nanother", ""]
    variables = [{"name": f"N{number}", "value": value} for number, value in enumerate(values)]
    app = {"name": "app", "logConfiguration": logs, "environment": [*variables, {"name": "EMPTY"}]}
    proxy = {"name": "proxy", "environment": [{"name": "N", "value": "of-the-proxy"}]}
    definition = {"containerDefinitions": [app, proxy]}
    container = replace(exited(1), runtime_id="docker-id")
    found = log_stream(definition, task("t1", container), container, region="eu-west-1")
    assert found is not None
    assert set(found.hidden) == {"12345678", "one line", "one lineandanother", "of-the-proxy"}
    assert "12345678" not in repr(found)


def test_a_container_without_a_log_configuration_has_no_log() -> None:
    definition = {"containerDefinitions": [{"name": "app"}]}
    assert log_stream(definition, task(), exited(1), region="eu-west-1") is None
