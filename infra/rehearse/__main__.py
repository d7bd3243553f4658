"""Rehearses a deploy; see the package. Exits with 0 only if every step was seen."""

import subprocess
import sys
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

from botocore.exceptions import BotoCoreError, ClientError

from infra.functions import FUNCTIONS
from infra.package import ROOT
from infra.rehearse import emulator
from infra.rehearse.checkout import add_route, copy_checkout
from infra.rehearse.deploy import LEFT_OUT
from infra.rehearse.emulator import PLACE, NotInstalled
from infra.rehearse.operators import create_operator
from infra.rehearse.readback import NOT_KEPT, client, read_back
from infra.rehearse.stage import Api, chalice, everything, function, operator, run
from infra.rehearse.story import (
    Story,
    grant_what_the_emulator_checks_wrongly,
    take_back_what_was_granted,
)
from infra.seeing import NotSeen, check

PATTERNS = ("RepositoryPattern=team/*", "TaskRoles=ecs-*")
DEV, PROD = "slipway-dev", "slipway-prod"


@contextmanager
def step(what: str) -> Iterator[None]:
    """Print a line with the seconds that the step took, when it has ended well."""
    began = time.monotonic()
    try:
        yield
    except NotSeen as failure:
        raise NotSeen(f"not seen: {what}\n{failure}") from None
    print(f"{time.monotonic() - began:6.1f} s  {what}", flush=True)


def rehearse() -> None:
    """All steps, from the package to the deletion."""
    with step("the emulator is installed"):
        command = emulator.install()
    with step("the application is packaged for Lambda, and cfn-lint accepts both templates"):
        package_and_lint()
    with emulator.running(command) as url:
        api = first_deploy(url)
        play(api)
        deploy_with_chalice(url, api)
        deploy_again(api)
        destroy_and_deploy_again(url, api)
        other_stage(api)
        delete_all()
    print("\nLeft out, because the emulator does not know them: " + ", ".join(sorted(LEFT_OUT)))
    print("Not compared, because the emulator does not keep them:")
    for kind, names in NOT_KEPT.items():
        print(f"  {kind}: {', '.join(sorted(names))}")
    print('docs/install.md lists all of it under "Not yet seen on AWS".')


def package_and_lint() -> None:
    """The package as it goes to AWS."""
    run("infra.package", "--stage", "dev", "--output", str(PLACE))
    lint = str(Path(sys.executable).with_name("cfn-lint"))
    for template in (ROOT / "infra/stack.yaml", PLACE / "dev/sam.json"):
        done = subprocess.run(
            [lint, "--regions", emulator.REGION, "--", str(template)],
            capture_output=True,
            text=True,
            check=False,
        )
        check(f"cfn-lint on {template.name}", done.stdout + done.stderr, "")


def first_deploy(url: str) -> Api:
    """Both stacks are created, and all resources are as the templates say."""
    with step("a user has the policy that make policy prints, and nothing else"):
        operator.update(create_operator())
    with step("make deploy creates both stacks"):
        api = Api(url, run("infra.rehearse.deploy", "dev", *PATTERNS, "--yes"))
    compare(DEV)
    grant_what_the_emulator_checks_wrongly(DEV)
    with step("the API answers: it is up, and reaches its table and its queue"):
        api.call("GET", "/v1/health")
        check("ready", api.call("GET", "/v1/ready")["status"], "ready")
    with step("make token creates a token that the API accepts"):
        api.token = run("infra.token", "dev").strip()
        check("the token's role", api.call("GET", "/v1/whoami")["role"], "admin")
    return api


def compare(stack: str, other: Collection[str] = ()) -> None:
    """Compare what AWS has with the stack's templates, except for the resources in `other`."""
    for name in (stack, f"{stack}-app"):
        with step(f"every resource of {name} is as its template says"):
            count, different = read_back(name, other)
            check(f"{count} resources of {name}, differences", different, [])


def play(api: Api) -> None:
    """The main job."""
    story = Story(api, DEV)
    steps: tuple[tuple[str, Callable[[], None]], ...] = (
        ("a project and a service are created", story.create),
        ("a signed push queues a build; the queue's function starts it in CodeBuild", story.push),
        ("CodeBuild's event ends the build, which reported no digest", story.end_of_build),
        ("an image is deployed: ECS runs a new revision with its digest", story.deploy),
        ("the policies of the functions' roles refused no call", story.refusals),
    )
    for what, act in steps:
        with step(what):
            try:
                act()
            except NotSeen as failure:
                # A refused call is the likely cause of a step that never ends.
                raise NotSeen("\n".join([str(failure), *story.refused()])) from None


