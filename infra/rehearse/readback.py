"""Reads a deployed stage back from AWS's own APIs and compares it with its templates."""

import json
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any

import boto3

from infra.rehearse.intended import Intended, Template

# Properties that the emulator's CloudFormation drops, by type. docs/install.md names them.
NOT_KEPT: Mapping[str, frozenset[str]] = {
    "AWS::CodeBuild::Project": frozenset(
        {"ConcurrentBuildLimit", "LogsConfig", "QueuedTimeoutInMinutes"}
    ),
    "AWS::DynamoDB::Table": frozenset(
        {"PointInTimeRecoverySpecification", "TimeToLiveSpecification"}
    ),
    "AWS::S3::Bucket": frozenset({"LifecycleConfiguration"}),
    "AWS::SecretsManager::Secret": frozenset({"GenerateSecretString"}),
}


def client(service: str) -> Any:
    """A client of the emulator."""
    return boto3.client(service)  # type: ignore[call-overload]


def read_back(stack: str, other: Collection[str] = ()) -> tuple[int, list[str]]:
    """How many resources of a stack are as its template says, and the differences of the others.

    Those with a logical id in `other` are not compared.
    """
    cloudformation = client("cloudformation")
    described = cloudformation.describe_stacks(StackName=stack)["Stacks"][0]
    listed = cloudformation.get_paginator("list_stack_resources").paginate(StackName=stack)
    names = {
        each["LogicalResourceId"]: each["PhysicalResourceId"]
        for page in listed
        for each in page["StackResourceSummaries"]
    }
    body = cloudformation.get_template(StackName=stack, TemplateStage="Original")["TemplateBody"]
    text = body if isinstance(body, str) else json.dumps(body)
    # The resolved value is that of a parameter which names another one, in Parameter Store.
    parameters = {
        each["ParameterKey"]: each.get("ResolvedValue", each["ParameterValue"])
        for each in described.get("Parameters", [])
    }
    wanted = Template(text, parameters, names, _attribute).resources()
    compared = [each for each in wanted if each.logical_id not in other]
    different = [line for each in compared for line in _compare(each)]
    return len(compared), different


def _compare(wanted: Intended) -> Iterator[str]:
    reader = _READERS.get(wanted.type)
    if reader is None:
        yield f"{wanted.logical_id}: nothing reads {wanted.type} back"
        return
    seen = reader(wanted)
    dropped = NOT_KEPT.get(wanted.type, frozenset())
    asked = {name: each for name, each in wanted.properties.items() if name not in dropped}
    # A reader of what SAM writes in its own way returns what it compares with as `_wanted`.
    for line in differences(seen.pop("_wanted", asked), seen):
        yield f"{wanted.logical_id}{line}"


def differences(wanted: Any, seen: Any, place: str = "") -> Iterator[str]:
    """Where `seen` is not as `wanted`. It may have more keys, and its lists another order."""
    if isinstance(wanted, Mapping):
        if not isinstance(seen, Mapping):
            yield f"{place}: {seen!r} is no object"
            return
        found = {str(key).lower(): each for key, each in seen.items()}
        for key, each in wanted.items():
            yield from differences(each, found.get(str(key).lower()), f"{place}.{key}")
    elif isinstance(wanted, list):
        if not isinstance(seen, list) or len(seen) != len(wanted):
            yield f"{place}: {seen!r}, not {wanted!r}"
            return
        for left, right in zip(_sorted(wanted), _sorted(seen), strict=True):
            yield from differences(left, right, f"{place}[]")
    elif _plain(wanted) != _plain(seen):
        yield f"{place}: {seen!r}, not {wanted!r}"


def _plain(value: Any) -> str:
    """A value as text: AWS's APIs give some numbers and truth values as text, templates do not."""
    text = str(value).lower()
    return text.removesuffix(".0") if isinstance(value, float) else text


def _sorted(values: list[Any]) -> list[Any]:
    return sorted(values, key=lambda each: json.dumps(each, sort_keys=True, default=str).lower())


def _attribute(kind: str, name: str, attribute: str) -> str:
    if kind == "AWS::IAM::Role":
        return str(client("iam").get_role(RoleName=name)["Role"][attribute])
    if kind == "AWS::SQS::Queue" and attribute == "QueueName":
        return name.rsplit("/", 1)[-1]
    if kind == "AWS::SQS::Queue":
        return str(_queue(name)["QueueArn"])
    if kind == "AWS::S3::Bucket":
        return f"arn:aws:s3:::{name}"
    if kind == "AWS::Logs::LogGroup":
        return str(_log_group(name)["arn"])
    if kind == "AWS::Events::Rule":
        return str(client("events").describe_rule(Name=name)["Arn"])
    if kind == "AWS::Serverless::Function":
        return str(client("lambda").get_function(FunctionName=name)["Configuration"]["FunctionArn"])
    raise NotImplementedError(f"{kind}.{attribute}")


