"""The table of bad input: each request with its expected status and error code.

`test_bad_inputs` sends every row. `{admin}` stands for the token "admin" of its world.
"""

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from chalicelib.api.http.bodies import MAX_BYTES
from chalicelib.api.http.parameters import MAX_ID
from chalicelib.api.webhooks import MAX_BYTES as MAX_DELIVERY_BYTES
from chalicelib.domain.timing import rfc3339
from tests.support.builders import delivery_headers, pull_payload, push_payload
from tests.support.embedded import MIDNIGHT, REGISTRY

# The numbers of the objects in the world of `test_bad_inputs`.
PROJECT = 1
SERVICE, NEIGHBOUR, UNCONFIGURED = 1, 2, 3
BUILD, BUILD_UNDER_WAY, NEIGHBOURS_BUILD = 1, 3, 4
CURRENT, FAILED, NEIGHBOURS_DEPLOYMENT = 1, 2, 3

# A channel of kind sns.
CHANNEL = 1
_TOPICS = "arn:aws:sns:eu-west-1:123456789012"

SHA256 = "sha256:" + "a" * 64
READS_IMAGES = frozenset({"ecr.DescribeImages"})

Headers = Mapping[str, str | None]


@dataclass(frozen=True)
class Refused:
    """A request and the expected error; `reads` are the AWS calls that validation may make."""

    case: str
    method: str
    path: str
    status: int
    code: str
    field: str = ""
    body: Any = None
    raw: bytes | None = None
    headers: Headers = dataclasses.field(default_factory=dict)
    reads: frozenset[str] = frozenset()


# Invalid fields of bodies: (field, value, status, code).

BUILD_FIELDS: list[tuple[str, Any, int, str]] = [
    *(
        ("git_url", value, 400, "invalid_git_url")
        for value in (
            "",
            123,
            "ext::sh -c touch% /tmp/pwn",
            "EXT::sh -c id",
            "fd::17/foo",
            "file:///etc/passwd",
            "/etc/passwd",
            "../../other-repo",
            "git@github.com:a/b.git",
            "git://github.com/a/b.git",
            "ftp://github.com/a/b",
            "http://github.com/a/b.git",
            "https://user:ghp_x@github.com/a/b.git",
            "https://evil.example#@github.com/a/b",
            "https://github.com\\@evil.example/a/b",
            "https://169.254.169.254/a/b.git",
            "https://[::ffff:169.254.169.254]/a/b.git",
            "https://2852039166/a/b.git",
            "https://localhost/a/b.git",
            "https://github.com/a/b.git\nhost=evil.example",
            "https://github.com/a/b.git?ref=pull/42/head",
            "https://github.com:22/a/b.git",
            "https://g\u0456thub.com/a/b.git",
            "https://github.com/a/../c/d.git",
            "https://github.com/a",
            "https://github.com/a/b/tree/main",
            " https://github.com/a/b.git",
        )
    ),
    ("git_url", "https://github.com/other-org/other-repo.git", 403, "repo_not_allowed"),
    *(
        ("git_ref", value, 400, "invalid_git_ref")
        for value in (
            7,
            True,
            "",
            " ",
            "-main",
            "a..b",
            "a~1",
            "a^",
            "a?b",
            "a*b",
            "a[b",
            "a\\b",
            "a.lock",
            "a\0b",
            "@",
            "HEAD",
            "a\u202eb",
            "a\x85b",
            "refs/pull/1/head",
            "refs/heads/",
            f"refs/heads/{'a' * 40}",
            "63e9150",
            "0" * 40,
            "a" * 201,
            None,
        )
    ),
    *(
        ("context_path", value, 400, "invalid_path")
        for value in (
            "../",
            "C:\\x",
            "-",
            "--build-arg=A=b",
            "https://evil.example/ctx.tar.gz",
            "a\0b",
            "a;id",
            "~/x",
            "a//b",
            "",
            5,
            "a" * 201,
        )
    ),
    *(
        ("dockerfile", value, 400, "invalid_path")
        for value in (
            "",
            "/dev/stdin",
            "/proc/self/environ",
            "--output=type=local,dest=/",
            "https://evil.example/Dockerfile",
            "Dockerfile ",
            {"x": 1},
        )
    ),
    *(("target", value, 400, "invalid_target") for value in ("", "-x", "a b", "a=b", 7)),
    *(
        ("platforms", value, 400, "invalid_platforms")
        for value in ([], ["plan9/mips"], "linux/amd64", [1])
    ),
    *(
        ("build_args", value, 400, "invalid_build_args")
        for value in (
            {"": "x"},
            {"PATH": "/x"},
            {"LD_PRELOAD": "/x.so"},
            {"AWS_ACCESS_KEY_ID": "x"},
            {"DOCKER_HOST": "tcp://evil"},
            {"GIT_SSH_COMMAND": "sh -c id"},
            {"A": 1},
            {f"A{number}": "x" for number in range(101)},
            {"A": "x" * (16 * 1024)},
            ["A=1"],
        )
    ),
    ("buildspec", "version: 0.2", 400, "unknown_field"),
    ("service_role", "arn:aws:iam::1:role/admin", 400, "unknown_field"),
]

_NO_NUMBERS = (0, -1, "1", True, 1.5, 2**60)
_EXPECTED = [
    *(("expected", value, 400, "invalid_expected") for value in _NO_NUMBERS),
    ("expected", 4711, 409, "plan_is_old"),
]

DEPLOY_FIELDS: list[tuple[str, Any, int, str]] = [
    *(
        ("image_tag", value, 400, "invalid_image")
        for value in (
            "",
            None,
            "hello",
            "hello:-x",
            "hello:.x",
            "hello:" + "a" * 129,
            "my//app:v1",
            "my_-app:v1",
            "hello:v1 --privileged",
            "hello:v1\n",
            f"hello:v1@{SHA256}@{SHA256}",
        )
    ),
    *(
        ("image_tag", value, 403, "image_not_allowed")
        for value in (
            "evil.example/hello:v1",
            "999999999999.dkr.ecr.us-east-1.amazonaws.com/hello:v1",
            "neighbour:v1",
        )
    ),
    ("reason", "x" * 501, 400, "invalid_reason"),
    ("reason", 5, 400, "invalid_reason"),
    ("force", True, 400, "unknown_field"),
    *_EXPECTED,
]

ROLLBACK_FIELDS: list[tuple[str, Any, int, str]] = [
    *(("deployment_id", value, 400, "invalid_deployment_id") for value in _NO_NUMBERS),
    *_EXPECTED,
    ("deployment_id", None, 400, "invalid_deployment_id"),
    ("deployment_id", 4711, 404, "not_found"),
    ("deployment_id", NEIGHBOURS_DEPLOYMENT, 404, "not_found"),
]

