"""Any bytes sent as a body are parsed, or refused with one of Slipway's errors."""

import json
from typing import Any

import msgspec
import pytest
from chalice.app import Request
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.api.builds import NewBuild
from chalicelib.api.deployments import NewApproval, NewDeployment, NewRejection, NewRollback
from chalicelib.api.http.bodies import read_body
from chalicelib.api.http.problems import problem
from chalicelib.api.projects import NewProject
from chalicelib.api.services import NewService, ServiceChanges
from chalicelib.errors import InvalidInput
from tests.support.builders import gateway_event

MODELS: list[type[msgspec.Struct]] = [
    NewBuild,
    NewDeployment,
    NewProject,
    NewRollback,
    NewApproval,
    NewRejection,
    ServiceChanges,
    NewService,
]
NAMES = sorted({name for model in MODELS for name in model.__struct_fields__})

text = st.text(st.characters(exclude_categories=[]))  # lone surrogates, too
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | text,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(text, inner, max_size=3),
    max_leaves=6,
)
bodies = st.binary(max_size=60) | st.dictionaries(st.sampled_from(NAMES) | text, values).map(
    lambda body: json.dumps(body).encode()
)


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.__name__)
@given(body=bodies)
def test_any_body_is_parsed_or_refused(model: type[msgspec.Struct], body: Any) -> None:
    event = gateway_event("POST", "/v1/projects")
    event["body"] = body
    try:
        read_body(Request(event), model)
    except InvalidInput as error:
        json.loads(problem(error, request_id="r").body)
