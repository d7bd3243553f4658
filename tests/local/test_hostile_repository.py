"""A hostile repository, built by the real buildspec.

Every injected command would create a canary file. Every path out of the repository leads to a file
with a text that must not appear anywhere. git is real. A witness, which only records, replaces
docker.
"""

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.support.building import (
    AFTER_FETCH,
    Cloud,
    Outcome,
    Witness,
    cloud,
    git,
    repository,
    use_real_docker,
    witness,
)

__all__ = ["cloud", "repository", "witness"]

pytestmark = pytest.mark.long

OUTSIDE = "the text of a file outside the repository"


class Attack:
    """The hostile repository, the canary, and the outside file that a build must not read."""

    def __init__(self, cloud: Cloud, witness: Witness, directory: Path) -> None:
        self.cloud = cloud
        self.witness = witness
        self.path = cloud.repository.path
        self.canary = directory / "canary"
        self.outside = directory / "outside"
        self.outside.mkdir()
        (self.outside / "secret").write_text(OUTSIDE)
        (self.outside / "Dockerfile").write_text(f"FROM scratch\n# {OUTSIDE}\n")

    def commit(self) -> str:
        return self.cloud.repository.commit()

    def build(self, **variables: str) -> Outcome:
        """Run a build and check that the attack had no effect."""
        return self._check(self.cloud.build(self.witness.environment, **variables))

    def fetch(self, **variables: str) -> Outcome:
        """Run a build up to the end of the fetch and check that the attack had no effect."""
        return self._check(self.cloud.fetch(self.witness.environment, **variables))

    def _check(self, done: Outcome) -> Outcome:
        assert not self.canary.exists(), done.log
        assert OUTSIDE not in done.log + self.witness.text + str(done.build)
        return done


@pytest.fixture
def attack(cloud: Cloud, witness: Witness, tmp_path: Path) -> Attack:
    return Attack(cloud, witness, tmp_path)


def names(canary: Path) -> list[str]:
    """Hostile names for branches and tags. git-check-ref-format(1) allows most of them."""
    touch = f"touch${{IFS}}{canary}"
    return [
        f"$({touch})",
        f"`{touch}`",
        f";{touch};",
        f"&{touch}&",
        f"|{touch}|",
        f"x'\"{touch}\"'",
        f"--upload-pack={touch}",
        f"-u{touch}",
        "-",
        "--",
        "--help",
        "HEAD",
        "FETCH_HEAD",
        "+main",
        "%s%n%x00",
        "$HOME",
        "!!",
        "{a,b}",
        "#",
        "=",
        "<>",
        "über/日本語/🚀",
        "\N{RIGHT-TO-LEFT OVERRIDE}niam",
        "x" * 200,
    ]


@pytest.mark.parametrize("kind", ["heads", "tags"])
def test_a_hostile_branch_or_tag_name_is_only_a_name(attack: Attack, kind: str) -> None:
    sha = attack.commit()
    allowed = [
        name for name in names(attack.canary) if is_legal(attack.path, f"refs/{kind}/{name}")
    ]
    assert len(allowed) > 15
    for name in allowed:
        git(attack.path, "update-ref", f"refs/{kind}/{name}", sha)
    attack.commit()
    assert "GIT_REF" not in AFTER_FETCH
    first, *others = allowed
    # Tags are fetched like branches, so a few are enough.
    outcomes = {name: attack.fetch(GIT_REF=name) for name in others[:: 1 if kind == "heads" else 5]}
    outcomes[first] = attack.build(GIT_REF=first)
    for name, done in outcomes.items():
        assert done.status == "SUCCEEDED", (name, done.log)
        assert done.exported["COMMIT_SHA"] == sha, name


@pytest.mark.parametrize(
    "name", ["a\nb", "a b", "a..b", "a\x1b[31m", "../../x", "a:b", "*", "@{-1}"]
)
def test_an_invalid_ref_name_is_refused(attack: Attack, name: str) -> None:
    attack.commit()
    done = attack.build(GIT_REF=name)
    assert done.status == "FAILED"
    assert "not a branch or tag" in done.log
    assert "\x1b" not in done.log


