"""The buildspec of CodeBuild, run by the local agent with real git and a simulated docker."""

import json
import os
import shutil
import subprocess
import uuid
from pathlib import Path

import pytest

from tests.support.building import SIMULATED_DOCKER, Cloud, cloud, git, image, repository

__all__ = ["cloud", "repository"]


def test_a_branch_becomes_an_image(cloud: Cloud) -> None:
    sha = cloud.repository.commit("Über\n\nThe body")
    done = cloud.build(IMAGE_TAG="main-1")
    assert done.status == "SUCCEEDED", done.log
    assert done.exported == {
        "COMMIT_SHA": sha,
        "COMMIT_MESSAGE": "Über",
        "COMMIT_AUTHOR": "Ada Lovelace",
    }
    assert image("main-1") in done.log
    assert "[simulated] nothing is built" in done.log
    assert "needs no login" in done.log
    assert "inline cache" in done.log


def test_a_commit_is_built_even_if_its_branch_has_newer_commits(cloud: Cloud) -> None:
    sha = cloud.repository.commit("First")
    cloud.repository.commit("Second")
    done = cloud.build(GIT_SHA=sha)
    assert done.status == "SUCCEEDED", done.log
    assert done.exported["COMMIT_SHA"] == sha
    assert done.exported["COMMIT_MESSAGE"] == "First"


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
    assert cloud.build(GIT_REF="release").exported["COMMIT_SHA"] == tagged
    newer = cloud.repository.commit("Newer")
    git(cloud.repository.path, "branch", "release")
    assert cloud.build(GIT_REF="release").exported["COMMIT_SHA"] == newer


@pytest.mark.parametrize("message", ["x" * 300, "é" * 300])
def test_a_long_message_is_cut_between_characters(cloud: Cloud, message: str) -> None:
    cloud.repository.commit(message + "\nmore")
    assert cloud.build().exported["COMMIT_MESSAGE"] == message[:200]


def test_the_dockerfile_is_relative_to_the_context(cloud: Cloud) -> None:
    cloud.repository.commit(services__api__Dockerfile="FROM scratch\n")
    done = cloud.build(CONTEXT_PATH="services/api", DOCKERFILE="Dockerfile")
    assert done.status == "SUCCEEDED", done.log
    done = cloud.build(CONTEXT_PATH="services/api", DOCKERFILE="../../Dockerfile")
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
        ({}, {"DOCKERFILE": "None"}, "has no Dockerfile None"),
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


@pytest.mark.parametrize("name", ["$(touch${IFS}/x)", "a`b", "a'b\"c", "-x", "ü/ö"])
def test_a_strange_but_legal_branch_is_built(cloud: Cloud, name: str) -> None:
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


RECORDER = """#!/usr/bin/env python3
import json, os, sys
with open(os.environ["RECORD"], "a") as file:
    file.write(json.dumps(sys.argv) + "\\n")
if "--password-stdin" in sys.argv and sys.stdin.read() != "password\\n":
    sys.exit("wrong password")
if sys.argv[1:3] == ["buildx", "inspect"]:
    name = sys.argv[-1]
    print("Name:   " + name)
    print("Driver: " + ("docker" if name == "default" else "docker-container"))
    print("Platforms: linux/amd64*, linux/386")
if sys.argv[1:] == ["ecr", "get-login-password", "--region", "eu-west-1"]:
    print("password")
"""


def test_on_aws_buildx_uses_the_docker_container_driver(cloud: Cloud, tmp_path: Path) -> None:
    """A project on AWS gets a login, every platform, registry cache, provenance and SBOM."""
    for name in ("docker", "aws"):
        (tmp_path / name).write_text(RECORDER)
        (tmp_path / name).chmod(0o755)
    registry = "123456789012.dkr.ecr.eu-west-1.amazonaws.com"
    record = tmp_path / "record"
    environment = {
        "PATH": f"{tmp_path}:{os.environ['PATH']}",
        "RECORD": str(record),
        "BUILDX_DRIVER": "docker-container",
        "BUILDKIT_IMAGE": "moby/buildkit:v0.13.1",
    }
    sha = cloud.repository.commit()
    done = cloud.build(
        environment,
        PLATFORMS="linux/amd64,linux/arm64",
        IMAGE=f"{registry}/team/app",
        IMAGE_TAG="main-1",
        BUILD_ARGS='{"A": "b c"}',
    )
    assert done.status == "SUCCEEDED", done.log
    calls = [json.loads(line)[1:] for line in record.read_text().splitlines()]
    assert ["login", "--username", "AWS", "--password-stdin", "--", registry] in calls
    binfmt = "tonistiigi/binfmt:qemu-v9.2.2"
    assert ["run", "--privileged", "--rm", "--", binfmt, "--install", "all"] in calls
    create = next(call for call in calls if call[:2] == ["buildx", "create"])
    assert create[-2:] == ["--driver-opt", "image=moby/buildkit:v0.13.1"]
    build = calls[-1]
    assert build[:5] == ["buildx", "build", "--builder", "slipway", "--push"]
    assert build[build.index("--platform") + 1] == "linux/amd64,linux/arm64"
    assert build[build.index("--tag") + 1] == f"{registry}/team/app:main-1"
    assert f"org.opencontainers.image.revision={sha}" in build
    cache = f"type=registry,ref={registry}/team/app:buildcache"
    assert build[build.index("--cache-from") + 1] == cache
    assert build[build.index("--cache-to") + 1].startswith(f"{cache},mode=max,image-manifest=true")
    assert {"--provenance=mode=min", "--sbom=true", "--build-arg=A=b c"} <= set(build)
    assert build[-2] == "--"


@pytest.mark.docker
def test_real_docker_builds_the_image(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.environ["PATH"].removeprefix(f"{SIMULATED_DOCKER}:")
    monkeypatch.setenv("PATH", real)
    busybox = shutil.which("busybox")
    if busybox is None or shutil.which("docker") is None:
        pytest.skip("docker or a static busybox is not installed")
    for command in (["docker", "info"], ["docker", "buildx", "version"]):
        found = subprocess.run(command, capture_output=True, timeout=20, check=False)
        if found.returncode:
            pytest.skip(f"{' '.join(command)}: {found.stderr.decode().strip()}")
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
