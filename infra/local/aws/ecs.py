"""Amazon ECS services for the embedded cloud.

moto accepts services but never advances a rollout, so `install` puts an engine behind the service
actions. Clusters and task definitions stay in moto, but the engine knows which of the definitions
ECS still describes. A rollout advances only when a data plane (the agent or a test) reports the
state of tasks. `ecs_rollouts` holds the rules.
"""

import infra.local.aws.moto_ecs  # noqa: F401  # isort: skip

import dataclasses
import hashlib
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Unpack, cast

from moto.core.common_types import TYPE_RESPONSE
from moto.core.responses import ActionResult
from moto.ecs.exceptions import (
    EcsClientException,
    ECSException,
    InvalidParameterException,
    ServiceNotFoundException,
    TaskDefinitionNotFoundException,
)
from moto.ecs.models import ecs_backends
from moto.ecs.responses import EC2ContainerServiceResponse

from infra.local.aws import (
    ecs_configuration,
    ecs_definitions,
    ecs_records,
    ecs_service_deployments,
)
from infra.local.aws.ecs_causes import hook_refusal
from infra.local.aws.ecs_records import Json, Record
from infra.local.aws.ecs_rollouts import Service
from infra.local.aws.ecs_run_task import Launcher
from infra.local.aws.ecs_tasks import (
    ESSENTIAL_EXITED,
    USER_REASON,
    Details,
    Fleet,
    Stop,
    Task,
    failure,
)

TASKS_AT_ONCE = 100

_engines = threading.Lock()


class ServiceNotActive(ECSException):
    """An update of a service that was deleted."""

    def __init__(self) -> None:
        super().__init__("ServiceNotActiveException", "Service was not ACTIVE.")


def install() -> None:
    """Put the engine behind moto's ECS actions. Repeated calls are harmless."""
    for action in (
        Engine.create_service,
        Engine.update_service,
        Engine.delete_service,
        Engine.describe_services,
        Engine.list_services,
        Engine.list_service_deployments,
        Engine.describe_service_deployments,
        Engine.stop_service_deployment,
        Engine.continue_service_deployment,
        Engine.describe_service_revisions,
        Engine.describe_task_definition,
        Engine.delete_task_definitions,
        Engine.list_tasks,
        Engine.describe_tasks,
        Engine.run_task,
        Engine.stop_task,
    ):
        setattr(EC2ContainerServiceResponse, action.__name__, _responder(action))
    moto: Any = EC2ContainerServiceResponse
    moto.register_task_definition = _register_task_definition


_registered_by_moto = EC2ContainerServiceResponse.register_task_definition


def _register_task_definition(response: EC2ContainerServiceResponse) -> ActionResult:
    """RegisterTaskDefinition of moto, which accepts more than ECS."""
    problem = ecs_definitions.why_refused(response._get_params())
    if problem is not None:
        raise EcsClientException(problem)
    return _registered_by_moto(response)


def engine(region: str = "eu-west-1", account: str = "123456789012") -> "Engine":
    """The engine of one account and region. It is stored on moto's backend: resets clear it."""
    backend = ecs_backends[account][region]
    with _engines:
        if "service_engine" not in vars(backend):
            vars(backend)["service_engine"] = Engine(backend)
        return cast(Engine, vars(backend)["service_engine"])


def _responder(
    action: Callable[["Engine", Json], Json],
) -> Callable[[EC2ContainerServiceResponse], TYPE_RESPONSE]:
    def respond(response: EC2ContainerServiceResponse) -> TYPE_RESPONSE:
        current = engine(response.region, response.current_account)
        with current.lock:  # also while serialising: the agent changes rollouts
            current.advance()
            return response.serialized(ActionResult(action(current, response._get_params())))

    return respond


