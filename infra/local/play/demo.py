"""`make demo` runs the main scenario as an outside client and checks the result of each step.

Starts `python -m infra.local serve` on free ports, sends HTTP requests and signed GitHub pushes,
and exits with 0 only if every check passes. Without Docker no container answers: the embedded load
balancer answers in its place, with the digest of the image.
"""

import argparse
import json
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from infra.local.play import sample
from infra.local.play.client import Client, get_json, saw, say
from infra.local.play.github import pull_request_event, push_event
from infra.seeing import NotSeen, check, wait_for


class Story:
    """The steps in order. Each prints its results."""

    def __init__(self, client: Client, repository: sample.Sample) -> None:
        self.client = client
        self.repository = repository
        self.service = 0
        self.worker = 0
        self.deployments: dict[str, int] = {}
        self.definitions: dict[str, str] = {}
        self.digests: dict[str, str] = {}
        self.pushed_at = int(time.time())

    def play(self) -> None:
        self.create()
        self.refuse_and_ignore()
        self.first_push()
        self.more_pushes()
        self.failing_push()
        self.roll_back()
        self.deploy_again()
        self.build_by_hand()
        self.see_github()
        self.canary()
        self.pull_request()

    def create(self) -> None:
        say("1", "A project and two services of one repository")
        project = self.client.call("POST", "/v1/projects", {"name": "demo"}, expect=201)
        self.service = self._create_service(project["id"], "web", auto_deploy=True)
        self.worker = self._create_service(project["id"], "batch", auto_deploy=False)
        saw(f"project {project['id']}, services {self.service} (auto-deploy), {self.worker}")

    def _create_service(self, project: int, name: str, *, auto_deploy: bool) -> int:
        body = {
            "name": name,
            "git_url": sample.GIT_URL,
            "branch": sample.BRANCH,
            "context_path": ".",
            "dockerfile": "Dockerfile",
            "platforms": ["linux/amd64"],
            "build_args": {"GREETING": "hello $(world)"},
            "image_repository": sample.IMAGE_REPOSITORY,
            "auto_deploy": auto_deploy,
        }
        if auto_deploy:
            body |= {
                "ecs_cluster": sample.CLUSTER,
                "ecs_service": name,
                "containers": [sample.CONTAINER],
                "build_pull_requests": True,
            }
        path = f"/v1/projects/{project}/services"
        number: int = self.client.call("POST", path, body, expect=201)["id"]
        return number

    def refuse_and_ignore(self) -> None:
        say("2", "Deliveries that start no build")
        sha = "1" * 40
        main = self._payload(sha)
        self.client.deliver("push", main, expect=401, sign=False)
        saw("wrong signature: 401")
        stranger = push_event("stranger/thing", "main", sha, pushed_at=self.pushed_at)
        for what, event, payload in (
            ("ping", "ping", {"zen": "Keep it logically awesome.", "hook_id": 1}),
            ("another event", "issues", {"action": "opened"}),
            ("another branch", "push", main | {"ref": "refs/heads/wip"}),
            ("a deleted branch", "push", main | {"deleted": True, "after": "0" * 40}),
            ("an unknown repository", "push", stranger),
        ):
            answer = self.client.deliver(event, payload, expect=200)
            saw(f"{what}: 200, {answer['ignored']}")
        listed = self.client.call("GET", f"/v1/cicd/services/{self.service}/builds")
        check("builds so far", listed["items"], [])

    def first_push(self) -> None:
        say("3", "A push builds both services, with a live log")
        builds = self._push("one")
        check("services built", sorted(builds), sorted([self.service, self.worker]))
        web = self._follow_build(builds[self.service])
        self._follow_build(builds[self.worker])
        overlap = self._ran_together(builds[self.service], builds[self.worker])
        saw(f"builds of the two services {'ran at the same time' if overlap else 'ran in turn'}")
        say("4", "The image is deployed by digest and answers")
        self._deployed("one", web["deployment_id"])
        self._show_receipt(web["deployment_id"])

    def more_pushes(self) -> None:
        say("5", "Two more pushes answer, a fourth one is unhealthy")
        for version in ("two", "three"):
            if version == "three":
                self._change_configuration()
            build = self._follow_build(self._push(version)[self.service])
            self._deployed(version, build["deployment_id"])

    def failing_push(self) -> None:
        sha = self.repository.commit("four", healthy=False)
        build = self._follow_build(self._deliver(sha)[self.service])
        row = self._follow_deployment(build["deployment_id"], "failed")
        saw(f"deployment {row['id']} failed: {row['error']}")
        wait_for("ECS to return to version three", lambda: self._runs(self.definitions["three"]))
        self._answers("three", again=True)

    def roll_back(self) -> None:
        say("6", "Two rollbacks, and a third that is refused")
        preview = self.client.call("GET", self._cicd("rollback"))
        saw(f"a rollback would return to deployment {preview['target']['id']}")
        builds = len(self._all_builds())
        for version, left in (("two", "three"), ("one", "two")):
            row = self.client.call("POST", self._cicd("rollback"), expect=202)
            self._deployed(version, row["deployment_id"], how="rolled back to")
            was = self._deployment(self.deployments[left])
            check(f"deployment {was['id']}", was["status"], "rolled_back")
            self.deployments[version] = row["deployment_id"]
        greeting = _environment(self.client.definition("web"))["GREETING"]
        check("the restored configuration", greeting, "hello")
        check("builds made by the rollbacks", len(self._all_builds()) - builds, 0)
        refusal = self.client.call("POST", self._cicd("rollback"), expect=409)
        check("third rollback", refusal["code"], "nothing_to_roll_back")
        saw(f"third rollback: 409, {refusal['detail']}")
        service = self.client.call("GET", f"/v1/services/{self.service}")
        check("auto-deploy", bool(service["auto_deploy_paused"]) and "paused", "paused")
        saw(f"auto-deploy is paused: {service['auto_deploy_paused']}")

    def deploy_again(self) -> None:
        third = self._deployment(self.deployments["three"])
        body = {"image_tag": third["image_tag"], "reason": "Deploy latest features"}
        row = self.client.call("POST", self._cicd("deploy"), body, expect=202)
        self._deployed("three", row["deployment_id"], how="deployed again:")

    def build_by_hand(self) -> None:
        say("7", "A manual build, as in the usage examples")
        body = {
            "git_url": "https://github.com/example/app.git",
            "git_ref": "main",
            "context_path": ".",
            "dockerfile": "Dockerfile",
        }
        answer = self.client.call("POST", self._cicd("build"), body, expect=202)
        check("its fields", sorted(answer), ["build_id", "job_id", "status"])
        check("its status", answer["status"], "queued")
        build = self._follow_build(answer["build_id"])
        check("the commit of main", build["commit_sha"], self.repository.head())
        saw(f"built {build['image_tag']} from {build['commit_sha'][:12]}")

    def see_github(self) -> None:
        say("8", "What GitHub shows of it, on this machine")
        head = self.repository.head()

        def built() -> dict[str, str] | None:
            found = self._github(f"commits/{head}/status")
            shown = {each["context"]: each["state"] for each in found["statuses"]}
            return shown if shown.get("slipway/demo/web") == "success" else None

        for context, state in sorted(wait_for("the status of the commit", built).items()):
            saw(f"commit {head[:12]}: {context} {state}")

        def deployments() -> list[str] | None:
            found = self._github("deployments?environment=demo/web")
            states = [self._github(f"deployments/{each['id']}/statuses")[0] for each in found]
            names = [each["state"] for each in states]
            return names if names.count("success") == 1 and names[0] == "success" else None

        states = wait_for("one deployment that is active", deployments)
        check("deployments that failed", states.count("failure"), 1)
        saw(f"{len(states)} deployments, newest first: {', '.join(states)}")

    def canary(self) -> None:
        say("9", "A canary at 10 percent that is approved, counted by 100 HTTP answers")
        canary = {"type": "CANARY", "percent": 10, "step_minutes": 0, "bake_minutes": 0}
        body = {"strategy": canary, "approval": True, "auto_deploy": True}
        self.client.call("PATCH", f"/v1/services/{self.service}", body)
        saw("each step of the traffic needs a person's approval from now on")
        number = self._at_ten_percent("three", "five")
        self._answer_approval(number, "approve", "No errors at 10 percent")
        self._deployed("five", number)
        self._count({"five": 100})
        say("10", "A canary at 10 percent that is rejected")
        number = self._at_ten_percent("five", "six")
        self._answer_approval(number, "reject", "Slower than version five")
        row = self._follow_deployment(number, "cancelled")
        saw(f"deployment {number}: {row['error']}")
        wait_for("ECS to shift the traffic back", self._shifted_back)
        self._count({"five": 100})
        wait_for("version five to run", lambda: self._runs(self.definitions["five"]))

    def _at_ten_percent(self, old: str, new: str) -> int:
        """Push a version, and approve its first 10 percent. Returns the deployment's number."""
        build = self._follow_build(self._push(new)[self.service])
        check(f"why version {new} is not deployed", build["not_deployed"], None)
        number: int = build["deployment_id"]
        self.digests[new] = self._deployment(number)["image_digest"]
        self._await_approval(number, traffic=0)
        self._count({old: 100})
        self._count({new: 100}, "test")
        self._answer_approval(number, "approve", "Looks good on the test address")
        self._await_approval(number, traffic=10)
        self._count({old: 90, new: 10})
        return number

    def _await_approval(self, number: int, *, traffic: int) -> None:
        def awaits() -> bool | None:
            row = self._deployment(number)
            if row["finished_at"]:
                raise NotSeen(f"deployment {number} ended {row['status']}: {row['error']}")
            return (row["awaiting"] == "approval" and row["traffic"] == traffic) or None

        wait_for(f"deployment {number} to await approval at {traffic} percent", awaits)
        saw(f"deployment {number} has {traffic} percent of the traffic and awaits approval")

    def _answer_approval(self, number: int, answer: str, reason: str) -> None:
        path = f"/v1/cicd/deployments/{number}/{answer}"
        self.client.call("POST", path, {"reason": reason}, expect=202)
        saw(f"{answer}: “{reason}”")

    def _count(self, wanted: dict[str, int], path: str = "") -> None:
        """Ask 100 times and count the versions that answer.

        The load balancer follows the weights of ECS about a second later.
        """
        service = f"web/{path}".rstrip("/")

        def count() -> Counter[str] | None:
            seen = Counter(self._version(service) for _ in range(100))
            return seen if seen == wanted else None

        seen = wait_for(f"answers of {wanted}", count, seconds=15)
        answers = ", ".join(f"{each} from version {version}" for version, each in seen.items())
        saw(f"of 100 HTTP answers{' of the test address' if path else ''}: {answers}")

    def _shifted_back(self) -> bool | None:
        ecs = self.client.aws("ecs")
        listed = ecs.list_service_deployments(cluster=sample.CLUSTER, service="web")
        newest = listed["serviceDeployments"][0]["status"]
        return True if newest == "ROLLBACK_SUCCESSFUL" else None

    def pull_request(self) -> None:
        say("11", "A pull request is built, and never deployed")
        self.repository.branch("changes")
        sha = self.repository.commit("seven")
        event = pull_request_event(
            "example/app",
            1,
            action="opened",
            head="changes",
            base=sample.BRANCH,
            sha=sha,
            at=int(time.time()),
            title="Version seven",
        )
        (started,) = self.client.deliver("pull_request", event, expect=202)["builds"]
        build = self._follow_build(started["build_id"])
        check("the deployment of the pull request", build["deployment_id"], None)
        saw(f"not deployed: {build['not_deployed']}")
        body = {"image_tag": build["image_tag"]}
        refusal = self.client.call("POST", self._cicd("deploy"), body, expect=409)
        check("a deployment by hand", refusal["code"], "pull_request_build")

        def told() -> dict[str, str] | None:
            found = self._github(f"commits/{sha}/status")
            shown = {each["context"]: each["state"] for each in found["statuses"]}
            return shown if shown.get("slipway/demo/web/pr") == "success" else None

        for context, state in wait_for("the status of its head commit", told).items():
            saw(f"commit {sha[:12]}: {context} {state}")

    def _github(self, path: str) -> Any:
        return get_json(f"{self.client.ready['github']}/repos/example/app/{path}")

    def _push(self, version: str) -> dict[int, int]:
        return self._deliver(self.repository.commit(version))

    def _deliver(self, sha: str) -> dict[int, int]:
        """Deliver a push; return the started builds by service."""
        self.pushed_at = max(self.pushed_at + 1, int(time.time()))
        answer = self.client.deliver("push", self._payload(sha), expect=202)
        return {build["service_id"]: build["build_id"] for build in answer["builds"]}

    def _payload(self, sha: str) -> dict[str, Any]:
        message = f"Version of {sha[:7]}\n\nWith a body."
        return push_event(
            "example/app", sample.BRANCH, sha, pushed_at=self.pushed_at, message=message
        )

    def _follow_build(self, number: int) -> dict[str, Any]:
        """Follow a build and its log to the end. It must succeed; progress must not decrease."""
        statuses: list[str] = []
        progress: list[int] = []
        running_lines = 0

        def ended() -> dict[str, Any] | None:
            nonlocal running_lines
            row: dict[str, Any] = self.client.call("GET", f"/v1/cicd/builds/{number}")
            job = self.client.call("GET", f"/v1/cicd/jobs/build-{number}")
            if not statuses or statuses[-1] != job["status"]:
                statuses.append(job["status"])
            progress.append(job["progress"])
            if job["status"] == "running" and not running_lines:
                running_lines = len(self._log(number))
            return row if row["finished_at"] else None

        row = wait_for(f"build {number}", ended)
        log = wait_for("the whole log", lambda: self._log(number) or None)
        if row["status"] != "success":
            raise NotSeen(f"build {number}: {row['error']}\n" + "\n".join(log))
        check("progress", progress, sorted(progress))
        saw(
            f"build {number}: {' → '.join(statuses)}, progress {_steps(progress)}, "
            f"{len(log)} log lines ({running_lines} seen while it ran)"
        )
        return row

    def _deployed(self, version: str, number: int, how: str = "deployed") -> None:
        row = self._follow_deployment(number, "success")
        definition = self.client.definition("web")
        image = definition["containerDefinitions"][0]["image"]
        check("the digest ECS runs", image.rsplit("@", 1)[1], row["image_digest"])
        self.deployments[version] = number
        self.digests[version] = row["image_digest"]
        self.definitions[version] = definition["taskDefinitionArn"]
        saw(f"{how} version {version}: deployment {number}, {row['image_digest'][:19]}…")
        self._answers(version)

    def _show_receipt(self, number: int) -> None:
        receipt = self.client.call("GET", f"/v1/cicd/deployments/{number}/receipt")
        wanted = [[receipt["image_digest"]]] * receipt["desired_tasks"]
        check("the digests in the receipt", [e["image_digests"] for e in receipt["tasks"]], wanted)
        saw(f"its receipt: {len(wanted)} of {len(wanted)} tasks run it, {receipt['hash'][:19]}…")

    def _answers(self, version: str, *, again: bool = False) -> None:
        def answers() -> bool | None:
            try:
                return True if self._version("web") == version else None
            except OSError:
                return None

        wait_for(f"version {version} to answer", answers)
        still = "still " if again else ""
        if self.client.real:
            greeting = self.client.page("web", "/cgi-bin/greeting")
            saw(f"HTTP {still}answers “version {version}”, greeting “{greeting}”")
        else:
            saw(f"HTTP {still}answers with the digest of version {version}: it is simulated")

    def _version(self, service: str) -> str:
        """The version that answers. A simulated task answers with the digest of its image."""
        page = self.client.page(service)
        if self.client.real:
            return page.removeprefix("version ")
        digest = page.rpartition("@")[2]
        return {known: version for version, known in self.digests.items()}.get(digest, page)

    def _follow_deployment(self, number: int, wanted: str) -> dict[str, Any]:
        statuses: list[str] = []

        def ended() -> dict[str, Any] | None:
            row = self._deployment(number)
            if not statuses or statuses[-1] != row["status"]:
                statuses.append(row["status"])
            return row if row["finished_at"] else None

        row = wait_for(f"deployment {number}", ended)
        if row["status"] != wanted:
            raise NotSeen(f"deployment {number} ended {row['status']}: {row['error']}")
        saw(f"deployment {number}: {' → '.join(statuses)}")
        return row

    def _change_configuration(self) -> None:
        """Change a setting directly in ECS. It stays, and the next deployment starts from it."""
        ecs = self.client.aws("ecs")
        definition = self.client.definition("web")
        container = definition["containerDefinitions"][0]
        container["environment"] = [{"name": "GREETING", "value": "good morning"}]
        arn = ecs.register_task_definition(
            family=definition["family"], containerDefinitions=[container]
        )["taskDefinition"]["taskDefinitionArn"]
        ecs.update_service(cluster=sample.CLUSTER, service="web", taskDefinition=arn)
        saw("meanwhile GREETING was changed directly in ECS")
        path = f"/v1/services/{self.service}"
        wait_for("the change", lambda: self.client.call("GET", path)["auto_deploy_paused"])
        saw("Slipway leaves it so, and has paused auto-deploy")
        self.client.call("PATCH", path, {"auto_deploy": True})

    def _runs(self, definition: str) -> bool | None:
        return True if self.client.definition("web")["taskDefinitionArn"] == definition else None

    def _ran_together(self, one: int, other: int) -> bool:
        a, b = (self.client.call("GET", f"/v1/cicd/builds/{number}") for number in (one, other))
        return bool(a["started_at"] <= b["finished_at"] and b["started_at"] <= a["finished_at"])

    def _deployment(self, number: int) -> dict[str, Any]:
        row: dict[str, Any] = self.client.call("GET", f"/v1/cicd/deployments/{number}")
        return row

    def _log(self, number: int) -> list[str]:
        answer = self.client.call("GET", f"/v1/cicd/builds/{number}/logs?limit=1000")
        return [line["message"] for line in answer["lines"]]

    def _all_builds(self) -> list[Any]:
        builds: list[Any] = self.client.call("GET", self._cicd("builds") + "?limit=100")["items"]
        return builds

    def _cicd(self, what: str) -> str:
        return f"/v1/cicd/services/{self.service}/{what}"