ANSWER_FIELDS: list[tuple[str, Any, int, str]] = [
    *(("hook_id", value, 400, "invalid_hook_id") for value in ("", "x" * 201, 1, None, ["x"])),
    *(("reason", value, 400, "invalid_reason") for value in ("x" * 501, 1, ["x"], True)),
]
APPROVAL_FIELDS: list[tuple[str, Any, int, str]] = [
    *ANSWER_FIELDS,
    *(("steps", value, 400, "invalid_steps") for value in ("", "ALL", "none", 1, None, ["all"])),
]

_ARN = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:db-a1B2c3"
_VARIABLES: list[Any] = [
    None,
    [],
    "A=1",
    {"": "x"},
    {"1A": "x"},
    {"A-B": "x"},
    {"A B": "x"},
    {"A.B": "x"},
    {"A\n": "x"},
    {"\xc4": "x"},
    {"A": 1},
    {"A": True},
    {"A": ["x"]},
    {"A" * 256: "x"},
    {"A": "x\0"},
    {"A": "\x1b[31m"},
    {f"N{number}": None for number in range(201)},
]
_SIZES: list[Any] = ["256", -1, 256.5, True, [], 10**9]
CONFIG_FIELDS: list[tuple[str, Any, int, str]] = [
    *(
        (field, value, 400, f"invalid_{field}")
        for field in ("environment", "secrets")
        for value in _VARIABLES
    ),
    ("environment", {"A": "x" * 32 * 1024}, 400, "invalid_environment"),
    *(
        ("secrets", {"A": value}, 400, "invalid_secrets")
        for value in (
            "",
            "hunter2",
            "secretsmanager:slipway/task/1/db",
            "ssm:/slipway/task/1/db",
            f"{_ARN}:user",
            f"{_ARN}\n",
            "arn:aws:s3:::bucket/key",
        )
    ),
    *(
        (field, value, 400, f"invalid_{field}")
        for field in ("cpu", "memory", "desired_count")
        for value in _SIZES
    ),
    ("cpu", 127, 400, "invalid_cpu"),
    ("memory", 5, 400, "invalid_memory"),
    ("deploy", "false", 400, "invalid_deploy"),
    ("deploy", None, 400, "invalid_deploy"),
    ("reason", "x" * 501, 400, "invalid_reason"),
    ("replicas", 3, 400, "unknown_field"),
]

# Refused for a new service and for a changed one.
SERVICE_FIELDS: list[tuple[str, Any, int, str]] = [
    *(("name", value, 400, "invalid_name") for value in ("Hello", "hello\n", "a" * 64, None)),
    ("git_url", "http://github.com/a/b", 400, "invalid_git_url"),
    *(
        ("branch", value, 400, "invalid_git_ref")
        for value in ("a..b", "HEAD", "refs/heads/", "refs/heads/HEAD")
    ),
    *(
        ("image_repository", value, 400, "invalid_image")
        for value in (
            "My App",
            "myapp:v1",
            "ghcr.io/myapp",
            "localhost/myapp",
            "127.0.0.1:5000/myapp",
            f"{REGISTRY}/",
            f"{REGISTRY}/My App",
            "999999999999.dkr.ecr.us-east-1.amazonaws.com/myapp",
        )
    ),
    *(
        (field, value, 400, f"invalid_{field}")
        for field in ("paths", "tags")
        for value in (
            None,
            "docs/**",
            [""],
            ["/docs"],
            ["a**"],
            ["[ab]"],
            ["a\n"],
            [5],
            ["a" * 201],
            ["a"] * 31,
        )
    ),
    ("tags", ["refs/tags/v1"], 400, "invalid_tags"),
    ("ecs_cluster", "arn:aws:ecs:x", 400, "invalid_ecs_cluster"),
    ("ecs_service", "a\n", 400, "invalid_ecs_service"),
    ("ecs_service", None, 400, "incomplete_ecs_target"),
    *(
        ("webhook_secret", value, 400, "invalid_webhook_secret")
        for value in (
            "hush",
            "",
            7,
            "ssm:/slipway-prod/web",
            "ssm:/slipway/web\n",
            "secretsmanager:slipway/../web",
            "secretsmanager:slipway/webhook",
        )
    ),
    *(
        ("containers", value, 400, "invalid_containers")
        for value in ([], "app", ["a b"], ["app", "app"], [f"c{number}" for number in range(11)])
    ),
    ("container", "app", 400, "unknown_field"),
    *(("image_from", value, 400, "invalid_image_from") for value in (0, "1", True, 2**53)),
    ("auto_deploy", "yes", 400, "invalid_auto_deploy"),
    ("badge", "yes", 400, "invalid_badge"),
    *(("build_minutes", value, 400, "invalid_build_minutes") for value in (4, 481, True)),
    ("deploy_minutes", 1.5, 400, "invalid_deploy_minutes"),
    *(
        ("strategy", value, 400, "invalid_strategy")
        for value in (
            "CANARY",
            {},
            {"type": "canary"},
            {"type": ["CANARY"]},
            {"percent": 10},
            {"type": "ROLLING", "bake_minutes": 5},
            {"type": "ROLLING", "percent": 10},
            {"type": "BLUE_GREEN"},
            {"type": "BLUE_GREEN", "bake_minutes": 1441},
            {"type": "BLUE_GREEN", "bake_minutes": 5, "step_minutes": 5},
            {"type": "BLUE_GREEN", "bake_minutes": 5, "percent": 10},
            {"type": "LINEAR", "percent": 2.9},
            {"type": "LINEAR", "percent": 100.1},
            {"type": "LINEAR", "step_minutes": -1},
            {"type": "LINEAR", "step_minutes": 1441},
            {"type": "CANARY", "percent": 0},
            {"type": "CANARY", "percent": 0.05},
            {"type": "CANARY", "percent": 12.34},
            {"type": "CANARY", "percent": "10"},
            {"type": "CANARY", "percent": True},
            {"type": "CANARY", "step_minutes": 1.5},
            {"type": "CANARY", "bake_minutes": "5"},
            {"type": "CANARY", "minutes": 5},
            True,
        )
    ),
    *(
        ("release_command", value, 400, "invalid_release_command")
        for value in (
            "python manage.py migrate",
            [],
            ["x"] * 51,
            ["migrate", 1],
            ["migrate", None],
            ["migrate\x00"],
            ["\x1b[2J"],
            ["migrate \u202e"],
            ["x" * 7500],
            {"command": ["migrate"]},
            True,
        )
    ),
    *(
        ("release_command_minutes", value, 400, "invalid_release_command_minutes")
        for value in (0, 121, "15", True, None)
    ),
    *(
        (name, value, 400, f"invalid_{name}")
        for name in ("approval", "approve_own")
        for value in ("true", 1, 0, None, ["true"])
    ),
    *(
        ("approval_minutes", value, 400, "invalid_approval_minutes")
        for value in (0, -1, 20161, "60", 1.5, True, None)
    ),
    *(
        ("require_checks", value, 400, "invalid_require_checks")
        for value in (
            "test",
            "ALL",
            "",
            [],
            ["all", "all"],
            ["x"] * 21,
            ["test", 1],
            ["test", None],
            [""],
            [" test"],
            ["test\n"],
            ["te\x00st"],
            ["te\u202est"],
            ["x" * 201],
            ["slipway/shop/web"],
            ["Slipway/shop/web"],
            {"names": ["test"]},
            True,
            1,
        )
    ),
    ("require_checks", "all", 409, "no_github_channel"),
    ("require_checks", ["test"], 409, "no_github_channel"),
    *(
        ("checks_minutes", value, 400, "invalid_checks_minutes")
        for value in (0, 481, "60", 1.5, True, None)
    ),
    ("queued_minutes", "60", 400, "invalid_queued_minutes"),
    *(
        ("secrets", value, 400, "invalid_secrets")
        for value in (
            {"NPM": "hunter2"},
            {"NPM": "secretsmanager:slipway/git/1/shop"},
            {"a,src=/etc/passwd": "secretsmanager:slipway/build/1/npm"},
            {f"S{number}": "secretsmanager:slipway/build/1/npm" for number in range(21)},
            "NPM",
        )
    ),
    *(
        ("also_push_to", value, 400, "invalid_also_push_to")
        for value in (
            {"acme/web": "secretsmanager:slipway/build/1/hub"},
            {"docker.io/acme/web": None},
            {f"{REGISTRY}/team/other": "secretsmanager:slipway/build/1/hub"},
        )
    ),
    ("secrets", {"NPM": "secretsmanager:slipway/build/2/npm"}, 403, "secret_not_allowed"),
    (
        "also_push_to",
        {"docker.io/acme/web": "secretsmanager:slipway/build/2/hub"},
        403,
        "secret_not_allowed",
    ),
    ("lfs", 1, 400, "invalid_lfs"),
    ("history", "yes", 400, "invalid_history"),
    *(("max_open_builds", value, 400, "invalid_max_open_builds") for value in (0, 101, "20")),
    ("auto_build", "no", 400, "invalid_auto_build"),
    ("supersede_builds", "yes", 400, "invalid_supersede_builds"),
    ("current", 5, 400, "unknown_field"),
]

