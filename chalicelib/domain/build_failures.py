"""Why a build failed: read from CodeBuild's report and from the last lines of the build's log.

CodeBuild names the failed phase, and its message repeats the whole command of the buildspec before
`Reason: exit status 1`. The log repeats the command, too: once before its output, and twice after a
failure. The cause is in the output: the last `error: …` of the step, or BuildKit's `ERROR: …`.
"""

import re
from collections.abc import Iterable, Mapping, Sequence

import msgspec

from chalicelib.domain.builds import BuildReport
from chalicelib.domain.failures import LINE_LENGTH, TAIL_LINES, Failure, Phase, cut, one_line
from chalicelib.domain.images import create_repository
from chalicelib.domain.regex import regex

# BuildKit repeats the end of a failed command and ten lines of the Dockerfile before its error.
_SEARCHED_LINES = 40
_READ_LENGTH = 2000  # of a line: the patterns below take too long for an endless one


# By the title that each command of the buildspec prints first.
STEPS: Mapping[str, Phase] = {
    "Preparing the build": Phase.PREPARE,
    "Fetching the source": Phase.FETCH,
    "Finding the Dockerfile": Phase.PREPARE,
    "Logging in to the registry": Phase.LOG_IN,
    "Building the image": Phase.BUILD,
    "Copying the image to other registries": Phase.PUSH,
}
# By CodeBuild's own phases (BuildPhaseType), where no step of the buildspec is known.
_PHASES: Mapping[str, Phase] = {
    "SUBMITTED": Phase.QUEUE,
    "QUEUED": Phase.QUEUE,
    "PROVISIONING": Phase.START,
    "DOWNLOAD_SOURCE": Phase.START,
    "INSTALL": Phase.START,
    "PRE_BUILD": Phase.PREPARE,
    "BUILD": Phase.BUILD,
    "POST_BUILD": Phase.PUSH,
    "UPLOAD_ARTIFACTS": Phase.FINISH,
    "FINALIZING": Phase.FINISH,
}
# The phases in which CodeBuild runs commands.
_WITH_COMMANDS = frozenset({"INSTALL", "PRE_BUILD", "BUILD", "POST_BUILD"})


class Output(msgspec.Struct, frozen=True):
    """The output of a build without CodeBuild's own lines and without its copies of commands.

    `lines` are of all steps, `step` are those of the last step, and `title` is its title. `whole`
    says that CodeBuild has logged the failure of the phase, which it does after the last output.
    """

    lines: tuple[str, ...] = ()
    step: tuple[str, ...] = ()
    title: str = ""
    whole: bool = False


# "[Container] 2025/12/02 03:41:06.148228 Entering phase BUILD", or "[Instance] …" on EC2.
_RECORD = regex(r"\[(?:Container|Instance)\] (?:\d{4}/\d\d/\d\d [\d:.]+ )?(?P<text>.*)")
_FAILED_PHASE = regex(r"Phase complete: [A-Z_]+ State: (?!SUCCEEDED)")
# After these records CodeBuild writes a copy of the command, and no output.
_VERDICT = regex(r"Command did not exit successfully|Phase context status code")
_COMMAND = regex(r"Running command (?P<command>.*)")
_TITLE = regex(r"echo \"(?P<title>[^\"$`\\]+)\"")
_COMMAND_FAILED = "Error while executing command: "
_EXIT_STATUS = regex(r"exit status (\d{1,3})")
_EXIT_CODE = regex(r"did not complete successfully: exit code: (\d{1,3})")


def has_output(report: BuildReport) -> bool:
    """Whether the build's log can say more than CodeBuild's report: a command was running."""
    return report.log_path is not None and report.reached in _WITH_COMMANDS


