"""The failure of a build, from CodeBuild's report and the end of its log."""

import re
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.domain.build_failures import (
    NETWORK,
    RATE_LIMIT,
    STEPS,
    Output,
    failure_of,
    has_output,
    read_output,
)
from chalicelib.domain.builds import BuildReport
from chalicelib.domain.failures import Failure, Phase
from tests.support.codebuild_log import (
    COMMAND,
    OUTPUT,
    RUN_FAILED,
    begin,
    end_badly,
    failed_command,
    failed_log,
)

BUILDSPEC = (Path(__file__).parents[2] / "infra/buildspec.yml").read_text()
PREPARE = "Preparing the build"
FETCH = "Fetching the source"
LOGIN = "Logging in to the registry"
BUILD = "Building the image"
REGISTRY = "123456789012.dkr.ecr.eu-west-1.amazonaws.com"


def report(**values: Any) -> BuildReport:
    standard = {
        "id": "builds:1",
        "status": "FAILED",
        "phase": "COMPLETED",
        "failed_phase": "BUILD",
        "message": failed_command(),
        "log_path": "/slipway/builds/build-1/0f0f",
    }
    return BuildReport(**{**standard, **values})


def failure(log: list[str], **values: Any) -> Failure:
    found = report(**values)
    return failure_of(
        found,
        read_output(log, f"{found.script}\n{found.message}".splitlines()),
        image_repository="team/app",
        registry=REGISTRY,
        late="too late",
    )


def failure_in(title: str, *output: str) -> Failure:
    """The failure of a build of which one step printed this and failed."""
    message = failed_command(COMMAND.replace("Building the image", title))
    return failure(failed_log(*output, title=title), message=message)


def commands() -> list[str]:
    phases = yaml.safe_load(BUILDSPEC)["phases"].values()
    return [command for phase in phases for command in phase["commands"]]


def test_every_command_of_the_buildspec_begins_with_the_title_of_a_known_step() -> None:
    titles = [re.match(r'echo "([^"]+)"\n', command) for command in commands()]
    assert [title and title[1] for title in titles] == list(STEPS)


@pytest.mark.parametrize("command", commands(), ids=lambda command: command.split("\n")[0])
def test_a_failed_command_of_the_buildspec_is_named_by_its_phase(command: str) -> None:
    found = failure([], message=failed_command(command))
    title = command.split('"')[1]
    assert found.phase is STEPS[title]
    assert found.summary == f'the step "{title}" failed: exit status 1'
    assert found.exit_code == 1


def test_the_cause_is_the_last_error_of_buildkit() -> None:
    assert failure(failed_log()) == Failure(
        phase=Phase.BUILD,
        summary=RUN_FAILED,
        exit_code=2,
        log_tail=("Building the image", *OUTPUT),
    )


def test_the_cause_is_the_last_error_of_a_step() -> None:
    found = failure_in(
        "Fetching the source",
        "error: RPC failed; HTTP 503 curl 22 The requested URL returned error: 503",
        "fatal: error reading section header 'shallow-info'",
        "error: cannot fetch the commit 6113728f27ae82c7b1a177c8d03f9e96e0adf246",
    )
    assert found.phase is Phase.FETCH
    assert found.summary == "cannot fetch the commit 6113728f27ae82c7b1a177c8d03f9e96e0adf246"
    assert found.exit_code == 1
    assert found.next_step is not None
    assert found.next_step.startswith("Build again: ")


def test_an_error_of_an_earlier_step_is_not_the_cause() -> None:
    log = [
        *begin("Fetching the source"),
        "error: 5 bytes of body are still expected",
        *begin(LOGIN),
        "Error response from daemon: login attempt failed with status: 400 Bad Request",
        *end_badly(LOGIN),
    ]
    found = failure(log, message=failed_command(f'echo "{LOGIN}"'))
    assert found.summary.startswith("Error response from daemon: login attempt failed")
    assert found.phase is Phase.LOG_IN
    assert "error: 5 bytes of body are still expected" in found.log_tail


