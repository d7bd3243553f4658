"""Rows with a config, and rows that are older than it."""

from chalicelib.domain.config import Config
from chalicelib.store.jobs import get_deployment
from chalicelib.store.models import Deployment, Service
from chalicelib.store.services import get_service
from chalicelib.store.writes import change, commit
from tests.support.embedded import Cloud

WHOLE = Config(
    environment={"EMPTY": "", "TEXT": "two\nlines", "NUMBER": "07"},
    secrets={"KEY": "arn:aws:ssm:eu-west-1:123456789012:parameter/key"},
    cpu=256,
    desired_count=0,
)


def test_a_config_is_read_as_it_was_written(cloud: Cloud) -> None:
    cloud.release(1)
    commit(change(get_service(1), config=WHOLE), change(get_deployment(1), config=WHOLE))
    assert get_service(1).config == WHOLE
    assert get_deployment(1).config == WHOLE


def test_a_row_in_an_error_or_a_log_line_shows_no_values_of_its_config(cloud: Cloud) -> None:
    cloud.release(1)
    commit(change(get_service(1), config=WHOLE), change(get_deployment(1), config=WHOLE))
    service, deployment = get_service(1), get_deployment(1)
    for _ in range(2):
        assert "two" not in repr(service) + repr(deployment)
        assert service.config == deployment.config == WHOLE


def test_rows_without_a_config_have_an_empty_one_and_are_released(cloud: Cloud) -> None:
    cloud.release(1)
    get_service(1).update(actions=[Service.config.remove()])
    get_deployment(1).update(actions=[Deployment.config.remove()])
    assert get_service(1).config == Config()
    shown = cloud.api.get("/v1/services/1/config").body
    assert (shown["environment"], shown["released"]) == ({}, True)
    cloud.begin_release(2)
    get_deployment(2).update(actions=[Deployment.config.remove()])
    assert cloud.api.get("/v1/services/1/config").body["deployment_id"] == 2
    cloud.finish_rollout()
    assert cloud.api.patch("/v1/services/1/config", {"environment": {"A": "1"}}).status == 202
    cloud.settle()
    cloud.finish_rollout()
    assert get_deployment(3).config == Config(environment={"A": "1"})
    assert cloud.statuses(2, 3) == ["success", "success"]
