"""Private repositories and submodules over real HTTPS: only the right host gets a credential."""

import base64
import hashlib
import json
import shutil
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import boto3
import pytest

from tests.support.building import (
    Cloud,
    Outcome,
    Repository,
    Witness,
    cloud,
    git,
    repository,
    witness,
)
from tests.support.githost import GitHost, make_certificate

__all__ = ["cloud", "repository", "witness"]

pytestmark = pytest.mark.long

TOKEN = "t0k3n-of/the+project=Zz~"


@dataclass
class Hosts:
    """Two git hosts with the same repositories. Builds fetch from `mine`."""

    mine: GitHost
    other: GitHost
    cloud: Cloud
    witness: Witness

    def add(self, name: str) -> Repository:
        """A new repository `team/<name>.git` on both hosts, with one commit."""
        path = self.mine.root / "team" / f"{name}.git"
        path.mkdir(parents=True)
        git(path, "init", "--quiet", "--initial-branch", "main")
        made = Repository(path)
        made.commit(Dockerfile="FROM scratch\n", **{f"{name}.txt": name})
        return made

    def secret(self, value: str, *, name: str = "slipway/git/7/shop") -> str:
        """The ARN of a new secret."""
        self.cloud.secret(name, value)
        secrets = boto3.client("secretsmanager", region_name="eu-west-1")
        return secrets.describe_secret(SecretId=name)["ARN"]

    def build(self, **variables: str) -> Outcome:
        environment = {
            "AWS_ENDPOINT_URL": self.cloud.endpoint,
            **self.witness.environment,
            "GIT_ALLOW_PROTOCOL": "https",
            "GIT_SSL_CAINFO": str(self.mine.certificate),
            # Else each git reads all certificates of the machine, too.
            "GIT_CONFIG_COUNT": "2",
            "GIT_CONFIG_KEY_1": "http.sslCAPath",
            "GIT_CONFIG_VALUE_1": str(self.mine.root),
            # Turn on all traces: they must not show the credential.
            "GIT_TRACE": "1",
            "GIT_TRACE_CURL": "1",
            "GIT_TRACE_REDACT": "0",
            "GIT_CURL_VERBOSE": "1",
        }
        url = f"{self.mine.url}/team/app.git"
        request = {"GIT_URL": url, **variables}
        return self.cloud.build(environment, **request)


@pytest.fixture
def hosts(cloud: Cloud, witness: Witness, tmp_path: Path) -> Iterator[Hosts]:
    certificate = make_certificate(tmp_path)
    root = tmp_path / "hosted"
    with ExitStack() as stack:
        mine, other = (GitHost(root, name, certificate) for name in ("localhost", "127.0.0.1"))
        for host in (mine, other):
            stack.enter_context(host.serving())
        yield Hosts(mine, other, cloud, witness)


def is_unseen(secret: str, text: str) -> bool:
    """Whether a text contains neither the secret nor its forms in HTTP."""
    user = secret if ":" in secret else f"x-access-token:{secret}"
    forms = {secret, user, secret.rpartition(":")[2], base64.b64encode(user.encode()).decode()}
    return not [form for form in forms if form in text]


@pytest.mark.parametrize(
    ("value", "sent"), [(TOKEN, f"x-access-token:{TOKEN}"), (f"ci.bot:{TOKEN}", f"ci.bot:{TOKEN}")]
)
def test_a_private_repository_is_fetched_with_the_project_s_credential(
    hosts: Hosts, value: str, sent: str
) -> None:
    sha = hosts.add("app").commit("Private")
    hosts.mine.private["team/app"] = sent
    done = hosts.build(GIT_CREDENTIAL=hosts.secret(value), GIT_SHA=sha)
    assert done.status == "SUCCEEDED", done.log
    assert done.exported["COMMIT_SHA"] == sha
    assert hosts.mine.secrets_seen == {sent}