def test_a_command_that_prints_an_error_in_a_dockerfile_is_not_the_cause() -> None:
    found = failure_in(
        "Building the image", "#7 0.3 error: 404", "#7 0.4 ERROR: 404", "0.4 ERROR: 404", "killed"
    )
    assert found.summary == 'the step "Building the image" failed: exit status 1: killed'


@pytest.mark.parametrize("script", ["", BUILDSPEC], ids=["from the message", "from the buildspec"])
@pytest.mark.parametrize("command", [commands()[0], commands()[-1]], ids=["first", "last"])
def test_no_line_of_the_buildspec_is_shown_as_output(command: str, script: str) -> None:
    """AWS copies the command into the log, and may cut the copies."""
    title = command.split('"')[1]
    copy = command.rstrip("\n").split("\n")
    log = [
        f"[Container] 2026/11/22 00:00:07.148228 Running command {copy[0]}",
        *copy[1:],
        title,
        "the only line",
        f"[Container] 2026/11/22 00:00:09.148228 Command did not exit successfully {copy[0]}",
        *copy[1:30],
        "[Container] 2026/11/22 00:00:09.148229 Phase complete: PRE_BUILD State: FAILED",
        "[Container] 2026/11/22 00:00:09.148230 Phase context status code: "
        f"COMMAND_EXECUTION_ERROR Message: Error while executing command: {copy[0]}",
        *copy[1:40],
    ]
    message = failed_command(f'echo "{title}"' if script else command)
    found = failure(log, message=message, script=script)
    assert found.log_tail == (title, "the only line")
    assert found.summary.endswith("exit status 1: the only line")


def test_the_tail_has_the_last_twenty_lines_and_no_endless_line() -> None:
    lines = [f"#5 {number}" for number in range(50)]
    found = failure(failed_log(*lines, "x" * 10_000))
    assert len(found.log_tail) == 20
    assert found.log_tail[0] == "#5 31"
    assert len(found.log_tail[-1]) == 400
    assert found.log_tail[-1].endswith("x…")


def test_a_message_without_its_reason_does_not_show_the_command() -> None:
    """AWS may cut a message."""
    found = failure([], message=failed_command(COMMAND).partition(". Reason")[0][:120])
    assert found.summary == 'the step "Building the image" failed'
    assert found.exit_code is None


def test_the_log_is_whole_once_codebuild_has_logged_the_failure() -> None:
    log = failed_log()
    known = COMMAND.splitlines()
    begun = next(i for i, line in enumerate(log) if line.endswith("State: FAILED"))
    assert not read_output(log[:begun], known).whole
    assert read_output(log[: begun + 1], known).whole
    assert not read_output([*begin("Building the image")], known).whole


@pytest.mark.parametrize(
    ("failed_phase", "expected"),
    [("QUEUED", False), ("PROVISIONING", False), ("DOWNLOAD_SOURCE", False), ("BUILD", True)],
)
def test_only_phases_with_commands_have_output(failed_phase: str, expected: bool) -> None:
    assert has_output(report(failed_phase=failed_phase)) is expected
    assert not has_output(report(failed_phase="BUILD", log_path=None))


