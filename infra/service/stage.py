"""Creates, changes and removes a service of a deployed stage: its CloudFormation stack and its
place in Slipway.
"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from botocore.exceptions import WaiterError
from slipway_cli import credentials
from slipway_cli.client import Client, path_of

from chalicelib.domain.repositories import repository_of
from infra.confirm import confirm
from infra.package import ROOT
from infra.service import registration
from infra.service.names import Name, log_group_for, repository_for, roles_for
from infra.service.network import OWN_CERTIFICATES, Network, find_network
from infra.stacks import Refused, Stack, find_stack, look_up, open_session, stage_outputs

TEMPLATE = ROOT / "infra" / "service.yaml"
# Parameters that `ARGS` may set. The others follow from these, or may only change with a new stack.
_FIRST_ONLY = {
    "Cluster",
    "Cpu",
    "Listener",
    "Memory",
    "Placeholder",
    "PublicIp",
    "Repository",
    "Subnets",
    "TaskSubnets",
    "Vpc",
}
_LATER = {
    "BakeMinutes",
    "CanaryPercent",
    "CertificateArn",
    "CpuTarget",
    "Domain",
    "HealthPath",
    "LogRetentionDays",
    "MaxTasks",
    "MinTasks",
    "StepMinutes",
    "StepPercent",
    "Strategy",
}
_COMMAND = "make service STAGE={stage} NAME={name}"


@dataclass(frozen=True)
class Wanted:
    """What the command line asks for. `port` is None if it is not given."""

    stage: str
    name: Name
    git: str = ""
    branch: str = "main"
    dockerfile: str | None = None
    port: int | None = None
    parameters: Mapping[str, str] = field(default_factory=dict)
    yes: bool = False

    @property
    def stack(self) -> str:
        """The name of the CloudFormation stack."""
        return f"slipway-{self.stage}-service-{self.name.project}-{self.name.service}"

    @property
    def command(self) -> str:
        """The beginning of the command that made this."""
        return _COMMAND.format(stage=self.stage, name=self.name)


class Aws:
    """The account, its clients, and what the stage has deployed. Raises Refused if it is not."""

    def __init__(self, stage: str) -> None:
        self.outputs = stage_outputs(stage)
        self.session = open_session()
        self.cloudformation = self.session.client("cloudformation")
        stack = find_stack(self.cloudformation, f"slipway-{stage}")
        self.parameters = stack.parameters if stack else {}
        application = find_stack(self.cloudformation, f"slipway-{stage}-app")
        if application is None or "EndpointURL" not in application.outputs:
            raise Refused(
                f"The stage {stage} has no API: its last deploy was not completed.\n"
                f"Run it again: make deploy STAGE={stage}"
            )
        self.api = application.outputs["EndpointURL"].rstrip("/")

    @cached_property
    def account(self) -> str:
        """The id of the account."""
        return self.session.client("sts").get_caller_identity()["Account"]

    def client(self, service: str) -> Any:
        """A client of boto3."""
        return self.session.client(service)  # type: ignore[call-overload]

    def slipway(self) -> Client:
        """Slipway's API, with the token of SLIPWAY_TOKEN or of `slipway login`.

        Raises slipway_cli's Failure without a token.
        """
        login = credentials.load({**os.environ, "SLIPWAY_URL": self.api}, insecure_http=False)
        return Client(login.url, login.token)


def create(wanted: Wanted) -> None:
    """Create the service, or change what the command line says, and print what to do next."""
    git_url = _git_url(wanted.git)
    aws = Aws(wanted.stage)
    _require_allowed_host(git_url, aws.outputs)
    slipway = aws.slipway()
    stack = _find(aws, wanted)
    values = _values(aws, wanted, stack)
    settings = _settings(wanted, git_url, values)
    project = registration.find_project(slipway, wanted.name.project)
    service = project and registration.find_service(slipway, project, wanted.name.service)
    if service:
        registration.require_same(service, settings, wanted.name)
    changes = _changes(aws, stack, {**values, **({"ProjectId": str(project)} if project else {})})
    print(f"account {aws.account}, {aws.session.region_name}, stage {wanted.stage}")
    if stack is None:
        print(_plan(wanted, values, project))
        confirm("Create this?", "yes", yes=wanted.yes)
    elif changes:
        print(f"stack {wanted.stack} changes: {', '.join(sorted(changes))}")
        confirm("Change this?", "yes", yes=wanted.yes)
    # The project first: its id is part of the names of the secrets that tasks may read.
    if not project:
        project = registration.create_project(slipway, wanted.name.project)
        print(f"project {wanted.name.project} has the id {project}")
    if stack is None or changes:
        _apply(aws, wanted, stack, {**values, "ProjectId": str(project)})
    else:
        print(f"stack {wanted.stack} is as wanted")
    if not service:
        service = registration.create_service(slipway, project, settings)
        print(f"service {wanted.name} is registered with the id {service['id']}")
    else:
        print(f"service {wanted.name} was registered before, with the id {service['id']}")
    print(_next_steps(aws, wanted, git_url, values))


def _git_url(text: str) -> str:
    try:
        return repository_of(text).url
    except ValueError as error:
        raise Refused(
            f"GIT is {text!r}: {error}.\nGive for instance GIT=https://github.com/acme/web."
        ) from None


def _require_allowed_host(git_url: str, outputs: Mapping[str, str]) -> None:
    host = repository_of(git_url).host
    allowed = outputs["GitHosts"].split(",")
    if host not in allowed:
        raise Refused(
            f"GIT is on {host}, and builds of this stage fetch only from {', '.join(allowed)}.\n"
            f'Allow it first: make deploy with ARGS="GitHosts={",".join([*allowed, host])}".'
        )


def _find(aws: Aws, wanted: Wanted) -> Stack | None:
    """The service's stack. Raises Refused if it is busy, broken, or of another service."""
    stack = look_up(aws.cloudformation, wanted.stack)
    if stack is None:
        return None
    status = stack.status
    if status.endswith("_IN_PROGRESS"):
        raise Refused(f"The stack {wanted.stack} is {status}.\nWait until it ends, and try again.")
    if status in {"CREATE_FAILED", "ROLLBACK_COMPLETE", "ROLLBACK_FAILED", "DELETE_FAILED"}:
        raise Refused(
            f"The stack {wanted.stack} is {status}: it can only be deleted.\n"
            f"Delete it and try again: {wanted.command} DELETE=yes"
        )
    _require_own(stack, wanted)
    return stack


