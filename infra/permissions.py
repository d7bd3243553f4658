"""What the credentials of an operator must be allowed, as a policy of IAM: `make policy`.

CloudFormation creates the resources with these credentials, too. What it calls for a type of
resource is in the handlers of the type's schema (CloudFormation: `DescribeType`). Of these are here
the actions for the properties that the templates have. `make doctor` asks IAM about the same list.
"""

import argparse
import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from string import Template
from typing import Any

from infra.parameters import EXAMPLES, assignment

# A managed policy of IAM has at most so many characters, without white space ("IAM and AWS STS
# quotas").
LONGEST_POLICY = 6144

_FUNCTIONS = "lambda:$region:$account:function:$prefix-*"
_PUSH_LOGS = "arn:$partition:iam::aws:policy/service-role/AmazonAPIGatewayPushToCloudWatchLogs"
_SHIFT_TRAFFIC = "arn:$partition:iam::aws:policy/AmazonECSInfrastructureRolePolicyForLoadBalancers"


@dataclass(frozen=True)
class Grant:
    """Actions on resources. `types` are the types in the templates that need them.

    `resources` are parts of ARNs after the partition, with names of `values_of`. `example` is what
    a real name has for their first `*`. Without types the commands themselves make the calls.
    """

    sid: str
    actions: Sequence[str]
    resources: Sequence[str]
    types: Sequence[str] = ()
    example: str = ""
    condition: Mapping[str, Any] = field(default_factory=dict)


def _of(service: str, names: str) -> list[str]:
    return [f"{service}:{name}" for name in names.split()]


def _at(place: str, names: str) -> list[str]:
    return [f"{place}:{name}" for name in names.split()]


def _passed_to(service: str) -> Mapping[str, Any]:
    return {"StringEquals": {"iam:PassedToService": f"{service}.amazonaws.com"}}


_STACK = (
    "CreateChangeSet DeleteChangeSet DeleteStack Describe* ExecuteChangeSet GetTemplate "
    "ListStackResources UpdateStack"
)
_ROLE = (
    "CreateRole DeleteRole DeleteRolePolicy GetRole* List* PutRolePolicy TagRole UntagRole "
    "UpdateAssumeRolePolicy UpdateRole*"
)
_LOG_GROUP = (
    "AssociateKmsKey CreateLogGroup DeleteLogGroup DeleteRetentionPolicy DisassociateKmsKey Get* "
    "List* PutRetentionPolicy TagResource UntagResource"
)
# AWS has no narrower resource for them, or the commands list what the account has.
_ACCOUNT = [
    "cloudformation:DescribeStacks",
    "cloudformation:GetTemplateSummary",
    "logs:Describe*",
]

# What only `make doctor` calls. Without it the others work.
DOCTOR = Grant(
    "Doctor",
    [
        *_of("iam", "GetRole SimulatePrincipalPolicy"),
        "lambda:GetAccountSettings",
        "servicequotas:ListServiceQuotas",
    ],
    ["*"],
)