@pytest.mark.parametrize(
    ("values", "phase", "summary", "advice"),
    [
        (
            {"failed_phase": "PROVISIONING", "message": "Unable to pull customer's image"},
            Phase.START,
            "CodeBuild: PROVISIONING FAILED: Unable to pull customer's image",
            None,
        ),
        (
            {"failed_phase": "DOWNLOAD_SOURCE", "message": "YAML_FILE_ERROR: no phases"},
            Phase.START,
            "CodeBuild: DOWNLOAD_SOURCE FAILED: YAML_FILE_ERROR: no phases",
            None,
        ),
        (
            {"status": "FAULT", "failed_phase": "", "message": ""},
            Phase.BUILD,
            "CodeBuild: FAULT",
            "Build again",
        ),
        (
            {"status": "TIMED_OUT", "failed_phase": "QUEUED", "message": "Build has timed out. "},
            Phase.QUEUE,
            "too late",
            "Request a higher quota",
        ),
        (
            {"status": "TIMED_OUT", "message": "Build has timed out. "},
            Phase.BUILD,
            "too late",
            "Raise the service's build_minutes",
        ),
        (
            {"status": "STOPPED", "message": ""},
            Phase.BUILD,
            "too late",
            "Raise the service's build_minutes",
        ),
    ],
)
def test_a_failure_of_codebuild_itself_shows_its_message(
    values: dict[str, Any], phase: Phase, summary: str, advice: str | None
) -> None:
    found = failure([], **values)
    assert (found.phase, found.summary, found.exit_code) == (phase, summary, None)
    assert (found.next_step or "").startswith(advice or "")
    assert (found.next_step is None) is (advice is None)


def test_a_build_that_took_too_long_shows_the_step_and_its_last_lines() -> None:
    log = [*begin("Building the image", phase="BUILD"), "#9 5.1 waiting", "#9 900.2 waiting"]
    found = failure(log, status="TIMED_OUT", message="Build has timed out. ")
    assert found.summary == 'too late, during the step "Building the image"'
    assert found.log_tail[-1] == "#9 900.2 waiting"


SOLVE = "ERROR: failed to solve: "
HINT = " (a private repository needs its project's git_credential, or the GitHub App)"
META = "failed to resolve source metadata for docker.io/library"
HUB = "unexpected status from HEAD request to https://registry-1.docker.io/v2/library/python"