PROJECT_NAMES = ["", " ", " shop", "shop ", "shop\n", "a/b", "\xe9", "a" * 64, 5, None]

_NOT_A_REF = (400, "invalid_git_ref", "git_ref")

# Invalid bodies: (case, bytes, status, code, field).
BODIES: list[tuple[str, bytes, int, str, str]] = [
    ("half an object", b"{bad", 400, "invalid_json", ""),
    ("not UTF-8", b'{"git_ref":"\xff"}', 400, "invalid_json", ""),
    ("null", b"null", 400, "invalid_body", ""),
    ("a list", b"[]", 400, "invalid_body", ""),
    ("a string", b'"main"', 400, "invalid_body", ""),
    ("NaN", b'{"git_ref":NaN}', 400, "invalid_json", ""),
    ("infinity", b'{"git_ref":-Infinity}', 400, "invalid_json", ""),
    ("a number that overflows", b'{"git_ref":1e400}', 400, "invalid_body", ""),
    ("a number of 5,000 digits", b'{"git_ref":' + b"9" * 5000 + b"}", 400, "invalid_json", ""),
    ("a lone surrogate", b'{"git_ref":"\\ud800"}', 400, "invalid_body", ""),
    ("a lone surrogate in a name", b'{"\\ud800":"main"}', 400, "invalid_body", ""),
    ("a duplicate name", b'{"git_ref":"main","git_ref":"evil"}', 400, "duplicate_key", "git_ref"),
    (
        "a lone surrogate as a duplicate name",
        b'{"\\ud800":1,"\\ud800":2}',
        400,
        "duplicate_key",
        "?",
    ),
    ("100,000 opening brackets", b"[" * 100_000, 400, "invalid_json", ""),
    ("a deeply nested field", b'{"git_ref":%s1%s}' % (b"[" * 800, b"]" * 800), *_NOT_A_REF),
    ("the maximum size", b" " * MAX_BYTES, 400, "invalid_json", ""),
    ("one byte too many", b" " * (MAX_BYTES + 1), 413, "body_too_large", ""),
    ("far too many bytes", b'{"git_ref":"' + b"a" * 300_000 + b'"}', 413, "body_too_large", ""),
]

MEDIA_TYPES = ["text/plain", "application/x-www-form-urlencoded", "application/jsonx", ""]

IDEMPOTENCY_KEYS = ["", " ", "two words", "a b\xe9", "k" * 256, "schl\xfcssel", "tab\t"]

# None sends no header.
AUTHORIZATIONS: list[str | None] = [
    None,
    "",
    "Bearer ",
    "{admin}",
    "Basic dXNlcjpwdw==",
    "Bearer {admin}x",
    "Bearer {unknown}",
    "Bearer {revoked}",
    "Bearer {expired}",
    "Bearer {admin}, Bearer {admin}",
    "Bearer {admin}\t{admin}",
    "Bearer slw_" + "\xe9" * 49,
]

# Ids in paths: a malformed id is 400, a missing one is 404.
MALFORMED_IDS = [
    "-1",
    "1e3",
    "%00",
    "a%0d%0aSet-Cookie:x",
    "\uff11",
    "+1",
    "1.0",
    "abc",
    "%31",
    "0x1",
    "00",
    "01",
]
MISSING_IDS = ["0", "99999999999999999999999", str(MAX_ID + 1), "9" * 5000, "4711"]
NUMBERED_PATHS = [
    "/v1/projects/{}",
    "/v1/projects/{}/services",
    "/v1/services/{}",
    "/v1/services/{}/config",
    "/v1/cicd/builds/{}",
    "/v1/cicd/builds/{}/logs",
    "/v1/cicd/deployments/{}",
    "/v1/cicd/deployments/{}/logs",
    "/v1/cicd/services/{}/builds",
    "/v1/cicd/services/{}/deployments",
    "/v1/cicd/services/{}/rollback",
    "/v1/tokens/{}",
    "/v1/channels/{}",
]
MISSING_JOBS = ["build-0", "build-4711", "4711", "Build-1", "deploy-1%00", "x", "build-" + "9" * 99]