def _environment(definition: dict[str, Any]) -> dict[str, str]:
    variables = definition["containerDefinitions"][0]["environment"]
    return {variable["name"]: variable["value"] for variable in variables}


def _steps(progress: list[int]) -> str:
    return "-".join(str(value) for value in dict.fromkeys(progress))


@contextmanager
def serving(*, simulate: bool, log: Path) -> Iterator[dict[str, Any]]:
    """Run `serve` on free ports in a separate process. Its log goes to a file."""
    command = [sys.executable, "-m", "infra.local", "serve", "--port", "0"]
    with log.open("wb") as stderr:
        process = subprocess.Popen(
            command + (["--simulate"] if simulate else []),
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
        )
        try:
            line = process.stdout.readline() if process.stdout else ""
            if not line:
                raise NotSeen(f"Slipway did not start:\n{log.read_text()[-2000:]}")
            yield json.loads(line)
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(timeout=60)


def main() -> int:
    parser = argparse.ArgumentParser(prog="make demo", description=__doc__)
    parser.add_argument("--simulate", action="store_true", help="never use Docker")
    options = parser.parse_args()
    log = Path("build/demo.log")
    log.parent.mkdir(exist_ok=True)
    started = time.monotonic()
    try:
        with serving(simulate=options.simulate, log=log) as ready:
            how = (
                "Docker is real" if ready["docker"] else "SIMULATED: Docker with buildx is not used"
            )
            print(
                f"Slipway answers at {ready['api']} after {time.monotonic() - started:.1f} s; {how}"
            )
            Story(Client(ready), sample.Sample(Path(ready["sample"]))).play()
            print("\nNot run here: other platforms, registry cache, provenance and SBOM", end=" ")
            print("(they need buildx's docker-container driver; tests check their commands)")
    except NotSeen as failure:
        print(f"\nFAILED: {failure}\nThe log is in {log}", file=sys.stderr)
        return 1
    print(f"\nAll checks passed in {time.monotonic() - started:.1f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