@pytest.mark.parametrize(
    ("title", "output", "phase", "advice"),
    [
        (
            "Finding the Dockerfile",
            ["error: the context has no Dockerfile docker/Dockerfile"],
            "prepare",
            "Commit a Dockerfile",
        ),
        (
            "Finding the Dockerfile",
            ["error: the repository has no directory services/web"],
            "prepare",
            "Set the service's context_path",
        ),
        (
            BUILD,
            [f"{SOLVE}failed to read dockerfile: open Dockerfile: no such file or directory"],
            "build",
            "Commit a Dockerfile",
        ),
        (
            BUILD,
            [f"{SOLVE}python:9.99: {META}/python:9.99: docker.io/library/python:9.99: not found"],
            "build",
            "Check the image after FROM",
        ),
        (
            BUILD,
            [
                "ERROR: failed to build: failed to solve: acme/base: pull access denied, "
                "repository does not exist or may require authorization: server message: "
                "insufficient_scope: authorization failed"
            ],
            "build",
            "Check the image after FROM",
        ),
        (
            BUILD,
            [
                f"{SOLVE}python:3.12: {META}/python:3.12: {HUB}/manifests/3.12: 429 Too Many "
                "Requests\ntoomanyrequests: You have reached your unauthenticated pull rate limit."
            ],
            "build",
            "Build again later",
        ),
        (
            BUILD,
            [
                "#9 21.4 tar: write error: No space left on device",
                f'{SOLVE}process "/bin/sh -c tar xf x" did not complete successfully: exit code: 1',
            ],
            "build",
            "Make the build smaller",
        ),
        (
            BUILD,
            [f'{SOLVE}process "/bin/sh -c npm ci" did not complete successfully: exit code: 137'],
            "build",
            "The machine ran out of memory",
        ),
        (
            BUILD,
            [
                "#6 0.093 exec /bin/sh: exec format error",
                f'{SOLVE}process "/bin/sh -c true" did not complete successfully: exit code: 255',
            ],
            "build",
            "Set the service's platforms",
        ),
        (
            BUILD,
            [f"{SOLVE}acme/app: no match for platform in manifest: not found"],
            "build",
            "Set the service's platforms",
        ),
        (BUILD, ["error: none of the platforms can be built here"], "build", "Set the service's p"),
        (
            BUILD,
            [
                f"{SOLVE}failed to compute cache key: failed to calculate checksum of ref "
                'moby::x: "/missing.txt": not found'
            ],
            "build",
            "Check the paths in COPY",
        ),
        (
            BUILD,
            [f'{SOLVE}target stage "prod" could not be found'],
            "build",
            "Check the name of the stage",
        ),
        (
            BUILD,
            [f"{SOLVE}dockerfile parse error on line 3: unknown instruction: COPPY"],
            "build",
            "Correct the Dockerfile",
        ),
        (
            BUILD,
            [
                f"{SOLVE}failed to push {REGISTRY}/team/app:main-1: name unknown: The repository "
                "with name 'team/app' does not exist in the registry with id '123456789012'"
            ],
            "push",
            "Create the repository: aws ecr create-repository --repository-name team/app "
            "--region eu-west-1",
        ),
        (
            BUILD,
            [
                f"{SOLVE}failed to push {REGISTRY}/team/app:main-1: tag invalid: The image tag "
                "'main-1' already exists in the 'team/app' repository and cannot be overwritten "
                "because the tag is immutable."
            ],
            "push",
            "Build again: each build pushes a tag of its own",
        ),
        (
            BUILD,
            [
                f"{SOLVE}failed to push {REGISTRY}/team/app:main-1: unexpected status from POST "
                "request to https://…/blobs/uploads/: 403 Forbidden"
            ],
            "push",
            "Builds push only to repositories",
        ),
        (
            BUILD,
            [
                "#8 10.1 W: Failed to fetch http://deb.debian.org/debian/InRelease  Temporary "
                "failure resolving 'deb.debian.org'",
                f'{SOLVE}process "/bin/sh -c apt-get update" did not complete successfully: exit '
                "code: 100",
            ],
            "build",
            "Build again: the network",
        ),
        (
            BUILD,
            [f"{SOLVE}failed to do request: Head: dial tcp 34.1.2.3:443: i/o timeout"],
            "build",
            "Build again: the network",
        ),
        (
            LOGIN,
            [
                "An error occurred (AccessDeniedException) when calling the GetAuthorizationToken "
                "operation: User is not authorized to perform: ecr:GetAuthorizationToken"
            ],
            "log_in",
            "Builds push only to repositories",
        ),
        (
            FETCH,
            [
                "fatal: could not read Username for 'https://github.com': No such device",
                f"error: cannot fetch a branch or tag main{HINT}",
            ],
            "fetch",
            "Check git_url",
        ),
        (
            FETCH,
            [
                "remote: Invalid username or token. Password authentication is not supported.",
                "fatal: Authentication failed for 'https://github.com/acme/app.git/'",
                "error: cannot fetch a branch or tag main",
            ],
            "fetch",
            "Check git_url",
        ),
        (
            FETCH,
            [
                "Authorization error: https://github.com/acme/app.git/info/lfs/objects/batch",
                f"error: cannot check out main{HINT}",
            ],
            "fetch",
            "Check git_url",
        ),
        (
            FETCH,
            [
                "fatal: unable to access 'https://github.com/acme/app.git/': The requested URL "
                "returned error: 429",
                "error: cannot fetch the commit 6113728f27ae82c7b1a177c8d03f9e96e0adf246",
            ],
            "fetch",
            "Build again later: the git host limits requests",
        ),
        (
            FETCH,
            [
                "error: the secret that is the project's git_credential is neither a token nor "
                "user:token"
            ],
            "fetch",
            "Store a token, or user:token",
        ),
        (
            FETCH,
            [
                "fatal: couldn't find remote ref refs/heads/nope",
                "fatal: couldn't find remote ref refs/tags/nope",
                f"error: cannot fetch a branch or tag nope{HINT}",
            ],
            "fetch",
            "Check git_ref",
        ),
        (
            FETCH,
            [
                "fatal: unable to access 'https://github.com/acme/app.git/': Could not resolve "
                "host: github.com",
                "error: cannot fetch a branch or tag main",
            ],
            "fetch",
            "Build again: the network",
        ),
    ],
)
def test_a_common_cause_comes_with_the_next_step(
    title: str, output: list[str], phase: str, advice: str
) -> None:
    lines = [line for text in output for line in text.split("\n")]
    found = failure_in(title, *lines)
    assert found.phase == phase
    assert found.summary in {line.partition(": ")[2] for line in lines} | set(lines)
    assert (found.next_step or "").startswith(advice), found.next_step