# Invalid queries of the lists of builds and deployments.
QUERIES: list[tuple[str, str]] = [
    ("limit=-1", "invalid_limit"),
    ("limit=0", "invalid_limit"),
    ("limit=abc", "invalid_limit"),
    ("limit=", "invalid_limit"),
    ("limit=01", "invalid_limit"),
    ("limit=101", "invalid_limit"),
    ("limit=1000000", "invalid_limit"),
    ("limit=%EF%BC%91", "invalid_limit"),
    ("limit=10&limit=99999", "invalid_limit"),
    ("cursor=garbage", "invalid_cursor"),
    ("cursor=", "invalid_cursor"),
    ("cursor=MA", "invalid_cursor"),  # 0
    ("cursor=MDE", "invalid_cursor"),  # 01
    ("cursor=MQ%3D%3D", "invalid_cursor"),
    ("cursor=M%20Q", "invalid_cursor"),
    ("cursor=%F0%9F%92%A9", "invalid_cursor"),
    ("cursor=" + "M" * 8000, "invalid_cursor"),
    ("status=bogus", "invalid_status"),
    ("status=queued&status=queued", "invalid_status"),
    ("page=2", "unknown_parameter"),
]
SERVICES_QUERIES: list[tuple[str, str]] = [
    ("limit=51", "invalid_limit"),
    ("limit=0", "invalid_limit"),
    ("cursor=MQ%3D%3D", "invalid_cursor"),
    ("project_id=0", "invalid_project_id"),
    ("project_id=", "invalid_project_id"),
    ("project_id=1&project_id=1", "invalid_project_id"),
    ("service_id=1", "unknown_parameter"),
]
ACCESS_QUERIES: list[tuple[str, str]] = [
    ("limit=101", "invalid_limit"),
    ("cursor=MQ%3D%3D", "invalid_cursor"),
    ("role=admin", "unknown_parameter"),
]
PREVIEW_QUERIES: list[tuple[str, str]] = [
    ("deployment_id=0", "invalid_deployment_id"),
    ("deployment_id=", "invalid_deployment_id"),
    ("deployment_id=01x", "invalid_deployment_id"),
    ("deployment_id=%EF%BC%91", "invalid_deployment_id"),
    ("deployment_id=1&deployment_id=2", "invalid_deployment_id"),
    ("limit=1", "unknown_parameter"),
]
# Of POST requests: (path, query, code). Only a deployment has a dry run.
DRY_RUN_QUERIES: list[tuple[str, str, str]] = [
    *(
        ("deploy", query, "invalid_dry_run")
        for query in (
            "dry_run=",
            "dry_run=1",
            "dry_run=True",
            "dry_run=yes",
            "dry_run=%20true",
            "dry_run=true&dry_run=true",
            "dry_run=true&dry_run=false",
        )
    ),
    ("deploy", "dryrun=true", "unknown_parameter"),
    ("deploy", "limit=1", "unknown_parameter"),
    ("rollback", "dry_run=true", "unknown_parameter"),
    ("build", "dry_run=true", "unknown_parameter"),
]
LOG_QUERIES: list[tuple[str, str]] = [
    ("limit=10001", "invalid_limit"),
    ("tail=0", "invalid_tail"),
    ("tail=10001", "invalid_tail"),
    ("tail=ten", "invalid_tail"),
    ("tail=1&tail=2", "invalid_tail"),
    ("format=html", "invalid_format"),
    ("cursor=a%20b", "invalid_cursor"),
    ("cursor=" + "a" * 201, "invalid_cursor"),
]


def _repository() -> dict[str, Any]:
    return {**push_payload()["repository"], "pushed_at": int(MIDNIGHT)}


def push(**changes: Any) -> bytes:
    """The body of a delivery, with some fields changed."""
    return json.dumps({**push_payload(), "repository": _repository(), **changes}).encode()


def push_of(**changes: Any) -> bytes:
    """The body of a delivery, with some fields of `repository` changed."""
    return push(repository={**_repository(), **changes})


def pull(**changes: Any) -> bytes:
    """The body of an event of a pull request, with some fields changed as in `pull_payload`."""
    at = {"pull_request__updated_at": rfc3339(int(MIDNIGHT))}
    return json.dumps(pull_payload(**{**at, **changes})).encode()


_PULL: Headers = {"X-GitHub-Event": "pull_request"}
_PUSH = push()
_GOOD = str(delivery_headers(_PUSH)["X-Hub-Signature-256"])
_FORM = "application/x-www-form-urlencoded"

# Invalid deliveries, with a valid signature unless `headers` has another:
# (case, bytes, headers, status, code, field).
DELIVERIES: list[tuple[str, bytes, Headers, int, str, str]] = [
    *(
        (case, body, {"X-Hub-Signature-256": sent}, 401, "bad_signature", "")
        for case, body, sent in (
            ("no signature", _PUSH, None),
            ("an empty signature", _PUSH, ""),
            ("a SHA-1 signature", _PUSH, _GOOD.replace("sha256", "sha1")),
            ("a non-ASCII signature", _PUSH, "sha256=\xe9" + "0" * 63),
            ("another secret", _PUSH, delivery_headers(_PUSH, secret="x")["X-Hub-Signature-256"]),
            ("one byte changed", _PUSH.replace(b"Say", b"say"), _GOOD),
        )
    ),
    (
        "only the SHA-1 header",
        _PUSH,
        {"X-Hub-Signature-256": None, "X-Hub-Signature": _GOOD.replace("sha256", "sha1")},
        401,
        "bad_signature",
        "",
    ),
    ("no event", _PUSH, {"X-GitHub-Event": None}, 400, "missing_header", "X-GitHub-Event"),
    (
        "no delivery id",
        _PUSH,
        {"X-GitHub-Delivery": None},
        400,
        "missing_header",
        "X-GitHub-Delivery",
    ),
    *(
        (case, _PUSH, {"X-GitHub-Delivery": sent}, 400, "invalid_header", "X-GitHub-Delivery")
        for case, sent in (
            ("a delivery id with a space", "a b"),
            ("a delivery id that is too long", "d" * 101),
        )
    ),
]

