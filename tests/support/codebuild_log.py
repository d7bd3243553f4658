"""Logs and messages of CodeBuild in its own form.

CodeBuild writes a copy of each command before it runs, line by line. After a failure it writes two
more copies, and BatchGetBuilds repeats the command in the message of the failed phase. The form is
that of public logs of CodeBuild from 2025 and 2026.
"""

COMMAND = """echo "Building the image"
set -euo pipefail
fail() { printf 'error: %s\\n' "$1" >&2; exit 1; }
[[ -f "$dockerfile" ]] || fail "the Dockerfile $(printf %q "$DOCKERFILE") is not a file"
docker buildx build --push --tag "$IMAGE:$IMAGE_TAG" -- "$context"
"""
RUN_FAILED = (
    'failed to solve: process "/bin/sh -c make" did not complete successfully: exit code: 2'
)
# The output of a build with a RUN command that fails.
OUTPUT = (
    "#7 [2/2] RUN make",
    "#7 0.312 make: *** No rule to make target 'all'.  Stop.",
    '#7 ERROR: process "/bin/sh -c make" did not complete successfully: exit code: 2',
    "------",
    " > [2/2] RUN make:",
    "0.312 make: *** No rule to make target 'all'.  Stop.",
    "------",
    "Dockerfile:2",
    "--------------------",
    "   1 |     FROM alpine:3.20",
    "   2 | >>> RUN make",
    "--------------------",
    f"ERROR: {RUN_FAILED}",
)


def failed_command(command: str = COMMAND, *, exit_status: int = 1) -> str:
    """CodeBuild's message on a command that failed."""
    return f"Error while executing command: {command}. Reason: exit status {exit_status}"


def begin(title: str, *, phase: str = "PRE_BUILD") -> list[str]:
    """The lines before the output of a step."""
    command = COMMAND.replace("Building the image", title)
    return [
        _record(f"Entering phase {phase}"),
        *_record(f"Running command {command}").splitlines(),
        title,
    ]


def end_badly(title: str, *, phase: str = "PRE_BUILD", exit_status: int = 1) -> list[str]:
    """The lines after the output of a step that failed."""
    command = COMMAND.replace("Building the image", title)
    message = failed_command(command, exit_status=exit_status)
    return [
        "",
        *_record(
            f"Command did not exit successfully {command} exit status {exit_status}"
        ).splitlines(),
        _record(f"Phase complete: {phase} State: FAILED"),
        *_record(
            f"Phase context status code: COMMAND_EXECUTION_ERROR Message: {message}"
        ).splitlines(),
    ]


def failed_log(
    *output: str, title: str = "Building the image", phase: str = "BUILD", exit_status: int = 1
) -> list[str]:
    """The log of a build in which one step failed with this output."""
    return [
        _record("Waiting for agent ping"),
        *begin(title, phase=phase),
        *(output or OUTPUT),
        *end_badly(title, phase=phase, exit_status=exit_status),
        _record("Entering phase POST_BUILD"),
        _record("Phase complete: POST_BUILD State: SUCCEEDED"),
        _record("Phase context status code:  Message: "),
        _record("Set report auto-discover timeout to 5 seconds"),
        _record("No matching auto-discover report paths found"),
    ]


def _record(text: str) -> str:
    return f"[Container] 2026/11/22 00:00:07.148228 {text}"