PROCESS_FAILED = f'{SOLVE}process "/bin/sh -c {{}}" did not complete successfully: exit code: '
COMMAND_FAILED = f"{PROCESS_FAILED}1"


@pytest.mark.parametrize(
    ("output", "advice"),
    [
        (("#9 1.2 connection reset by peer ... ok", "#9 1.3 FAIL test_sum"), None),
        (("#9 1.2 npm warn retry ETIMEDOUT", "#9 2.0 error TS2304: Cannot find name"), None),
        (("#9 1.2 ok: handles exec format error", "#9 1.3 1 failed"), None),
        (("#9 1.2 E: Temporary failure resolving 'deb.debian.org'",), "Build again"),
        (("#9 1.2 write /x: no space left on device",), "Make the build smaller"),
        (
            (
                "#9 1.2 git@github.com: Permission denied (publickey).",
                "#9 1.2 fatal: Could not read from remote repository.",
                "#9 1.2 ",
                "#9 1.2 Please make sure you have the correct access rights",
                "#9 1.2 and the repository exists.",
            ),
            "Fetch over https",
        ),
        (("#9 0.4 git@example.com: Permission denied (publickey).",), "Fetch over https"),
        (("#9 0.3 Error connecting to agent: No such file or directory",), "Fetch over https"),
    ],
)
def test_the_output_of_a_dockerfiles_command_gives_advice_only_by_its_last_line(
    output: tuple[str, ...], advice: str | None
) -> None:
    found = failure_in("Building the image", *output, COMMAND_FAILED.format("pytest"))
    assert (found.next_step or "").startswith(advice or "")
    assert (found.next_step is None) is (advice is None)


@pytest.mark.parametrize(
    "command",
    ["grep -q no space left on device log", "# no Dockerfile", "echo failed to push"],
)
def test_the_text_of_a_dockerfiles_command_gives_no_advice(command: str) -> None:
    found = failure_in("Building the image", "#9 1.2 no", COMMAND_FAILED.format(command))
    assert (found.phase, found.next_step) == (Phase.BUILD, None)


# A build may also be logged in to the mirror.
NOT_SHOWN = "Check the image after FROM in the Dockerfile: its registry refuses it to this build."


@pytest.mark.parametrize(
    ("line", "advice"),
    [
        (f"{REGISTRY}/team/app:main-1: 403 Forbidden", "Builds push only to repositories"),
        (
            f"failed to push {REGISTRY}/team/app:main-1: denied: Your authorization token has "
            "expired. Reauthenticate and try again.",
            "Build again: the build's login",
        ),
        ("ghcr.io/acme/base: 403 Forbidden", NOT_SHOWN),
        ("ghcr.io/acme/base: 401 Unauthorized", NOT_SHOWN),
    ],
)
def test_a_refusal_is_blamed_on_the_stack_only_if_its_parameter_helps(
    line: str, advice: str
) -> None:
    found = failure_in("Building the image", f"{SOLVE}{line}")
    assert (found.next_step or "").startswith(advice)


def test_the_buildspec_tries_again_on_the_failures_that_are_known_here() -> None:
    lines = re.findall(r"^ *passing\+?='(.*)'$", BUILDSPEC, re.MULTILINE)
    assert "".join(lines) == f"{RATE_LIMIT}|{NETWORK}"