def is_legal(directory: Path, ref: str) -> bool:
    command = ["git", "-C", str(directory), "check-ref-format", ref]
    return subprocess.run(command, check=False, capture_output=True, timeout=20).returncode == 0


def hostile_files(canary: Path) -> dict[str, str]:
    """Files named like options, commands and modules; git, Python or bash would run some."""
    touch = f"touch {canary}"
    python = f"import os\nos.system({touch!r})\n"
    modules = ("json", "os", "sys", "sitecustomize", "usercustomize", "encodings/__init__", "site")
    return {
        "Dockerfile": "FROM scratch\n",
        **{f"{module}.py": python for module in modules},
        "--file=x": "",
        "-rf": "",
        "-": "",
        "--upload-pack=x": "",
        "a\nb": "",
        f"$({touch.replace('/', '_')})": "",
        "`id`": "",
        "docker": f"#!/bin/sh\n{touch}\n",
        "git": f"#!/bin/sh\n{touch}\n",
        "realpath": f"#!/bin/sh\n{touch}\n",
        ".bashrc": f"{touch}\n",
        ".bash_profile": f"{touch}\n",
        ".envrc": f"{touch}\n",
        "python3": f"#!/bin/sh\n{touch}\n",
        "hooks/post-checkout": f"#!/bin/sh\n{touch}\n",
        ".husky/post-checkout": f"#!/bin/sh\n{touch}\n",
        ".gitconfig": f"[core]\n\tfsmonitor = {touch}\n\tsshCommand = {touch}\n",
        "config": f"[core]\n\tfsmonitor = {touch}\n",
        ".git-credentials": "https://user:password@github.com\n",
        ".netrc": "machine github.com login user password password\n",
        ".gitattributes": "* filter=evil diff=evil merge=evil ident working-tree-encoding=UTF-8\n",
        ".lfsconfig": f"[lfs]\n\turl = file://{canary}\n",
        ".mailmap": "Mallory <mallory@example.com> Ada Lovelace <ada@example.com>\n",
        ".dockerignore": f"!../../..\n!{canary}\n$({touch})\n-\n--file\n",
        "Dockerfile.dockerignore": "!..\n",
        "docker-compose.yml": f"services: {{x: {{command: {touch}}}}}\n",
        "buildspec.yml": f"version: 0.2\nphases: {{build: {{commands: ['{touch}']}}}}\n",
        "Makefile": f"$(shell {touch})\n",
        "HEAD": "ref: refs/heads/main\n",
        "objects/x": "",
        "refs/heads/main": "1" * 40 + "\n",
    }


def test_hostile_files_are_only_files(attack: Attack) -> None:
    for name, text in hostile_files(attack.canary).items():
        path = attack.path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(0o755)
    attack.commit()
    done = attack.build()
    assert done.status == "SUCCEEDED", done.log
    files = attack.witness.build["files"]
    assert set(hostile_files(attack.canary)) <= set(files)
    assert done.exported["COMMIT_AUTHOR"] == "Ada Lovelace"


@pytest.mark.parametrize("context", ["inner", "."])
def test_a_bare_repository_in_the_context_is_only_files(attack: Attack, context: str) -> None:
    plant_bare_repository(attack.path / "inner", attack.canary)
    if context == ".":
        # Such files at the top lie beside the checkout's own .git.
        plant_bare_repository(attack.path, attack.canary)
    attack.commit()
    done = attack.build(CONTEXT_PATH=context, DOCKERFILE="inner/Dockerfile")
    assert done.status == "SUCCEEDED", done.log
    assert attack.witness.build["environment"]["BUILDX_GIT_INFO"] == "false"