def test_the_credential_is_removed_before_docker_builds(hosts: Hosts) -> None:
    hosts.add("app")
    hosts.mine.private["team/app"] = f"x-access-token:{TOKEN}"
    done = hosts.build(GIT_CREDENTIAL=hosts.secret(TOKEN))
    assert done.status == "SUCCEEDED", done.log
    seen = hosts.witness.build
    assert ".git/config" in seen["files"]
    assert "gitconfig" in seen["private"]
    assert "askpass" not in seen["private"]
    names = [name for name in seen["environment"] if "CREDENTIAL" in name or "ASKPASS" in name]
    assert names == []
    assert is_unseen(TOKEN, hosts.witness.text + done.log + str(done.build))


@pytest.mark.parametrize("private", [False, True])
def test_without_a_credential_only_a_public_repository_is_built(
    hosts: Hosts, private: bool
) -> None:
    hosts.add("app")
    if private:
        hosts.mine.private["team/app"] = f"x-access-token:{TOKEN}"
    done = hosts.build()
    assert done.status == ("FAILED" if private else "SUCCEEDED"), done.log
    assert ("a private repository needs its project's git_credential" in done.log) is private
    assert hosts.mine.secrets_seen == set()


def test_a_public_repository_gets_no_credential(hosts: Hosts) -> None:
    hosts.add("app")
    assert hosts.build(GIT_CREDENTIAL=hosts.secret(TOKEN)).status == "SUCCEEDED"
    assert hosts.mine.secrets_seen == set()


def test_a_wrong_credential_fails_the_build_and_stays_secret(hosts: Hosts) -> None:
    hosts.add("app")
    hosts.mine.private["team/app"] = "x-access-token:another"
    done = hosts.build(GIT_CREDENTIAL=hosts.secret(TOKEN))
    assert done.status == "FAILED"
    assert "Authentication failed" in done.log
    assert is_unseen(TOKEN, done.log + str(done.build))


def test_a_repository_renamed_on_its_host_is_found(hosts: Hosts) -> None:
    sha = hosts.add("app").commit()
    hosts.mine.moved["team/old"] = f"{hosts.mine.url}/team/app"
    hosts.mine.private["team/app"] = f"x-access-token:{TOKEN}"
    old = f"{hosts.mine.url}/team/old.git"
    done = hosts.build(GIT_CREDENTIAL=hosts.secret(TOKEN), GIT_URL=old, GIT_SHA=sha)
    assert done.status == "SUCCEEDED", done.log
    assert done.exported["COMMIT_SHA"] == sha


def test_a_redirect_to_another_host_gets_no_credential(hosts: Hosts) -> None:
    hosts.add("app")
    hosts.mine.moved["team/app"] = f"{hosts.other.url}/team/app"
    hosts.other.private["team/app"] = f"x-access-token:{TOKEN}"
    done = hosts.build(GIT_CREDENTIAL=hosts.secret(TOKEN))
    assert done.status == "FAILED"
    assert hosts.other.repositories_seen() == {"team/app"}
    assert hosts.other.secrets_seen == hosts.mine.secrets_seen == set()
    assert is_unseen(TOKEN, done.log)


@pytest.mark.parametrize(
    "value",
    ["with space", "two\nlines", '{"token": "abc"}', ":empty", "us er:token", "$(id)`id`:x"],
)
def test_a_malformed_credential_fails_the_build_and_is_not_logged(hosts: Hosts, value: str) -> None:
    hosts.add("app")
    done = hosts.build(GIT_CREDENTIAL=hosts.secret(value))
    assert done.status == "FAILED"
    assert "is neither a token nor user:token" in done.log
    assert value not in done.log
    assert hosts.mine.seen == []


