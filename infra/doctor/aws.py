"""Checks of the AWS account and of a deployed stage. They only read."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from chalicelib.domain.schema import SCHEMA
from infra.doctor.local import NOT_CHECKED, NOTE, OK, WRONG, Check
from infra.permissions import DEPLOY, DOCTOR, an_example, context_of, values_of
from infra.redrive import dead_letters_of, is_missing_queue, queues_of
from infra.stacks import Refused, Stack, find_stack, open_session
from infra.upgrade import read_schema, why_not

_PATIENCE = Config(connect_timeout=5, read_timeout=15, retries={"total_max_attempts": 2})
_DENIED = frozenset(
    {"AccessDenied", "AccessDeniedException", "AuthorizationError", "UnauthorizedOperation"}
)
# The defaults of infra/stack.yaml, for an account without the stage.
_DEFAULTS = {"JobWorkers": "2", "BuildComputeType": "BUILD_GENERAL1_SMALL"}
# AWS Lambda, "Understanding function scaling": new accounts start with fewer than 1,000.
_USUAL_CONCURRENCY, _LEAST_CONCURRENCY = 1000, 10


@dataclass(frozen=True)
class _Account:
    """An account with a session for it. `arn` is that of the caller."""

    session: boto3.Session
    id: str
    arn: str
    stage: str | None

    @property
    def prefix(self) -> str:
        """The first part of every name of the stage; of dev if no stage is given."""
        return f"slipway-{self.stage or 'dev'}"

    def client(self, service: str) -> Any:
        return self.session.client(service, config=_PATIENCE)  # type: ignore[call-overload]


def checks(stage: str | None) -> Iterator[Check]:
    """All checks of the account, and of a stage if one is given."""
    try:
        session = open_session()
    except Refused as refusal:
        why = str(refusal).splitlines()[0].partition(", so ")[0]
        yield Check(NOT_CHECKED, "AWS", f"{why}. The account and its stages were not looked at.")
        return
    try:
        caller = session.client("sts", config=_PATIENCE).get_caller_identity()
    except (BotoCoreError, ClientError) as error:
        yield Check(WRONG, "AWS credentials", f"do not work: {error}.", "sign in again.")
        return
    account = _Account(session, caller["Account"], caller["Arn"], stage)
    yield Check(OK, "AWS", f"account {account.id}, {session.region_name}, as {account.arn}.")
    stack, check = _look_at_stack(account, account.prefix) if stage else (None, None)
    parameters = {**_DEFAULTS, **(stack.parameters if stack else {})}
    yield from _guarded("Permissions to deploy", lambda: _permissions(account, parameters))
    if check:
        yield check
    yield from _guarded("CodeBuild's quota", lambda: _builds(account, parameters))
    yield from _guarded("Lambda's concurrency", lambda: _concurrency(account))
    if stage:
        yield from _of_stage(account, stack)
    else:
        yield Check(NOT_CHECKED, "Stages", "give one, such as STAGE=dev.")


def _guarded(subject: str, look: Callable[[], Iterator[Check]]) -> Iterator[Check]:
    """The checks of `look`, and one that says why if a call fails."""
    try:
        yield from look()
    except (BotoCoreError, ClientError) as error:
        yield _unknown(subject, error)


def _unknown(subject: str, error: BotoCoreError | ClientError) -> Check:
    """A check whose call AWS denied or did not answer."""
    if isinstance(error, ClientError):
        code = error.response.get("Error", {}).get("Code", "")
        if code in _DENIED:
            return Check(NOT_CHECKED, subject, f"AWS denies {error.operation_name}.")
    return Check(NOT_CHECKED, subject, f"{error}.")


def _permissions(account: _Account, parameters: Mapping[str, str]) -> Iterator[Check]:
    subject = "Permissions to deploy"
    principal = _principal(account)
    if principal is None:
        yield Check(NOT_CHECKED, subject, f"IAM cannot simulate {account.arn}.")
        return
    values = values_of(
        account.stage or "dev",
        parameters,
        region=account.session.region_name,
        account=account.id,
        partition=account.arn.split(":")[1],
    )
    pages = account.client("iam").get_paginator("simulate_principal_policy")
    denied = [
        result["EvalActionName"]
        for grant in DEPLOY
        if grant is not DOCTOR
        for page in pages.paginate(
            PolicySourceArn=principal,
            # IAM simulates actions only by their whole names.
            ActionNames=[each for each in grant.actions if "*" not in each],
            ResourceArns=[an_example(grant, values)],
            ContextEntries=[
                {"ContextKeyName": key, "ContextKeyValues": [value], "ContextKeyType": "string"}
                for key, value in context_of(grant, values).items()
            ],
        )
        for result in page["EvaluationResults"]
        # With a missing value of a condition, the simulation does not know.
        if result["EvalDecision"] != "allowed" and not result.get("MissingContextValues")
    ]
    if denied:
        policy = f"make policy STAGE={account.stage or 'dev'}"
        fix = f"give {principal} the policy that `{policy}` prints, or deploy with another role."
        yield Check(WRONG, subject, f"IAM denies {', '.join(denied)}.", fix)
    else:
        yield Check(OK, subject, "IAM's simulation allows the main actions.")


def _principal(account: _Account) -> str | None:
    """The ARN that IAM can simulate: of the user, or of the role behind a session."""
    kind, _, name = account.arn.split(":")[5].partition("/")
    if kind == "user":
        return account.arn
    if kind != "assumed-role":
        return None
    # The session's ARN has no path.
    role = account.client("iam").get_role(RoleName=name.partition("/")[0])["Role"]
    return str(role["Arn"])


def _builds(account: _Account, parameters: Mapping[str, str]) -> Iterator[Check]:
    size = parameters["BuildComputeType"].removeprefix("BUILD_GENERAL1_").capitalize()
    wanted = f"Concurrently running builds for Linux/{size} environment"
    pages = account.client("service-quotas").get_paginator("list_service_quotas")
    limit = next(
        (
            int(quota["Value"])
            for page in pages.paginate(ServiceCode="codebuild")
            for quota in page["Quotas"]
            if quota["QuotaName"] == wanted
        ),
        None,
    )
    workers = int(parameters["JobWorkers"])
    if limit is None:
        yield Check(NOT_CHECKED, "CodeBuild's quota", f"Service Quotas has no “{wanted}”.")
    elif limit < workers:
        stage = account.stage or "dev"
        yield Check(
            WRONG,
            "CodeBuild's quota",
            f"allows {limit} builds at once on Linux/{size}, and JobWorkers is {workers}. "
            "CodeBuild refuses a project with a limit above the quota.",
            f'deploy with ARGS="JobWorkers={max(limit, 1)}" (STAGE={stage}), or ask for more in '
            f"Service Quotas: {wanted}.",
        )
    else:
        yield Check(
            OK, "CodeBuild's quota", f"{limit} builds at once, and JobWorkers is {workers}."
        )


def _concurrency(account: _Account) -> Iterator[Check]:
    limits = account.client("lambda").get_account_settings()["AccountLimit"]
    free = int(limits["UnreservedConcurrentExecutions"])
    subject, fix = "Lambda's concurrency", "ask for more in Service Quotas: Concurrent executions."
    if free < _LEAST_CONCURRENCY:
        yield Check(WRONG, subject, f"{free} executions at once are too few.", fix)
    elif free < _USUAL_CONCURRENCY:
        few = f"{free} executions at once, which all functions of the account share. Enough to try."
        yield Check(NOTE, subject, few, fix)
    else:
        yield Check(OK, subject, f"{free} executions at once.")


def _look_at_stack(account: _Account, name: str) -> tuple[Stack | None, Check]:
    """One of the two stacks of a stage; None if it is missing, broken or not to be seen."""
    subject, again = f"Stack {name}", f"make deploy STAGE={account.stage}"
    try:
        stack = find_stack(account.client("cloudformation"), name)
    except Refused as refusal:
        cause, _, fix = str(refusal).partition("\n")
        return None, Check(WRONG, subject, cause, fix)
    except (BotoCoreError, ClientError) as error:
        return None, _unknown(subject, error)
    if stack is None:
        return None, Check(WRONG, subject, "does not exist.", again)
    status = stack.status
    if status in {"CREATE_COMPLETE", "UPDATE_COMPLETE", "IMPORT_COMPLETE"}:
        return stack, Check(OK, subject, f"{status}.")
    if status.endswith("_IN_PROGRESS"):
        return stack, Check(NOTE, subject, f"{status}: it is being changed.")
    if status.endswith("ROLLBACK_COMPLETE"):
        return stack, Check(NOTE, subject, f"{status}: the last update failed.", again)
    return stack, Check(WRONG, subject, f"{status}.", f"see its events, then {again}")


def _of_stage(account: _Account, stack: Stack | None) -> Iterator[Check]:
    yield _look_at_stack(account, f"{account.prefix}-app")[1]
    if stack is None or not stack.outputs:
        yield Check(NOT_CHECKED, "Secret, rows, alarms, dead letters", "the stack was not read.")
        return
    outputs = stack.outputs
    yield from _guarded("Webhook secret", lambda: _webhook_secret(account, outputs))
    yield from _guarded("Rows", lambda: _schema(account))
    yield from _guarded("Alarms", lambda: _alarms(account, stack))
    yield from _guarded("Dead letters", lambda: _dead_letters(account, outputs))


def _webhook_secret(account: _Account, outputs: Mapping[str, str]) -> Iterator[Check]:
    name = outputs["WebhookSecret"].partition(":")[2]
    fix = f"aws secretsmanager put-secret-value --secret-id {name} --secret-string …"
    try:
        secret = account.client("secretsmanager").describe_secret(SecretId=name)
    except ClientError as error:
        if error.response.get("Error", {}).get("Code") != "ResourceNotFoundException":
            raise
        fix = f"make deploy STAGE={account.stage}"
        yield Check(WRONG, "Webhook secret", "does not exist: no delivery is accepted.", fix)
        return
    versions = secret.get("VersionIdsToStages", {}).values()
    if "DeletedDate" in secret or not any("AWSCURRENT" in stages for stages in versions):
        yield Check(WRONG, "Webhook secret", "has no value: no delivery is accepted.", fix)
    else:
        yield Check(OK, "Webhook secret", f"{secret['Name']} has a value.")


def _schema(account: _Account) -> Iterator[Check]:
    stored = read_schema(account.client("dynamodb"), account.prefix)
    if unusable := why_not(stored):
        cause, _, fix = unusable.partition("\n")
        yield Check(WRONG, "Rows", cause, fix)
    elif stored < SCHEMA:
        found = f"have schema {stored}. The migrations to {SCHEMA} are not complete."
        yield Check(NOTE, "Rows", found, f"make deploy STAGE={account.stage}")
    else:
        yield Check(OK, "Rows", f"have schema {stored}.")


def _alarms(account: _Account, stack: Stack) -> Iterator[Check]:
    pages = account.client("cloudwatch").get_paginator("describe_alarms")
    alarms = [
        alarm
        for page in pages.paginate(AlarmNamePrefix=f"{account.prefix}-")
        for alarm in page["MetricAlarms"]
    ]
    firing = [alarm for alarm in alarms if alarm["StateValue"] == "ALARM"]
    for alarm in firing:
        found = f"fires. {alarm.get('AlarmDescription', '')}"
        fix = f"find the cause ({alarm['StateReason']})."
        yield Check(WRONG, f"Alarm {alarm['AlarmName']}", found, fix)
    if not firing:
        yield Check(OK, "Alarms", f"none of {len(alarms)} fires.")
    if not stack.parameters.get("AlarmTopic"):
        fix = f'make deploy STAGE={account.stage} ARGS="AlarmTopic=arn:…"'
        yield Check(NOTE, "Alarms", "notify no one, because AlarmTopic is empty.", fix)


def _dead_letters(account: _Account, outputs: Mapping[str, str]) -> Iterator[Check]:
    count = sum(_messages(account, dead_letters_of(each)) for each in queues_of(outputs))
    if count:
        fix = f"remove the cause, then make redrive STAGE={account.stage}"
        yield Check(WRONG, "Dead letters", f"about {count}.", fix)
    else:
        yield Check(OK, "Dead letters", "none.")


def _messages(account: _Account, queue_url: str) -> int:
    """About how many messages a queue has. A queue that is not deployed has none."""
    name = "ApproximateNumberOfMessages"
    try:
        found = account.client("sqs").get_queue_attributes(
            QueueUrl=queue_url, AttributeNames=[name]
        )
    except ClientError as error:
        if is_missing_queue(error):
            return 0
        raise
    return int(found["Attributes"][name])
