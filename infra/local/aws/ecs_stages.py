"""The lifecycle stages of a service deployment that shifts traffic: their order, weights and waits.

Pure rules of the strategies BLUE_GREEN, LINEAR and CANARY. Sources: the ECS developer guide
("Amazon ECS blue/green service deployments workflow", "Amazon ECS linear deployments", "Amazon ECS
canary deployments", "Lifecycle hooks for Amazon ECS service deployments") and the API reference
(ServiceDeployment, LinearConfiguration, CanaryConfiguration). `docs/embedded-ecs.md` lists what
they do not say.
"""

from dataclasses import dataclass
from typing import Any

Json = dict[str, Any]
# Seconds of the embedded clock that a shift of traffic and the end of old tasks take. Inferred: the
# guide names only the 10 minutes that a Network Load Balancer adds.
SHIFT = 2.0
CLEAN_UP = 2.0
MINUTE = 60.0
# "Each lifecycle stage can last up to 24 hours." Then ECS fails the deployment and rolls it back.
LONGEST_STAGE = 24 * 60 * MINUTE
# "Supported stages by hook type". Lambda hooks may be at all stages of these.
SHIFTS = ("TEST_TRAFFIC_SHIFT", "PRODUCTION_TRAFFIC_SHIFT")
PAUSABLE = (
    "RECONCILE_SERVICE",
    "PRE_SCALE_UP",
    "POST_SCALE_UP",
    "POST_TEST_TRAFFIC_SHIFT",
    "PRE_PRODUCTION_TRAFFIC_SHIFT",
    "POST_PRODUCTION_TRAFFIC_SHIFT",
)
HOOKED = (*PAUSABLE, *SHIFTS)


@dataclass(frozen=True)
class Visit:
    """One pass through a stage, which lasts at least `seconds`.

    `weight` is the percentage of test or production traffic that the stage gives to the new
    revision. None if the stage shifts no traffic.
    """

    stage: str
    seconds: float = 0.0
    weight: float | None = None


def forward(configuration: Json, *, reconcile: bool) -> list[Visit]:
    """The stages of a rollout. `reconcile`: more than one revision was active when it began."""
    first = [Visit("RECONCILE_SERVICE", SHIFT)] if reconcile else []
    return [
        *first,
        Visit("PRE_SCALE_UP"),
        Visit("SCALE_UP"),
        Visit("POST_SCALE_UP"),
        Visit("TEST_TRAFFIC_SHIFT", SHIFT, 100.0),
        Visit("POST_TEST_TRAFFIC_SHIFT"),
        *_production(configuration),
        Visit("POST_PRODUCTION_TRAFFIC_SHIFT"),
        Visit("BAKE_TIME", configuration.get("bakeTimeInMinutes", 0) * MINUTE),
        Visit("CLEAN_UP", CLEAN_UP),
    ]


def backward(*, scale_up: bool, production: bool, test: bool) -> list[Visit]:
    """The stages of a rollback: no new revision, only weights that flip back.

    The two shifts "are also invoked during rollback". `production` and `test` say whether the new
    revision has such traffic. Inferred: the order, and that tasks which are gone start first.
    """
    return [
        *([Visit("SCALE_UP")] if scale_up else []),
        *([Visit("PRODUCTION_TRAFFIC_SHIFT", SHIFT, 0.0)] if production else []),
        *([Visit("TEST_TRAFFIC_SHIFT", SHIFT, 0.0)] if test else []),
        Visit("CLEAN_UP", CLEAN_UP),
    ]


def steps(configuration: Json) -> list[float]:
    """The percentages of production traffic that the new revision gets, one after the other.

    A last step of LINEAR that is smaller than the others is inferred from CloudFormation's page of
    LinearConfiguration, which counts "the floor of 100 / StepPercent" waits.
    """
    if configuration["strategy"] == "LINEAR":
        tenths = round(configuration["linearConfiguration"]["stepPercent"] * 10)
        return [each / 10 for each in [*range(tenths, 1000, tenths), 1000]]
    if configuration["strategy"] == "CANARY":
        canary = float(configuration["canaryConfiguration"]["canaryPercent"])
        return [canary, 100.0] if canary < 100 else [100.0]
    return [100.0]


def _production(configuration: Json) -> list[Visit]:
    """Each step has both stages. "This bake time is not applied after reaching 100 percent"."""
    linear = configuration.get("linearConfiguration", {}).get("stepBakeTimeInMinutes", 0)
    canary = configuration.get("canaryConfiguration", {}).get("canaryBakeTimeInMinutes", 0)
    visits = []
    for weight in steps(configuration):
        wait = (linear or canary) * MINUTE if weight < 100 else 0.0
        visits.append(Visit("PRE_PRODUCTION_TRAFFIC_SHIFT"))
        visits.append(Visit("PRODUCTION_TRAFFIC_SHIFT", SHIFT + wait, weight))
    return visits