# Signed deliveries that cannot be read: (case, bytes, headers, status, code, field).
UNREADABLE: list[tuple[str, bytes, Headers, int, str, str]] = [
    ("a form", b"payload=%7B%7D", {"Content-Type": _FORM}, 415, "unsupported_media_type", ""),
    ("malformed JSON", b"{bad", {}, 400, "invalid_json", ""),
    ("an empty body", b"", {}, 400, "invalid_json", ""),
    ("100,000 opening brackets", b"[" * 100_000, {}, 400, "invalid_json", ""),
    ("null", b"null", {}, 400, "invalid_payload", ""),
    *(
        (case, body, {}, 400, "invalid_payload", at)
        for case, body, at in (
            ("no ref", _PUSH.replace(b'"ref"', b'"fer"'), "ref"),
            ("a null ref", push(ref=None), "ref"),
            ("a ref without refs/heads/", push(ref="master"), "ref"),
            ("an invalid SHA", push(after="x"), "after"),
            ("an invalid SHA before", push(before="x"), "before"),
            ("no repository", push(repository=None), "repository"),
            ("a repository of three parts", push_of(full_name="a/../b"), "repository.full_name"),
        )
    ),
    ("the maximum size", b" " * MAX_DELIVERY_BYTES, {}, 400, "invalid_json", ""),
    ("one byte too many", b" " * (MAX_DELIVERY_BYTES + 1), {}, 413, "body_too_large", ""),
    ("more than API Gateway accepts", b" " * (11 * 1024 * 1024), {}, 413, "body_too_large", ""),
]

# The same, of pull requests.
UNREADABLE_PULLS: list[tuple[str, bytes, Headers, int, str, str]] = [
    (f"a pull request with {case}", pull(**{path: value}), _PULL, 400, "invalid_payload", at)
    for case, path, value, at in (
        ("no action", "action", None, "action"),
        ("an action of other letters", "action", "opened\n", "action"),
        ("no repository", "repository", None, "repository"),
        ("no id of the repository", "repository__id", None, "repository.id"),
        ("an id that is a text", "repository__id", "186853002", "repository.id"),
        ("a name of three parts", "repository__full_name", "a/b/c", "repository.full_name"),
        ("nothing in it", "pull_request", [], "pull_request"),
        ("no number", "pull_request__number", None, "pull_request.number"),
        ("the number zero", "pull_request__number", 0, "pull_request.number"),
        ("a number that is true", "pull_request__number", True, "pull_request.number"),
        ("a number of 17 digits", "pull_request__number", 10**16, "pull_request.number"),
        ("no head", "pull_request__head", None, "pull_request.head"),
        ("no branch", "pull_request__head__ref", None, "pull_request.head.ref"),
        ("a branch with a space", "pull_request__head__ref", "a b", "pull_request.head.ref"),
        ("a branch that ends early", "pull_request__head__ref", "x\n", "pull_request.head.ref"),
        ("a branch with ..", "pull_request__head__ref", "a..b", "pull_request.head.ref"),
        ("a long branch", "pull_request__head__ref", "a" * 300, "pull_request.head.ref"),
        ("an invalid SHA", "pull_request__head__sha", "x", "pull_request.head.sha"),
        ("a short SHA", "pull_request__head__sha", "a" * 39, "pull_request.head.sha"),
        ("a list as repository", "pull_request__head__repo", [], "pull_request.head.repo"),
        (
            "a fork without an id",
            "pull_request__head__repo__id",
            None,
            "pull_request.head.repo.id",
        ),
        (
            "a fork without a name",
            "pull_request__head__repo__full_name",
            None,
            "pull_request.head.repo.full_name",
        ),
        ("no base", "pull_request__base", None, "pull_request.base"),
        ("no target", "pull_request__base__repo", None, "pull_request.base.repo"),
        ("an invalid base", "pull_request__base__ref", "", "pull_request.base.ref"),
        ("no time", "pull_request__updated_at", None, "pull_request.updated_at"),
        ("a time of words", "pull_request__updated_at", "now", "pull_request.updated_at"),
        ("an invalid SHA before", "before", "x", "before"),
    )
]

# Valid deliveries that start no build: (case, bytes, headers, part of the reason).
IGNORED: list[tuple[str, bytes, Headers, str]] = [
    ("a ping", b'{"zen": "Half measures are as bad"}', {"X-GitHub-Event": "ping"}, "event ping"),
    ("another event", _PUSH, {"X-GitHub-Event": "issues"}, "event issues"),
    ("a deletion", push(deleted=True, after="0" * 40), {}, "branch master was deleted"),
    ("a tag", push(ref="refs/tags/v1"), {}, "no service builds tag v1"),
    ("a note", push(ref="refs/notes/x"), {}, "refs/notes/x is neither a branch nor a tag"),
    (
        "a tag of a tree",
        push(ref="refs/tags/v1", head_commit=None),
        {},
        "tag v1 names no commit",
    ),
    (
        "a tag of a commit without an id",
        push(ref="refs/tags/v1", head_commit={"author": {"name": "Ann"}}),
        {},
        "tag v1 names no commit",
    ),
    (
        "a message that asks for no build",
        push(head_commit={"message": "Fix it\n\n[no ci]"}),
        {},
        "the head commit's message has [no ci]",
    ),
    ("another branch", push(ref="refs/heads/other"), {}, "no service follows branch other"),
    ("a pull request, by default", pull(), _PULL, "build_pull_requests is off"),
    (
        "a pull request of a fork",
        pull(pull_request__head__repo={"id": 9, "full_name": "evil/fork"}),
        _PULL,
        "its branch is in the fork evil/fork",
    ),
    (
        "a pull request of a deleted fork",
        pull(pull_request__head__repo=None),
        _PULL,
        "the repository of its branch was deleted",
    ),
    ("a label of a pull request", pull(action="labeled"), _PULL, "the action labeled"),
    ("the end of a pull request", pull(action="closed"), _PULL, "pull request 2 was closed"),
    (
        "an unknown repository",
        push_of(full_name="some/else", clone_url="https://github.com/some/else.git"),
        {},
        "no service builds github.com/some/else",
    ),
    (
        "a renamed repository",
        push_of(full_name="Codertocat/renamed", clone_url=None),
        {},
        "no service builds github.com/codertocat/renamed",
    ),
    (
        "a clone_url of another repository",
        push_of(clone_url="https://github.com/evil/other.git"),
        {},
        "clone_url is not that of github.com/codertocat/hello-world",
    ),
]

