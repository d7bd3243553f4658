"""The buildspec of CodeBuild, run by the local agent with real git and a simulated docker."""

import ast
import json
import os
import re
import shutil
import subprocess
import time
import uuid
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path

import boto3
import pytest

from tests.support.building import (
    BUILDSPEC,
    GIT_URL,
    Cloud,
    Outcome,
    Witness,
    cloud,
    git,
    image,
    repository,
    use_real_docker,
    witness,
)

__all__ = ["cloud", "repository", "witness"]


def test_a_branch_becomes_an_image(cloud: Cloud) -> None:
    sha = cloud.repository.commit("Über\n\nThe body")
    done = cloud.build(IMAGE_TAG="main-1")
    assert done.status == "SUCCEEDED", done.log
    assert done.exported == {
        "COMMIT_SHA": sha,
        "COMMIT_MESSAGE": "Über",
        "COMMIT_AUTHOR": "Ada Lovelace",
        "IMAGE_DIGEST": image("main-1"),
        "WARNINGS": "",
    }
    assert image("main-1") in done.log
    assert "[simulated] nothing is built" in done.log
    assert "needs no login" in done.log
    assert "inline cache" in done.log


def test_a_commit_is_built_even_if_its_branch_has_newer_commits(cloud: Cloud) -> None:
    sha = cloud.repository.commit("First")
    cloud.repository.commit("Second")
    done = cloud.fetch(GIT_SHA=sha)
    assert done.status == "SUCCEEDED", done.log
    assert done.exported["COMMIT_SHA"] == sha
    assert done.exported["COMMIT_MESSAGE"] == "First"


def test_a_commit_that_no_branch_contains_is_not_built(cloud: Cloud) -> None:
    """A host serves commits of strangers' forks by their SHA, too."""
    path = cloud.repository.path
    git(path, "config", "uploadpack.allowAnySHA1InWant", "true")
    git(path, "checkout", "--quiet", "-b", "fork")
    stranger = cloud.repository.commit("Stranger")
    git(path, "update-ref", "refs/pull/7/head", stranger)
    git(path, "checkout", "--quiet", "main")
    own = cloud.repository.commit("Own")
    cloud.repository.commit("Newer")
    assert cloud.fetch(GIT_REF=stranger, GIT_SHA=stranger).status == "SUCCEEDED"
    git(path, "branch", "--delete", "--force", "fork")
    done = cloud.fetch(GIT_REF=stranger, GIT_SHA=stranger)
    assert done.status == "FAILED"
    assert f"error: no branch of {GIT_URL} contains the commit {stranger}" in done.log
    assert cloud.fetch(GIT_REF=own, GIT_SHA=own).status == "SUCCEEDED"


def test_a_commit_is_found_in_a_partial_copy_of_the_branches(cloud: Cloud) -> None:
    git(cloud.repository.path, "config", "uploadpack.allowFilter", "true")
    git(cloud.repository.path, "config", "uploadpack.allowAnySHA1InWant", "true")
    older = cloud.repository.commit("Older")
    cloud.repository.commit("Newer")
    assert cloud.fetch(GIT_REF=older, GIT_SHA=older).exported["COMMIT_SHA"] == older
    missing = cloud.fetch(GIT_REF="6" * 40, GIT_SHA="6" * 40)
    assert "error: no branch of" in missing.log


@pytest.mark.parametrize("annotated", [False, True])
def test_a_pushed_tag_is_built_even_if_no_branch_contains_its_commit(
    cloud: Cloud, annotated: bool
) -> None:
    path = cloud.repository.path
    git(path, "config", "uploadpack.allowAnySHA1InWant", "true")
    git(path, "checkout", "--quiet", "--detach")
    sha = cloud.repository.commit("Release")
    git(path, "tag", *(["--annotate", "--message", "Release"] if annotated else []), "v1")
    git(path, "checkout", "--quiet", "main")
    assert cloud.fetch(GIT_REF="v1", GIT_SHA=sha).exported["COMMIT_SHA"] == sha
    assert cloud.fetch(GIT_REF="v2", GIT_SHA=sha).status == "FAILED"


def test_history_and_tags_are_fetched_only_if_the_service_enables_them(
    cloud: Cloud, witness: Witness
) -> None:
    git(cloud.repository.path, "tag", "--annotate", "--message", "One", "v1.2.3")
    sha = cloud.repository.commit("Later")
    describe = "print(subprocess.getoutput('git -C ' + arguments[-1] + ' describe'))"
    witness.install(describe)
    for ref in ({"GIT_SHA": sha}, {}):
        done = cloud.build(witness.environment, HISTORY="true", **ref)
        assert f"v1.2.3-1-g{sha[:7]}" in done.log
        done = cloud.build(witness.environment, **ref)
        assert "fatal: No names found" in done.log


def test_a_wrong_branch_is_not_blamed_on_the_credential(cloud: Cloud) -> None:
    done = cloud.build(GIT_REF="nothere")
    assert done.status == "FAILED"
    assert f"error: {GIT_URL} has no branch or tag nothere" in done.log
    assert "git_credential" not in done.log


