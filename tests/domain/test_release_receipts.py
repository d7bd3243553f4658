"""Receipts of releases: what they contain, and how they are chained."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.domain.release_receipts import ServiceDeployment, hash_of, sealed, warnings_of

RECORD = ServiceDeployment("arn:1", "arn:2", "SUCCESSFUL", 5, "MONITORING_COMPLETE", "DISABLED")
ALARMS = {"alarms": {"enable": True, "rollback": True, "alarmNames": ["5xx", "latency"]}}

VALUES = st.recursive(
    st.none() | st.integers() | st.text() | st.booleans(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)
CONTENTS = st.dictionaries(st.text().filter(lambda name: name != "hash"), VALUES)


@given(CONTENTS)
def test_a_receipt_has_the_same_hash_after_a_trip_through_json(content: dict[str, Any]) -> None:
    receipt = sealed(content, None)
    assert hash_of(json.loads(json.dumps(receipt))) == receipt["hash"]


@given(CONTENTS, CONTENTS)
def test_a_changed_receipt_has_another_hash(content: dict[str, Any], other: dict[str, Any]) -> None:
    receipt = sealed(content, {"deployment_id": 1, "hash": "sha256:0"})
    changed = {**receipt, **other}
    same = json.dumps(changed, sort_keys=True) == json.dumps(receipt, sort_keys=True)
    assert (hash_of(changed) == receipt["hash"]) == same


def test_each_receipt_names_the_one_before_by_its_hash() -> None:
    first = sealed({"deployment_id": 1}, None)
    second = sealed({"deployment_id": 2}, {"deployment_id": 1, "hash": first["hash"]})
    assert first["previous"] is None
    assert second["previous"] == {"deployment_id": 1, "hash": first["hash"]}
    forged = {**first, "deployment_id": 3}
    assert hash_of(forged) != second["previous"]["hash"]


@pytest.mark.parametrize(
    ("record", "desired", "configuration", "warnings"),
    [
        (RECORD, 2, {}, []),
        (RECORD, 0, {}, ["wants no tasks"]),
        (None, 2, {}, ["no record"]),
        (RECORD, 2, ALARMS, ["did not watch the alarms (5xx, latency) in this rollout"]),
        (None, 2, ALARMS, ["no record"]),
        (RECORD, 2, {"alarms": {**ALARMS["alarms"], "enable": False}}, []),
        (RECORD, 2, {"earlySuccessCriteria": {"enable": True}}, ["earlySuccessCriteria"]),
    ],
)
def test_a_receipt_says_what_it_does_not_show(
    record: ServiceDeployment | None,
    desired: int,
    configuration: dict[str, Any],
    warnings: list[str],
) -> None:
    found = warnings_of(record, desired=desired, configuration=configuration)
    assert len(found) == len(warnings)
    for text, part in zip(found, warnings, strict=True):
        assert part in text