# Unusual but valid deliveries: (case, bytes, branch that is built).
BUILT: list[tuple[str, bytes, str]] = [
    ("a branch with shell syntax", push(ref="refs/heads/$(id)"), "$(id)"),
    ("no commits", push(commits=[], head_commit=None), "master"),
    ("a repository name in another case", push_of(full_name="CODERTOCAT/hello-WORLD"), "master"),
    ("a lone surrogate", push(head_commit={"message": "half \ud800 of it"}), "master"),
    ("the maximum size", _PUSH.ljust(MAX_DELIVERY_BYTES), "master"),
]

# Malformed wake-ups: the handler raises, so SQS moves them to the dead letters in the end.
MESSAGES = [
    "",
    "not JSON",
    "[]",
    "null",
    "[" * 100_000,
    '{"v": 99, "reconcile": "build-1"}',
    '{"v": 1}',
    '{"v": 1, "reconcile": 7}',
    '{"v": 1, "reconcile": "token-1"}',
    '{"v": 1, "reconcile": "build-x"}',
    '{"v": 1, "reconcile": "build-\N{ARABIC-INDIC DIGIT ONE}"}',
    '{"v": 1, "reconcile": "build-9999999999999999"}',
]
# Wake-ups without work to do: (message, AWS calls that may show it).
STALE_MESSAGES: list[tuple[str, frozenset[str]]] = [
    ('{"v": 1, "reconcile": "build-4711"}', frozenset()),
    ('{"v": 1, "reconcile": "service-4711"}', frozenset()),
    (f'{{"v": 1, "reconcile": "build-{BUILD}"}}', frozenset()),
    # A wake-up of a deployment reconciles its service, which has another deployment.
    (f'{{"v": 1, "reconcile": "deploy-{FAILED}"}}', frozenset({"ecs.DescribeServices"})),
]

_CHANNEL_FIELDS: list[tuple[str, Any, int, str]] = [
    *(("name", value, 400, "invalid_name") for value in ("", None, 5, "a\nb", "x" * 500)),
    *(
        ("events", value, 400, "invalid_events")
        for value in ("build.failed", ["build"], [1], None, ["build.failed"] * 99)
    ),
    *(
        ("branches", value, 400, "invalid_branches")
        for value in ("main", [""], [1], None, ["a b\n"], ["x" * 5000])
    ),
]
NEW_CHANNEL_FIELDS: list[tuple[str, Any, int, str]] = [
    *_CHANNEL_FIELDS,
    *(("kind", value, 400, "invalid_kind") for value in ("pager", "", None, 1, "SNS")),
    *(
        ("secret", value, 400, "invalid_secret")
        for value in (
            "https://hooks.slack.com/services/T0/B0/x",
            "whsec_aGVsbG8=",
            "ssm:/slipway/tell/all/hook",
            "secretsmanager:slipway/webhook",
            "secretsmanager:slipway/git/1/x",
            "secretsmanager:slipway/tell/all/",
            "secretsmanager:slipway/tell/0/hook",
            "secretsmanager:slipway/tell/all/hook\n",
            "secretsmanager:other/tell/all/hook",
            "",
            5,
        )
    ),
    ("secret", "secretsmanager:slipway/tell/1/hook", 403, "secret_not_allowed"),
    ("secret", None, 400, "missing_field"),
    ("target", f"{_TOPICS}:slipway-news", 400, "invalid_target"),
    *(("project_id", value, 400, "invalid_project_id") for value in (None, "1", -1, 1.5)),
    *(("service_id", value, 400, "invalid_service_id") for value in (None, "1", -1, 1.5)),
]
NEW_TOPIC_FIELDS: list[tuple[str, Any, int, str]] = [
    *(
        ("target", value, 400, "invalid_target")
        for value in ("", 5, "slipway-news", "arn:aws:sqs:eu-west-1:123456789012:slipway-news")
    ),
    ("target", None, 400, "missing_field"),
    ("target", f"{_TOPICS}:other", 403, "target_not_allowed"),
    ("target", f"{_TOPICS}:slipwaynews", 403, "target_not_allowed"),
]

# Lines of a build's output: (as printed, as shown).
LOG_LINES: list[tuple[str, str]] = [
    ("<script>alert(1)</script>", "<script>alert(1)</script>"),  # as plain text, never as HTML
    ("\x1b]8;;javascript:alert(1)\x07x\x1b]8;;\x07", "x"),
    ("\x1b[2J\x1b[1;1Hgone", "gone"),
    ("AKIAIOSFODNN7EXAMPLE", "***"),
]


def _name(value: object) -> str:
    return repr(value)[:60]


def _fields(
    method: str, path: str, rows: list[tuple[str, Any, int, str]], **base: Any
) -> list[Refused]:
    """One request for each invalid field, in a body that is otherwise valid."""
    return [
        Refused(
            f"{name}={_name(value)}",
            method,
            path,
            status,
            code,
            name,
            body={**base, name: value},
        )
        for name, value, status, code in rows
    ]


_OF_SERVICE = f"/v1/cicd/services/{SERVICE}"
_BUILD, _DEPLOY, _ROLLBACK = (f"{_OF_SERVICE}/{verb}" for verb in ("build", "deploy", "rollback"))
_APPROVE, _REJECT = (f"/v1/cicd/deployments/{CURRENT}/{verb}" for verb in ("approve", "reject"))
_CONFIG = f"/v1/services/{SERVICE}/config"
_SERVICES = f"/v1/projects/{PROJECT}/services"
_HOOK = "/v1/webhooks/github"
_CHANNELS, _CHANNEL = "/v1/channels", f"/v1/channels/{CHANNEL}"
_NEW_CHANNEL = {
    "name": "news",
    "kind": "webhook",
    "secret": "secretsmanager:slipway/tell/all/hook",
}
_NEW_TOPIC = {"name": "news", "kind": "sns"}
_NEW_SERVICE = {
    "name": "other",
    "git_url": "https://github.com/Codertocat/Hello-World.git",
    "image_repository": "other",
    "ecs_cluster": "main",
    "ecs_service": "other",
    "containers": ["app"],
}


def _conflict(case: str, path: str, code: str, **body: Any) -> Refused:
    return Refused(case, "POST", path, 409, code, body=body)


def _hidden(method: str, path: str) -> Refused:
    """A request for an object that the token of another service does not see."""
    headers = {"Authorization": "Bearer {neighbours}"}
    return Refused(
        "the token of another service", method, path, 404, "not_found", body={}, headers=headers
    )