def _table(wanted: Intended) -> dict[str, Any]:
    table = client("dynamodb").describe_table(TableName=wanted.name)["Table"]
    return {**table, "BillingMode": table["BillingModeSummary"]["BillingMode"]}


def _queue(url: str) -> dict[str, Any]:
    attributes: dict[str, Any] = client("sqs").get_queue_attributes(
        QueueUrl=url, AttributeNames=["All"]
    )["Attributes"]
    for name in ("RedrivePolicy", "RedriveAllowPolicy", "Policy"):
        if name in attributes:
            attributes[name] = json.loads(attributes[name])
    return attributes


def _queue_policy(wanted: Intended) -> dict[str, Any]:
    queues = wanted.properties["Queues"]
    return {"PolicyDocument": _queue(queues[0])["Policy"], "Queues": queues}


def _alarm(wanted: Intended) -> dict[str, Any]:
    found: dict[str, Any] = client("cloudwatch").describe_alarms(AlarmNames=[wanted.name])
    return dict(found["MetricAlarms"][0])


def _secret(wanted: Intended) -> dict[str, Any]:
    return dict(client("secretsmanager").describe_secret(SecretId=wanted.name))


def _bucket(wanted: Intended) -> dict[str, Any]:
    s3 = client("s3")
    encryption = s3.get_bucket_encryption(Bucket=wanted.name)["ServerSideEncryptionConfiguration"]
    return {
        "BucketName": wanted.name,
        **s3.get_public_access_block(Bucket=wanted.name),
        "VersioningConfiguration": s3.get_bucket_versioning(Bucket=wanted.name),
        "BucketEncryption": {
            "ServerSideEncryptionConfiguration": [
                {
                    **each,
                    "ServerSideEncryptionByDefault": each["ApplyServerSideEncryptionByDefault"],
                }
                for each in encryption["Rules"]
            ]
        },
    }


def _bucket_policy(wanted: Intended) -> dict[str, Any]:
    bucket = wanted.properties["Bucket"]
    policy = client("s3").get_bucket_policy(Bucket=bucket)["Policy"]
    return {"Bucket": bucket, "PolicyDocument": json.loads(policy)}


def _parameter(wanted: Intended) -> dict[str, Any]:
    name = wanted.properties["Name"]
    return dict(client("ssm").get_parameter(Name=name)["Parameter"])


def _log_group(name: str) -> dict[str, Any]:
    found = client("logs").describe_log_groups(logGroupNamePrefix=name)["logGroups"]
    return next(dict(each) for each in found if each["logGroupName"] == name)


def _log_group_with_tags(wanted: Intended) -> dict[str, Any]:
    group = _log_group(wanted.name)
    arn = str(group["arn"]).removesuffix(":*")
    tags = client("logs").list_tags_for_resource(resourceArn=arn)["tags"]
    # CloudFormation adds its own.
    own = {key: value for key, value in tags.items() if not key.startswith("aws:")}
    return {**group, "Tags": [{"Key": key, "Value": value} for key, value in own.items()]}


def _project(wanted: Intended) -> dict[str, Any]:
    found = client("codebuild").batch_get_projects(names=[wanted.name])["projects"][0]
    return dict(found)


def _role(wanted: Intended) -> dict[str, Any]:
    iam = client("iam")
    policies = [
        iam.get_role_policy(RoleName=wanted.name, PolicyName=each["PolicyName"])
        for each in wanted.properties.get("Policies", [])
    ]
    attached = iam.list_attached_role_policies(RoleName=wanted.name)["AttachedPolicies"]
    return {
        **iam.get_role(RoleName=wanted.name)["Role"],
        "Policies": policies,
        "ManagedPolicyArns": [each["PolicyArn"] for each in attached],
    }


def _policy(wanted: Intended) -> dict[str, Any]:
    roles = wanted.properties["Roles"]
    read = client("iam").get_role_policy(
        RoleName=roles[0], PolicyName=wanted.properties["PolicyName"]
    )
    return {**read, "Roles": roles}