def _require_own(stack: Stack, wanted: Wanted) -> None:
    """Raise Refused if the stack is of another service: a-b/c and a/b-c have the same one."""
    values = stack.parameters
    own = f"{values.get('Project')}/{values.get('Service')}"
    if own != str(wanted.name):
        raise Refused(f"The stack {wanted.stack} belongs to the service {own}.\nGive another NAME.")


def _values(aws: Aws, wanted: Wanted, stack: Stack | None) -> dict[str, str]:
    """The stack's parameters that are known before the project is: all of a new one."""
    given = dict(wanted.parameters)
    if unknown := given.keys() - _FIRST_ONLY - _LATER:
        raise Refused(
            f"{', '.join(sorted(unknown))} cannot be set.\n"
            f"These can: {', '.join(sorted(_FIRST_ONLY | _LATER))}."
        )
    before = {} if stack is None else stack.parameters
    _require_tasks({**before, **given})
    if stack is None:
        return _new_values(aws, wanted, given)
    if wanted.port is not None:
        given["Port"] = str(wanted.port)
    if before.get("Listener") and given.get("CertificateArn"):
        raise Refused(OWN_CERTIFICATES)
    fixed = sorted(name for name in given.keys() - _LATER if given[name] != before.get(name))
    if fixed:
        raise Refused(
            f"{', '.join(fixed)} cannot change after the creation of a service.\n"
            f"Delete the service and create it again: {wanted.command} DELETE=yes"
        )
    # A stack that was made before services had a role for this gets its name now.
    roles = roles_for(aws.outputs["TaskRoles"], wanted.name.in_stage(wanted.stage))
    return {"TrafficRole": roles.traffic, **before, **given}


def _require_tasks(values: Mapping[str, str]) -> None:
    """Raise Refused if the scaling cannot be: CloudFormation finds it after some minutes."""
    fewest, most = values.get("MinTasks", "1"), values.get("MaxTasks", "4")
    if fewest.isdigit() and most.isdigit() and int(fewest) > int(most):
        raise Refused(f"MinTasks={fewest} is above MaxTasks={most}.\nGive both.")


