"""Examples of requests. A test sends each of them to the API."""

from collections.abc import Mapping
from typing import Any

# Ids in paths: the first resource of each kind.
IDS: Mapping[str, int | str] = {
    "project_id": 1,
    "service_id": 1,
    "build_id": 1,
    "deployment_id": 1,
    "token_id": 1,
    "channel_id": 1,
    "job_id": "build-1",
    "delivery_id": "72d3162e-cc78-11e3-81ab-4c9367dc0958",
    "version": "0123456789abcdef",
    "name": "app.js",
}
# Other ids, for operations that cannot use the first resource.
OTHER_IDS: Mapping[tuple[str, str], int | str] = {
    ("cancel", "job_id"): "build-3",
    ("delete_service", "service_id"): 2,
    ("revoke_token", "token_id"): 2,
    ("delete_channel", "channel_id"): 2,
}


def _example(summary: str, **value: Any) -> dict[str, Any]:
    return {"summary": summary, "value": value}


BODIES: Mapping[str, Mapping[str, Any]] = {
    "create_project": {"project": _example("A project", name="Web shop")},
    "create_service": {
        "deployed": _example(
            "A service that is deployed to ECS on every push",
            name="web",
            git_url="https://github.com/example/app.git",
            image_repository="team/web",
            ecs_cluster="default",
            ecs_service="web",
            containers=("web",),
            auto_deploy=True,
        ),
        "built": _example(
            "A service that is only built, for two platforms",
            name="worker",
            git_url="https://github.com/example/app.git",
            branch="release",
            context_path="worker",
            dockerfile="worker/Dockerfile",
            platforms=["linux/amd64", "linux/arm64"],
            build_args={"PYTHON_VERSION": "3.12"},
            image_repository="team/worker",
        ),
        "sharing": _example(
            "A service that deploys the images of another one",
            name="jobs",
            image_from=1,
            ecs_cluster="default",
            ecs_service="jobs",
            containers=("jobs",),
            auto_deploy=True,
        ),
    },
    "update_project": {
        "rename": _example("Rename the project", name="storefront"),
        "private": _example(
            "Fetch private repositories with a credential",
            git_credential="arn:aws:secretsmanager:eu-west-1:123456789012:secret:slipway/git/1/shop-a1B2c3",
        ),
    },
    "update_service": {
        "by_hand": _example("Build only on request", auto_build=False),
        "resume": _example("Deploy every push, or resume this after a rollback", auto_deploy=True),
        "patience": _example(
            "Allow more time for builds and deployments", build_minutes=60, deploy_minutes=45
        ),
    },
    "update_config": {
        "variables": _example(
            "Set a variable, remove another one, and deploy this",
            environment={"LOG_LEVEL": "debug", "OLD_NAME": None},
            reason="Find the slow requests",
        ),
        "size": _example("Change the size with the next release", memory=512, deploy=False),
    },
    "start_build": {
        "branch": _example("The newest commit of a branch", git_ref="master"),
        "commit": _example(
            "A commit, with its own build arguments",
            git_ref="6113728f27ae82c7b1a177c8d03f9e96e0adf246",
            build_args={"DEBUG": "1"},
        ),
        "settings": _example("The service's branch, with its settings"),
    },
    "deploy": {
        "build": _example(
            "The image of a build", image_tag="hello:master-1", reason="First release"
        ),
    },
    "roll_back": {
        "before": _example("To the previous release", reason="Errors since the last release"),
        "named": _example("To the release of a chosen deployment", deployment_id=1),
    },
    "approve_deployment": {
        "next": _example("The traffic for which it waits", reason="The tests of the day are green"),
        "all": _example("This step and all later ones", steps="all"),
    },
    "reject_deployment": {"errors": _example("Take it back", reason="Orders are missing")},
    "create_token": {
        "pipeline": _example(
            "A deployer for one service, valid for 90 days",
            name="ci of hello",
            role="deployer",
            service_id=1,
            expires_in_days=90,
        ),
        "reader": _example("A viewer that sees everything", name="dashboard", role="viewer"),
    },
    "create_channel": {
        "github": _example(
            "Statuses of commits and deployments of all projects on GitHub",
            name="GitHub",
            kind="github",
            secret="secretsmanager:slipway/tell/all/github",  # noqa: S106 - the name of a secret
        ),
        "slack": _example(
            "Failures of one project in Slack",
            name="shop in Slack",
            kind="slack",
            project_id=1,
            secret="secretsmanager:slipway/tell/1/slack",  # noqa: S106 - the name of a secret
            events=["build.failed", "deployment.failed"],
            branches=["main", "release/**"],
        ),
        "topic": _example(
            "A topic of SNS for one service",
            name="news of hello",
            kind="sns",
            service_id=1,
            target="arn:aws:sns:eu-west-1:123456789012:slipway-news",
        ),
    },
    "update_channel": {
        "events": _example("Tell only of failed builds", events=["build.failed"]),
    },
    "receive_github": {
        "push": _example(
            "The parts of a push that Slipway reads",
            ref="refs/heads/master",
            after="6113728f27ae82c7b1a177c8d03f9e96e0adf246",
            created=False,
            deleted=False,
            forced=False,
            repository={
                "full_name": "Codertocat/Hello-World",
                "html_url": "https://github.com/Codertocat/Hello-World",
                "clone_url": "https://github.com/Codertocat/Hello-World.git",
                "pushed_at": 1795305600,
            },
            sender={"login": "Codertocat"},
            head_commit={
                "id": "6113728f27ae82c7b1a177c8d03f9e96e0adf246",
                "message": "Say hello",
                "author": {"name": "Codertocat"},
            },
            commits=[
                {
                    "id": "6113728f27ae82c7b1a177c8d03f9e96e0adf246",
                    "added": ["docs/hello.md"],
                    "removed": [],
                    "modified": ["src/hello.py"],
                }
            ],
        ),
    },
}
BODIES = {**BODIES, "test_push": BODIES["receive_github"]}