@pytest.mark.parametrize(
    "name", ["slipway/git/8/shop", "slipway-prod/git/7/shop", "slipway/webhook", "slipway/none"]
)
def test_a_build_reads_only_the_credentials_of_its_project(hosts: Hosts, name: str) -> None:
    hosts.add("app")
    arn = f"arn:aws:secretsmanager:eu-west-1:123456789012:secret:{name}-a1B2c3"
    if not name.endswith("none"):
        arn = hosts.secret(TOKEN, name=name)
    done = hosts.build(GIT_CREDENTIAL=arn)
    assert done.status == "FAILED"
    assert "error: cannot read the secret that is the project's git_credential" in done.log
    assert "below slipway/git/7/" in done.log
    assert hosts.mine.seen == []
    assert is_unseen(TOKEN, done.log)


# Tokens of the GitHub App, in parameters.


def keep_token(token: str, name: str = "/slipway/git/7/team/app") -> str:
    """The git credential that names a new parameter with a token."""
    parameters = boto3.client("ssm", region_name="eu-west-1")
    parameters.put_parameter(Name=name, Value=token, Type="SecureString")
    return f"ssm:{name}"


def test_a_private_repository_is_fetched_with_a_token_of_the_app(hosts: Hosts) -> None:
    token = "ghs_1234567_eyJhbGciOi.eyJpc3M-_x"
    sha = hosts.add("app").commit("Private")
    hosts.mine.private["team/app"] = f"x-access-token:{token}"
    done = hosts.build(GIT_CREDENTIAL=keep_token(token), GIT_SHA=sha)
    assert done.status == "SUCCEEDED", done.log
    assert hosts.mine.secrets_seen == {f"x-access-token:{token}"}
    assert "askpass" not in hosts.witness.build["private"]
    assert is_unseen(token, hosts.witness.text + done.log + str(done.build))


@pytest.mark.parametrize(
    "name", ["/slipway/git/8/team/app", "/slipway/webhook", "/slipway-prod/git/7/a/b"]
)
def test_a_build_reads_only_the_tokens_of_its_project(hosts: Hosts, name: str) -> None:
    hosts.add("app")
    done = hosts.build(GIT_CREDENTIAL=keep_token(TOKEN, name))
    assert done.status == "FAILED"
    assert f"error: cannot read the GitHub App's token in ssm:{name}" in done.log
    assert hosts.mine.seen == []
    assert is_unseen(TOKEN, done.log)


def test_a_build_with_a_credential_of_its_project_reads_no_parameter(hosts: Hosts) -> None:
    hosts.add("app")
    secret = hosts.secret(TOKEN)
    assert hosts.build(GIT_CREDENTIAL=secret).status == "SUCCEEDED"
    assert "ssm:" not in str(hosts.witness.build)


def test_a_token_that_ended_fails_the_build_with_the_next_step(hosts: Hosts) -> None:
    hosts.add("app")
    hosts.mine.private["team/app"] = "x-access-token:another"
    done = hosts.build(GIT_CREDENTIAL=keep_token(TOKEN))
    assert done.status == "FAILED"
    assert "Authentication failed" in done.log
    assert "check that the GitHub App may read it" in done.log
    assert is_unseen(TOKEN, done.log + str(done.build))


# Submodules.


def link(repository: Repository, commit: str, *, path: str, url: str, name: str = "lib") -> str:
    """Commit a submodule as an attacker would, without the checks of `git submodule add`."""
    modules = f'[submodule "{name}"]\n\tpath = {path}\n\turl = {url}\n'
    (repository.path / ".gitmodules").write_text(modules)
    git(repository.path, "update-index", "--add", "--cacheinfo", f"160000,{commit},{path}")
    git(repository.path, "add", ".gitmodules")
    git(repository.path, "commit", "--quiet", "--message", "Link")
    return git(repository.path, "rev-parse", "HEAD")


def test_submodules_are_fetched_only_if_the_service_enables_them(hosts: Hosts) -> None:
    library = hosts.add("lib")
    url = f"{hosts.mine.url}/team/lib.git"
    sha = link(hosts.add("app"), library.commit(), path="deps/lib", url=url)
    done = hosts.build(GIT_SHA=sha)
    assert done.status == "SUCCEEDED", done.log
    assert hosts.mine.repositories_seen() == {"team/app"}
    assert "deps/lib/lib.txt" not in hosts.witness.build["files"]


