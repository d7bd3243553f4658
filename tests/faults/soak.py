"""`make soak N=…`: long random stories. Each has a seed and runs in a fork of one new world."""

import argparse
import json
import logging
import random
import sys
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from functools import partial
from typing import Any

import pytest
from moto import mock_aws

import tests.support.fixtures  # noqa: F401  # first: it sets the product's environment
from tests.faults.trials import forked, warm_up
from tests.faults.world import GITHUB_ACTIONS, World, actions_of
from tests.support.embedded import Cloud

STEPS = 40


@contextmanager
def new_world() -> Iterator[World]:
    """A new world, without jobs."""
    warm_up()
    with pytest.MonkeyPatch.context() as monkeypatch, mock_aws():
        yield World(Cloud(monkeypatch), monkeypatch)


def play(world: World, seed: int, *, traffic: bool = False) -> dict[str, Any]:
    """Play the story of a seed until the world has settled, and return its tally.

    With `traffic` two of five stories are those of a service that moves traffic.
    """
    chance = random.Random(seed)
    world.calm = seed % 4 == 0
    on_github = world.all_tell and seed % 3 == 0
    if on_github:
        world.connect_github(by_app=chance.random() < 0.5, checks=chance.random() < 0.5)
    if traffic and seed % 5 < 2:
        world.move_traffic(seed // 5)
    actions = actions_of(world) | (GITHUB_ACTIONS if on_github else {})
    names, weights = list(actions), list(actions.values())
    for _ in range(chance.randrange(10, STEPS)):
        getattr(world, chance.choices(names, weights)[0])(chance.randrange(10_000))
    world.settle(lose_all=bool(seed % 2))
    tally = world.tally
    return {
        "jobs": tally.jobs,
        "steps": tally.steps,
        "repair": tally.repair,
        "only_pushes": tally.only_pushes,
        "traffic": int(world.moves_traffic),
        "approved": tally.approved,
        "faults": dict(tally.faults),
    }


def run(first: int, trials: int, until: float) -> dict[str, Any]:
    """Play stories from seed `first` on, until `trials` are done or the time `until` comes."""
    logging.disable(logging.CRITICAL)
    total: Counter[str] = Counter()
    faults: Counter[str] = Counter()
    violations: list[str] = []
    repair, seed = 0, first
    with new_world() as world:
        while total["trials"] < trials and time.time() < until:
            result = forked(partial(play, world, seed, traffic=True))
            if result.trouble:
                violations.append(f"seed {seed}\n{result.trouble}")
            else:
                answer = result.answer
                total["stories"] += 1
                total["steps"] += answer["steps"]
                total["jobs"] += answer["jobs"]
                for name in ("only_pushes", "traffic", "approved"):
                    total[name] += answer[name]
                # A trial is one accepted job that ends in a story with at least one fault.
                total["trials"] += answer["jobs"] if answer["faults"] else 0
                faults.update(answer["faults"])
                repair = max(repair, answer["repair"])
            seed += 1
    return {**total, "faults": dict(faults), "repair": repair, "violations": violations}


def main() -> int:
    parser = argparse.ArgumentParser(prog="make soak", description=__doc__)
    parser.add_argument("trials", type=int, help="number of trials, over all workers")
    parser.add_argument(
        "--seed", type=int, default=int(time.time()), help="seed of the first story"
    )
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--minutes", type=float, default=600.0, help="time limit in minutes")
    options = parser.parse_args()
    until = time.time() + options.minutes * 60
    share = -(-options.trials // options.workers)
    with ProcessPoolExecutor(options.workers) as pool:
        runs = [
            pool.submit(run, options.seed + worker * 10_000_000, share, until)
            for worker in range(options.workers)
        ]
        results = [each.result() for each in runs]
    faults: Counter[str] = Counter()
    for result in results:
        faults.update(result["faults"])
    violations = [each for result in results for each in result["violations"]]
    trials = sum(result.get("trials", 0) for result in results)
    summary = {
        "seed": options.seed,
        "trials": trials,
        "stories": sum(result.get("stories", 0) for result in results),
        "steps": sum(result.get("steps", 0) for result in results),
        "faults": dict(faults.most_common()),
        "stories_of_only_pushes": sum(result.get("only_pushes", 0) for result in results),
        "stories_that_move_traffic": sum(result.get("traffic", 0) for result in results),
        "approved_deployments": sum(result.get("approved", 0) for result in results),
        "repair_periods": max(result["repair"] for result in results),
        "violations": len(violations),
        # The rule of three: after n trials without a violation the rate is below 3/n at 95 %.
        "bound_95": None if violations or not trials else 3 / trials,
    }
    print(json.dumps(summary, indent=1))
    for violation in violations[:20]:
        print(violation, file=sys.stderr)
    return 1 if violations else 0


if __name__ == "__main__":
    sys.exit(main())