# `make deploy`, `destroy`, `doctor`, `token` and `redrive`.
DEPLOY: Sequence[Grant] = (
    Grant(
        "Account",
        [
            *_ACCOUNT,
            "cloudwatch:DescribeAlarms",
            "lambda:ListEventSourceMappings",
            *_of("logs", "DeleteQueryDefinition PutQueryDefinition"),
            "secretsmanager:GetRandomPassword",
            "secretsmanager:ListSecrets",
            "ssm:DescribeParameters",
        ],
        ["*"],
        ["AWS::Logs::QueryDefinition"],
    ),
    Grant(
        "Stacks",
        _of("cloudformation", _STACK),
        _at("cloudformation:$region:$account", "stack/$prefix/* stack/$prefix-app/*"),
        example="1",
    ),
    Grant(
        "Transforms",
        ["cloudformation:CreateChangeSet"],
        _at(
            "cloudformation:$region:aws",
            "transform/Serverless-2016-10-31 transform/LanguageExtensions",
        ),
    ),
    Grant(
        "Tables",
        _of(
            "dynamodb",
            "BatchGetItem CreateTable DeleteTable Describe* GetItem GetResourcePolicy "
            "ListTagsOfResource PutItem Query Scan TagResource UntagResource "
            "UpdateContinuousBackups UpdateItem UpdateTable UpdateTimeToLive",
        ),
        ["dynamodb:$region:$account:table/$prefix-*"],
        ["AWS::DynamoDB::Table"],
        "jobs",
    ),
    Grant(
        "Queues",
        _of(
            "sqs",
            "CreateQueue DeleteMessage DeleteQueue GetQueue* ListQueueTags ReceiveMessage "
            "SendMessage SetQueueAttributes StartMessageMoveTask TagQueue UntagQueue",
        ),
        ["sqs:$region:$account:$prefix-*"],
        ["AWS::SQS::Queue", "AWS::SQS::QueuePolicy"],
        "wakeups",
    ),
    Grant(
        "Secret",
        _of(
            "secretsmanager",
            "CreateSecret DeleteSecret DescribeSecret GetSecretValue TagResource UntagResource "
            "UpdateSecret",
        ),
        ["secretsmanager:$region:$account:secret:$prefix/webhook*"],
        ["AWS::SecretsManager::Secret"],
    ),
    Grant(
        "Parameters",
        _of(
            "ssm",
            "AddTagsToResource DeleteParameter GetParameters ListTagsForResource PutParameter "
            "RemoveTagsFromResource",
        ),
        ["ssm:$region:$account:parameter/$prefix-app/*"],
        ["AWS::SSM::Parameter"],
        "KmsKey",
    ),
    Grant(
        "Bucket",
        _of(
            "s3",
            "CreateBucket DeleteBucket* Get* ListBucket* PutBucket* "
            "PutEncryptionConfiguration PutLifecycleConfiguration",
        ),
        ["s3:::$prefix-packages-$account-$region"],
        ["AWS::S3::Bucket", "AWS::S3::BucketPolicy"],
    ),
    Grant(
        "Packages",
        _of("s3", "DeleteObject* GetObject* PutObject"),
        ["s3:::$prefix-packages-$account-$region/*"],
        example="1.zip",
    ),
    Grant(
        "BuildProject",
        _of("codebuild", "BatchGetProjects CreateProject DeleteProject UpdateProject"),
        ["codebuild:$region:$account:project/$prefix-builds"],
        ["AWS::CodeBuild::Project"],
    ),
    Grant(
        "Functions",
        _of(
            "lambda",
            "AddPermission CreateFunction DeleteFunction* Get* ListTags PutFunction* "
            "RemovePermission TagResource UntagResource UpdateFunction*",
        ),
        _at("lambda:$region:$account", "function:$prefix* event-source-mapping:*"),
        ["AWS::Serverless::Function", "AWS::Lambda::Permission"],
        "-on_wakeup",
    ),
    # AWS knows the function of a source only as a condition, and a new source has no ARN yet.
    Grant(
        "Sources",
        _of("lambda", "CreateEventSourceMapping DeleteEventSourceMapping UpdateEventSourceMapping"),
        ["*"],
        ["AWS::Serverless::Function"],
        "on_wakeup",
        {"ArnLike": {"lambda:FunctionArn": f"arn:$partition:{_FUNCTIONS}"}},
    ),
    Grant(
        "Rules",
        _of(
            "events",
            "DeleteRule DescribeRule List* PutRule PutTargets RemoveTargets TagResource "
            "UntagResource",
        ),
        ["events:$region:$account:rule/$prefix-*"],
        ["AWS::Events::Rule"],
        "on_schedule-event",
    ),
    # An API has a random name, so these are all APIs of the region.
    Grant(
        "Api",
        _of("apigateway", "DELETE GET PATCH POST PUT"),
        _at("apigateway:$region:", "/restapis /restapis/* /tags/* /account"),
        ["AWS::Serverless::Api", "AWS::ApiGateway::Account"],
        "1",
    ),
    Grant(
        "Logs",
        _of("logs", _LOG_GROUP),
        _at(
            "logs:$region:$account",
            "log-group:$build_log_dir/builds* log-group:/aws/lambda/$prefix* "
            "log-group:/aws/apigateway/$prefix*",
        ),
        ["AWS::Logs::LogGroup"],
    ),
    Grant(
        "AlarmsAndDashboard",
        _of(
            "cloudwatch",
            "DeleteAlarms DeleteDashboards GetDashboard ListTagsForResource PutDashboard "
            "PutMetricAlarm TagResource UntagResource",
        ),
        ["cloudwatch:$region:$account:alarm:$prefix-*", "cloudwatch::$account:dashboard/$prefix"],
        ["AWS::CloudWatch::Alarm", "AWS::CloudWatch::Dashboard"],
        "dead-wakeups",
    ),
    Grant(
        "Roles",
        _of("iam", _ROLE),
        ["iam::$account:role/$prefix-*"],
        ["AWS::IAM::Role", "AWS::IAM::Policy"],
        "BuildRole-1",
    ),
    Grant(
        "ManagedPolicies",
        _of("iam", "AttachRolePolicy DetachRolePolicy"),
        ["iam::$account:role/$prefix-app-*"],
        ["AWS::IAM::Role"],
        "LogRole-1",
        {"ArnEquals": {"iam:PolicyARN": _PUSH_LOGS}},
    ),
    Grant(
        "PassRoles",
        ["iam:PassRole"],
        ["iam::$account:role/$prefix-*"],
        ["AWS::ApiGateway::Account", "AWS::CodeBuild::Project", "AWS::Serverless::Function"],
        "BuildRole-1",
        {
            "StringEquals": {
                "iam:PassedToService": [
                    f"{service}.amazonaws.com" for service in ("apigateway", "codebuild", "lambda")
                ]
            }
        },
    ),
    DOCTOR,
)