def _new_values(aws: Aws, wanted: Wanted, given: Mapping[str, str]) -> dict[str, str]:
    stem = wanted.name.in_stage(wanted.stage)
    repository = repository_for(
        aws.parameters["RepositoryPattern"], wanted.name, given.get("Repository")
    )
    if given.get("HealthPath", "/") != "/":
        raise Refused(
            "HealthPath must be / at first: the placeholder answers there, and the service would "
            "never become healthy.\nLeave it out, and set it after the first release with the same "
            "command."
        )
    roles = roles_for(aws.outputs["TaskRoles"], stem)
    network = find_network(aws, given)
    return {
        "Stage": wanted.stage,
        "Project": wanted.name.project,
        "Service": wanted.name.service,
        "Port": str(wanted.port or 8080),
        "CreateRepository": str(not _repository_exists(aws, repository)).lower(),
        "RolePath": roles.path,
        "TaskRole": roles.task,
        "ExecutionRole": roles.execution,
        "TrafficRole": roles.traffic,
        "LogGroup": log_group_for(aws.outputs["TaskLogGroups"], stem),
        "TaskSubnets": network.parameters["Subnets"],
        **network.parameters,
        **given,
        "Repository": repository,
    }


def _repository_exists(aws: Aws, repository: str) -> bool:
    ecr = aws.client("ecr")
    try:
        ecr.describe_repositories(repositoryNames=[repository])
    except ecr.exceptions.RepositoryNotFoundException:
        return False
    return True


def _settings(wanted: Wanted, git_url: str, values: Mapping[str, str]) -> dict[str, Any]:
    """The service in Slipway."""
    stem = wanted.name.in_stage(wanted.stage)
    return {
        "name": wanted.name.service,
        "git_url": git_url,
        "branch": wanted.branch,
        **({"dockerfile": wanted.dockerfile} if wanted.dockerfile else {}),
        "image_repository": values["Repository"],
        "ecs_cluster": values.get("Cluster") or stem,
        "ecs_service": stem,
        "containers": [wanted.name.service],
        "auto_deploy": True,
    }


def _changes(aws: Aws, stack: Stack | None, values: Mapping[str, str]) -> set[str]:
    """What an update would change: names of parameters, and `template`."""
    if stack is None:
        return set()
    before = stack.parameters
    changed = {name for name, value in values.items() if before.get(name) != value}
    now = aws.cloudformation.get_template(StackName=stack.id)["TemplateBody"]
    if isinstance(now, str) and now.strip() != TEMPLATE.read_text().strip():
        changed.add("template")
    return changed


def _plan(wanted: Wanted, values: Mapping[str, str], project: int | None) -> str:
    stem = wanted.name.in_stage(wanted.stage)
    is_own = not values.get("Listener")
    https = "https" if values.get("CertificateArn") else "http, as there is no CertificateArn"
    balancer = (
        f"a load balancer of its own, {https}"
        if is_own
        else f"a rule for {values['Domain']} on the shared listener"
    )
    repository = "a new one" if values["CreateRepository"] == "true" else "which exists"
    lines = [
        f"stack {wanted.stack} will be created:",
        f"  ECS service    {stem} on Fargate, port {values['Port']}, "
        f"{values.get('MinTasks', '1')} to {values.get('MaxTasks', '4')} tasks, strategy "
        f"{values.get('Strategy', 'ROLLING')}",
        f"  Traffic        {balancer}, from the whole internet"
        if is_own
        else f"  Traffic        {balancer}",
        f"  Network        {values['Vpc']}, {values['Subnets']}",
        f"  Image          ECR repository {values['Repository']}, {repository}",
        f"  Roles          {values['TaskRole']}, {values['ExecutionRole']}, "
        f"{values['TrafficRole']}",
        f"  Logs           {values['LogGroup']}",
        f"in Slipway: {'' if project else f'the project {wanted.name.project} and '}the service "
        f"{wanted.name}, with auto_deploy",
        "The load balancer and the tasks cost money until they are deleted."
        if is_own
        else "The tasks cost money until they are deleted.",
    ]
    return "\n".join(lines)