def test_a_huge_message_or_author_costs_nothing(cloud: Cloud) -> None:
    message = cloud.repository.path.parent / "message"
    message.write_text("x" * 1_000_000)
    git(cloud.repository.path, "commit", "--quiet", "--allow-empty", "--file", str(message))
    done = cloud.fetch()
    assert done.exported["COMMIT_MESSAGE"] == "x" * 200


def test_equal_content_makes_equal_images(cloud: Cloud) -> None:
    sha = cloud.repository.commit()
    same = {"GIT_SHA": sha, "IMAGE_TAG": "one"}
    cloud.build(**same)
    first = image("one")
    cloud.build(**same)
    assert image("one") == first
    cloud.repository.commit(hello="world")
    cloud.build(IMAGE_TAG="one")
    assert image("one") != first


def test_a_branch_takes_precedence_over_a_tag_of_the_same_name(cloud: Cloud) -> None:
    tagged = cloud.repository.commit("Tagged")
    git(cloud.repository.path, "tag", "--annotate", "--message", "Release", "release")
    assert cloud.fetch(GIT_REF="release").exported["COMMIT_SHA"] == tagged
    newer = cloud.repository.commit("Newer")
    git(cloud.repository.path, "branch", "release")
    assert cloud.fetch(GIT_REF="release").exported["COMMIT_SHA"] == newer


@pytest.mark.parametrize("message", ["x" * 300, "é" * 300])
def test_a_long_message_is_cut_between_characters(cloud: Cloud, message: str) -> None:
    cloud.repository.commit(message + "\nmore")
    assert cloud.fetch().exported["COMMIT_MESSAGE"] == message[:200]


@pytest.mark.parametrize(
    "path", ["services/api/Dockerfile", "docker/web.Dockerfile", "Dockerfile", "@a b/+(x)/D,'\""]
)
def test_the_dockerfile_may_be_anywhere_in_the_repository(cloud: Cloud, path: str) -> None:
    files = {path.replace("/", "__"): "FROM scratch\nLABEL found=it\n", "services__api__x": ""}
    cloud.repository.commit(**files)
    done = cloud.build(CONTEXT_PATH="services/api", DOCKERFILE=path)
    assert done.status == "SUCCEEDED", done.log


@pytest.mark.parametrize(
    ("files", "request_", "reason"),
    [
        ({"Evil": "-> /etc/passwd"}, {"DOCKERFILE": "Evil"}, "Dockerfile Evil is outside"),
        ({}, {"DOCKERFILE": "../../../../../../etc/passwd"}, "is outside the repository"),
        ({"evil": "-> /etc"}, {"CONTEXT_PATH": "evil"}, "context evil is outside"),
        ({}, {"CONTEXT_PATH": ".."}, "context .. is outside"),
        ({}, {"CONTEXT_PATH": "Dockerfile"}, "is not a directory"),
        ({}, {"CONTEXT_PATH": "none"}, "has no directory none"),
        ({}, {"DOCKERFILE": "None"}, "repository has no Dockerfile None"),
        ({"sub__x": ""}, {"DOCKERFILE": "sub"}, "Dockerfile sub is not a file"),
    ],
)
def test_paths_outside_the_repository_are_refused(
    cloud: Cloud, files: dict[str, str], request_: dict[str, str], reason: str
) -> None:
    cloud.repository.commit(**files)
    done = cloud.build(**request_)
    assert done.status == "FAILED"
    assert reason in done.log
    assert "root:" not in done.log
    assert "[simulated]" not in done.log


@pytest.mark.parametrize(
    ("variable", "text"),
    [
        ("GIT_REF", "$(touch {0})"),
        ("GIT_REF", "; touch {0};"),
        ("GIT_REF", "--upload-pack=touch {0}"),
        ("GIT_REF", "main:refs/heads/evil"),
        ("GIT_REF", "*"),
        ("GIT_REF", ""),
        ("GIT_SHA", "--upload-pack=touch {0}"),
        ("GIT_SHA", "`touch {0}`"),
        ("CONTEXT_PATH", "$(touch {0})"),
        ("CONTEXT_PATH", "a[$(touch {0})]"),
        ("DOCKERFILE", "`touch {0}`"),
        ("DOCKERFILE", "-"),
    ],
)
def test_variables_of_a_request_are_not_evaluated(
    cloud: Cloud, tmp_path: Path, variable: str, text: str
) -> None:
    touched = tmp_path / "touched"
    done = cloud.build(**{variable: text.format(touched)})
    assert done.status == "FAILED", done.log
    assert "error: " in done.log
    assert not touched.exists()


def test_a_strange_but_legal_branch_is_built(cloud: Cloud) -> None:
    name = "-x/$(touch${IFS}/x)/a`b/a'b\"c/ü/ö"
    sha = cloud.repository.commit()
    git(cloud.repository.path, "update-ref", f"refs/heads/{name}", sha)
    cloud.repository.commit("Later")
    done = cloud.build(GIT_REF=name)
    assert done.status == "SUCCEEDED", done.log
    assert done.exported["COMMIT_SHA"] == sha