# `make service` with a stage, and `ExampleRepository` of `make deploy`.
SERVICE: Sequence[Grant] = (
    Grant("Account", _ACCOUNT, ["*"]),
    Grant(
        "StacksOfServices",
        _of("cloudformation", f"{_STACK} CreateStack"),
        ["cloudformation:$region:$account:stack/$prefix-service-*"],
    ),
    Grant(
        "Repositories",
        _of(
            "ecr",
            "CreateRepository DeleteLifecyclePolicy DeleteRepository DescribeRepositories "
            "GetLifecyclePolicy GetRepositoryPolicy ListTagsForResource "
            "PutImageScanningConfiguration PutImageTagMutability PutLifecyclePolicy "
            "TagResource UntagResource",
        ),
        ["ecr:$region:$account:repository/$repositories"],
        ["AWS::ECR::Repository"],
    ),
    Grant(
        "RolesOfTasks",
        _of("iam", _ROLE),
        ["iam::$account:role/$task_roles"],
        ["AWS::IAM::Role"],
    ),
    Grant(
        "PassRolesToTasks",
        ["iam:PassRole"],
        ["iam::$account:role/$task_roles"],
        ["AWS::ECS::TaskDefinition"],
        condition=_passed_to("ecs-tasks"),
    ),
    Grant(
        "PolicyOfTrafficRoles",
        _of("iam", "AttachRolePolicy DetachRolePolicy"),
        ["iam::$account:role/$task_roles"],
        ["AWS::IAM::Role"],
        condition={"ArnEquals": {"iam:PolicyARN": _SHIFT_TRAFFIC}},
    ),
    Grant(
        "PassTrafficRoles",
        ["iam:PassRole"],
        ["iam::$account:role/$task_roles"],
        ["AWS::ECS::Service"],
        condition=_passed_to("ecs"),
    ),
    Grant(
        "ServiceLinkedRoles",
        ["iam:CreateServiceLinkedRole"],
        ["iam::$account:role/aws-service-role/*"],
        [
            "AWS::ECS::Cluster",
            "AWS::ElasticLoadBalancingV2::LoadBalancer",
            "AWS::ApplicationAutoScaling::ScalableTarget",
        ],
        condition={
            "StringEquals": {
                "iam:AWSServiceName": [
                    "ecs.amazonaws.com",
                    "elasticloadbalancing.amazonaws.com",
                    "ecs.application-autoscaling.amazonaws.com",
                ]
            }
        },
    ),
    Grant(
        "LogsOfTasks",
        _of("logs", _LOG_GROUP),
        ["logs:$region:$account:log-group:$task_log_groups"],
        ["AWS::Logs::LogGroup"],
    ),
    Grant(
        "Ecs",
        _of(
            "ecs",
            "CreateCluster CreateService DeleteCluster DeleteService DescribeClusters "
            "DescribeServiceDeployments DescribeServices ListServiceDeployments "
            "ListTagsForResource TagResource UntagResource UpdateCluster UpdateService",
        ),
        _at(
            "ecs:$region:$account",
            "cluster/$stage-* service/*/$stage-* service-deployment/*/$stage-*",
        ),
        ["AWS::ECS::Cluster", "AWS::ECS::Service"],
    ),
    Grant(
        "TaskDefinitions",
        _of(
            "ecs",
            "DeregisterTaskDefinition DescribeTaskDefinition RegisterTaskDefinition TagResource",
        ),
        ["*"],
        ["AWS::ECS::TaskDefinition"],
    ),
    # Security groups and load balancers get random names.
    Grant(
        "SecurityGroups",
        _of(
            "ec2",
            "AuthorizeSecurityGroupEgress AuthorizeSecurityGroupIngress CreateSecurityGroup "
            "CreateTags DeleteSecurityGroup DeleteTags DescribeInstances "
            "DescribeSecurityGroupRules DescribeSecurityGroups DescribeSubnets DescribeVpcs "
            "DescribeAccountAttributes DescribeInternetGateways RevokeSecurityGroupEgress "
            "RevokeSecurityGroupIngress UpdateSecurityGroupRuleDescriptionsEgress "
            "UpdateSecurityGroupRuleDescriptionsIngress",
        ),
        ["*"],
        [
            "AWS::EC2::SecurityGroup",
            "AWS::EC2::SecurityGroupEgress",
            "AWS::EC2::SecurityGroupIngress",
        ],
    ),
    Grant(
        "LoadBalancers",
        _of(
            "elasticloadbalancing",
            "AddTags CreateListener CreateLoadBalancer CreateRule CreateTargetGroup DeleteListener "
            "DeleteLoadBalancer DeleteRule DeleteTargetGroup Describe* ModifyListener "
            "ModifyListenerAttributes ModifyLoadBalancerAttributes ModifyRule ModifyTargetGroup "
            "ModifyTargetGroupAttributes RemoveTags SetRulePriorities SetSecurityGroups SetSubnets",
        ),
        ["*"],
        [
            f"AWS::ElasticLoadBalancingV2::{name}"
            for name in ("Listener", "ListenerRule", "LoadBalancer", "TargetGroup")
        ],
    ),
    Grant(
        "Scaling",
        _of(
            "application-autoscaling",
            "DeleteScalingPolicy DeregisterScalableTarget DescribeScalableTargets "
            "DescribeScalingPolicies DescribeScheduledActions ListTagsForResource "
            "PutScalingPolicy RegisterScalableTarget TagResource UntagResource",
        )
        + _of("cloudwatch", "DeleteAlarms DescribeAlarms GetMetricData PutMetricAlarm"),
        ["*"],
        [
            "AWS::ApplicationAutoScaling::ScalableTarget",
            "AWS::ApplicationAutoScaling::ScalingPolicy",
        ],
    ),
)