def _function(wanted: Intended) -> dict[str, Any]:
    configuration = client("lambda").get_function(FunctionName=wanted.name)["Configuration"]
    wishes = {
        key: each
        for key, each in wanted.properties.items()
        # CloudFormation reads the code from the bucket, and its own tags come to Chalice's.
        if key not in {"CodeUri", "EventInvokeConfig", "Events", "Tags", "Tracing"}
    }
    tracing = {"Tracing": configuration["TracingConfig"]["Mode"]}
    failed = wanted.properties.get("EventInvokeConfig")
    if failed is not None:
        wishes["EventInvokeConfig"] = {
            "MaximumRetryAttempts": failed["MaximumRetryAttempts"],
            "Destination": failed["DestinationConfig"]["OnFailure"]["Destination"],
        }
    events = [_source(wanted.name) for _ in wanted.properties.get("Events", {})]
    return {
        **configuration,
        **tracing,
        "Events": events,
        "EventInvokeConfig": _failed_events(wanted.name) if failed is not None else None,
        "_wanted": {
            **wishes,
            "Tracing": wanted.properties["Tracing"],
            "Events": list(wanted.properties.get("Events", {}).values()),
        },
    }


def _failed_events(function: str) -> dict[str, Any]:
    found = client("lambda").get_function_event_invoke_config(
        FunctionName=function, Qualifier="$LATEST"
    )
    return {**found, **found["DestinationConfig"]["OnFailure"]}


def _source(function: str) -> dict[str, Any]:
    """The queue of a function as SAM's templates describe it. It has only this one."""
    mappings = client("lambda").list_event_source_mappings(FunctionName=function)
    (found,) = mappings["EventSourceMappings"]
    return {"Type": "SQS", "Properties": {**found, "Queue": found["EventSourceArn"]}}


def _rule(wanted: Intended) -> dict[str, Any]:
    rule = client("events").describe_rule(Name=wanted.name)
    targets = client("events").list_targets_by_rule(Rule=wanted.name)["Targets"]
    pattern = json.loads(rule.get("EventPattern") or "null")
    return {**rule, "EventPattern": pattern, "Targets": targets}


def _rest_api(wanted: Intended) -> dict[str, Any]:
    apigateway = client("apigateway")
    resources = apigateway.get_resources(restApiId=wanted.name, limit=500)["items"]
    seen = {each["path"]: sorted(each.get("resourceMethods", {})) for each in resources}
    asked = wanted.properties["DefinitionBody"]["paths"]
    stages = {each["stageName"] for each in apigateway.get_stages(restApiId=wanted.name)["item"]}
    stage = wanted.properties["StageName"]
    return {
        "Paths": {path: methods for path, methods in seen.items() if methods},
        # SAM makes a second one besides.
        "StageName": stage if stage in stages else sorted(stages),
        "_wanted": {
            "Paths": {path: sorted(map(str.upper, methods)) for path, methods in asked.items()},
            "StageName": stage,
        },
    }


def _permission(wanted: Intended) -> dict[str, Any]:
    function = wanted.properties["FunctionName"]
    policy = json.loads(client("lambda").get_policy(FunctionName=function)["Policy"])
    for statement in policy["Statement"]:
        source = statement.get("Condition", {}).get("ArnLike", {}).get("AWS:SourceArn")
        seen = {
            "Action": statement["Action"],
            "Principal": statement["Principal"]["Service"],
            "FunctionName": function,
            "SourceArn": source,
        }
        if not list(differences(wanted.properties, seen)):
            return seen
    return {"Statements": policy["Statement"]}


def _dashboard(wanted: Intended) -> dict[str, Any]:
    name = wanted.properties["DashboardName"]
    body = client("cloudwatch").get_dashboard(DashboardName=name)["DashboardBody"]
    asked = {**wanted.properties, "DashboardBody": json.loads(wanted.properties["DashboardBody"])}
    return {"DashboardName": name, "DashboardBody": json.loads(body), "_wanted": asked}


_READERS: Mapping[str, Callable[[Intended], dict[str, Any]]] = {
    "AWS::CloudWatch::Alarm": _alarm,
    "AWS::CloudWatch::Dashboard": _dashboard,
    "AWS::CodeBuild::Project": _project,
    "AWS::DynamoDB::Table": _table,
    "AWS::Events::Rule": _rule,
    "AWS::IAM::Policy": _policy,
    "AWS::IAM::Role": _role,
    "AWS::Lambda::Permission": _permission,
    "AWS::Logs::LogGroup": _log_group_with_tags,
    "AWS::ApiGateway::Account": lambda _: dict(client("apigateway").get_account()),
    "AWS::S3::Bucket": _bucket,
    "AWS::S3::BucketPolicy": _bucket_policy,
    "AWS::SSM::Parameter": _parameter,
    "AWS::SQS::Queue": lambda wanted: {
        **_queue(wanted.name),
        "QueueName": _attribute(wanted.type, wanted.name, "QueueName"),
    },
    "AWS::SQS::QueuePolicy": _queue_policy,
    "AWS::SecretsManager::Secret": _secret,
    "AWS::Serverless::Api": _rest_api,
    "AWS::Serverless::Function": _function,
}