_NO_TARGET = dict.fromkeys(("ecs_cluster", "ecs_service", "containers"))
_LOOKS = frozenset({"ecr.DescribeImages"})
_MISSING = {"image_repository": "nowhere"}
_SETTINGS = (
    [
        Refused(
            "a missing image repository",
            method,
            path,
            400,
            "image_repository_not_found",
            "image_repository",
            body=body,
            reads=_LOOKS,
        )
        for method, path, body in (
            ("POST", _SERVICES, {**_NEW_SERVICE, **_MISSING}),
            ("PATCH", f"/v1/services/{UNCONFIGURED}", _MISSING),
        )
    ]
    + [
        Refused(
            "a missing ECS service",
            method,
            path,
            400,
            "ecs_service_not_found",
            "ecs_service",
            body=body,
            reads=_LOOKS | {"ecs.DescribeServices"},
        )
        for method, path, body in (
            ("POST", _SERVICES, {**_NEW_SERVICE, "ecs_service": "nowhere"}),
            ("POST", _SERVICES, {**_NEW_SERVICE, "ecs_cluster": "nowhere"}),
            (
                "PATCH",
                f"/v1/services/{UNCONFIGURED}",
                {"ecs_cluster": "main", "ecs_service": "nowhere", "containers": ["app"]},
            ),
        )
    ]
    + [
        Refused(
            "auto_deploy without an ECS target",
            method,
            path,
            status,
            "auto_deploy_without_target",
            "auto_deploy",
            body=body,
        )
        for method, path, status, body in (
            ("POST", _SERVICES, 400, {**_NEW_SERVICE, **_NO_TARGET, "auto_deploy": True}),
            ("PATCH", f"/v1/services/{SERVICE}", 400, {**_NO_TARGET, "auto_deploy": True}),
            ("PATCH", f"/v1/services/{SERVICE}", 409, _NO_TARGET),
            ("PATCH", f"/v1/services/{UNCONFIGURED}", 409, {"auto_deploy": True}),
        )
    ]
)

_WITHOUT_BUILDS = {"name": "other", "image_from": SERVICE}
_SOURCES = [
    Refused(case, method, path, status, code, field, body=body)
    for case, method, path, status, code, field, body in (
        (
            "a missing source",
            "POST",
            _SERVICES,
            404,
            "not_found",
            "image_from",
            {**_WITHOUT_BUILDS, "image_from": 77},
        ),
        (
            "a source and a repository",
            "POST",
            _SERVICES,
            400,
            "not_with_image_from",
            "git_url",
            {**_WITHOUT_BUILDS, "git_url": _NEW_SERVICE["git_url"]},
        ),
        (
            "a source and a setting of builds",
            "POST",
            _SERVICES,
            400,
            "not_with_image_from",
            "branch",
            {**_WITHOUT_BUILDS, "branch": "main"},
        ),
        (
            "neither a source nor a repository",
            "POST",
            _SERVICES,
            400,
            "missing_field",
            "git_url",
            {"name": "other"},
        ),
        (
            "itself as its source",
            "PATCH",
            f"/v1/services/{UNCONFIGURED}",
            409,
            "image_from_itself",
            "image_from",
            {"image_from": UNCONFIGURED},
        ),
    )
]

_BODIES = [
    *_SETTINGS,
    *_SOURCES,
    *_fields("POST", _BUILD, BUILD_FIELDS),
    *_fields("POST", _DEPLOY, DEPLOY_FIELDS, image_tag="hello:master-1"),
    *_fields("POST", _ROLLBACK, ROLLBACK_FIELDS),
    *_fields("POST", _APPROVE, APPROVAL_FIELDS),
    *_fields("POST", _REJECT, ANSWER_FIELDS),
    *_fields("POST", _REJECT, [("steps", "all", 400, "unknown_field")]),
    *_fields("POST", _SERVICES, SERVICE_FIELDS, **_NEW_SERVICE),
    *_fields("PATCH", f"/v1/services/{SERVICE}", SERVICE_FIELDS),
    *_fields("PATCH", _CONFIG, CONFIG_FIELDS, memory=512),
    Refused(
        "a name in environment and in secrets",
        "PATCH",
        _CONFIG,
        400,
        "name_in_both",
        "environment",
        body={"environment": {"A": "1"}, "secrets": {"A": _ARN}},
    ),
    Refused(
        "a dry run of yes", "PATCH", f"{_CONFIG}?dry_run=yes", 400, "invalid_dry_run", "dry_run", {}
    ),
    _hidden("PATCH", _CONFIG),
    _hidden("GET", _CONFIG),
    *_fields("POST", "/v1/projects", [("name", n, 400, "invalid_name") for n in PROJECT_NAMES]),
    *(
        Refused(case, "POST", _BUILD, status, code, at, raw=raw)
        for case, raw, status, code, at in BODIES
    ),
    *(
        Refused("no body", "POST", path, 400, "invalid_json", raw=b"")
        for path in (_BUILD, _DEPLOY, _SERVICES, "/v1/projects", "/v1/tokens")
    ),
    Refused("no name", "POST", "/v1/projects", 400, "missing_field", "name", body={}),
    Refused("no image", "POST", _DEPLOY, 400, "missing_field", "image_tag", body={"reason": "x"}),
    # An invalid field is reported before a missing one.
    Refused(
        "one field invalid, one missing",
        "POST",
        _DEPLOY,
        400,
        "invalid_reason",
        "reason",
        body={"reason": 5},
    ),
]

_HEADERS = [
    *(
        Refused(
            f"Content-Type {sent!r}",
            "POST",
            _BUILD,
            415,
            "unsupported_media_type",
            body={},
            headers={"Content-Type": sent},
        )
        for sent in MEDIA_TYPES
    ),
    *(
        Refused(
            f"Idempotency-Key {_name(sent)}",
            "POST",
            _BUILD,
            400,
            "invalid_idempotency_key",
            "Idempotency-Key",
            body={},
            headers={"Idempotency-Key": sent},
        )
        for sent in IDEMPOTENCY_KEYS
    ),
    Refused(
        "a key used with another body",
        "POST",
        _BUILD,
        409,
        "idempotency_key_reused",
        "Idempotency-Key",
        body={"git_ref": "other"},
        headers={"Idempotency-Key": "used"},
    ),
]

_CALLERS = [
    *(
        Refused(
            f"Authorization {sent!r}",
            "POST",
            _BUILD,
            401,
            "unauthorized",
            body={},
            headers={"Authorization": sent},
        )
        for sent in AUTHORIZATIONS
    ),
    Refused(
        "a token in the query",
        "GET",
        "/v1/projects?token={admin}",
        401,
        "unauthorized",
        headers={"Authorization": None},
    ),
    Refused(
        "a build by a viewer",
        "POST",
        _BUILD,
        403,
        "forbidden",
        body={},
        headers={"Authorization": "Bearer {viewer}"},
    ),
    _hidden("POST", _BUILD),
    _hidden("GET", f"/v1/cicd/builds/{BUILD}"),
    _hidden("GET", f"/v1/cicd/builds/{BUILD}/logs"),
    _hidden("GET", f"/v1/cicd/deployments/{CURRENT}"),
    _hidden("GET", f"/v1/cicd/deployments/{CURRENT}/logs"),
]