def test_the_witness_of_that_attack_would_run_it(attack: Attack) -> None:
    """Without the buildspec's settings the same git commands run the planted command."""
    inner = attack.path / "inner"
    plant_bare_repository(inner, attack.canary)
    docker = attack.cloud.repository.path.parent / "docker"
    subprocess.run(
        [attack.witness.directory / "docker", "buildx", "build", "--metadata-file", docker, inner],
        env={"PATH": os.environ["PATH"], "DOCKER_CONFIG": f"{docker}/config"},
        check=True,
        timeout=60,
    )
    assert attack.canary.exists()


@pytest.mark.docker
def test_real_buildx_runs_nothing_of_a_bare_repository(
    attack: Attack, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_real_docker(monkeypatch)
    plant_bare_repository(attack.path / "inner", attack.canary)
    attack.commit()
    done = attack.cloud.build(CONTEXT_PATH="inner", DOCKERFILE="inner/Dockerfile")
    assert done.status == "SUCCEEDED", done.log
    assert not attack.canary.exists()


@pytest.mark.docker
@pytest.mark.parametrize(
    "step",
    [
        'RUN --network=host ["/bin/busybox", "true"]',
        'RUN --security=insecure ["/bin/busybox", "true"]',
        'RUN --mount=type=ssh,required=true ["/bin/busybox", "true"]',
        'RUN --mount=type=secret,id=NPM,required=true ["/bin/busybox", "true"]',
        "COPY --from=named /secret /",
        "COPY ../private /private",
        "ADD file:///etc/passwd /",
        "ADD /etc/hostname /",
    ],
)
def test_real_buildx_gives_a_dockerfile_nothing_that_the_buildspec_does_not_give(
    attack: Attack, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    use_real_docker(monkeypatch)
    busybox = shutil.which("busybox")
    if busybox is None:
        pytest.skip("a static busybox is not installed")
    shutil.copy(busybox, attack.path / "busybox")
    base = "FROM scratch\nCOPY busybox /bin/busybox\n"
    (attack.path / "Dockerfile").write_text(base)
    attack.commit()
    assert attack.cloud.build().status == "SUCCEEDED"
    (attack.path / "Dockerfile").write_text(f"{base}{step}\n")
    attack.commit()
    done = attack.cloud.build()
    assert done.status == "FAILED", done.log
    assert "ERROR: " in done.log


def plant_bare_repository(directory: Path, canary: Path) -> None:
    """Files that git takes for a repository. Reading its HEAD runs a command.

    The object of HEAD is missing, so git fetches it from the promised remote with the ssh command
    of the config.
    """
    for name, text in {
        "HEAD": f"{'1' * 40}\n",
        "config": (
            "[core]\n\trepositoryFormatVersion = 1\n\tbare = false\n\tworktree = .\n"
            f"\tsshCommand = touch {canary};\n\tfsmonitor = touch {canary}\n"
            '[extensions]\n\tpartialClone = origin\n[remote "origin"]\n'
            "\turl = ssh://localhost/x\n\tpromisor = true\n"
            # Longer than the buildspec's own prefix, so it wins.
            '[url "ssh://localhost/"]\n\tinsteadOf = ssh://localhost/\n'
            "[include]\n\tpath = more\n"
        ),
        "more": f"[core]\n\taskPass = touch {canary};\n\tpager = touch {canary};\n",
        "objects/info/alternates": "/\n",
        "objects/x": "",
        "refs/x": "",
        "Dockerfile": "FROM scratch\nCOPY Dockerfile /\n",
    }.items():
        (directory / name).parent.mkdir(parents=True, exist_ok=True)
        (directory / name).write_text(text)


# Each case: the links to create, and the request.
LINKS: dict[str, tuple[dict[str, str], dict[str, str]]] = {
    "the context is /etc": ({"ctx": "/etc"}, {"CONTEXT_PATH": "ctx"}),
    "the context is outside": ({"ctx": "{outside}"}, {"CONTEXT_PATH": "ctx"}),
    "the context is above": ({"ctx": ".."}, {"CONTEXT_PATH": "ctx"}),
    "the context is a way out by two": (
        {"a": "b", "b": "{outside}"},
        {"CONTEXT_PATH": "a"},
    ),
    "a part of the context's path leads out": (
        {"a": "{outside}/.."},
        {"CONTEXT_PATH": "a/outside"},
    ),
    "the context is a sibling with the same beginning": (
        {"ctx": "../checkout-evil"},
        {"CONTEXT_PATH": "ctx"},
    ),
    "the context is beside the checkout": ({"ctx": "../"}, {"CONTEXT_PATH": "ctx"}),
    "the Dockerfile is outside": ({"Evil": "{outside}/Dockerfile"}, {"DOCKERFILE": "Evil"}),
    "the Dockerfile is a file of the machine": ({"Evil": "/etc/passwd"}, {"DOCKERFILE": "Evil"}),
    "the Dockerfile is a file of the buildspec": ({"Evil": "../context"}, {"DOCKERFILE": "Evil"}),
    "the Dockerfile is a device": ({"Evil": "/dev/stdin"}, {"DOCKERFILE": "Evil"}),
    "the Dockerfile is the environment": ({"Evil": "/proc/self/environ"}, {"DOCKERFILE": "Evil"}),
    "links run in a circle": ({"a": "b", "b": "a"}, {"CONTEXT_PATH": "a"}),
    "a link leads to itself": ({"Evil": "Evil"}, {"DOCKERFILE": "Evil"}),
    "a line break decides where it leads": (
        {"ctx": "evil\n", "evil": "{outside}"},
        {"CONTEXT_PATH": "ctx"},
    ),
    "a line break decides where the Dockerfile leads": (
        {"Docker": "evil\n", "evil": "{outside}/Dockerfile"},
        {"DOCKERFILE": "Docker"},
    ),
    "the context is a directory with a control character": (
        {"ctx": "evil\x1b[2J", "evil": "{outside}"},
        {"CONTEXT_PATH": "ctx"},
    ),
}


@pytest.mark.parametrize("case", LINKS)
def test_no_link_leads_out_of_the_repository(attack: Attack, case: str) -> None:
    links, request = LINKS[case]
    for name in ("evil\n", "evil\x1b[2J"):
        inside = attack.path / name
        if case.endswith("the Dockerfile leads"):
            inside.write_text("FROM scratch\n")
        else:
            inside.mkdir()
            (inside / "Dockerfile").write_text("FROM scratch\n")
    for name, target in links.items():
        (attack.path / name).symlink_to(target.format(outside=attack.outside))
    attack.commit()
    done = attack.build(**request)
    assert done.status == "FAILED", done.log
    assert "error: " in done.log
    assert attack.witness.text == ""
    assert "root:" not in done.log
    assert "\x1b" not in done.log


def test_a_policy_that_is_a_link_fails_the_build(attack: Attack) -> None:
    """buildx reads `<Dockerfile>.rego` on the build machine, and follows links."""
    (attack.path / "Dockerfile.rego").symlink_to("/proc/kmsg")
    attack.commit()
    done = attack.build()
    assert done.status == "FAILED"
    assert "error: the policy beside the Dockerfile is a link" in done.log
    assert attack.witness.text == ""


@pytest.mark.docker
def test_real_buildx_evaluates_no_policy_of_a_repository(
    attack: Attack, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A policy that nothing can read ends a build in which buildx evaluates it."""
    use_real_docker(monkeypatch)
    if "--policy" not in docker("build", "--help").stdout:
        pytest.skip("this buildx evaluates no policies")
    (attack.path / "Dockerfile.rego").write_text("no policy")
    attack.commit()
    without_the_buildspec = docker("build", str(attack.path))
    assert without_the_buildspec.returncode != 0
    assert "rego_parse_error" in without_the_buildspec.stderr
    done = attack.cloud.build()
    assert done.status == "SUCCEEDED", done.log


def docker(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["docker", "buildx", *arguments], capture_output=True, text=True, timeout=60, check=False
    )


def test_docker_runs_in_an_empty_directory(attack: Attack) -> None:
    attack.commit()
    assert attack.build().status == "SUCCEEDED"
    assert attack.witness.build["directory"] == []


def test_links_inside_the_context_stay_links(attack: Attack) -> None:
    for name, target in {
        "passwd": "/etc/passwd",
        "out": str(attack.outside / "secret"),
        "loop": ".",
        "up": "../../..",
        ".dockerignore": str(attack.outside / "secret"),
    }.items():
        (attack.path / name).symlink_to(target)
    attack.commit()
    done = attack.build()
    assert done.status == "SUCCEEDED", done.log
    files = attack.witness.build["files"]
    assert files["passwd"] == "-> /etc/passwd"
    assert files["loop"] == "-> ."
    assert not [name for name in files if name.startswith(("loop/", "up/"))]


def test_a_link_that_stays_inside_may_be_the_context(attack: Attack) -> None:
    (attack.path / "-services").mkdir()
    (attack.path / "-services" / "-Dockerfile").write_text("FROM scratch\n")
    (attack.path / "ctx").symlink_to("-services")
    (attack.path / "-services" / "Docker").symlink_to("-Dockerfile")
    attack.commit()
    done = attack.build(CONTEXT_PATH="ctx", DOCKERFILE="ctx/Docker")
    assert done.status == "SUCCEEDED", done.log
    arguments = attack.witness.build["arguments"]
    assert arguments[-2] == "--"
    assert arguments[-1].endswith("/checkout/-services")
    assert arguments[arguments.index("--file") + 1].endswith("/-services/-Dockerfile")


@pytest.mark.parametrize("name", ["-", "-f", "--help", "--file=/etc/passwd", "$(id)", "a b\tc"])
def test_a_path_like_an_option_is_a_path(attack: Attack, name: str) -> None:
    """The API refuses such paths, but the buildspec does not rely on that."""
    directory = attack.path / "x" / name
    directory.mkdir(parents=True)
    (directory / "Dockerfile").write_text("FROM scratch\n")
    attack.commit()
    done = attack.build(CONTEXT_PATH=f"x/{name}", DOCKERFILE=f"x/{name}/Dockerfile")
    assert (done.status == "SUCCEEDED") is ("\t" not in name), done.log
    if done.status == "SUCCEEDED":
        assert attack.witness.build["arguments"][-1].endswith(f"/checkout/x/{name}")


# git add refuses these names, so the test writes the tree objects itself.
def test_a_tree_that_git_must_not_check_out_fails_the_build(attack: Attack) -> None:
    blob = git(attack.path, "hash-object", "-w", "Dockerfile")
    for name in (".git", "..", ".GIT"):
        tree = mktree(attack.path, f"100644 blob {blob}\t{name}")
        nested = mktree(attack.path, f"040000 tree {tree}\tx")
        git(attack.path, "update-ref", "refs/heads/evil", git(attack.path, "commit-tree", nested))
        done = attack.build(GIT_REF="evil")
        assert done.status == "FAILED", done.log
        assert attack.witness.text == ""


def mktree(directory: Path, entries: str) -> str:
    command = [
        "git",
        "-C",
        str(directory),
        "hash-object",
        "-t",
        "tree",
        "-w",
        "--literally",
        "--stdin",
    ]
    content = b""
    for line in entries.split("\n"):
        mode, _, rest = line.partition(" ")
        _, _, rest = rest.partition(" ")
        digest, _, name = rest.partition("\t")
        content += f"{mode.lstrip('0')} {name}".encode() + b"\0" + bytes.fromhex(digest)
    done = subprocess.run(command, input=content, capture_output=True, check=True, timeout=20)
    return done.stdout.decode().strip()


@pytest.mark.parametrize(
    ("url", "name", "path"),
    [
        ("ext::sh -c touch% {canary}", "a", "a"),
        ("file://{outside}", "a", "a"),
        ("-u./x", "a", "a"),
        ("https://github.com/team/lib.git", "../../hooks", "a"),
        ("https://github.com/team/lib.git", "a", "-u./x"),
        ("https://github.com/team/lib.git", "a", ".git/hooks"),
    ],
)
def test_submodules_are_ignored_unless_requested(
    attack: Attack, url: str, name: str, path: str
) -> None:
    address = url.format(canary=attack.canary, outside=attack.outside)
    (attack.path / ".gitmodules").write_text(
        f'[submodule "{name}"]\n\tpath = {path}\n\turl = {address}\n'
        f"\tupdate = !touch {attack.canary}\n"
    )
    sha = attack.commit()
    if not path.startswith(".git"):
        git(attack.path, "update-index", "--add", "--cacheinfo", f"160000,{sha},{path}")
    git(attack.path, "commit", "--quiet", "--allow-empty", "--message", "Link")
    done = attack.build()
    assert done.status == "SUCCEEDED", done.log
    assert ".gitmodules" in attack.witness.build["files"]


@pytest.mark.parametrize(
    "text",
    [
        "$(touch {canary})",
        "`touch {canary}`",
        "'; touch {canary}; '",
        "%s %n %x00 %(trailers)",
        "\x1b]0;title\x07\x1b[31mred",
        "\N{RIGHT-TO-LEFT OVERRIDE}txt.exe",
        "--format=%H",
        "-n",
        "::set-output name=x::y",
        "COMMIT_SHA=" + "1" * 40,
    ],
)
def test_commit_messages_and_authors_are_only_text(attack: Attack, text: str) -> None:
    said = text.format(canary=attack.canary)
    message = f"{said}\nCOMMIT_SHA={'2' * 40}"
    identity = ["-c", f"user.name={said}", "-c", "user.email=$(id)@example.com"]
    git(attack.path, *identity, "commit", "--quiet", "--allow-empty", "--message", message)
    sha = git(attack.path, "rev-parse", "HEAD")
    assert not {"COMMIT_MESSAGE", "COMMIT_AUTHOR"} & set(re.findall(r"\w+", AFTER_FETCH))
    # The first one also passes through the steps that do not read it.
    done = attack.build() if said.startswith("$(") else attack.fetch()
    assert done.status == "SUCCEEDED", done.log
    assert done.exported["COMMIT_SHA"] == sha
    assert done.exported["COMMIT_MESSAGE"] == said
    assert said not in done.log


def test_build_arguments_stay_arguments_with_any_value(attack: Attack) -> None:
    attack.commit()
    touch = f"touch {attack.canary}"
    given = {
        "A": f"$({touch})",
        "B": f"`{touch}`\n{touch}",
        "C": "--output=/tmp\n--file=/etc/passwd",
        "D": "'\"\\ \t*?[a]{b,c}~ $HOME ${PATH} !!",
        "E": "",
        "-x": "--push=false",
        "F=G": "=",
        "PATH": "/nowhere",
        "LD_PRELOAD": str(attack.outside / "secret"),
        "PYTHONPATH": ".",
        "ü": "\N{RIGHT-TO-LEFT OVERRIDE}\x1b[31m\x7f",
    }
    done = attack.build(BUILD_ARGS=json.dumps(given))
    assert done.status == "SUCCEEDED", done.log
    arguments = attack.witness.build["arguments"]
    wanted = [f"--build-arg={name}={value}" for name, value in given.items()]
    assert [each for each in arguments if each.startswith("--build-arg")] == wanted
    assert arguments[: arguments.index("--")].count("--file") == 1


@pytest.mark.parametrize(
    "variables", [("GIT_URL",), ("GIT_SHA",), ("PLATFORMS",), ("SUBMODULES", "IMAGE_TAG")]
)
def test_no_variable_of_the_request_is_evaluated(
    attack: Attack, variables: tuple[str, ...]
) -> None:
    """Two of them are tried together, because no value of theirs ends the build."""
    attack.commit()
    for text in ("$(touch {0})", "`touch {0}`", "x[$(touch {0})]", ";touch {0};", "a\ntouch {0}\n"):
        done = attack.build(**dict.fromkeys(variables, text.format(attack.canary)))
        assert (done.status == "SUCCEEDED") is (len(variables) > 1), done.log
