"""Preflight: the findings of a release, from what AWS has. Each case names its expected codes."""

from dataclasses import dataclass, field
from typing import Any

import pytest
from botocore import session
from msgspec.structs import replace

from chalicelib.domain.preflight import (
    Finding,
    FoundImage,
    Kind,
    Need,
    NoValue,
    PreflightFailed,
    Refusal,
    Release,
    Severity,
    Unknown,
    World,
    errors_as_text,
    has_errors,
    has_value,
    needs,
    other_images,
    preflight,
)

DIGEST = "sha256:" + "1" * 64
REGION, ACCOUNT = "eu-west-1", "123456789012"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/ecs-hello"
SECRET = f"arn:aws:secretsmanager:{REGION}:{ACCOUNT}:secret:db-a1B2c3"
PARAMETER = f"arn:aws:ssm:{REGION}:{ACCOUNT}:parameter"
DENIED = Unknown("IAM GetRole: not authorized", is_denied=True)


def definition(*, container: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    return {
        "family": "hello",
        "containerDefinitions": [{"name": "app", **(container or {})}, {"name": "proxy"}],
        **more,
    }


REGISTRY = f"{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com"


def release(content: dict[str, Any] | Unknown, containers: tuple[str, ...] = ("app",)) -> Release:
    return Release("hello", DIGEST, containers, content, REGISTRY)


AMD = FoundImage(platforms=frozenset({"linux/amd64"}))
ARM = FoundImage(platforms=frozenset({"linux/arm64"}))
BOTH = FoundImage(platforms=frozenset({"linux/amd64", "linux/arm64"}))
FARGATE: dict[str, Any] = {"requiresCompatibilities": ["FARGATE"], "executionRoleArn": ROLE}


def on(architecture: str, family: str = "LINUX") -> dict[str, Any]:
    return {"runtimePlatform": {"cpuArchitecture": architecture, "operatingSystemFamily": family}}


@dataclass(frozen=True)
class Case:
    """A release in a world. `errors` and `warnings` are the codes that it must have, and `says` are
    parts of the texts.
    """

    name: str
    world: World
    errors: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    says: tuple[str, ...] = ()
    definition: dict[str, Any] | Unknown = field(default_factory=definition)
    containers: tuple[str, ...] = ("app",)


def missing(kind: Kind, name: str) -> World:
    return World(BOTH, found={Need(kind, name): False})


def unseen(kind: Kind, name: str) -> World:
    return World(BOTH, found={Need(kind, name): DENIED})


CASES = [
    Case("all is well", World(BOTH)),
    Case("all that is needed exists", World(BOTH, found={Need(Kind.ROLE, ROLE): True})),
    Case("no image", World(None), ["image_missing"], says=("is gone from ECR", "Build the")),
    Case(
        "an archived image",
        World(FoundImage("ARCHIVED")),
        ["image_archived"],
        says=(
            "UpdateImageStorageClass",
            "aws ecr update-image-storage-class --repository-name hello "
            f"--image-id imageDigest={DIGEST} --target-storage-class STANDARD",
        ),
    ),
    Case(
        "an image that is being restored",
        World(FoundImage("ACTIVATING")),
        ["image_activating"],
        says=("Wait until its imageStatus is ACTIVE",),
    ),
    Case(
        "an attestation",
        World(FoundImage(other="an attestation")),
        ["not_an_image"],
        says=("is no image: it is an attestation",),
    ),
    Case(
        "an ARM definition, an AMD image",
        World(AMD),
        ["platform_mismatch"],
        says=("ARM64 LINUX (linux/arm64)", "the image is for linux/amd64", "setting `platforms`"),
        definition=definition(**on("ARM64")),
    ),
    Case(
        "an AMD definition, an ARM image",
        World(ARM),
        ["platform_mismatch"],
        says=("X86_64 LINUX (linux/amd64)", "the image is for linux/arm64"),
        definition=definition(**on("X86_64")),
    ),
    Case(
        "Fargate without a platform, an ARM image",
        World(ARM),
        ["platform_mismatch"],
        says=("X86_64 LINUX (linux/amd64)",),
        definition=definition(**FARGATE),
    ),
    Case("Fargate without a platform", World(AMD), definition=definition(**FARGATE)),
    Case(
        "EC2 without a platform, an ARM image",
        World(ARM),
        warnings=["platform_mismatch"],
        says=("no cpuArchitecture", "only for linux/arm64"),
        definition=definition(requiresCompatibilities=["EC2"]),
    ),
    Case(
        "EC2 with an operating system, an ARM image",
        World(ARM),
        warnings=["platform_mismatch"],
        says=("no cpuArchitecture", "only for linux/arm64"),
        definition=definition(
            requiresCompatibilities=["EC2"], runtimePlatform={"operatingSystemFamily": "LINUX"}
        ),
    ),
    Case(
        "Fargate with an operating system, an ARM image",
        World(ARM),
        ["platform_mismatch"],
        definition=definition(**FARGATE, runtimePlatform={"operatingSystemFamily": "LINUX"}),
    ),
    *(
        Case(
            f"{others} and Fargate, an ARM image",
            World(ARM),
            warnings=["platform_mismatch"],
            definition=definition(requiresCompatibilities=[*others, "FARGATE"]),
        )
        for others in (["EC2"], ["MANAGED_INSTANCES"])
    ),
    Case(
        "Fargate without an execution role",
        World(BOTH),
        ["execution_role_missing"],
        says=("has no executionRoleArn", "pull an image from ECR", "AmazonECSTaskExecutionRole"),
        definition=definition(requiresCompatibilities=["FARGATE"]),
    ),
    *(
        Case(
            f"no execution role, {compatibilities}",
            World(BOTH),
            definition=definition(requiresCompatibilities=compatibilities),
        )
        for compatibilities in ([], ["EC2"], ["EC2", "FARGATE"])
    ),
    Case(
        "EC2 with an architecture, an ARM image",
        World(ARM),
        ["platform_mismatch"],
        definition=definition(requiresCompatibilities=["EC2"], **on("X86_64")),
    ),
    Case(
        "a Windows definition, a Linux image",
        World(AMD),
        ["platform_mismatch"],
        says=("X86_64 WINDOWS_SERVER_2022_CORE (windows/amd64)",),
        definition=definition(**on("X86_64", "WINDOWS_SERVER_2022_CORE")),
    ),
    Case("an ARM definition, both", World(BOTH), definition=definition(**on("ARM64"))),
    Case(
        "only the architecture is set",
        World(AMD),
        ["platform_mismatch"],
        definition=definition(runtimePlatform={"cpuArchitecture": "ARM64"}),
    ),
    Case(
        "platforms that cannot be read",
        World(FoundImage(platforms=Unknown("ECR BatchGetImage: denied"))),
        warnings=["not_checked"],
        says=("not checked: the image's platforms: ECR BatchGetImage: denied",),
    ),
    Case(
        "an image that cannot be looked at",
        World(Unknown("ECR DescribeImages: denied")),
        warnings=["not_checked"],
        says=("not checked: the image: ECR DescribeImages: denied",),
    ),
    Case(
        "no such container",
        World(BOTH),
        ["container_not_found"],
        says=("has no container web; it has: app, proxy. Change the service's containers",),
        containers=("web",),
    ),
    Case("a rollback needs no container", World(BOTH), containers=()),
    Case(
        "no role",
        missing(Kind.ROLE, ROLE),
        ["role_missing"],
        says=(f"the role {ROLE} does not exist", "Create it"),
    ),
    Case(
        "no secret",
        missing(Kind.SECRET, SECRET),
        ["secret_missing"],
        says=(f"no secret {SECRET}, or it is scheduled for deletion", "Create or restore it"),
    ),
    Case(
        "a secret without a value",
        World(BOTH, found={Need(Kind.SECRET, SECRET, stage="blue"): NoValue("no label blue")}),
        ["secret_missing"],
        says=(f"the secret {SECRET} has no value to give: no label blue. Put a value into it",),
    ),
    Case(
        "no parameter",
        missing(Kind.PARAMETER, "/db"),
        ["parameter_missing"],
        says=("Parameter Store has no parameter /db",),
    ),
    Case(
        "no log group",
        missing(Kind.LOG_GROUP, "/ecs/hello"),
        ["log_group_missing"],
        says=("aws logs create-log-group --log-group-name /ecs/hello",),
    ),
    Case(
        "no image of another container",
        missing(Kind.IMAGE, "proxy:1"),
        ["image_missing"],
        says=("ECR has no image proxy:1", "another container", "or it is archived"),
    ),
    Case(
        "no image of another container that is not essential",
        World(BOTH, found={Need(Kind.IMAGE, "proxy:1", essential=False): False}),
        warnings=["image_missing"],
        says=("ECR has no image proxy:1",),
    ),
    Case(
        "a role that Slipway may not look at",
        unseen(Kind.ROLE, ROLE),
        warnings=["not_checked"],
        says=(
            f"not checked: the role {ROLE}: IAM GetRole: not authorized",
            "If iam:PassRole is denied, too, ECS refuses to register the task definition",
            f"set the stack's parameter TaskRoles so that it matches {ROLE}",
        ),
    ),
    *(
        Case(
            f"a {kind} that Slipway may not look at",
            unseen(kind, "x"),
            warnings=["not_checked"],
            says=(f"not checked: the {kind.replace('_', ' ')} x: IAM",),
        )
        for kind in (Kind.SECRET, Kind.PARAMETER, Kind.LOG_GROUP, Kind.IMAGE)
    ),
    Case(
        "a definition that Slipway may not read",
        World(BOTH),
        warnings=["not_checked"],
        says=("not checked: the task definition: denied",),
        definition=Unknown("denied"),
    ),
    Case(
        "no ECS service",
        World(BOTH, service=Refusal("ecs_service_missing", "there is no active ECS service")),
        ["ecs_service_missing"],
        says=("change ecs_cluster and ecs_service",),
        definition=Unknown("there is no active ECS service"),
    ),
    Case(
        "an ECS service that CodeDeploy deploys",
        World(BOTH, service=Refusal("ecs_controller_unsupported", "deployed by CODE_DEPLOY")),
        ["ecs_controller_unsupported"],
        says=("deployed by CODE_DEPLOY. Create an ECS service with it",),
        definition=Unknown("deployed by CODE_DEPLOY"),
    ),
    Case(
        "an ECS service that Slipway may not look at",
        World(BOTH, service=Unknown("denied")),
        warnings=["not_checked"],
        says=("not checked: the ECS service: denied",),
        definition=Unknown("denied"),
    ),
    Case(
        "a newer revision",
        World(BOTH, newer="arn:…/hello:8"),
        warnings=["newer_revision"],
        says=(
            "hello:8 is newer than the one that ECS runs, and this ECS service does not run it",
            "make ECS run it",
        ),
    ),
    Case(
        "a family that Slipway may not look at",
        World(BOTH, newer=Unknown("denied")),
        warnings=["not_checked"],
        says=("not checked: newer revisions of the task definition: denied",),
    ),
    Case(
        "everything at once, errors first",
        World(
            AMD,
            found={
                Need(Kind.ROLE, ROLE): DENIED,
                Need(Kind.SECRET, SECRET): False,
                Need(Kind.LOG_GROUP, "/ecs/hello"): False,
            },
            newer="arn:…/hello:8",
        ),
        ["platform_mismatch", "container_not_found", "secret_missing", "log_group_missing"],
        ["newer_revision", "not_checked"],
        definition=definition(**on("ARM64")),
        containers=("web",),
    ),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_release_has_the_findings_of_its_world(case: Case) -> None:
    found = preflight(release(case.definition, case.containers), case.world)
    codes = {severity: [f.code for f in found if f.severity == severity] for severity in Severity}
    assert codes == {"error": case.errors, "warning": case.warnings}
    assert [each.severity for each in found] == sorted(each.severity for each in found)
    text = "\n".join(each.message for each in found)
    for part in case.says:
        assert part in text
    assert has_errors(found) is bool(case.errors)


def test_every_operating_system_and_architecture_of_ecs_is_known() -> None:
    model: Any = session.get_session().get_service_model("ecs")
    for family in model.shape_for("OSFamily").enum:
        for architecture in model.shape_for("CPUArchitecture").enum:
            (found,) = preflight(
                release(definition(**on(architecture, family))),
                World(FoundImage(platforms=frozenset({"plan9/mips"}))),
            )
            system = "linux" if family == "LINUX" else "windows"
            assert f"({system}/" in found.message
            assert "(linux/x86" not in found.message


def test_the_text_of_a_refusal_has_every_error_and_no_warning() -> None:
    world = World(
        None,
        found={Need(Kind.ROLE, ROLE): False, Need(Kind.SECRET, SECRET): DENIED},
    )
    refusal = PreflightFailed(preflight(release(definition()), world))
    assert refusal.code == "preflight_failed"
    assert refusal.detail.startswith("2 problems: (1) the image hello@sha256:")
    assert f"(2) the role {ROLE} does not exist" in refusal.detail
    assert SECRET not in refusal.detail
    assert len(refusal.findings) == 3
    one = preflight(release(definition()), World(None))
    assert errors_as_text(one) == one[0].message


def test_a_release_keeps_a_limited_number_of_findings() -> None:
    many = {Need(Kind.SECRET, f"secret-{number}"): DENIED for number in range(60)}
    found = preflight(release(definition()), World(None, found=many))
    assert len(found) == 25
    assert found[0].code == "image_missing"
    assert found[-1] == Finding(
        code="more", severity=Severity.WARNING, message="37 more findings are not listed"
    )
    none: dict[Need, bool | NoValue | Unknown] = dict.fromkeys(many, False)
    errors = preflight(release(definition()), World(BOTH, found=none))
    assert errors[-1].severity is Severity.ERROR


def test_a_role_that_aws_did_not_show_for_a_time_is_no_question_of_permissions() -> None:
    silent = {Need(Kind.ROLE, ROLE): Unknown("AWS did not answer")}
    (found,) = preflight(release(definition()), World(BOTH, found=silent))
    assert found.message.endswith("AWS did not answer. Check yourself that it exists")


def test_what_was_not_checked_does_not_cut_other_warnings() -> None:
    many = {Need(Kind.SECRET, f"secret-{number}"): DENIED for number in range(60)}
    found = preflight(release(definition()), World(ARM, found=many, newer="arn:…/hello:8"))
    assert [each.code for each in found[:3]] == [
        "platform_mismatch",
        "newer_revision",
        "not_checked",
    ]


@pytest.mark.parametrize(
    ("kind", "count", "says"),
    [
        (Kind.SECRET, 30, "30 further secrets were not looked for: Slipway looks for at most 10"),
        (Kind.LOG_GROUP, 1, "1 further log group was not looked for: Slipway looks for at most 5"),
    ],
)
def test_further_things_are_one_finding_of_their_kind(kind: Kind, count: int, says: str) -> None:
    (found,) = preflight(release(definition()), World(BOTH, further={kind: count}))
    assert (found.code, found.severity) == ("not_checked", Severity.WARNING)
    assert found.message.startswith(f"not checked: {says}")


def test_a_definition_needs_its_roles_secrets_and_log_groups() -> None:
    logs = {
        "logDriver": "awslogs",
        "options": {"awslogs-group": "/ecs/hello", "awslogs-region": REGION},
        "secretOptions": [{"name": "token", "valueFrom": "splunk-token"}],
    }
    content = definition(
        taskRoleArn=ROLE,
        executionRoleArn="ecs-execution",
        container={
            "logConfiguration": logs,
            "repositoryCredentials": {"credentialsParameter": "hub"},
            "secrets": [
                {"name": "A", "valueFrom": SECRET},
                {"name": "B", "valueFrom": f"{SECRET}:password::"},
                {"name": "C", "valueFrom": f"{PARAMETER}/shop/db"},
                {"name": "D", "valueFrom": f"{PARAMETER}/flat"},
                {"name": "E", "valueFrom": "plain"},
            ],
        },
    )
    assert needs(content, region=REGION, account=ACCOUNT) == (
        Need(Kind.ROLE, ROLE),
        Need(Kind.ROLE, "ecs-execution"),
        Need(Kind.SECRET, SECRET),
        Need(Kind.PARAMETER, "/shop/db"),
        Need(Kind.PARAMETER, f"{PARAMETER}/flat"),
        Need(Kind.PARAMETER, "plain"),
        Need(Kind.PARAMETER, "splunk-token"),
        Need(Kind.SECRET, "hub"),
        Need(Kind.LOG_GROUP, "/ecs/hello"),
    )


def test_what_is_in_another_region_or_account_is_not_looked_for() -> None:
    far = SECRET.replace(REGION, "us-east-1")
    other = f"{PARAMETER}/db".replace(ACCOUNT, "210987654321")
    content = definition(
        container={
            "logConfiguration": {
                "logDriver": "awslogs",
                "options": {"awslogs-group": "g", "awslogs-region": "us-east-1"},
            },
            "secrets": [{"name": "A", "valueFrom": far}, {"name": "B", "valueFrom": other}],
        }
    )
    assert needs(content, region=REGION, account=ACCOUNT) == (
        Need(Kind.SECRET, far, "it is in us-east-1"),
        Need(Kind.PARAMETER, other, "it is in the account 210987654321"),
        Need(Kind.LOG_GROUP, "g", "it is in us-east-1"),
    )


VERSION = "0f6e5f2a-6a0b-4c3e-9a51-3d1f8b6d7c10"
OF_SECRETS = "/aws/reference/secretsmanager/db"


@pytest.mark.parametrize(
    ("reference", "need"),
    [
        (SECRET, Need(Kind.SECRET, SECRET)),
        (f"{SECRET}:password::", Need(Kind.SECRET, SECRET)),
        (f"{SECRET}::AWSPREVIOUS:", Need(Kind.SECRET, SECRET, stage="AWSPREVIOUS")),
        (f"{SECRET}:::{VERSION}", Need(Kind.SECRET, SECRET, version=VERSION)),
        (f"{SECRET}:k:blue:{VERSION}", Need(Kind.SECRET, SECRET, stage="blue", version=VERSION)),
        (f"{OF_SECRETS}:AWSPREVIOUS", Need(Kind.SECRET, "db", stage="AWSPREVIOUS")),
        (f"{OF_SECRETS}:{VERSION}", Need(Kind.SECRET, "db", version=VERSION)),
    ],
)
def test_a_reference_to_a_secret_keeps_its_stage_and_its_version(
    reference: str, need: Need
) -> None:
    assert needs_of(reference) == (need,)


@pytest.mark.parametrize(
    ("stage", "version", "has"),
    [
        ("", "", True),
        ("AWSCURRENT", "", True),
        ("blue", "", True),
        ("AWSPENDING", "", False),
        ("", "one", True),
        ("blue", "one", True),
        ("blue", "two", False),
        ("", "three", Unknown),
        ("blue", "three", Unknown),
    ],
)
def test_a_secret_has_a_value_at_its_stages_and_versions(
    stage: str, version: str, has: bool | type[Unknown]
) -> None:
    labels = {"one": ["AWSPREVIOUS", "blue"], "two": ["AWSCURRENT"]}
    found = has_value(Need(Kind.SECRET, SECRET, stage=stage, version=version), labels)
    if has is Unknown:
        assert isinstance(found, Unknown)
    else:
        assert (found is True) is has


def test_a_secret_without_labels_has_no_value() -> None:
    found = has_value(Need(Kind.SECRET, SECRET), {})
    assert isinstance(found, NoValue)


@pytest.mark.parametrize(
    ("image", "name"),
    [
        (f"{REGISTRY}/proxy", "proxy:latest"),
        (f"{REGISTRY}/team/proxy:1", "team/proxy:1"),
        (f"{REGISTRY}/proxy:1@{DIGEST}", f"proxy@{DIGEST}"),
        ("proxy:1", None),
        (f"{REGISTRY.replace(ACCOUNT, '210987654321')}/proxy:1", None),
        (f"{REGISTRY}/NO", None),
        (f"{REGISTRY}/hello@{DIGEST}", None),
    ],
)
@pytest.mark.parametrize("containers", [("app",), ()])
def test_the_images_of_other_containers_must_be_in_the_registry(
    image: str, name: str | None, containers: tuple[str, ...]
) -> None:
    own = {"name": "app", "image": f"{REGISTRY}/hello@{DIGEST}"}
    content = {"family": "hello", "containerDefinitions": [own, {"name": "proxy", "image": image}]}
    wanted = () if name is None else (Need(Kind.IMAGE, name),)
    assert other_images(release(content, containers)) == wanted


def test_the_image_that_a_deployment_replaces_is_not_needed() -> None:
    content = definition(container={"image": f"{REGISTRY}/hello:gone"})
    assert other_images(release(content)) == ()
    assert other_images(release(content, ())) != ()


@pytest.mark.parametrize("start", ["", PARAMETER])
def test_a_parameter_of_aws_may_stand_for_a_secret(start: str) -> None:
    reference = f"{start}/aws/reference/secretsmanager/shop/db"
    assert needs_of(reference) == (Need(Kind.SECRET, "shop/db"),)


@pytest.mark.parametrize("start", ["", PARAMETER, f"arn:aws:ssm:{REGION}::parameter"])
def test_a_public_parameter_is_not_looked_for(start: str) -> None:
    name = "/aws/service/global-infrastructure/current-region"
    reason = "Parameter Store does not list parameters of AWS"
    assert needs_of(f"{start}{name}") == (Need(Kind.PARAMETER, name, reason),)


@pytest.mark.parametrize(
    "reference",
    [
        "arn:",
        "arn:aws:ssm",
        "arn:aws:ssm:::",
        "arn:aws:s3:::bucket/key",
        f"arn:aws:ssm:{REGION}:{ACCOUNT}:document/x",
        f"arn:aws:ssm:{REGION}:{ACCOUNT}:parameter",
    ],
)
def test_what_is_no_arn_of_a_secret_is_not_looked_for(reference: str) -> None:
    (need,) = needs_of(reference)
    assert need.name == reference
    assert need.unseen == "it is no ARN of a secret or a parameter"


@pytest.mark.parametrize(
    "reference", ["arn:", "arn:aws:secretsmanager", f"arn:aws:secretsmanager:{REGION}:{ACCOUNT}:x"]
)
def test_credentials_that_are_no_arn_of_a_secret_are_not_looked_for(reference: str) -> None:
    content = definition(
        container={"repositoryCredentials": {"credentialsParameter": reference}},
    )
    (need,) = needs(content, region=REGION, account=ACCOUNT)
    assert need == Need(Kind.SECRET, reference, "it is no ARN of a secret")


@pytest.mark.parametrize(
    ("reference", "name"),
    [
        ("DB", "DB"),
        ("/DB", "/DB"),
        ("DB:3", "DB"),
        ("/shop/db:prod", "/shop/db"),
        (f"{PARAMETER}/DB", f"{PARAMETER}/DB"),
        (f"{PARAMETER}/DB:3", f"{PARAMETER}/DB"),
        (f"{PARAMETER}/shop/db:prod", "/shop/db"),
    ],
)
def test_a_parameter_has_its_exact_name(reference: str, name: str) -> None:
    assert needs_of(reference) == (Need(Kind.PARAMETER, name),)


@pytest.mark.parametrize("reference", ["shop/db", "//shop/db", f"{PARAMETER}//shop/db", "a b", "/"])
def test_what_is_no_name_of_a_parameter_is_not_looked_for(reference: str) -> None:
    (need,) = needs_of(reference)
    assert need.unseen == "it is no name of a parameter"


def needs_of(reference: str) -> tuple[Need, ...]:
    """The needs of a definition with one secret."""
    content = definition(container={"secrets": [{"name": "A", "valueFrom": reference}]})
    return needs(content, region=REGION, account=ACCOUNT)


@pytest.mark.parametrize("value", ["true", "True"])
def test_a_log_group_that_ecs_creates_need_not_exist(value: str) -> None:
    options = {"awslogs-group": "g", "awslogs-create-group": value}
    content = definition(
        container={"logConfiguration": {"logDriver": "awslogs", "options": options}}
    )
    assert needs(content, region=REGION, account=ACCOUNT) == ()


def test_other_log_drivers_need_no_log_group() -> None:
    options = {"awslogs-group": "g"}
    content = definition(
        container={"logConfiguration": {"logDriver": "fluentd", "options": options}}
    )
    assert needs(content, region=REGION, account=ACCOUNT) == ()


def test_a_definition_without_references_needs_nothing() -> None:
    assert needs(definition(), region=REGION, account=ACCOUNT) == ()
    assert not preflight(release(definition()), replace(World(BOTH), found={}))