def _apply(aws: Aws, wanted: Wanted, stack: Stack | None, values: Mapping[str, str]) -> None:
    """Create or update the stack and wait for it. Raises Refused with the reasons of a failure.

    Not by `infra.stacks.plan_stack`: the roles have names, so another capability is needed, and a
    failed creation leaves nothing behind here.
    """
    running = (
        {} if stack is None else {**_running(aws, wanted, values), **_live(aws, wanted, stack)}
    )
    request: dict[str, Any] = {
        "StackName": wanted.stack,
        "TemplateBody": TEMPLATE.read_text(),
        "Capabilities": ["CAPABILITY_NAMED_IAM"],
        "Parameters": [
            {"ParameterKey": name, "ParameterValue": value}
            for name, value in {**values, **running}.items()
        ],
        "Tags": [{"Key": "slipway:service", "Value": str(wanted.name)}],
    }
    print(f"stack {wanted.stack}: a few minutes, until the tasks are healthy", flush=True)
    if stack is None:
        number = aws.cloudformation.create_stack(**request, OnFailure="DELETE")["StackId"]
        _wait(aws, "stack_create_complete", number)
    else:
        number = stack.id
        aws.cloudformation.update_stack(**request)
        _wait(aws, "stack_update_complete", number)


def _running(aws: Aws, wanted: Wanted, values: Mapping[str, str]) -> dict[str, str]:
    """The task definition that ECS runs now; an update must not bring the placeholder back."""
    stem = wanted.name.in_stage(wanted.stage)
    found = aws.client("ecs").describe_services(
        cluster=values.get("Cluster") or stem, services=[stem]
    )["services"]
    return {"Running": found[0]["taskDefinition"]} if found else {}


def _live(aws: Aws, wanted: Wanted, stack: Stack) -> dict[str, str]:
    """The target group that has the traffic now; an update must not take the traffic from it.

    Raises Refused while ECS shifts the traffic.
    """
    rules = aws.client("elbv2").describe_rules(RuleArns=[stack.outputs["Rule"]])["Rules"]
    groups = rules[0]["Actions"][0]["ForwardConfig"]["TargetGroups"]
    live = [each["TargetGroupArn"] for each in groups if each["Weight"]]
    if len(live) != 1:
        raise Refused(
            f"ECS is shifting the traffic of {wanted.name}, and an update would set it back.\n"
            "Wait until the deployment ends, and try again."
        )
    name = "TargetGroup" if live == [stack.outputs["TargetGroup"]] else "AlternateTargetGroup"
    return {"Live": name}


def _wait(aws: Aws, what: str, stack_id: str) -> None:
    try:
        aws.cloudformation.get_waiter(what).wait(  # type: ignore[call-overload]
            StackName=stack_id, WaiterConfig={"Delay": 10, "MaxAttempts": 270}
        )
    except WaiterError as error:
        reasons = _reasons(aws, stack_id)
        if not reasons:
            raise
        raise Refused(
            "CloudFormation failed and undid its changes:\n"
            + "\n".join(reasons)
            + "\nFix the first cause and run this again."
        ) from error


def _reasons(aws: Aws, stack_id: str) -> list[str]:
    """Why resources failed, oldest first, without those that were only cancelled."""
    pages = aws.cloudformation.get_paginator("describe_stack_events").paginate(StackName=stack_id)
    failed = [
        f"  {event['LogicalResourceId']}: {event.get('ResourceStatusReason', 'no reason given')}"
        for page in pages
        for event in page["StackEvents"]
        if event.get("ResourceStatus", "").endswith("_FAILED")
        and "cancelled" not in event.get("ResourceStatusReason", "")
    ]
    return failed[::-1]