def test_a_submodule_is_fetched_at_its_recorded_commit_with_its_own_submodules(
    hosts: Hosts,
) -> None:
    base = hosts.add("base")
    library = hosts.add("lib")
    recorded = link(library, base.commit(), path="base", url="../base.git")
    library.commit("Later", late="later")
    sha = link(hosts.add("app"), recorded, path="deps/lib", url="../lib.git")
    for name in ("app", "lib", "base"):
        hosts.mine.private[f"team/{name}"] = f"x-access-token:{TOKEN}"
    done = hosts.build(GIT_CREDENTIAL=hosts.secret(TOKEN), GIT_SHA=sha, SUBMODULES="true")
    assert done.status == "SUCCEEDED", done.log
    files = hosts.witness.build["files"]
    assert {"deps/lib/lib.txt", "deps/lib/base/base.txt"} <= set(files)
    assert "deps/lib/late" not in files
    assert is_unseen(TOKEN, hosts.witness.text + done.log)


@pytest.mark.parametrize(
    ("url", "name", "path"),
    [
        ("{other}/team/lib.git", "lib", "lib"),
        ("ext::sh -c touch% {touched}", "lib", "lib"),
        ("file://{root}/team/lib.git", "lib", "lib"),
        ("{root}/team/lib.git", "lib", "lib"),
        ("../../../../../..{root}/team/lib.git", "lib", "lib"),
        ("-u./{touched}", "lib", "lib"),
        ("--upload-pack=touch {touched}", "lib", "lib"),
        ("ssh://-oProxyCommand=touch%20{touched}/x", "lib", "lib"),
        ("git@{othername}:team/lib.git", "lib", "lib"),
        ("{mine}/team/lib.git", "../../hooks", "lib"),
        ("{mine}/team/lib.git", "lib", "-u./x"),
        ("https://x@{othername}/team/lib.git", "lib", "lib"),
        ("https:/{othername}/team/lib.git", "lib", "lib"),
        ("{mine}@{othername}/team/lib.git", "lib", "lib"),
        ("{mine}%0a.{othername}/team/lib.git", "lib", "lib"),
    ],
)
def test_a_submodule_with_another_address_fails_the_build_without_side_effects(
    hosts: Hosts, tmp_path: Path, url: str, name: str, path: str
) -> None:
    touched = tmp_path / "touched"
    address = url.format(
        mine=hosts.mine.url,
        other=hosts.other.url,
        othername=hosts.other.url.removeprefix("https://"),
        root=hosts.mine.root,
        touched=touched,
    )
    commit = hosts.add("lib").commit()
    sha = link(hosts.add("app"), commit, path=path, url=address, name=name)
    hosts.other.private["team/lib"] = f"x-access-token:{TOKEN}"
    done = hosts.build(GIT_CREDENTIAL=hosts.secret(TOKEN), GIT_SHA=sha, SUBMODULES="true")
    assert done.status == "FAILED", done.log
    assert f"each comes from {hosts.mine.url}/" in done.log
    assert not touched.exists()
    assert hosts.other.seen == []
    assert hosts.witness.text == ""
    assert is_unseen(TOKEN, done.log)


def test_a_submodule_without_a_url_fails_the_build(hosts: Hosts) -> None:
    app = hosts.add("app")
    git(app.path, "update-index", "--add", "--cacheinfo", f"160000,{'1' * 40},lib")
    git(app.path, "commit", "--quiet", "--message", "Link")
    done = hosts.build(SUBMODULES="true")
    assert done.status == "FAILED"
    assert "No url found for submodule path 'lib'" in done.log