def read_output(lines: Iterable[str], script: Iterable[str]) -> Output:
    """The build's own output among the lines of its log, the oldest first.

    CodeBuild writes a copy of each command line by line, and may cut it. Lines right after `Running
    command` are a copy as long as they are lines of the `script`: the buildspec, or the commands.
    """
    copied = {line.strip() for line in script}
    output: list[str] = []
    begin, title, whole = 0, "", False
    copy = verdict = False
    for line in lines:
        record = _RECORD.fullmatch(line)
        if record is not None:
            text = record["text"]
            command = _COMMAND.match(text)
            if command is not None:
                begin, title = len(output), _title(command["command"])
            copy, verdict = command is not None, _VERDICT.match(text) is not None
            whole = whole or _FAILED_PHASE.match(text) is not None
        elif not verdict and not (copy and line.strip() in copied):
            copy = False
            output.append(cut(line, _READ_LENGTH))
    kept = tuple(output)
    return Output(kept, kept[begin:], title, whole)


def failure_of(
    report: BuildReport, output: Output, *, image_repository: str, registry: str, late: str
) -> Failure:
    """The failure of a build that CodeBuild has ended.

    `late` is the text for a build that was stopped because it took too long.
    """
    command = _failed_command(report)
    title = (_title(command[0]) if command else "") or output.title
    phase = STEPS.get(title) or _PHASES.get(report.reached, Phase.BUILD)
    summary, exit_code = _summary(report, output, title, late)
    summary = cut(summary, _READ_LENGTH)
    lines = [line for line in output.lines if line.strip()]
    ran = _RUN_FAILED.search(summary) is not None
    if phase is Phase.BUILD and not ran and _PUSH.search(summary):
        phase = Phase.PUSH
    return Failure(
        phase=phase,
        summary=one_line(summary),
        exit_code=exit_code,
        log_tail=tuple(cut(line, LINE_LENGTH) for line in lines[-TAIL_LINES:]),
        next_step=_next_step(report, summary, output.step, phase, image_repository, registry),
    )


def _summary(report: BuildReport, output: Output, title: str, late: str) -> tuple[str, int | None]:
    """The line that says why, and the exit code of the failed command."""
    if report.status in {"STOPPED", "TIMED_OUT"}:
        return late + (f', during the step "{title}"' if title else ""), None
    command = _failed_command(report)
    if command is None:
        return _own_failure(report), None
    reason = command[1]
    status = _EXIT_STATUS.search(reason)
    exit_code = int(status[1]) if status else None
    error = _last_error(output.step)
    if error:
        inner = _EXIT_CODE.search(error)  # of a RUN command in the Dockerfile
        return error, int(inner[1]) if inner else exit_code
    step = f'the step "{title}"' if title else f"a command of the phase {report.failed_phase}"
    last = next((line.strip() for line in reversed(output.step) if line.strip()), "")
    return ": ".join(filter(None, (f"{step} failed", reason, last))), exit_code


def _own_failure(report: BuildReport) -> str:
    """CodeBuild's message on a failure of its own."""
    where = " ".join(filter(None, ("CodeBuild:", report.failed_phase, report.status)))
    return f"{where}: {report.message}" if report.message else where


def _failed_command(report: BuildReport) -> tuple[str, str] | None:
    """The command that CodeBuild's message repeats, and the reason after it, if there is one.

    None if no command failed. AWS may cut a long message before its reason.
    """
    _, found, text = report.message.partition(_COMMAND_FAILED)
    if not found:
        return None
    command, has_reason, reason = text.rpartition(". Reason: ")
    return (command, reason) if has_reason else (text, "")


# The line of a step that failed, and BuildKit's verdict. Lines of commands in a Dockerfile begin
# with BuildKit's number ("#12 0.3 error: …"), so they do not match.
_ERROR = regex(r"(?:error|ERROR): (?P<text>.+)")
# Errors of the programs that the steps call, if the step itself prints none.
_OTHER_ERROR = regex(
    r"(?P<text>(?:fatal: |FATAL: |Error: |An error occurred \(|Error response from daemon: |"
    r"Unable to locate credentials|docker: ).*)"
)


def _last_error(lines: Sequence[str]) -> str:
    for pattern in (_ERROR, _OTHER_ERROR):
        for line in reversed(lines):
            match = pattern.match(line)
            if match is not None:
                return match["text"].strip()
    return ""