class Engine:
    """All services of one account and region."""

    def __init__(self, backend: Any) -> None:
        self.lock = threading.RLock()
        self.fleet = Fleet(backend)
        self._backend = backend
        self._services: dict[tuple[str, str], Service] = {}
        self._events: list[Json] = []
        self._alarms: set[str] = set()
        self._hook_answers: dict[str, str] = {}
        self.launcher = Launcher(self.fleet, self._publish)

    # The side of the data plane. That of tasks of RunTask is `launcher`.

    def advance(self) -> None:
        """Let the stages of all shifts of traffic go on until the embedded clock's time."""
        with self.lock:
            for service in self._services.values():
                service.advance()

    def services(self) -> list[Service]:
        """Copies of the active services, which a data plane has to run."""
        with self.lock:
            self.advance()
            keys = [key for key, each in self._services.items() if each.status == "ACTIVE"]
            return [self.service(*key) for key in keys]

    def service(self, cluster: str, service: str) -> Service:
        """A copy of one service. Raises KeyError if there is none."""
        with self.lock:
            found = self._services[cluster, service]
            found.advance()
            copies = [dataclasses.replace(each) for each in found.deployments]
            return dataclasses.replace(found, deployments=copies)

    def weights(self, cluster: str, service: str) -> dict[str, float]:
        """The percentage of production traffic of each deployment, by its id.

        Empty if ECS shifts no traffic: the strategy is ROLLING, or the service has neither a load
        balancer nor Service Connect. Raises KeyError if there is no such service.
        """
        found = self.service(cluster, service).deployments
        return {each.id: each.production for each in found if each.production is not None}

    def test_weights(self, cluster: str, service: str) -> dict[str, float]:
        """The percentage of test traffic of each deployment, as `weights`."""
        found = self.service(cluster, service).deployments
        return {each.id: each.test for each in found if each.test is not None}

    def containers(self, task_definition: str) -> list[Json]:
        """The container definitions of a task definition."""
        found = self._backend.describe_task_definition(task_definition)
        return cast(list[Json], found.container_definitions)

    def tasks(self, deployment_id: str, *statuses: str) -> list[Task]:
        """The tasks of a deployment that did not stop, oldest first; by default in any status."""
        with self.lock:
            return self.fleet.active(deployment_id, *statuses)

    def report(
        self,
        cluster: str,
        service: str,
        deployment_id: str,
        *,
        running: int,
        failed: int = 0,
        reason: str = ESSENTIAL_EXITED,
        healthy: Iterable[str] = (),
        **details: Unpack[Details],
    ) -> None:
        """Report a deployment's healthy tasks and its newly failed ones, with the reason.

        `failed` counts since the last report. `ecs_tasks.failure` infers missing details. A data
        plane that knows the tasks names the healthy ones by id. A report about a removed deployment
        has no effect.
        """
        with self.lock:
            found = self._services.get((cluster, service))
            if found is None:
                return
            found.advance()
            for deployment in found.deployments:
                if deployment.id == deployment_id:
                    deployment.healthy = frozenset(healthy)
                    found.observe(deployment, running, failed, failure(reason, **details))
                    return

    def complete(self, cluster: str, service: str) -> None:
        """Report that every task of the newest deployment is healthy.

        While traffic is shifted, that is every task of the service. The stages then go on by the
        embedded clock, and pause at hooks.
        """
        found = self.service(cluster, service)
        for each in found.deployments if found.shift else found.deployments[:1]:
            self.report(cluster, service, each.id, running=each.desired_count)

    def bake(self, cluster: str, service: str) -> None:
        """Report that every task of the newest deployment is healthy, and begin its bake time.

        The next report ends the bake time: AWS computes its length and does not say how.
        """
        with self.lock:
            self._services[cluster, service].bake()

    def fail(
        self,
        cluster: str,
        service: str,
        reason: str | None = None,
        **details: Unpack[Details],
    ) -> None:
        """Report enough failed tasks of the newest deployment to trip the circuit breaker.

        Without a reason the tasks failed to start, or exited if `details` say how. The lines of
        `log` are in each failed container's log stream, if it has one. Raises ValueError if the
        breaker is off: ECS would then start tasks forever.
        """
        found = self.service(cluster, service)
        if not found.breaker["enable"]:
            raise ValueError(f"service {service} has no deployment circuit breaker to trip")
        reason = reason or (ESSENTIAL_EXITED if details else "Task failed to start")
        primary, failed = found.deployments[0].id, found.threshold
        self.report(cluster, service, primary, running=0, failed=failed, reason=reason, **details)

    def alarm(self, name: str, *, on: bool = True) -> None:
        """A CloudWatch alarm goes into the state ALARM, or leaves it."""
        with self.lock:
            self.advance()
            if not on:
                self._alarms.discard(name)
                return
            self._alarms.add(name)
            for service in self._services.values():
                service.hear(name)

    def refuse(self, cluster: str, service: str, hook: str, stage: str = "PRE_SCALE_UP") -> None:
        """A lifecycle hook of the rollout that is under way returns FAILED.

        `hook` is the ARN of its function. Raises ValueError if no rollout is under way.
        """
        with self.lock:
            self.advance()
            self._services[cluster, service].refuse(hook_refusal(stage, hook))

    def answer_hook(self, hook: str, answer: str) -> None:
        """What the function of a Lambda hook returns from now on, by its ARN.

        SUCCEEDED, which is what an unknown function returns, FAILED or IN_PROGRESS.
        """
        with self.lock:
            self.advance()
            self._hook_answers[hook] = answer

    def manage(self, cluster: str, service: str) -> None:
        """Make a service one of Express Mode, which ECS manages."""
        with self.lock:
            self._services[cluster, service].resource_management_type = "ECS"

    def _publish(self, event: Json) -> None:
        self._events.append(event)

    def drain_events(self) -> list[Json]:
        """The EventBridge events since the last call, oldest first."""
        with self.lock:
            self.advance()
            drained, self._events = self._events, []
            return drained

    # The API: from a request's JSON to an answer that moto serialises.

    def create_service(self, request: Json) -> Json:
        """CreateService."""
        cluster, name = self._cluster(request), request["serviceName"]
        strategy = request.get("schedulingStrategy", "REPLICA")
        ecs_configuration.require_scaling(strategy, request)
        existing = self._services.get((cluster.name, name))
        if existing and existing.status == "ACTIVE":
            raise InvalidParameterException("Creation of service was not idempotent.")
        balancers, connected = request.get("loadBalancers", []), ecs_configuration.connects(request)
        service = Service(
            cluster=cluster.name,
            name=name,
            arn=self._arn(cluster.name, name),
            cluster_arn=cluster.arn,
            # A daemon has one task on each container instance, and the embedded cluster is one.
            desired_count=1 if strategy == "DAEMON" else request.get("desiredCount", 0),
            deployment_configuration=ecs_configuration.read(request, balancers, connected),
            publish=self._publish,
            fleet=self.fleet,
            alarms_on=self._alarms,
            hook_answers=self._hook_answers,
            load_balancers=balancers,
            service_connect=connected,
            launch_type=request.get("launchType"),
            network_configuration=request.get("networkConfiguration"),
            capacity_provider_strategy=request.get("capacityProviderStrategy"),
            platform_version=request.get("platformVersion"),
            placement_constraints=request.get("placementConstraints"),
            placement_strategy=request.get("placementStrategy"),
            propagate_tags=request.get("propagateTags"),
            scheduling_strategy=strategy,
        )
        service.roll_out(self._task_definition(request["taskDefinition"]))
        self._services[cluster.name, name] = service
        return {"service": service}

    def update_service(self, request: Json) -> Json:
        """UpdateService: a new deployment for another task definition or load balancer, or forced.

        Inferred: that the deployment configuration of a service of Express Mode is refused.
        """
        service = self._active(request)
        current = service.deployments[0].task_definition
        asked = request.get("taskDefinition")
        wanted = self._task_definition(asked) if asked else current
        ecs_configuration.require_scaling(service.scheduling_strategy, request)
        balancers = request.get("loadBalancers", service.load_balancers)
        connected = ecs_configuration.connects(request, service.service_connect)
        if "deploymentConfiguration" in request:
            if service.resource_management_type == "ECS":
                raise InvalidParameterException(
                    "deploymentConfiguration cannot be changed: the service is managed by ECS."
                )
            configuration = ecs_configuration.read(request, balancers, connected)
            service.deployment_configuration = configuration
        moved = (balancers, connected) != (service.load_balancers, service.service_connect)
        service.load_balancers, service.service_connect = balancers, connected
        if "desiredCount" in request:
            service.scale(request["desiredCount"])
        if wanted != current or moved or request.get("forceNewDeployment"):
            service.roll_out(wanted)
        return {"service": service}

    def delete_service(self, request: Json) -> Json:
        """DeleteService: INACTIVE at once."""
        service = self._active(request)
        if service.desired_count > 0 and not request.get("force"):
            message = "The service cannot be stopped while it is scaled above 0."
            raise InvalidParameterException(message)
        service.delete()
        return {"service": service}

    def describe_services(self, request: Json) -> Json:
        """DescribeServices; deleted ones are INACTIVE."""
        cluster = self._cluster(request).name
        keys = [(cluster, asked.split("/")[-1]) for asked in request["services"]]
        return {
            "services": [self._shown(*key) for key in keys if key in self._services],
            "failures": [_missing(self._arn(*key)) for key in keys if key not in self._services],
        }

    def list_services(self, request: Json) -> Json:
        """ListServices of a cluster."""
        cluster = self._cluster(request).name
        return {"serviceArns": [each.arn for each in self.services() if each.cluster == cluster]}

    def list_service_deployments(self, request: Json) -> Json:
        """ListServiceDeployments."""
        return ecs_service_deployments.page(self._find(request).records, request)

    def describe_service_deployments(self, request: Json) -> Json:
        """DescribeServiceDeployments."""
        known = {each.service_deployment_arn: each for each in self._records()}
        asked = request["serviceDeploymentArns"]
        return {"serviceDeployments": _known(asked, known), "failures": _unknown(asked, known)}

    def stop_service_deployment(self, request: Json) -> Json:
        """StopServiceDeployment."""
        return ecs_service_deployments.stop(self._records(), request)

    def continue_service_deployment(self, request: Json) -> Json:
        """ContinueServiceDeployment."""
        return ecs_service_deployments.go_on(self._records(), request)

    def describe_service_revisions(self, request: Json) -> Json:
        """DescribeServiceRevisions."""
        services = self._services.values()
        known = {each.service_revision_arn: each for one in services for each in one.revisions}
        asked = request["serviceRevisionArns"]
        return {"serviceRevisions": _known(asked, known), "failures": _unknown(asked, known)}

    def list_tasks(self, request: Json) -> Json:
        """ListTasks: by default those that shall run, in no useful order.

        The API reference promises no order. Inferred: a stopped task is listed as long as
        DescribeTasks shows it, and the text of the refusal of two filters.
        """
        cluster, wanted = self._cluster(request), request.get("desiredStatus", "RUNNING")
        name, starter, family = (
            request.get(each) for each in ("serviceName", "startedBy", "family")
        )
        if starter and (name or family or "desiredStatus" in request):
            raise InvalidParameterException("startedBy must be the only filter.")
        if name:
            name = self._find(request | {"service": name}).name
        size = request.get("maxResults", TASKS_AT_ONCE)
        if not 1 <= size <= TASKS_AT_ONCE:
            raise InvalidParameterException("maxResults must be between 1 and 100.")
        matching = [
            each.task_arn
            for each in self.fleet
            if each.cluster_arn == cluster.arn
            and each.desired_status == wanted
            and name in (None, each.group.removeprefix("service:"))
            and starter in (None, each.started_by)
            and family in (None, _family(each))
        ]
        left = sorted((_shuffled(arn), arn) for arn in matching)
        left = [each for each in left if each[0] > request.get("nextToken", "")]
        more = left[size - 1][0] if len(left) > size else None
        return {"taskArns": [arn for _, arn in left[:size]], "nextToken": more}

    def describe_tasks(self, request: Json) -> Json:
        """DescribeTasks: at most 100. Inferred: the texts of the refusals."""
        cluster, asked = self._cluster(request), request["tasks"]
        if not 1 <= len(asked) <= TASKS_AT_ONCE:
            state = "cannot be empty" if not asked else "must be at most 100"
            raise InvalidParameterException(f"Tasks {state}.")
        found = {name: self.fleet.find(cluster.arn, name) for name in asked}
        base = cluster.arn.replace(":cluster/", ":task/")
        missing = [name for name, task in found.items() if task is None]
        arns = [name if name.startswith("arn:") else f"{base}/{name}" for name in missing]
        return {
            "tasks": [task for task in found.values() if task],
            "failures": [_missing(arn) for arn in arns],
        }

    def run_task(self, request: Json) -> Json:
        """RunTask: see `ecs_run_task`."""
        arn = self._task_definition(request["taskDefinition"])
        definition = self._backend.describe_task_definition(arn)
        return self.launcher.run(self._cluster(request), definition, request)

    def stop_task(self, request: Json) -> Json:
        """StopTask: the service's scheduler starts another one. Stopping twice has no effect."""
        task = self.fleet.find(self._cluster(request).arn, request["task"])
        if task is None:
            raise InvalidParameterException("The referenced task was not found.")
        if task in self.launcher.started:
            self.launcher.ask_to_stop(task, request.get("reason", USER_REASON))
        elif task.last_status != "STOPPED":
            stop = Stop(request.get("reason", USER_REASON), "UserInitiated")
            self._service_of(task).lose(task, stop)
        return {"task": task}

    def describe_task_definition(self, request: Json) -> Json:
        """DescribeTaskDefinition; of inactive and deleted ones only those that a service runs.

        The API reference promises no more: "You can only describe INACTIVE task definitions while
        an active task or service references them."
        """
        found = self._backend.describe_task_definition(request["taskDefinition"])
        if found.status != "ACTIVE" and not self._runs(found.arn):
            raise TaskDefinitionNotFoundException
        tags = {"tags": found.tags} if "TAGS" in request.get("include", []) else {}
        return {"taskDefinition": found, **tags}

    def delete_task_definitions(self, request: Json) -> Json:
        """DeleteTaskDefinitions, of deregistered ones only.

        moto forgets a deleted revision and would use its number again; ECS does not.
        """
        asked = request["taskDefinitions"]
        deleted, failures = self._backend.delete_task_definitions(asked)
        for each in deleted:
            self._backend.task_definitions[each.family][each.revision] = each
        return {"taskDefinitions": deleted, "failures": failures}

    def _runs(self, task_definition: str) -> bool:
        """Whether a deployment of an active service refers to the definition."""
        return any(
            deployment.task_definition == task_definition
            for service in self._services.values()
            for deployment in service.deployments
        )

    def _shown(self, cluster: str, service: str) -> Service:
        found = self.service(cluster, service)
        if ecs_records.DOCUMENTED_ONLY and not found.is_rolling:
            for each in found.deployments:
                each.rollout_state = each.rollout_state_reason = None
        return found

    def _records(self) -> Iterator[Record]:
        return (each for service in self._services.values() for each in service.records)

    def _service_of(self, task: Task) -> Service:
        cluster = task.task_arn.split("/")[1]
        return self._services[cluster, task.group.removeprefix("service:")]

    def _cluster(self, request: Json) -> Any:
        return self._backend._get_cluster(request.get("cluster", "default"))

    def _find(self, request: Json) -> Service:
        key = self._cluster(request).name, request["service"].split("/")[-1]
        if key not in self._services:
            raise ServiceNotFoundException
        return self._services[key]

    def _active(self, request: Json) -> Service:
        service = self._find(request)
        if service.status != "ACTIVE":
            raise ServiceNotActive
        return service

    def _task_definition(self, asked: str) -> str:
        try:
            found = self._backend.describe_task_definition(asked)
        except TaskDefinitionNotFoundException:
            raise EcsClientException("TaskDefinition not found.") from None
        if found.status != "ACTIVE":
            raise EcsClientException("TaskDefinition is inactive")
        return cast(str, found.arn)

    def _arn(self, cluster: str, service: str) -> str:
        region, account = self._backend.region_name, self._backend.account_id
        return f"arn:aws:ecs:{region}:{account}:service/{cluster}/{service}"


def _known(asked: list[str], known: dict[str, Any]) -> list[Any]:
    return [known[arn] for arn in asked if arn in known]


def _unknown(asked: list[str], known: dict[str, Any]) -> list[Json]:
    return [_missing(arn) for arn in asked if arn not in known]


def _family(task: Task) -> str:
    return task.task_definition_arn.rpartition("/")[2].partition(":")[0]


def _shuffled(arn: str) -> str:
    return hashlib.sha256(arn.encode()).hexdigest()


def _missing(arn: str) -> Json:
    return {"arn": arn, "reason": "MISSING"}