PASSING_FAILURES = [
    (FETCH, "fatal: unable to access 'https://…/': The requested URL returned error: 429"),
    (FETCH, "batch response: Rate limit exceeded: https://github.com/team/app.git/info/lfs"),
    (FETCH, "fatal: unable to access 'https://…/': The requested URL returned error: 502"),
    (FETCH, "fatal: unable to access 'https://…/': Could not resolve host: github.com"),
    (FETCH, "error: RPC failed; curl 92 HTTP/2 stream 0 was not closed cleanly"),
    (FETCH, "fatal: early EOF"),
    (BUILD, f'{SOLVE}failed to do request: Head "https://registry-1.docker.io/v2/x": EOF'),
    (BUILD, f"{SOLVE}lookup registry-1.docker.io on 10.0.0.2:53: server misbehaving"),
    (BUILD, f'{SOLVE}Post "https://auth.docker.io/token": context deadline exceeded'),
    (BUILD, f"{SOLVE}request canceled (Client.Timeout exceeded while awaiting headers)"),
    (BUILD, f"{SOLVE}{HUB}: 503 Service Unavailable"),
    (BUILD, f"{SOLVE}failed to copy: httpReadSeeker: failed open: unexpected EOF"),
    (LOGIN, "Error response from daemon: login attempt failed with status: 502 Bad Gateway"),
    (LOGIN, 'Could not connect to the endpoint URL: "https://api.ecr.eu-west-1.amazonaws.com/"'),
    (LOGIN, "Connect timeout on endpoint URL: https://api.ecr.eu-west-1.amazonaws.com/"),
    (FETCH, "An error occurred (ThrottlingException) when calling the X operation: Rate exceeded"),
    (FETCH, "An error occurred (InternalServiceError) when calling the GetSecretValue operation"),
]


@pytest.mark.parametrize(("title", "line"), PASSING_FAILURES)
def test_a_failure_that_may_pass_is_tried_again_and_has_advice(title: str, line: str) -> None:
    script = "\n".join(re.findall(r"^ *(passing\+?='.*')$", BUILDSPEC, re.MULTILINE))
    bash = ["bash", "-c", f'{script}\n[[ "${{1,,}}" =~ $passing ]]', "bash", line]
    assert subprocess.run(bash, check=False, timeout=20).returncode == 0
    found = failure_in(title, line, *(["error: cannot fetch the commit"] if title == FETCH else []))
    assert (found.next_step or "").startswith("Build again"), found


@pytest.mark.parametrize(
    "last_line",
    [
        "SyntaxError: unexpected EOF while parsing",
        "npm error ERESOLVE could not resolve",
        "FileNotFoundError: [Errno 2]",
        "Error: navigation timeout exceeded",
        "expected status: 500",
        "FAILED test_throttling",
        "FAIL test_login: Access denied",
        'AssertionError: expected "denied: no", got ""',
        f"{REGISTRY}/team/app: 403 Forbidden",
        "pull access denied for acme/base",
        "curl: (22) registry.example.com: 401 Unauthorized",
        "KeyError: web: not found",
        "dockerfile parse error on line 3",
        'target stage "prod" could not be found',
        "the tag is immutable",
        "No Dockerfile in /srv",
        "expected exit code: 127",
        "expected exit code: 137",
    ],
)
def test_a_failure_of_the_application_itself_has_no_next_step(last_line: str) -> None:
    found = failure_in(BUILD, f"#9 1.2 {last_line}", COMMAND_FAILED.format("pytest"))
    assert found.next_step is None
    assert failure_in(BUILD, *OUTPUT).next_step is None


@pytest.mark.parametrize(
    "last_line", ["/bin/sh: 1: pnpm: not found", "sh: pnpm: command not found"]
)
def test_a_command_that_the_image_does_not_have_is_not_a_missing_base_image(last_line: str) -> None:
    found = failure_in(BUILD, f"#9 1.2 {last_line}", f"{PROCESS_FAILED.format('pnpm ci')}127")
    assert found.exit_code == 127
    assert found.next_step is not None
    assert found.next_step.startswith("Install the command, or a library that it needs,")