_PUSH = regex(r"failed to push|failed to copy: .*(?:PUT|PATCH|POST)|tag is immutable")


class _Cause(msgspec.Struct, frozen=True):
    """A cause that people meet, and what to do about it.

    `text` is searched in the summary, and with `anywhere` also in the output of the failed step.
    `phases` are the phases in which it is possible. Only causes with `in_command` explain a failed
    command of the Dockerfile. With `own_registry` the line must name the installation's registry.
    """

    text: re.Pattern[str]
    next_step: str
    phases: frozenset[Phase]
    anywhere: bool = False
    in_command: bool = False
    own_registry: bool = False


def _cause(
    text: str,
    next_step: str,
    *phases: Phase,
    anywhere: bool = False,
    in_command: bool = False,
    ignore_case: bool = False,
    own_registry: bool = False,
) -> _Cause:
    return _Cause(
        regex(text, re.IGNORECASE if ignore_case else 0),
        next_step,
        frozenset(phases or Phase),
        anywhere=anywhere,
        in_command=in_command,
        own_registry=own_registry,
    )


# BuildKit's error for a failed command of the Dockerfile, and a line of a command's output.
_VERDICT_OF_RUN = "did not complete successfully"
_RUN_FAILED = regex(rf"process \".*\" {_VERDICT_OF_RUN}")
_RUN_OUTPUT = regex(r"#\d+ \d+\.\d+ (?P<text>.*)")

# Failures that may pass: the words of git, Git LFS, registries, BuildKit, dockerd and the AWS CLI,
# in lower case. The buildspec tries again on these. Each pattern is also an extended regular
# expression of POSIX.
RATE_LIMIT = r"429 too many requests|toomanyrequests|rate limit exceeded|returned error: 429"
NETWORK = (
    r"returned error: 5[0-9][0-9]|(unexpected|failed with) (http )?status.*: 5[0-9][0-9]"
    r"|rate exceeded|an error occurred \((internal|throttling)"
    r"|connection (reset|refused|timed out|was closed)|(i/o|handshake) timeout|timeout on endpoint"
    r"|client\.timeout exceeded|context deadline exceeded"
    r"|could not (connect to the endpoint|resolve host)|failed to connect to|no such host"
    r"|server misbehaving|failure in name resolution|early eof|: eof$"
    r"|unexpected eof($|[^ ]| while reading)|rpc failed; curl"
)