def deploy_with_chalice(url: str, api: Api) -> None:
    """Chalice deploys other code than `make deploy` to the same functions, rules and API."""
    checkout = copy_checkout(PLACE / "checkout")
    add_route(checkout)
    before, tags = everything(DEV), tags_of_functions()
    with step("chalice deploy refuses before make configure"):
        refused = chalice("deploy", "--stage", "dev", checkout=checkout)
        check("its exit code", refused.returncode, 1)
        expect(refused.stderr, "or `make deploy STAGE=dev` instead.")
    with step("make configure writes the settings of the stage, and makes no resource"):
        run("infra.rehearse.configure", "dev", checkout=checkout)
        check("the resources", everything(DEV), before)
    with step("chalice deploy updates the functions and the API, and makes none"):
        done = chalice("deploy", "--stage", "dev", checkout=checkout)
        check(f"the exit code of\n{done.stdout}{done.stderr}", done.returncode, 0)
        check("the resources", everything(DEV), before)
        check("the tags of the functions", tags_of_functions(), tags)
        for rule in ("on_cloud_event", "on_schedule"):
            targets = client("events").list_targets_by_rule(Rule=f"{DEV}-{rule}-event")["Targets"]
            check(f"the targets of {rule}", len(targets), 1)
        check("the new route", api.call("GET", "/v1/rehearsed"), {"rehearsed": True})
        refusal = api.call("GET", "/v1/unknown", expect=404)
        check("the answer for an unknown route", refusal["code"], "not_found")
    compare(DEV, other={"RestAPI"})
    with step("a push is built by the code that Chalice has deployed"):
        story = Story(api, DEV)
        story.push("c" * 40)
        story.end_of_build()
        story.kept()
        story.refusals()
    with step("make deploy replaces what Chalice has deployed by this checkout"):
        printed = run("infra.rehearse.deploy", "dev", "--yes")
        changed = ", ".join(sorted((*FUNCTIONS, "RestAPI")))
        expect(printed, f"deployed by another command than this one: {changed}")
        api.host = Api(url, printed).host
        # The emulator's CloudFormation drops the answers for unknown routes.
        api.call("GET", "/v1/rehearsed", expect=403)
        Story(api, DEV).kept()
    compare(DEV)


def tags_of_functions() -> dict[str, dict[str, str]]:
    """The tags of each function of the stage: AWS does not let anybody change CloudFormation's."""
    names = [function(f"{DEV}-app", each) for each in FUNCTIONS]
    return {each: client("lambda").get_function(FunctionName=each)["Tags"] for each in names}


def deploy_again(api: Api) -> None:
    """The same deploy changes nothing; a parameter changes only what follows from it."""
    packages = objects(DEV)
    with step("make deploy again changes no stack, and the package is the same"):
        printed = run("infra.rehearse.deploy", "dev")
        for name in (DEV, f"{DEV}-app"):
            expect(printed, f"stack {name}: no change")
        check("the packages", objects(DEV), packages)
    with step("make deploy JobWorkers=4 changes the stage and keeps its data"):
        printed = run("infra.rehearse.deploy", "dev", "JobWorkers=4", "--yes")
        expect(printed, "BuildProject  AWS::CodeBuild::Project")
        name = function(f"{DEV}-app", "OnWakeup")
        variables = client("lambda").get_function_configuration(FunctionName=name)["Environment"]
        check("JOB_WORKERS", variables["Variables"]["JOB_WORKERS"], "4")
        Story(api, DEV).kept()
    compare(DEV)


def expect(text: str, line: str) -> None:
    """Raises NotSeen unless a line of `text` ends so."""
    if not any(each.endswith(line) for each in text.splitlines()):
        raise NotSeen(f"no line ends with {line!r} in:\n{text}")


def objects(stack: str) -> set[str]:
    """The names of the packages, which are hashes of their contents."""
    bucket = f"{stack}-packages-{emulator.ACCOUNT}-{emulator.REGION}"
    return {each["Key"] for each in client("s3").list_objects_v2(Bucket=bucket)["Contents"]}


def destroy_and_deploy_again(url: str, api: Api) -> None:
    """Without the application the data stays, and the next deploy uses it."""
    take_back_what_was_granted(DEV)
    with step("make destroy deletes the application and keeps the data"):
        run("infra.destroy", "dev", "--yes")
        check("what remains of the application", without_log_role(f"{DEV}-app"), [])
        expect("\n".join(everything(DEV)), f"stack {DEV}")
    with step("make configure creates the application again"):
        run("infra.rehearse.configure", "dev", "--yes", checkout=copy_checkout(PLACE / "checkout"))
        grant_what_the_emulator_checks_wrongly(DEV)
    compare(DEV)
    with step("make deploy uses the data again"):
        api.host = Api(url, run("infra.rehearse.deploy", "dev", "--yes")).host
        Story(api, DEV).kept()


def without_log_role(part: str) -> list[str]:
    """All that the account has, but the role for access logs: it is the account's, and stays."""
    role = f"role {DEV}-app-LogRole"
    return [each for each in everything(part) if not each.startswith(role)]


def other_stage(api: Api) -> None:
    """A second stage in the same account."""
    before = everything(DEV)
    with step("make deploy STAGE=prod creates a second stage beside the first"):
        # The role for access logs is the account's: the first stage has set it.
        run("infra.rehearse.deploy", "prod", *PATTERNS, "AccessLogRole=use", "--yes")
    compare(PROD)
    with step("make destroy STAGE=prod DATA=delete leaves the first stage as it is"):
        run("infra.destroy", "prod", "DATA=delete", "--yes")
        check("what remains of prod", everything(PROD), [])
        check("what dev has", everything(DEV), before)
        Story(api, DEV).kept()
    with step("the schedule has started its function, and its policies refused no call"):
        Story(api, DEV).schedule()
        Story(api, DEV).refusals()


def delete_all() -> None:
    """Everything of the stage is deleted, also if the command is repeated."""
    take_back_what_was_granted(DEV)
    with step("make destroy DATA=delete leaves nothing of the stage"):
        run("infra.destroy", "dev", "DATA=delete", "--yes")
        check("what remains", without_log_role("slipway"), [])
        run("infra.destroy", "dev", "DATA=delete", "--yes")


def main() -> None:
    """Run the rehearsal."""
    began = time.monotonic()
    try:
        rehearse()
    except (NotSeen, NotInstalled) as failure:
        sys.exit(f"\nFAILED after {time.monotonic() - began:.0f} s: {failure}")
    except (BotoCoreError, ClientError) as error:
        sys.exit(f"\nFAILED: the emulator refused a call: {error}\nIts log: {PLACE}/emulator.log")
    print(f"OK in {time.monotonic() - began:.0f} s")


if __name__ == "__main__":
    main()