@pytest.mark.parametrize("update", ["!touch {0}", "rebase", "none"])
def test_a_submodule_cannot_choose_how_it_is_updated(
    hosts: Hosts, tmp_path: Path, update: str
) -> None:
    touched = tmp_path / "touched"
    url = f"{hosts.mine.url}/team/lib.git\n\tupdate = {update.format(touched)}"
    sha = link(hosts.add("app"), hosts.add("lib").commit(), path="lib", url=url)
    done = hosts.build(GIT_SHA=sha, SUBMODULES="true")
    assert not touched.exists()
    if not update.startswith("!"):
        assert done.status == "SUCCEEDED", done.log
        assert "lib/lib.txt" in hosts.witness.build["files"]


def test_a_submodule_on_the_same_host_may_have_an_ssh_address(hosts: Hosts) -> None:
    """Its host is the repository's own, so https with the project's credential reaches it."""
    commit = hosts.add("lib").commit()
    app = hosts.add("app")
    for name in ("app", "lib"):
        hosts.mine.private[f"team/{name}"] = f"x-access-token:{TOKEN}"
    credential = hosts.secret(TOKEN)
    for url in ("git@localhost:team/lib.git", "ssh://git@localhost/team/lib.git"):
        sha = link(app, commit, path="lib", url=url)
        done = hosts.build(GIT_CREDENTIAL=credential, GIT_SHA=sha, SUBMODULES="true")
        assert done.status == "SUCCEEDED", (url, done.log)
    assert "lib/lib.txt" in hosts.witness.text


# Git LFS.

CONTENT = b"a large file\n"
OID = hashlib.sha256(CONTENT).hexdigest()
POINTER = f"version https://git-lfs.github.com/spec/v1\noid sha256:{OID}\nsize {len(CONTENT)}\n"
needs_lfs = pytest.mark.skipif(shutil.which("git-lfs") is None, reason="git-lfs is not installed")


def add_lfs(hosts: Hosts, **more: str) -> None:
    hosts.mine.lfs[OID] = CONTENT
    app = hosts.add("app")
    app.commit(**{".gitattributes": "*.bin filter=lfs\n", "large.bin": POINTER, **more})


@needs_lfs
def test_files_of_git_lfs_are_fetched_with_the_credential_if_the_service_enables_them(
    hosts: Hosts,
) -> None:
    add_lfs(hosts)
    hosts.mine.private["team/app"] = f"x-access-token:{TOKEN}"
    done = hosts.build(GIT_CREDENTIAL=hosts.secret(TOKEN), LFS="true")
    assert done.status == "SUCCEEDED", done.log
    files = hosts.witness.build["files"]
    assert files["large.bin"] == CONTENT.decode()
    assert not [name for name in files if name.startswith(".git/lfs/")]
    assert done.exported["WARNINGS"] == ""
    assert is_unseen(TOKEN, hosts.witness.text + done.log)


@needs_lfs
def test_the_repository_cannot_choose_another_lfs_server(hosts: Hosts) -> None:
    evil = f"[lfs]\n\turl = {hosts.other.url}/team/app.git/info/lfs\n"
    add_lfs(hosts, **{".lfsconfig": evil})
    done = hosts.build(LFS="true")
    assert done.status == "SUCCEEDED", done.log
    assert hosts.other.seen == []


@needs_lfs
def test_a_missing_file_of_git_lfs_fails_the_build(hosts: Hosts) -> None:
    add_lfs(hosts)
    hosts.mine.lfs[OID] = b"another content"
    done = hosts.build(LFS="true")
    assert done.status == "FAILED"
    assert "error: cannot check out" in done.log


@needs_lfs
@pytest.mark.parametrize(
    "setting", ["fetchexclude = *", "fetchinclude = none", "skipdownloaderrors = true"]
)
@pytest.mark.parametrize("intact", [True, False])
def test_the_repository_cannot_choose_to_keep_pointers_of_git_lfs(
    hosts: Hosts, setting: str, intact: bool
) -> None:
    add_lfs(hosts, **{".lfsconfig": f"[lfs]\n\t{setting}\n"})
    if not intact:
        hosts.mine.lfs[OID] = b"another content"
    done = hosts.build(LFS="true")
    assert done.status == ("SUCCEEDED" if intact else "FAILED"), done.log
    if intact:
        assert hosts.witness.build["files"]["large.bin"] == CONTENT.decode()