_IN_DOCKER = (Phase.BUILD, Phase.PUSH)
# The first one that applies wins. The texts are those of git, BuildKit, containerd, Docker Hub, ECR
# and the resolvers of glibc, Go and Node.js.
_CAUSES: tuple[_Cause, ...] = (
    _cause(
        r"couldn't find remote ref|not our ref|has no branch or tag|no branch of \S+ contains",
        "Check git_ref, or the service's branch: the repository has no branch, tag or commit of "
        "this name.",
        Phase.FETCH,
        anywhere=True,
    ),
    # AWS CLI: "An error occurred (<code>) when calling the <name> operation: …".
    _cause(
        r"\(AccessDenied\w*\) when calling the AssumeRole\b",
        "Deploy Slipway's stack again: CodeBuild's role may not assume the push role.",
        Phase.PREPARE,
        *_IN_DOCKER,
        anywhere=True,
    ),
    _cause(
        r"\((?:ResourceNotFound|AccessDenied)\w*\) when calling the GetSecretValue\b",
        "Check that the secret exists in Secrets Manager, in the region of the builds, under the "
        "name that the setting gives. If it has a KMS key of its own, the stack's push role must "
        "be allowed to decrypt with it.",
        Phase.FETCH,
        Phase.LOG_IN,
        *_IN_DOCKER,
        anywhere=True,
    ),
    _cause(
        r"the secret is binary, not text",
        "Store the secret as text (SecretString), not as binary.",
        Phase.FETCH,
        Phase.LOG_IN,
        *_IN_DOCKER,
        anywhere=True,
    ),
    _cause(
        r"neither a token nor user:token",
        "Store a token, or user:token, as the plain text of the secret that the project's "
        "git_credential names.",
        Phase.FETCH,
    ),
    _cause(
        r"could not read (?:Username|Password)|Authentication failed|terminal prompts disabled"
        r"|invalid username or (?:password|token)|Access denied|returned error: 40[13]"
        r"|repository (?:'[^']*' |or object )?not found|Permission (?:to .* )?denied"
        r"|Authorization error: ",
        "Check git_url. If the repository is private, set the project's git_credential to a secret "
        "with a token that may read it, or install the GitHub App of Slipway on the repository.",
        Phase.FETCH,
        anywhere=True,
        ignore_case=True,
    ),
    _cause(
        r"no Dockerfile|failed to read dockerfile",
        "Commit a Dockerfile at this path, or set the service's dockerfile and context_path to "
        "the path of the one that exists.",
        Phase.PREPARE,
        *_IN_DOCKER,
    ),
    _cause(
        r"no directory|is not a directory|is outside the repository",
        "Set the service's context_path and dockerfile to paths that exist in the repository.",
        Phase.PREPARE,
    ),
    _cause(
        RATE_LIMIT,
        "Build again later: the git host limits requests. Some hosts allow more requests with the "
        "project's git_credential.",
        Phase.FETCH,
        anywhere=True,
        ignore_case=True,
    ),
    _cause(
        RATE_LIMIT,
        "Build again later: a server limits requests. Base images can come from another registry: "
        "public.ecr.aws, or an ECR pull-through cache with credentials for Docker Hub.",
        Phase.LOG_IN,
        *_IN_DOCKER,
        anywhere=True,
        in_command=True,
        ignore_case=True,
    ),
    _cause(
        r"no space left on device|disk quota exceeded",
        "Make the build smaller (a .dockerignore file, fewer and smaller layers), or give builds a "
        "larger machine: the stack's parameter BuildComputeType.",
        anywhere=True,
        in_command=True,
        ignore_case=True,
    ),
    _cause(
        rf"{_VERDICT_OF_RUN}: exit code: 137\b|signal: killed|out of memory|cannot allocate memory",
        "The machine ran out of memory. Make the build need less of it, or give builds a larger "
        "machine: the stack's parameter BuildComputeType.",
        *_IN_DOCKER,
        in_command=True,
        ignore_case=True,
    ),
    # POSIX: a shell's exit status for a command that is not found.
    _cause(
        rf"{_VERDICT_OF_RUN}: exit code: 127\b",
        "Install the command, or a library that it needs, in the Dockerfile before this step: the "
        "image does not have it.",
        *_IN_DOCKER,
        in_command=True,
    ),
    # OpenSSH, ssh-add, and the last line of git after a failure of ssh.
    _cause(
        r"Permission denied \(publickey|error connecting to (?:the )?agent"
        r"|^and the repository exists\.$",
        "Fetch over https with a token, or mount an SSH key that is one of the service's secrets "
        "(RUN --mount=type=secret). Builds have no SSH agent for RUN --mount=type=ssh.",
        *_IN_DOCKER,
        in_command=True,
        ignore_case=True,
    ),
    _cause(
        r"no match for platform|exec format error|none of the platforms can be built"
        r"|cannot build for linux/|does not match the (?:specified|expected|detected) .*platform",
        "Set the service's platforms to those that the base image has and that this builder can "
        "build.",
        *_IN_DOCKER,
        anywhere=True,
        in_command=True,
    ),
    _cause(
        r"tag is immutable|repository is immutable|ImageTagAlreadyExists",
        "Build again: each build pushes a tag of its own. If it fails again, another tool pushes "
        "the same tags to this repository.",
        *_IN_DOCKER,
    ),
    _cause(
        r"failed to (?:compute cache key|calculate checksum)",
        "Check the paths in COPY and ADD: they are relative to context_path, and .dockerignore may "
        "leave files out.",
        *_IN_DOCKER,
    ),
    _cause(
        r"target stage .* could not be found",
        "Check the name of the stage: the Dockerfile has no such stage.",
        *_IN_DOCKER,
    ),
    _cause(
        r"dockerfile parse error|unknown instruction",
        "Correct the Dockerfile at the line that the log shows.",
        *_IN_DOCKER,
        ignore_case=True,
    ),
    _cause(
        r"pull access denied|manifest unknown|repository does not exist|insufficient_scope"
        r"|failed to resolve source metadata for .*: not found|: not found$",
        "Check the image after FROM in the Dockerfile: its registry has no such image or tag, or "
        "does not show it to this build.",
        *_IN_DOCKER,
    ),
    _cause(
        r"authorization token has expired",
        "Build again: the build's login to the registry has expired. A login lasts an hour.",
        *_IN_DOCKER,
    ),
    _cause(
        r"not authorized to perform|AccessDenied|no basic auth credentials|403 Forbidden"
        r"|\bdenied: ",
        "Builds push only to repositories that match the stack's parameter RepositoryPattern, and "
        "pull from this registry only those in BaseRepositories: set the parameter and deploy.",
        Phase.LOG_IN,
        *_IN_DOCKER,
        own_registry=True,
    ),
    _cause(
        r"40[13] (?:Forbidden|Unauthorized)|\bdenied: |no basic auth credentials",
        "Check the image after FROM in the Dockerfile: its registry refuses it to this build.",
        *_IN_DOCKER,
    ),
    _cause(
        # With words that curl, apt and Node.js print in commands of a Dockerfile.
        rf"{NETWORK}|network is unreachable|temporary failure resolving"
        r"|\b(?:ENOTFOUND|EAI_AGAIN|ETIMEDOUT|ECONNRESET)\b"
        r"|50[0234] (?:Bad Gateway|Service Unavailable|Gateway Time-?out|Internal Server Error)",
        "Build again: the network or the other server failed. If it fails each time, check the "
        "name of the server, and CodeBuild's way to the internet if it runs in a VPC.",
        anywhere=True,
        in_command=True,
        ignore_case=True,
    ),
)

