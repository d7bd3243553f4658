"""Rollouts that move traffic: blue/green, linear and canary."""

from tests.support.embedded import Cloud

CANARY = {"type": "CANARY", "percent": 12.5, "step_minutes": 2, "bake_minutes": 3}


def test_a_strategy_is_stored_shown_and_in_the_audit_trail(cloud: Cloud) -> None:
    path = f"/v1/services/{cloud.service_id}"
    answer = cloud.api.patch(path, {"strategy": CANARY})
    assert (answer.status, answer.body["strategy"]) == (200, CANARY)
    assert cloud.service()["strategy"] == CANARY
    linear = {"type": "LINEAR", "percent": None, "step_minutes": None, "bake_minutes": None}
    cloud.change_service(strategy={"type": "LINEAR"})
    assert cloud.service()["strategy"] == linear
    cloud.change_service(strategy=None)
    assert cloud.service()["strategy"] is None
    changes = cloud.api.get(f"/v1/audit?service_id={cloud.service_id}").body["items"]
    shown = [each["details"] for each in changes if each["action"] == "service.updated"][:3]
    assert [each["after"]["strategy"] for each in shown] == [None, linear, CANARY]