WARNING = "pointers of Git LFS instead of files are in the build context: "


def test_pointers_of_git_lfs_in_an_image_are_a_warning(hosts: Hosts) -> None:
    add_lfs(hosts, **{"other.bin": POINTER})
    done = hosts.build()
    assert done.status == "SUCCEEDED", done.log
    warning = f"{WARNING}2. Switch on the service's setting lfs."
    assert f"warning: {warning}" in done.log
    assert done.exported["WARNINGS"].startswith(warning)


@needs_lfs
def test_pointers_in_a_submodule_are_not_blamed_on_a_setting_that_is_on(hosts: Hosts) -> None:
    library = hosts.add("lib")
    commit = library.commit(**{".gitattributes": "*.bin filter=lfs\n", "large.bin": POINTER})
    sha = link(hosts.add("app"), commit, path="lib", url=f"{hosts.mine.url}/team/lib.git")
    done = hosts.build(GIT_SHA=sha, SUBMODULES="true", LFS="true")
    assert done.exported["WARNINGS"] == f"{WARNING}1. The setting lfs does not reach submodules."


@pytest.mark.parametrize(
    ("files", "context"),
    [
        ({"design__large.bin": POINTER, "web__x": ""}, "web"),
        ({"README.md": f"{POINTER.splitlines()[0]} is the first line of a pointer\n"}, "."),
        ({"README.md": f"{POINTER.splitlines()[0]}\n"}, "."),
        ({"README.md": POINTER + "An example of a pointer. " * 50}, "."),
    ],
)
def test_other_files_are_no_pointers_of_the_build(
    hosts: Hosts, files: dict[str, str], context: str
) -> None:
    hosts.add("app").commit(**{".gitattributes": "*.bin filter=lfs\n", **files})
    done = hosts.build(CONTEXT_PATH=context)
    assert done.status == "SUCCEEDED", done.log
    assert done.exported["WARNINGS"] == ""


# Build secrets.


def test_a_build_secret_is_a_file_for_buildkit_and_is_hidden_in_the_log(hosts: Hosts) -> None:
    hosts.add("app")
    values = {"npm": "npm-secret-value", "key": "-----BEGIN KEY-----\nline of the key\n"}
    for name, value in values.items():
        hosts.cloud.secret(f"slipway/build/7/{name}", value)
    hosts.witness.install("print('#9 0.1 npm-secret-value and line of the key\\nERROR: no'); ")
    secrets = {"NPM_TOKEN": "slipway/build/7/npm", "key": "slipway/build/7/key"}
    done = hosts.build(SECRETS=json.dumps(secrets))
    assert done.status == "SUCCEEDED", done.log
    assert "#9 0.1 *** and ***" in done.log
    arguments = hosts.witness.build["arguments"]
    files = {
        each.partition("id=")[2].partition(",src=")[0]: each.partition(",src=")[2]
        for each in arguments
        if each.startswith("--secret=")
    }
    assert files.keys() == secrets.keys()
    assert hosts.witness.build["secrets"] == {"NPM_TOKEN": values["npm"], "key": values["key"]}
    for value in ("npm-secret-value", "line of the key"):
        assert value not in done.log + str(done.build) + str(arguments)


@pytest.mark.parametrize("name", ["slipway/build/8/npm", "slipway/git/8/x", "slipway/webhook"])
def test_a_build_reads_no_secret_of_another_project(hosts: Hosts, name: str) -> None:
    hosts.add("app")
    hosts.cloud.secret(name, "somebody-elses")
    done = hosts.build(SECRETS=json.dumps({"NPM": name}))
    assert done.status == "FAILED"
    assert "error: cannot read the build secret NPM" in done.log
    assert hosts.witness.text.count('"build", "--builder"') == 0