# The keys of `make github-app`, which have no names: to sign, with key material from outside.
_APP_KEYS = {"StringEquals": {"kms:KeyUsage": "SIGN_VERIFY", "kms:KeyOrigin": "EXTERNAL"}}

# `make github-app`. An alias needs its action also on the keys ("AWS KMS permissions" in the KMS
# developer guide).
GITHUB_APP: Sequence[Grant] = (
    Grant(
        "AppAlias",
        _of("kms", "CreateAlias UpdateAlias"),
        ["kms:$region:$account:alias/$prefix-github-app"],
    ),
    Grant("CreateAppKey", ["kms:CreateKey"], ["*"], condition=_APP_KEYS),
    Grant(
        "AppKeys",
        _of(
            "kms",
            "CreateAlias DescribeKey GetParametersForImport GetPublicKey ImportKeyMaterial "
            "UpdateAlias",
        ),
        ["kms:$region:$account:key/*"],
        example="1",
        condition=_APP_KEYS,
    ),
)


def values_of(
    stage: str,
    parameters: Mapping[str, str],
    *,
    region: str = "*",
    account: str = "*",
    partition: str = "aws",
) -> dict[str, str]:
    """The names in the resources of grants. `parameters` are those of the stage's stack."""
    prefix = f"slipway-{stage}"
    return {
        "stage": stage,
        "prefix": prefix,
        "region": region,
        "account": account,
        "partition": partition,
        "build_log_dir": parameters.get("BuildLogDir", f"/{prefix}"),
        "repositories": parameters.get("RepositoryPattern", EXAMPLES["RepositoryPattern"]),
        "task_roles": parameters.get("TaskRoles", EXAMPLES["TaskRoles"]),
        "task_log_groups": parameters.get("TaskLogGroups", "/ecs/*"),
    }