_PATHS = [
    *(
        Refused(f"id {_name(text)}", "GET", path.format(text), 400, "invalid_id")
        for path in NUMBERED_PATHS
        for text in MALFORMED_IDS
    ),
    *(
        Refused(f"id {_name(text)}", "GET", path.format(text), 404, "not_found")
        for path in NUMBERED_PATHS
        for text in MISSING_IDS
    ),
    *(
        Refused("a missing job", "GET", f"/v1/cicd/jobs/{name}", 404, "not_found")
        for name in MISSING_JOBS
    ),
]


def _query(path: str, query: str, code: str, method: str = "GET", **more: Any) -> Refused:
    name = query.partition("=")[0]
    return Refused(f"?{query[:60]}", method, f"{path}?{query}", 400, code, name, **more)


_QUERIES = [
    *(
        _query(f"{_OF_SERVICE}/{kind}", query, code)
        for kind in ("builds", "deployments")
        for query, code in QUERIES
    ),
    *(_query(f"/v1/cicd/builds/{BUILD}/logs", query, code) for query, code in LOG_QUERIES),
    *(_query(f"/v1/services/{SERVICE}/access", query, code) for query, code in ACCESS_QUERIES),
    *(_query("/v1/services", query, code) for query, code in SERVICES_QUERIES),
    *(_query(f"/v1/cicd/deployments/{CURRENT}/logs", query, code) for query, code in LOG_QUERIES),
    *(_query(_ROLLBACK, query, code) for query, code in PREVIEW_QUERIES),
    *(
        _query(f"{_OF_SERVICE}/{verb}", query, code, "POST", body={"image_tag": f"hello@{SHA256}"})
        for verb, query, code in DRY_RUN_QUERIES
    ),
]

_STATES = [
    Refused(
        "a tag that was not built by Slipway",
        "POST",
        _DEPLOY,
        403,
        "image_not_allowed",
        "image_tag",
        body={"image_tag": "hello:latest"},
        reads=READS_IMAGES,
    ),
    Refused(
        "a missing tag",
        "POST",
        _DEPLOY,
        404,
        "image_not_found",
        "image_tag",
        body={"image_tag": "hello:main-deadbee"},
        reads=READS_IMAGES,
    ),
    Refused(
        "a missing digest",
        "POST",
        _DEPLOY,
        404,
        "image_not_found",
        "image_tag",
        body={"image_tag": f"hello@{SHA256}"},
        reads=READS_IMAGES,
    ),
    _conflict(
        "a service without an ECS target",
        f"/v1/cicd/services/{UNCONFIGURED}/deploy",
        "service_not_configured",
        image_tag=f"bare@{SHA256}",
    ),
    _conflict(
        "no earlier release", f"/v1/cicd/services/{NEIGHBOUR}/rollback", "nothing_to_roll_back"
    ),
    _conflict("a failed deployment", _ROLLBACK, "not_deployable", deployment_id=FAILED),
    _conflict("the current release", _ROLLBACK, "already_running", deployment_id=CURRENT),
    _conflict("an approval of a deployment that ended", _APPROVE, "job_ended"),
    _conflict("a rejection of a deployment that ended", _REJECT, "job_ended"),
]

_DRY_RUNS = [
    replace(row, path=f"{row.path}?dry_run=true") for row in _STATES if row.path.endswith("/deploy")
]

_TESTED = [
    Refused(case, "POST", f"{_HOOK}/test", status, code, at, raw=raw, headers=headers)
    for case, raw, headers, status, code, at in UNREADABLE
]

_DELIVERIES = [
    Refused(
        case,
        "POST",
        _HOOK,
        status,
        code,
        at,
        raw=raw,
        headers={**delivery_headers(raw), **headers},
    )
    for case, raw, headers, status, code, at in DELIVERIES
]

_OF_CHANNELS = [
    *_fields("POST", _CHANNELS, NEW_CHANNEL_FIELDS, **_NEW_CHANNEL),
    *_fields("POST", _CHANNELS, NEW_TOPIC_FIELDS, **_NEW_TOPIC),
    # What only the kind of the channel does not allow is a conflict.
    *_fields(
        "PATCH",
        _CHANNEL,
        [
            *_CHANNEL_FIELDS,
            *(
                (name, value, 409 if value in (None, "slipway-news") else status, code)
                for name, value, status, code in NEW_TOPIC_FIELDS
            ),
        ],
    ),
    Refused(
        "a secret for a topic",
        "PATCH",
        _CHANNEL,
        409,
        "invalid_secret",
        "secret",
        body={"secret": "secretsmanager:slipway/tell/all/hook"},
    ),
    Refused("no kind", "POST", _CHANNELS, 400, "missing_field", "kind", body={"name": "x"}),
    Refused(
        "the kind of a channel",
        "PATCH",
        _CHANNEL,
        400,
        "unknown_field",
        "kind",
        body={"kind": "sns"},
    ),
    Refused(
        "events for GitHub",
        "POST",
        _CHANNELS,
        400,
        "invalid_events",
        "events",
        body={**_NEW_CHANNEL, "kind": "github", "events": ["build.failed"]},
    ),
    *(
        Refused("a missing one", "POST", _CHANNELS, 404, "not_found", body={**_NEW_CHANNEL, **one})
        for one in ({"project_id": 4711}, {"service_id": 4711})
    ),
    Refused(
        "a service of another project",
        "POST",
        _CHANNELS,
        404,
        "not_found",
        "service_id",
        body={**_NEW_CHANNEL, "project_id": PROJECT + 1, "service_id": SERVICE},
    ),
    Refused(
        "the token of another service",
        "GET",
        _CHANNELS,
        403,
        "forbidden",
        headers={"Authorization": "Bearer {neighbours}"},
    ),
]

REFUSED: list[Refused] = [
    replace(row, case=f"{row.method} {row.path[:60]} {row.case}")
    for row in (
        *_BODIES,
        *_HEADERS,
        *_CALLERS,
        *_PATHS,
        *_QUERIES,
        *_STATES,
        *_DRY_RUNS,
        *_DELIVERIES,
        *_TESTED,
        *_OF_CHANNELS,
    )
]