@pytest.mark.parametrize(
    "url", ["ext::sh -c touch% {0}", "--upload-pack=touch {0}", "https://127.0.0.1:1/x.git"]
)
def test_only_allowed_protocols_are_used(cloud: Cloud, tmp_path: Path, url: str) -> None:
    touched = tmp_path / "touched"
    done = cloud.build(GIT_URL=url.format(touched))
    assert done.status == "FAILED"
    assert "cannot fetch" in done.log
    assert not touched.exists()


def test_only_https_is_used_unless_the_machine_allows_more(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("GIT_ALLOW_PROTOCOL")
    done = cloud.build()
    assert done.status == "FAILED"
    assert "transport 'file' not allowed" in done.log


def test_build_arguments_arrive_unchanged(cloud: Cloud, tmp_path: Path) -> None:
    touched = tmp_path / "touched"
    values = {
        "COMMAND": f"$(touch {touched}) `touch {touched}` ; touch {touched}",
        "QUOTES": 'it\'s "so" \\ and $HOME',
        "LINES": "one\ntwo\n",
        "OPTION": "--output=/tmp",
        "EMPTY": "",
        "UNICODE": "ü",
    }
    done = cloud.build(BUILD_ARGS=json.dumps(values))
    assert done.status == "SUCCEEDED", done.log
    for name, value in values.items():
        assert f"[simulated] build argument {name}={json.dumps(value)}\n" in done.log
    assert not touched.exists()


def test_a_build_argument_cannot_add_another(cloud: Cloud) -> None:
    done = cloud.build(BUILD_ARGS=json.dumps({"A": "x\0--output=/tmp"}))
    assert done.status == "FAILED"
    assert "NUL" in done.log


def test_neither_hooks_nor_lfs_filters_run(cloud: Cloud, tmp_path: Path) -> None:
    """Build images come with git-lfs configured for the whole machine."""
    touched = tmp_path / "touched"
    hook = tmp_path / "post-checkout"
    hook.write_text(f"#!/bin/sh\ntouch {touched}\n")
    hook.chmod(0o755)
    config = tmp_path / "gitconfig"
    config.write_text(
        f"[core]\nhooksPath = {tmp_path}\n"
        f'[filter "lfs"]\nsmudge = touch {touched}\nprocess = touch {touched}\nrequired = true\n'
    )
    pointer = "version https://git-lfs.github.com/spec/v1\n"
    (cloud.repository.path / ".gitattributes").write_text("*.bin filter=lfs\n")
    (cloud.repository.path / "large.bin").write_text(pointer)
    cloud.repository.commit()
    done = cloud.build({"GIT_CONFIG_GLOBAL": str(config)})
    assert done.status == "SUCCEEDED", done.log
    assert not touched.exists()


def test_unsupported_platforms_are_logged_and_skipped(cloud: Cloud) -> None:
    done = cloud.build(PLATFORMS="linux/arm64,linux/amd64,linux/s390x")
    assert done.status == "SUCCEEDED", done.log
    assert "not built here: linux/arm64,linux/s390x" in done.log
    done = cloud.build(PLATFORMS="linux/arm64")
    assert done.status == "FAILED"
    assert "none of the platforms can be built here" in done.log


def test_a_refused_push_fails_the_build(cloud: Cloud) -> None:
    done = cloud.build(IMAGE=f"{cloud.registry.host}/team/none")
    assert done.status == "FAILED"
    assert "NAME_UNKNOWN" in done.log


# Without `json` and `site`, because a build runs it twenty times.
RECORDER = """#!/usr/bin/env -S python3 -I -S
import os, sys
arguments = sys.argv[1:]
command = [os.path.basename(sys.argv[0]), *arguments]
with open(RECORD, "a") as file:
    file.write(repr(command) + "\\n")
for words, errors in ERRORS.items():
    def meant(call):
        return set(words.split()) <= set(call) and "--help" not in call
    with open(RECORD) as file:
        calls = sum(meant(eval(line)) for line in file)
    if meant(command) and calls <= len(errors):
        sys.exit(errors[calls - 1])
if command[0] == "git":
    os.execv(GIT, command)
if "--password-stdin" in arguments and sys.stdin.read().strip() not in PASSWORDS:
    sys.exit("wrong password")
if arguments[:2] == ["buildx", "inspect"]:
    print("Name:   " + arguments[-1])
    print("Driver: " + ("docker" if arguments[-1] == "default" else "docker-container"))
    print("Platforms: linux/amd64*, linux/386")
if arguments[:2] == ["ecr", "get-login-password"]:
    print("password")
if arguments[:2] == ["sts", "assume-role"]:
    print('{"AccessKeyId": "a", "SecretAccessKey": "b", "SessionToken": "c"}')
if arguments[:2] == ["secretsmanager", "get-secret-value"]:
    print('{"SecretString": "robot:hunter22"}')
if command[0] == "date":
    with open(RECORD) as file:
        sessions = sum(eval(line)[1:3] == ["sts", "assume-role"] for line in file)
    print(NOW + 3600 * (sessions <= OLD_SESSIONS))
if arguments == ["buildx", "build", "--help"]:
    print("--policy stringArray")
    sys.exit()
if arguments == ["buildx", "imagetools", "create", "--help"]:
    print("--prefer-index")
if arguments[:2] == ["buildx", "build"]:
    with open(FAILURES) as file:
        first, *rest = file.read().splitlines() or [""]
    with open(FAILURES, "w") as file:
        file.write("\\n".join(rest))
    if first:
        print(first)
        sys.exit(1)
    with open(arguments[arguments.index("--metadata-file") + 1], "w") as file:
        file.write('{"containerimage.digest": "sha256:' + "1" * 64 + '"}')
"""
REGISTRY = "123456789012.dkr.ecr.eu-west-1.amazonaws.com"


class OnAws:
    """A build as on AWS, with stand-ins that record the calls of docker, aws and sleep."""

    def __init__(self, cloud: Cloud, directory: Path) -> None:
        self._cloud = cloud
        self._directory = directory
        self._record = directory / "record"
        self.environment = {
            "PATH": f"{directory}:{os.environ['PATH']}",
            "BUILDX_DRIVER": "docker-container",
            "BUILDKIT_IMAGE": "moby/buildkit:v1@sha256:b",
            "BINFMT_IMAGE": "tonistiigi/binfmt:v1@sha256:c",
            "SBOM_IMAGE": "docker/scanner:v1@sha256:d",
        }

    def build(
        self,
        *,
        failures: tuple[str, ...] = (),
        errors: Mapping[str, Sequence[str]] | None = None,
        old_sessions: int = 0,
        **request: str,
    ) -> Outcome:
        """Run a build, and record only its calls.

        `failures` are the last lines of the first calls of `buildx build`.
        The first calls that contain all words of a key of `errors` fail with these errors. The
        first sessions, `old_sessions`, are an hour old when the build looks at them.
        """
        self._record.unlink(missing_ok=True)
        lines = self._directory / "failures"
        lines.write_text("\n".join(failures))
        text = RECORDER
        for name, value in {
            "RECORD": str(self._record),
            "PASSWORDS": ["password", "hunter22"],
            "FAILURES": str(lines),
            "ERRORS": dict(errors or {}),
            "GIT": shutil.which("git"),
            "NOW": int(time.time()),
            "OLD_SESSIONS": old_sessions,
        }.items():
            text = text.replace(name, repr(value))
        stand_ins = {
            "docker",
            "aws",
            "sleep",
            "date",
            *(words.split()[0] for words in errors or ()),
        }
        for name in {*stand_ins, "git"}:
            (self._directory / name).unlink(missing_ok=True)
        for name in stand_ins:
            (self._directory / name).write_text(text)
            (self._directory / name).chmod(0o755)
        self._cloud.repository.commit()
        return self._cloud.build(
            self.environment,
            **{"IMAGE": f"{REGISTRY}/team/app", "IMAGE_TAG": "main-1", **request},
        )

    def calls(self, *beginning: str) -> list[list[str]]:
        """The recorded calls that begin with these words, each without them."""
        calls = [ast.literal_eval(line) for line in self._record.read_text().splitlines()]
        size = len(beginning)
        return [call[size:] for call in calls if tuple(call[:size]) == beginning]

    @property
    def image_build(self) -> list[str]:
        """The arguments of the only `docker buildx build`."""
        (call,) = self.builds
        return call

    @property
    def builds(self) -> list[list[str]]:
        """The arguments of each `docker buildx build`."""
        return [c for c in self.calls("docker", "buildx", "build") if c != ["--help"]]


@pytest.fixture
def on_aws(cloud: Cloud, tmp_path: Path) -> OnAws:
    directory = tmp_path / "stand-ins"
    directory.mkdir()
    return OnAws(cloud, directory)


def option(call: list[str], name: str) -> list[str]:
    """All values of an option, in either form."""
    spaced = [value for key, value in pairwise(call) if key == name]
    return spaced + [each.partition("=")[2] for each in call if each.startswith(f"{name}=")]


def test_on_aws_a_build_for_several_platforms_has_cache_provenance_and_sbom(
    on_aws: OnAws,
) -> None:
    done = on_aws.build(
        PLATFORMS="linux/amd64,linux/arm64",
        BUILD_ARGS='{"A": "b c"}',
        TARGET="web",
        CACHE_FROM="buildcache-5-main",
        CACHE_TO="buildcache-5-main",
    )
    assert done.status == "SUCCEEDED", done.log
    login = ["--username", "AWS", "--password-stdin", "--", REGISTRY]
    assert on_aws.calls("docker", "login") == [login]
    binfmt = ["--rm", "--", "tonistiigi/binfmt:v1@sha256:c", "--install", "all"]
    assert on_aws.calls("docker", "run", "--privileged") == [binfmt]
    (create,) = on_aws.calls("docker", "buildx", "create")
    assert create[-2:] == ["--driver-opt", "image=moby/buildkit:v1@sha256:b"]
    build = on_aws.image_build
    assert build[:3] == ["--builder", "slipway", "--push"]
    assert option(build, "--platform") == ["linux/amd64,linux/arm64"]
    assert option(build, "--tag") == [f"{REGISTRY}/team/app:main-1"]
    assert option(build, "--target") == ["web"]
    assert option(build, "--build-arg") == ["A=b c"]
    assert f"org.opencontainers.image.revision={done.exported['COMMIT_SHA']}" in build
    cache = f"type=registry,ref={REGISTRY}/team/app:buildcache-5-main"
    assert option(build, "--cache-from") == [cache]
    assert option(build, "--cache-to")[0].startswith(f"{cache},mode=max,image-manifest=true")
    assert option(build, "--provenance") == ["mode=min"]
    assert option(build, "--attest") == ["type=sbom,generator=docker/scanner:v1@sha256:d"]
    assert build[-2] == "--"
    assert done.exported["IMAGE_DIGEST"] == "sha256:" + "1" * 64
    assert "Emulated on linux/amd64: linux/arm64" in done.log


def test_a_build_for_its_own_platform_is_not_emulated(on_aws: OnAws) -> None:
    assert on_aws.build().status == "SUCCEEDED"
    assert on_aws.calls("docker", "run") == []


def test_a_build_by_hand_reads_the_cache_and_does_not_write_it(on_aws: OnAws) -> None:
    on_aws.build(CACHE_FROM="buildcache-5-main", CACHE_TO="")
    assert option(on_aws.image_build, "--cache-from")
    assert option(on_aws.image_build, "--cache-to") == []


def test_provenance_and_sbom_can_be_switched_off(on_aws: OnAws) -> None:
    on_aws.build(PROVENANCE="false", SBOM="false")
    assert option(on_aws.image_build, "--provenance") == ["false"]
    assert option(on_aws.image_build, "--attest") == []


def test_the_images_that_a_build_uses_can_come_from_a_mirror(on_aws: OnAws) -> None:
    on_aws.environment["IMAGE_MIRROR"] = "mirror.example.com/hub"
    on_aws.environment["IMAGE_MIRROR_CREDENTIAL"] = "slipway/registry/mirror"
    done = on_aws.build(PLATFORMS="linux/arm64")
    assert done.status == "SUCCEEDED", done.log
    mirrored = "mirror.example.com/hub"
    assert on_aws.calls("docker", "run")[0][3] == f"{mirrored}/tonistiigi/binfmt:v1@sha256:c"
    (create,) = on_aws.calls("docker", "buildx", "create")
    assert create[-1] == f"image={mirrored}/moby/buildkit:v1@sha256:b"
    (sbom,) = option(on_aws.image_build, "--attest")
    assert sbom == f"type=sbom,generator={mirrored}/docker/scanner:v1@sha256:d"
    login = ["--username", "robot", "--password-stdin", "--", "mirror.example.com"]
    assert login in on_aws.calls("docker", "login")


def test_the_session_of_a_build_allows_only_its_own_image_and_its_projects_secrets(
    on_aws: OnAws,
) -> None:
    on_aws.build(BASE_REPOSITORIES="docker-hub/*,base")
    (assume,) = on_aws.calls("aws", "sts", "assume-role")
    assert option(assume, "--role-arn") == ["arn:aws:iam::123456789012:role/slipway-push"]
    (policy,) = option(assume, "--policy")
    assert len(policy) < 1500  # AWS allows 2,048 characters
    allowed = {
        action: set(statement["Resource"])
        for statement in json.loads(policy)["Statement"]
        for action in statement["Action"]
        if statement["Effect"] == "Allow"
    }
    ecr = "arn:aws:ecr:eu-west-1:123456789012:repository/"
    secret = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:slipway/"
    assert allowed["ecr:PutImage"] == {f"{ecr}team/app"}
    assert allowed["ecr:BatchImportUpstreamImage"] == {f"{ecr}docker-hub/*", f"{ecr}base"}
    assert allowed["secretsmanager:GetSecretValue"] == {f"{secret}git/7/*", f"{secret}build/7/*"}
    assert allowed["ecr:GetAuthorizationToken"] == {"*"}
    assert {action.partition(":")[0] for action in allowed} == {"ecr", "secretsmanager"}


def test_a_pull_that_may_work_later_is_tried_again(on_aws: OnAws) -> None:
    limited = "ERROR: failed to solve: busybox: 429 Too Many Requests - toomanyrequests"
    # The words of BuildKit 0.29 (containerd's errors of registries).
    status = "unexpected status from HEAD request to https://r.example/v2/: 503 Service Unavailable"
    done = on_aws.build(failures=(limited, f"ERROR: failed to solve: busybox: {status}"))
    assert done.status == "SUCCEEDED", done.log
    assert on_aws.calls("sleep") == [["15"], ["60"]]
    assert f"Trying again in 15 seconds, because this may pass: {limited}" in done.log


def test_each_hour_of_a_build_gets_a_new_login_if_the_registry_refuses_the_old_one(
    on_aws: OnAws,
) -> None:
    pull = "ERROR: failed to solve: base: your authorization token has expired"
    push = "ERROR: failed to solve: failed to push: unexpected status: 403 Forbidden"
    done = on_aws.build(failures=(pull, push), old_sessions=2)
    assert done.status == "SUCCEEDED", done.log
    assert len(on_aws.calls("docker", "login")) == len(on_aws.calls("aws", "sts")) == 3


def test_a_push_that_a_new_login_does_not_help_fails(on_aws: OnAws) -> None:
    refused = "ERROR: failed to solve: failed to push: unexpected status: 403 Forbidden"
    done = on_aws.build(failures=(refused,) * 2, old_sessions=1)
    assert done.status == "FAILED"
    assert len(on_aws.calls("docker", "login")) == len(on_aws.calls("aws", "sts")) == 2


DOWN = "unknown: received unexpected HTTP status: 503 Service Unavailable"


def test_pulls_of_buildkit_and_of_the_emulators_are_tried_again(on_aws: OnAws) -> None:
    errors = {"docker run": [DOWN], "docker --bootstrap": [DOWN]}
    done = on_aws.build(errors=errors, PLATFORMS="linux/arm64")
    assert done.status == "SUCCEEDED", done.log
    assert len(on_aws.calls("docker", "run")) == 2
    assert on_aws.calls("sleep") == [["15"], ["15"]]
    assert f"Trying again in 15 seconds, because this may pass: {DOWN}" in done.log


HUB = "https://registry-1.docker.io/v2/"
REQUEST = "ERROR: failed to solve: failed to do request"
TOKEN = 'ERROR: failed to solve: failed to fetch oauth token: Post "https://auth.docker.io/token"'


@pytest.mark.parametrize(
    "failures",
    [
        (
            f'{REQUEST}: Head "{HUB}": EOF',
            f'{REQUEST}: Head "{HUB}": dial tcp: lookup registry-1.docker.io: server misbehaving',
        ),
        (
            f"{TOKEN}: context deadline exceeded",
            f"{TOKEN}: net/http: request canceled (Client.Timeout exceeded while awaiting headers)",
        ),
    ],
)
def test_usual_failures_of_a_connection_are_tried_again(
    on_aws: OnAws, failures: tuple[str, str]
) -> None:
    done = on_aws.build(failures=failures)
    assert done.status == "SUCCEEDED", done.log
    assert on_aws.calls("sleep") == [["15"], ["60"]]


UNREACHABLE = "fatal: unable to access 'https://github.com/team/app.git/': "
RESET = f"{UNREACHABLE}Recv failure: Connection reset by peer"


def test_each_program_that_uses_the_network_is_tried_again(on_aws: OnAws) -> None:
    busy = {
        "git ls-remote": f"{UNREACHABLE}The requested URL returned error: 503",
        "git fetch": RESET,
        "git submodule": RESET,
        "git checkout": "batch response: Rate limit exceeded: https://github.com/team/app.git",
        "aws sts": 'Could not connect to the endpoint URL: "https://sts.amazonaws.com/"',
        "aws ecr": "An error occurred (ThrottlingException): Rate exceeded",
        "aws secretsmanager": "An error occurred (InternalServiceError) when calling the Get",
        "docker login": 'Error response from daemon: Get "https://r.example/v2/": EOF',
        "docker imagetools": DOWN,
    }
    errors = {words: [error, error] for words, error in busy.items()}
    done = on_aws.build(errors=errors, ALSO_PUSH_TO=ELSEWHERE, SUBMODULES="true")
    assert done.status == "SUCCEEDED", done.log
    assert done.exported["WARNINGS"] == ""
    assert on_aws.calls("sleep") == [["15"], ["60"]] * len(busy)


@pytest.mark.parametrize("words", ["git ls-remote", "git fetch", "docker login", "aws sts"])
def test_after_three_tries_the_last_error_is_the_reason(on_aws: OnAws, words: str) -> None:
    done = on_aws.build(errors={words: [RESET] * 3})
    assert done.status == "FAILED"
    assert on_aws.calls("sleep") == [["15"], ["60"]]


BUSY = f"{UNREACHABLE}The requested URL returned error: 503"
FORBIDDEN = f"{UNREACHABLE}The requested URL returned error: 403"
HINTS = {
    "": "(a private repository needs its project's git_credential, or the GitHub App)",
    "slipway/git/7/x": "(check that the project's git_credential may read the repository)",
}


@pytest.mark.parametrize(
    ("error", "private"),
    [
        (BUSY, False),
        (f"{UNREACHABLE}The requested URL returned error: 429", False),
        (f"{UNREACHABLE}Could not resolve host: github.com", False),
        (FORBIDDEN, True),
        (
            "fatal: could not read Username for 'https://github.com': terminal prompts disabled",
            True,
        ),
        (
            "remote: Repository not found.\nfatal: repository 'https://github.com/x/' not found",
            True,
        ),
        ("fatal: Authentication failed for 'https://github.com/team/app.git/'", True),
        ("Authorization error: https://github.com/team/app.git/info/lfs/objects/batch", True),
    ],
)
def test_only_a_refusal_of_the_git_host_is_explained_by_the_credential(
    on_aws: OnAws, error: str, private: bool
) -> None:
    ways = {"git ls-remote": "", "git fetch": "slipway/git/7/x"}
    check_hints(on_aws, ways, error, private=private)
    if error in {BUSY, FORBIDDEN}:  # every pair of a command and a hint, with both results
        ways = {"git ls-remote": "slipway/git/7/x", "git fetch": ""}
        check_hints(on_aws, ways, error, private=private)


def check_hints(on_aws: OnAws, ways: Mapping[str, str], error: str, *, private: bool) -> None:
    """Let each command fail in a build with its credential, and check the hint in the log."""
    for words, credential in ways.items():
        done = on_aws.build(errors={words: [error] * 3}, GIT_CREDENTIAL=credential)
        assert "error: cannot fetch" in done.log
        assert (HINTS[credential] in done.log) is private, (words, done.log)


ABSENT = "An error occurred (ResourceNotFoundException) when calling the GetSecretValue operation"


@pytest.mark.parametrize(
    ("error", "missing"),
    [(ABSENT, True), ("An error occurred (AccessDenied): no", True), (RESET, False)],
)
def test_a_secret_is_reported_as_missing_only_if_aws_does(
    on_aws: OnAws, error: str, missing: bool
) -> None:
    errors = {"aws secretsmanager": [error] * 3}
    done = on_aws.build(errors=errors, GIT_CREDENTIAL="slipway/git/7/x")
    assert "error: cannot read the secret that is the project's git_credential" in done.log
    assert ("it must exist in this region, below slipway/git/7/" in done.log) is missing
    done = on_aws.build(errors=errors, SECRETS='{"N": "slipway/x"}')
    assert "error: cannot read the build secret N, slipway/x" in done.log
    assert ("slipway/x: it must exist in this region" in done.log) is missing


def test_a_role_that_cannot_be_assumed_is_named_without_a_guess(on_aws: OnAws) -> None:
    done = on_aws.build(errors={"aws sts": [RESET] * 3})
    assert "error: cannot assume the role arn:aws:iam::123456789012:role/slipway-push\n" in done.log


def test_a_binary_secret_is_named_as_such(cloud: Cloud) -> None:
    name = "slipway/git/7/binary"
    boto3.client("secretsmanager").create_secret(Name=name, SecretBinary=b"x")
    environment = {"AWS_ENDPOINT_URL": cloud.endpoint}
    done = cloud.build(environment, GIT_CREDENTIAL=name)
    assert "the secret is binary, not text" in done.log


def test_a_failure_that_cannot_pass_is_not_tried_again(on_aws: OnAws) -> None:
    done = on_aws.build(
        errors={"git fetch": [f"{UNREACHABLE}The requested URL returned error: 403"]}
    )
    assert done.status == "FAILED"
    assert on_aws.calls("sleep") == []


def test_policies_of_the_repository_are_not_evaluated(on_aws: OnAws) -> None:
    """buildx evaluates a policy in its own process, which can read its working directory."""
    on_aws.build()
    assert option(on_aws.image_build, "--policy") == ["disabled=true"]


def test_a_request_of_an_older_application_fails_with_the_next_step(cloud: Cloud) -> None:
    done = cloud.build(PROJECT_ID="")
    assert done.status == "FAILED"
    assert "error: the request names no project: deploy Slipway's application again" in done.log


def test_a_refused_push_within_the_hour_is_not_repeated(on_aws: OnAws) -> None:
    done = on_aws.build(failures=("ERROR: failed to push: unexpected status: 403 Forbidden",))
    assert done.status == "FAILED"
    assert len(on_aws.calls("docker", "login")) == 1


@pytest.mark.parametrize(
    ("error", "calls"),
    [
        ("ERROR: failed to solve: busybox: i/o timeout", 3),
        ("ERROR: failed to solve: nothing/here: not found", 1),
        (
            'ERROR: process "/bin/sh -c curl" did not complete successfully: 429 Too Many Requests',
            1,
        ),
    ],
)
def test_other_failures_end_the_build(on_aws: OnAws, error: str, calls: int) -> None:
    done = on_aws.build(failures=(error,) * 5)
    assert done.status == "FAILED"
    assert len(on_aws.builds) == calls


SCANNER = "docker/scanner:v1@sha256:d: failed to resolve source metadata for docker/scanner"


@pytest.mark.parametrize(
    "error",
    [
        "/tmp/buildkit-mount2175352803/sbom.spdx.json exceeds 41943040 bytes",
        'process "/bin/syft-scanner" did not complete successfully: exit code: 137',
        f"{SCANNER}: not found",
    ],
)
def test_an_image_without_an_sbom_is_better_than_none(on_aws: OnAws, error: str) -> None:
    done = on_aws.build(failures=(f"ERROR: failed to solve: {error}",))
    assert done.status == "SUCCEEDED", done.log
    first, second = on_aws.builds
    assert option(first, "--attest")
    assert option(second, "--attest") == []
    assert "no SBOM, because making it failed" in done.exported["WARNINGS"]


@pytest.mark.parametrize(
    "error",
    [
        'process "/bin/sh -c ./check bom.spdx.json" did not complete successfully: exit code: 1',
        'process "/bin/sh -c syft-scanner x.spdx.json exceeds" did not complete successfully: 1',
        'failed to compute cache key: "/sbom.spdx.json": not found',
    ],
)
def test_a_failed_step_that_names_an_sbom_ends_the_build(on_aws: OnAws, error: str) -> None:
    done = on_aws.build(failures=(f"ERROR: failed to solve: {error}",))
    assert done.status == "FAILED"
    assert len(on_aws.builds) == 1


def test_a_scanner_that_cannot_be_pulled_now_is_pulled_later(on_aws: OnAws) -> None:
    error = f"ERROR: failed to solve: {SCANNER}: 429 Too Many Requests"
    done = on_aws.build(failures=(error, error))
    assert done.status == "SUCCEEDED", done.log
    assert all(option(build, "--attest") for build in on_aws.builds)
    done = on_aws.build(failures=(error,) * 3)
    assert done.status == "SUCCEEDED", done.log
    assert option(on_aws.builds[-1], "--attest") == []


ELSEWHERE = '{"docker.io/acme/web": "slipway/build/7/hub"}'


def test_an_image_is_copied_to_another_registry_with_its_digest(on_aws: OnAws) -> None:
    done = on_aws.build(ALSO_PUSH_TO=ELSEWHERE)
    assert done.status == "SUCCEEDED", done.log
    login = ["--username", "robot", "--password-stdin", "--", "docker.io"]
    assert on_aws.calls("docker", "login")[-1] == login
    copied = ["--prefer-index=false", "--tag", "docker.io/acme/web:main-1", "--"]
    image = f"{REGISTRY}/team/app@sha256:{'1' * 64}"
    assert on_aws.calls("docker", "buildx", "imagetools", "create")[-1] == [*copied, image]
    assert done.exported["WARNINGS"] == ""


@pytest.mark.parametrize("required", ["false", "true"])
def test_a_failed_copy_fails_the_build_only_if_the_service_requires_it(
    on_aws: OnAws, required: str
) -> None:
    errors = {"docker imagetools": ["denied"]}
    done = on_aws.build(errors=errors, ALSO_PUSH_REQUIRED=required, ALSO_PUSH_TO=ELSEWHERE)
    assert done.status == ("FAILED" if required == "true" else "SUCCEEDED"), done.log
    assert "the image was not copied to docker.io/acme/web" in done.log
    if required == "false":
        assert "was not copied to docker.io/acme/web" in done.exported["WARNINGS"]


@pytest.mark.docker
def test_real_docker_builds_the_image(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    use_real_docker(monkeypatch)
    busybox = shutil.which("busybox")
    if busybox is None:
        pytest.skip("a static busybox is not installed")
    shutil.copy(busybox, cloud.repository.path / "busybox")
    dockerfile = (
        "FROM scratch\nARG GREETING\nCOPY busybox /bin/busybox\n"
        f'ENV GREETING=$GREETING NOCACHE={uuid.uuid4()}\nCMD ["/bin/busybox", "env"]\n'
    )
    (cloud.repository.path / "Dockerfile").unlink()
    cloud.repository.commit(Dockerfile=dockerfile)
    done = cloud.build(IMAGE_TAG="real", BUILD_ARGS='{"GREETING": "it\'s $(really) \\"so\\""}')
    assert done.status == "SUCCEEDED", done.log
    name = f"{cloud.registry.host}/team/app@{image('real')}"
    run = ["docker", "run", "--rm", "--network", "none", name]
    try:
        output = subprocess.run(run, capture_output=True, text=True, timeout=60, check=True).stdout
        assert 'GREETING=it\'s $(really) "so"\n' in output
    finally:
        tag = f"{cloud.registry.host}/team/app:real"
        subprocess.run(["docker", "rmi", "--force", name, tag], capture_output=True, check=False)


@pytest.mark.docker
def test_a_container_like_the_builders_reaches_no_link_local_address(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """RUN steps share the network of BuildKit's container. Its image has busybox, too."""
    use_real_docker(monkeypatch)
    busybox = shutil.which("busybox")
    if busybox is None:
        pytest.skip("a static busybox is not installed")
    (tmp_path / "Dockerfile").write_text(
        "FROM scratch\nCOPY busybox /bin/busybox\n"
        'RUN ["/bin/busybox", "--install", "-s", "/bin"]\nCMD ["sleep", "120"]\n'
    )
    shutil.copy(busybox, tmp_path)
    image, name = f"slipway-test-{uuid.uuid4()}", f"slipway-test-{uuid.uuid4()}"
    script = re.search(r"sh -euc '(.*?)' \|\|", BUILDSPEC, re.DOTALL)
    assert script is not None

    def docker(*arguments: str) -> str:
        done = subprocess.run(
            ["docker", *arguments], capture_output=True, text=True, timeout=60, check=True
        )
        return done.stdout

    def reach(address: str) -> str:
        command = f"nc -w 1 {address} 80 2>&1 || true"
        return docker("exec", name, "sh", "-c", command)

    docker("build", "--tag", image, str(tmp_path))
    try:
        # A name server below 169.254.0.0/16, as some networks of AWS have.
        server = "169.254.169.253"
        docker("run", "-d", "--cap-add", "NET_ADMIN", "--name", name, "--dns", server, image)
        assert "No route" not in reach("169.254.170.2")
        docker("exec", name, "sh", "-euc", script[1])
        for address in ("169.254.170.2", "169.254.169.254"):
            assert "No route" in reach(address)
        assert "No route" not in reach(server)
        assert "No route" not in reach("192.0.2.1")
    finally:
        subprocess.run(["docker", "rm", "--force", name], capture_output=True, check=False)
        subprocess.run(["docker", "rmi", "--force", image], capture_output=True, check=False)