def resources_of(grant: Grant, values: Mapping[str, str]) -> list[str]:
    """The ARNs of a grant."""
    return [
        each if each == "*" else Template(f"arn:$partition:{each}").substitute(values)
        for each in grant.resources
    ]


def an_example(grant: Grant, values: Mapping[str, str]) -> str:
    """The ARN of a resource of a stage, which the first resource of the grant matches."""
    first = resources_of(grant, values)[0]
    return first if first == "*" else first.replace("*", grant.example)


def context_of(grant: Grant, values: Mapping[str, str]) -> dict[str, str]:
    """What a request of a stage has for each key of the grant's condition."""
    keys = {
        key: text
        for each in _filled(grant.condition, values).values()
        for key, text in each.items()
    }
    firsts = {key: text if isinstance(text, str) else text[0] for key, text in keys.items()}
    return {key: text.replace("*", grant.example) for key, text in firsts.items()}


def policy(grants: Iterable[Grant], values: Mapping[str, str]) -> dict[str, Any]:
    """The policy of IAM with these grants."""
    statements = [
        {
            "Sid": grant.sid,
            "Effect": "Allow",
            "Action": list(grant.actions),
            "Resource": resources_of(grant, values),
            **({"Condition": _filled(grant.condition, values)} if grant.condition else {}),
        }
        for grant in grants
    ]
    return {"Version": "2012-10-17", "Statement": statements}


def _filled(condition: Mapping[str, Any], values: Mapping[str, str]) -> Any:
    return json.loads(Template(json.dumps(condition)).substitute(values))


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the policy of IAM for who deploys one stage. It calls no AWS."""
    parser = argparse.ArgumentParser(prog="make policy", description=main.__doc__)
    parser.add_argument("stage", choices=["dev", "prod"])
    parser.add_argument(
        "parameters", nargs="*", type=assignment, metavar="Name=value", help="as for make deploy"
    )
    others = parser.add_mutually_exclusive_group()
    others.add_argument("--service", action="store_true", help="the policy for make service")
    others.add_argument("--github-app", action="store_true", help="the policy for make github-app")
    options = parser.parse_intermixed_args(arguments)
    given = dict(options.parameters)
    if options.service and not given.keys() >= EXAMPLES.keys():
        words = " ".join(f"{name}={text}" for name, text in {**EXAMPLES, **given}.items())
        sys.exit(
            f"The policy for make service needs the stage's {' and '.join(EXAMPLES)}.\n"
            f'Use your own names in: make policy STAGE={options.stage} ARGS="--service {words}"'
        )
    grants = SERVICE if options.service else GITHUB_APP if options.github_app else DEPLOY
    print(json.dumps(policy(grants, values_of(options.stage, given)), indent=2))


if __name__ == "__main__":
    main()