ASSUME = "cannot assume the role arn:aws:iam::123456789012:role/slipway-push"
CREDENTIAL = "cannot read the secret that is the project's git_credential"
NO_ROLE = "Deploy Slipway's stack again"
NO_SECRET = "Check that the secret exists"
NO_NETWORK = "Build again"
OFFLINE = "Could not connect to the endpoint URL: "
AN_ERROR = "An error occurred"


@pytest.mark.parametrize(
    ("title", "line", "error", "advice"),
    [
        (PREPARE, f"{AN_ERROR} (AccessDenied) when calling the AssumeRole", ASSUME, NO_ROLE),
        (BUILD, f"{AN_ERROR} (AccessDenied) when calling the AssumeRole", ASSUME, NO_ROLE),
        (PREPARE, f'{OFFLINE}"https://sts.eu-west-1.amazonaws.com/"', ASSUME, NO_NETWORK),
        (PREPARE, f"{AN_ERROR} (Throttling) when calling: Rate exceeded", ASSUME, NO_NETWORK),
        (
            FETCH,
            f"{AN_ERROR} (ResourceNotFoundException) when calling the GetSecretValue operation",
            CREDENTIAL,
            NO_SECRET,
        ),
        (
            FETCH,
            f"{AN_ERROR} (AccessDeniedException) when calling the GetSecretValue operation",
            CREDENTIAL,
            NO_SECRET,
        ),
        (
            BUILD,
            f"{AN_ERROR} (AccessDeniedException) when calling the GetSecretValue operation",
            "cannot read the build secret NPM",
            NO_SECRET,
        ),
        (FETCH, f'{OFFLINE}"https://secretsmanager.amazonaws.com/"', CREDENTIAL, NO_NETWORK),
        (
            FETCH,
            f"{AN_ERROR} (InternalServiceError) when calling the GetSecretValue operation",
            CREDENTIAL,
            NO_NETWORK,
        ),
        (
            FETCH,
            f"{AN_ERROR} (ThrottlingException) when calling: Rate exceeded",
            CREDENTIAL,
            NO_NETWORK,
        ),
        (BUILD, "the secret is binary, not text", "cannot read the build secret NPM", "Store the"),
    ],
)
def test_only_a_refusal_or_a_missing_secret_is_blamed_on_the_configuration(
    title: str, line: str, error: str, advice: str
) -> None:
    found = failure_in(title, line, f"error: {error}")
    assert found.summary == error
    assert (found.next_step or "").startswith(advice), found.next_step


def test_a_missing_repository_of_a_base_image_is_not_the_one_to_create() -> None:
    found = failure_in(
        BUILD,
        f"{SOLVE}failed to authorize: The repository with name 'base' does not exist",
    )
    assert not (found.next_step or "").startswith("Create")


words = st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), max_size=200)


@given(
    st.lists(words | st.sampled_from(failed_log()), max_size=60),
    words | st.just(failed_command()),
    st.sampled_from(["FAILED", "FAULT", "TIMED_OUT", "STOPPED"]),
)
def test_any_log_and_message_give_a_failure_of_limited_size(
    log: list[str], message: str, status: str
) -> None:
    found = failure(log, message=message, status=status)
    assert found.summary
    assert len(found.summary) <= 600
    assert found.summary.splitlines() == [found.summary]
    assert len(found.log_tail) <= 20


def test_endless_lines_take_no_time() -> None:
    line = "failed to resolve source metadata for " * 50_000
    began = time.monotonic()
    found = failure(failed_log(line, f"error: {line}"), message=failed_command())
    assert time.monotonic() - began < 1
    assert len(found.summary) == 600


def test_a_build_without_a_log_has_an_empty_tail() -> None:
    assert read_output([], []) == Output()