def _next_steps(aws: Aws, wanted: Wanted, git_url: str, values: Mapping[str, str]) -> str:
    stack = look_up(aws.cloudformation, wanted.stack)
    outputs = stack.outputs if stack is not None else {}
    url, dns = _address(aws, values, outputs)
    secret = aws.outputs["WebhookSecret"].partition(":")[2]
    repository = git_url.removesuffix(".git")
    form = (
        f"at {repository}/settings/hooks/new"
        if repository.startswith("https://github.com/")
        else f"in the settings of {repository}"
    )
    answers = _what_answers(aws, wanted, values, outputs.get("FirstTaskDefinition"))
    lines = [f"address  {url}", f"         {answers}"]
    if values.get("Domain"):
        lines.append(f"         Point {values['Domain']} to {dns} in your DNS (CNAME or alias).")
    lines += [
        f"webhook  Add it {form}, once for each repository:",
        f"           Payload URL       {aws.api}/v1/webhooks/github",
        "           Content type      application/json",
        "           Secret            what this prints: aws secretsmanager get-secret-value "
        f"--secret-id {secret} --query SecretString --output text",
        "           SSL verification  Enable SSL verification",
        "           Events            Just the push event",
        "           Active            yes",
        f"next     git push origin {wanted.branch}. Slipway builds and deploys the push. The image "
        f"must listen on port {values['Port']}.",
    ]
    return "\n".join(lines)


def _what_answers(aws: Aws, wanted: Wanted, values: Mapping[str, str], first: str | None) -> str:
    is_first = _running(aws, wanted, values).get("Running") == first
    return (
        "Until the first release it answers with an example page of AWS."
        if is_first
        else "It answers with the newest release."
    )


def _address(aws: Aws, values: Mapping[str, str], outputs: Mapping[str, str]) -> tuple[str, str]:
    """The service's URL, and the host name of its load balancer."""
    if values.get("Listener"):
        shared = Network.of_listener(aws, values["Listener"])
        return f"{shared.scheme}://{values['Domain']}/", shared.dns
    dns = outputs.get("DnsName", "")
    if values.get("CertificateArn"):
        return f"https://{values.get('Domain') or dns}/", dns
    return f"http://{dns}/", dns


def delete(wanted: Wanted, *, images: bool) -> None:
    """Remove the service from Slipway and delete its stack. Raises Refused if that is not allowed.

    A repeat continues after a failure. The project stays.
    """
    aws = Aws(wanted.stage)
    slipway = aws.slipway()
    stack = look_up(aws.cloudformation, wanted.stack)
    if stack is not None:
        _require_own(stack, wanted)
    service = _registered(slipway, wanted)
    repository = (
        stack.parameters["Repository"]
        if stack
        else repository_for(
            aws.parameters["RepositoryPattern"], wanted.name, wanted.parameters.get("Repository")
        )
    )
    has_images = _repository_exists(aws, repository)
    print(f"account {aws.account}, {aws.session.region_name}, stage {wanted.stage}")
    if not (stack or service or (images and has_images)):
        print(f"There is no service {wanted.name} to delete.")
        return
    keep = f"aws ecr delete-repository --force --repository-name {repository}"
    print(_removal(wanted, stack is not None, service, repository if images else None))
    if has_images and not images:
        print(f"kept: the images in the ECR repository {repository}. This deletes them: {keep}")
    confirm("Delete this?", str(wanted.name), yes=wanted.yes)
    if service:
        slipway.delete(path_of("services", service["id"]))
        print(f"service {wanted.name} is removed from Slipway")
    if stack:
        aws.cloudformation.delete_stack(StackName=wanted.stack)
        print(f"stack {wanted.stack}: a few minutes", flush=True)
        _wait(aws, "stack_delete_complete", stack.id)
    if images and has_images:
        aws.client("ecr").delete_repository(repositoryName=repository, force=True)
        print(f"ECR repository {repository} is deleted")
    print("done")


def _registered(slipway: Client, wanted: Wanted) -> dict[str, Any] | None:
    """The service in Slipway if it is the one of this stack."""
    project = registration.find_project(slipway, wanted.name.project)
    service = project and registration.find_service(slipway, project, wanted.name.service)
    own = wanted.name.in_stage(wanted.stage)
    return service if service and service["ecs_service"] == own else None


def _removal(
    wanted: Wanted, has_stack: bool, service: Mapping[str, Any] | None, repository: str | None
) -> str:
    lines: Sequence[str] = [
        "deleted:",
        *(["  its place in Slipway; its history stays readable"] if service else []),
        *(
            [f"  stack {wanted.stack}: ECS service, load balancer or rule, roles, logs"]
            if has_stack
            else []
        ),
        *([f"  ECR repository {repository} with all images"] if repository else []),
    ]
    return "\n".join(lines)
