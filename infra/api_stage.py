"""The API's stage: its name, its limits for requests, and its access log."""

import json
from collections.abc import Mapping
from typing import Any

from infra.functions import LOG_DAYS
from infra.gateway_responses import gateway_responses
from infra.shared import only_if

STAGE = "api"  # `api_gateway_stage` in .chalice/config.json
WEBHOOK = "/v1/webhooks/github"

# Requests per second, and how many may come at once. API Gateway counts for each route, over all
# callers, and answers 429 above it ("Throttle requests to your REST APIs").
DEFAULT_LIMIT = (100, 200)
# Routes that need no token. One view of the dashboard loads many files at once.
ANONYMOUS_LIMITS: Mapping[tuple[str, str], tuple[int, int]] = {
    ("GET", "/v1/health"): (10, 50),
    ("GET", "/v1/ready"): (5, 20),
    ("GET", "/v1/openapi.json"): (5, 20),
    ("GET", "/docs"): (5, 20),
    ("GET", "/"): (10, 50),
    ("GET", "/assets/{version}/{name}"): (50, 150),
    ("GET", "/v1/services/{service_id}/badge.svg"): (20, 50),
    ("POST", WEBHOOK): (20, 100),
}

# A caller cannot put text of its own into these fields. `route` has the names of path variables.
ACCESS_LOG_FIELDS = {
    "request_id": "$context.requestId",
    "function_request_id": "$context.awsEndpointRequestId",
    "ip": "$context.identity.sourceIp",
    "method": "$context.httpMethod",
    "route": "$context.resourcePath",
    "status": "$context.status",
    "refusal": "$context.error.responseType",
    "milliseconds": "$context.responseLatency",
    "bytes": "$context.responseLength",
    "time": "$context.requestTimeEpoch",
}


def api_parts(prefix: str) -> dict[str, Any]:
    """Properties of the API, and resources beside it, by logical id."""
    definition = {
        # Metrics know an API by its name, and two installations in one account need two.
        "info": {"title": prefix},
        # Part of the definition: a response created after the stage would not be in the stage.
        "x-amazon-apigateway-gateway-responses": gateway_responses(),
    }
    properties = {
        "Name": prefix,
        "DefinitionBody": definition,
        # With a version, SAM makes no second stage called "Stage".
        "OpenApiVersion": "2.0",
        "MethodSettings": _method_settings(),
        "AccessLogSetting": only_if(
            "HasAccessLog",
            {
                "DestinationArn": {"Fn::GetAtt": ["AccessLog", "Arn"]},
                "Format": json.dumps(ACCESS_LOG_FIELDS),
            },
        ),
    }
    return {
        "RestAPI": {"Properties": properties},
        "AccessLog": {
            "Type": "AWS::Logs::LogGroup",
            "Condition": "HasAccessLog",
            "DeletionPolicy": "Delete",
            "UpdateReplacePolicy": "Delete",
            "Properties": {
                "LogGroupName": f"/aws/apigateway/{prefix}",
                "RetentionInDays": LOG_DAYS,
                "KmsKeyId": only_if("HasKmsKey", {"Ref": "KmsKey"}),
                # API Gateway refuses an access log before the account has its role. The stage
                # refers to this log group, so this makes it wait; DependsOn takes no condition.
                "Tags": only_if(
                    "CreatesLogRole", [{"Key": "role", "Value": {"Ref": "LogAccount"}}]
                ),
            },
        },
        **_log_role(),
    }


def _method_settings() -> list[dict[str, Any]]:
    def settings(method: str, path: str, limit: tuple[int, int]) -> dict[str, Any]:
        rate, burst = limit
        return {
            "HttpMethod": method,
            "ResourcePath": path,
            "ThrottlingRateLimit": rate,
            "ThrottlingBurstLimit": burst,
            # Metrics of one route cost extra. Only the webhook has an alarm of its own.
            "MetricsEnabled": path == _encoded(WEBHOOK),
        }

    routes = [
        settings(method, _encoded(path), limit)
        for (method, path), limit in ANONYMOUS_LIMITS.items()
    ]
    return [settings("*", "/*", DEFAULT_LIMIT), *routes]


def _encoded(path: str) -> str:
    """A path in method settings (CloudFormation: AWS::ApiGateway::Stage MethodSetting)."""
    return "/" if path == "/" else "/" + path.replace("/", "~1")


def _log_role() -> dict[str, Any]:
    """The role with which API Gateway writes logs. Each account has one in each region.

    Other APIs of the account use it, too, so it stays when the stack is deleted.
    """
    kept = {"Condition": "CreatesLogRole", "DeletionPolicy": "Retain"}
    trust = {
        "Effect": "Allow",
        "Principal": {"Service": "apigateway.amazonaws.com"},
        "Action": "sts:AssumeRole",
    }
    managed = "service-role/AmazonAPIGatewayPushToCloudWatchLogs"
    return {
        "LogRole": {
            **kept,
            "Type": "AWS::IAM::Role",
            "UpdateReplacePolicy": "Retain",
            "Properties": {
                "Description": "API Gateway writes logs with it, for all APIs of this account.",
                "AssumeRolePolicyDocument": {"Version": "2012-10-17", "Statement": [trust]},
                "ManagedPolicyArns": [
                    {"Fn::Sub": f"arn:${{AWS::Partition}}:iam::aws:policy/{managed}"}
                ],
            },
        },
        "LogAccount": {
            **kept,
            "Type": "AWS::ApiGateway::Account",
            "UpdateReplacePolicy": "Retain",
            "Properties": {"CloudWatchRoleArn": {"Fn::GetAtt": ["LogRole", "Arn"]}},
        },
    }