_NO_REPOSITORY = regex(r"repository with name '(?P<name>[^']{1,256})' does not exist")


def _next_step(
    report: BuildReport,
    summary: str,
    step: Sequence[str],
    phase: Phase,
    image_repository: str,
    registry: str,
) -> str | None:
    if report.status == "FAULT":
        return "Build again: CodeBuild itself failed."
    if report.status in {"STOPPED", "TIMED_OUT"}:
        return _after_time_out(phase)
    if _RUN_FAILED.search(summary):
        # The command of a Dockerfile may print anything, so only its end and its last line count.
        outputs = [match["text"] for line in step if (match := _RUN_OUTPUT.fullmatch(line))]
        verdict = _RUN_FAILED.sub(_VERDICT_OF_RUN, summary)
        in_command = [cause for cause in _CAUSES if cause.in_command]
        return _advice(in_command, [verdict, *outputs[-1:]], phase, registry)
    missing = _NO_REPOSITORY.search(summary)
    if missing is not None and missing["name"] == image_repository:
        return create_repository(image_repository, registry)
    anywhere = [cause for cause in _CAUSES if cause.anywhere]
    return _advice(_CAUSES, [summary], phase, registry) or _advice(
        anywhere, step[-_SEARCHED_LINES:], phase, registry
    )


def _advice(
    causes: Iterable[_Cause], lines: Sequence[str], phase: Phase, registry: str
) -> str | None:
    for cause in causes:
        possible = phase in cause.phases
        found = [line for line in lines if possible and cause.text.search(line)]
        elsewhere = cause.own_registry and phase is not Phase.LOG_IN
        if any(not elsewhere or registry in line for line in found):
            return cause.next_step
    return None


def _after_time_out(phase: Phase) -> str:
    if phase is Phase.QUEUE:
        return (
            "Request a higher quota for CodeBuild in Service Quotas, lower JOB_WORKERS or raise "
            "the service's queued_minutes. Then retry the build."
        )
    return (
        "Raise the service's build_minutes, or look in the log for the command that takes long. "
        "Then retry the build."
    )


def _title(command: str) -> str:
    match = _TITLE.match(command)
    return match["title"] if match else ""
