"""Each gap of moto that the embedded cloud closes, with AWS's behaviour and its source."""

import hashlib
import json
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import chain
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from moto import mock_aws
from moto.server import ThreadedMotoServer
from types_boto3_dynamodb import DynamoDBClient
from types_boto3_dynamodb.type_defs import TransactWriteItemTypeDef
from types_boto3_ecr import ECRClient

from infra.local.aws import clock, fidelity

REGION = "eu-west-1"


@pytest.fixture(params=["in process", "over HTTP"])
def endpoint(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> Iterator[str | None]:
    fidelity.install()
    clock.reset()
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "local")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "local")
    if request.param == "in process":
        with mock_aws():
            yield None
        return
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    yield "http://{}:{}".format(*server.get_host_and_port())
    server.stop()
    clock.reset()


@pytest.fixture
def dynamodb(endpoint: str | None) -> DynamoDBClient:
    client = boto3.client("dynamodb", region_name=REGION, endpoint_url=endpoint)
    client.create_table(
        TableName=(name := f"rows-{uuid.uuid4()}"),
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
    )
    client.meta.events.register(
        "before-parameter-build.dynamodb", lambda params, **_: _name_table(params, name)
    )
    # boto3 creates the class on first use. Two threads at once would get two different classes.
    assert client.exceptions.TransactionCanceledException
    return client


def _name_table(params: dict[str, Any], name: str) -> None:
    """Replace the table "rows" by a unique one: the server outlives a test, and so do tables."""
    for request in [
        params,
        *(r for item in params.get("TransactItems", []) for r in item.values()),
    ]:
        if "TableName" in request:
            request["TableName"] = name


@pytest.fixture
def ecr(endpoint: str | None) -> ECRClient:
    return boto3.client("ecr", region_name=REGION, endpoint_url=endpoint)


def item(row: str) -> dict[str, Any]:
    return {"id": {"S": row}, "n": {"N": "1"}}


def put(row: str) -> TransactWriteItemTypeDef:
    return {"Put": {"TableName": "rows", "Item": item(row)}}


def put_new(row: str) -> TransactWriteItemTypeDef:
    condition = "attribute_not_exists(id)"
    return {"Put": {"TableName": "rows", "Item": item(row), "ConditionExpression": condition}}


def check(row: str) -> TransactWriteItemTypeDef:
    key, condition = {"id": {"S": row}}, "attribute_exists(id)"
    return {"ConditionCheck": {"TableName": "rows", "Key": key, "ConditionExpression": condition}}


def increment(row: str) -> TransactWriteItemTypeDef:
    return {
        "Update": {
            "TableName": "rows",
            "Key": {"id": {"S": row}},
            "UpdateExpression": "ADD n :one",
            "ExpressionAttributeValues": {":one": {"N": "1"}},
        }
    }


def rows(client: DynamoDBClient) -> dict[str, str]:
    items = client.scan(TableName="rows")["Items"]
    return {item["id"]["S"]: item["n"]["N"] for item in items}


def together(count: int, action: Callable[[int], object]) -> list[object]:
    barrier = threading.Barrier(count)

    def run(number: int) -> object:
        barrier.wait()
        return action(number)

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(run, range(count)))


def code_of(error: pytest.ExceptionInfo[ClientError]) -> str:
    return error.value.response["Error"]["Code"]


def test_of_many_conditional_writes_one_wins_and_no_count_is_lost(
    dynamodb: DynamoDBClient,
) -> None:
    """DynamoDB Developer Guide, "DynamoDB read consistency" and "Condition expressions": each
    condition is checked against the newest item, and writes of one item are serialized."""

    def take(number: int) -> bool:
        dynamodb.transact_write_items(TransactItems=[increment("count")])
        try:
            dynamodb.transact_write_items(TransactItems=[put_new("lock"), put(f"winner-{number}")])
        except dynamodb.exceptions.TransactionCanceledException:
            return False
        return True

    assert sum(map(bool, together(12, take))) == 1
    assert rows(dynamodb)["count"] == "12"
    assert sum(row.startswith("winner") for row in rows(dynamodb)) == 1


def test_a_failed_transaction_rolls_back_only_its_own_writes(dynamodb: DynamoDBClient) -> None:
    """DynamoDB Developer Guide, "Amazon DynamoDB Transactions: How it works": all or nothing."""
    dynamodb.put_item(TableName="rows", Item=item("kept"))

    def write(number: int) -> None:
        if number % 2:
            dynamodb.put_item(TableName="rows", Item=item(f"mine-{number}"))
            return
        with pytest.raises(dynamodb.exceptions.TransactionCanceledException) as error:
            dynamodb.transact_write_items(
                TransactItems=[increment("kept"), put(f"undone-{number}"), check("none")]
            )
        reasons = [reason["Code"] for reason in error.value.response["CancellationReasons"]]
        assert reasons == ["None", "None", "ConditionalCheckFailed"]

    together(12, write)
    assert rows(dynamodb) == {"kept": "1"} | {f"mine-{number}": "1" for number in range(1, 12, 2)}


def test_a_transaction_repeated_with_its_token_is_applied_once(dynamodb: DynamoDBClient) -> None:
    """API reference TransactWriteItems, ClientRequestToken: idempotent for 10 minutes; another
    request under the same token is an IdempotentParameterMismatch."""
    for _ in range(2):
        dynamodb.transact_write_items(TransactItems=[increment("n")], ClientRequestToken="token")
    assert rows(dynamodb) == {"n": "1"}
    with pytest.raises(ClientError) as error:
        dynamodb.transact_write_items(TransactItems=[put("other")], ClientRequestToken="token")
    assert code_of(error) == "IdempotentParameterMismatchException"
    clock.advance(601)
    dynamodb.transact_write_items(TransactItems=[increment("n")], ClientRequestToken="token")
    assert rows(dynamodb) == {"n": "2"}


def test_a_failed_transaction_does_not_use_up_its_token(dynamodb: DynamoDBClient) -> None:
    """API reference TransactWriteItems, ClientRequestToken: only a request that completed
    successfully is answered from its token."""
    request: list[Any] = [put("a"), check("b")]
    with pytest.raises(dynamodb.exceptions.TransactionCanceledException):
        dynamodb.transact_write_items(TransactItems=request, ClientRequestToken="failed")
    dynamodb.put_item(TableName="rows", Item=item("b"))
    dynamodb.transact_write_items(TransactItems=request, ClientRequestToken="failed")
    assert rows(dynamodb) == {"a": "1", "b": "1"}


def test_a_long_poll_blocks_no_other_request(endpoint: str | None) -> None:
    """SQS Developer Guide, "Amazon SQS short and long polling": a waiting ReceiveMessage returns as
    soon as a message arrives, and other requests go on meanwhile."""
    sqs = boto3.client("sqs", region_name=REGION, endpoint_url=endpoint)
    url = sqs.create_queue(QueueName=f"queue-{uuid.uuid4()}")["QueueUrl"]
    received: list[str] = []

    def poll() -> None:
        answer = sqs.receive_message(QueueUrl=url, WaitTimeSeconds=20)
        received.extend(message["Body"] for message in answer["Messages"])

    started = time.monotonic()
    poller = threading.Thread(target=poll)
    poller.start()
    for _ in range(5):
        sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])
    sqs.send_message(QueueUrl=url, MessageBody="wake up")
    poller.join(10)
    assert received == ["wake up"]
    assert time.monotonic() - started < 10


def manifest(layer: str) -> str:
    media_type = "application/vnd.oci.image.manifest.v1+json"
    value = {"schemaVersion": 2, "mediaType": media_type, "annotations": {"layer": layer}}
    return json.dumps(value | {"config": {"digest": "sha256:same"}, "layers": []})


def digest(text: str) -> str:
    return f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"


def test_an_image_has_the_digest_of_its_manifest(ecr: ECRClient) -> None:
    """ECR User Guide, "Amazon ECR concepts": the digest is the SHA-256 of the image manifest; API
    reference PutImage: ImageDigestDoesNotMatchException."""
    name = f"repository-{uuid.uuid4()}"
    ecr.create_repository(repositoryName=name)
    for text in (manifest("one"), manifest("two")):
        image = ecr.put_image(repositoryName=name, imageManifest=text, imageTag=digest(text)[7:20])
        assert image["image"]["imageId"]["imageDigest"] == digest(text)
    with pytest.raises(ClientError) as error:
        ecr.put_image(
            repositoryName=name, imageManifest=manifest("x"), imageDigest=digest(manifest("y"))
        )
    assert code_of(error) == "ImageDigestDoesNotMatchException"


def test_after_a_tag_moves_the_old_image_is_found_by_its_digest(ecr: ECRClient) -> None:
    """ECR User Guide, "Image tag mutability": a pushed tag moves to the new image, the old one
    stays untagged; API reference DescribeImages: ImageNotFoundException."""
    name = f"repository-{uuid.uuid4()}"
    ecr.create_repository(repositoryName=name)
    old, new = manifest("old"), manifest("new")
    for text in (old, new):
        ecr.put_image(repositoryName=name, imageManifest=text, imageTag="main")

    by_tag = ecr.describe_images(repositoryName=name, imageIds=[{"imageTag": "main"}])
    assert by_tag["imageDetails"][0]["imageDigest"] == digest(new)
    by_digest = ecr.describe_images(repositoryName=name, imageIds=[{"imageDigest": digest(old)}])
    assert "imageTags" not in by_digest["imageDetails"][0]
    with pytest.raises(ClientError) as error:
        ecr.describe_images(repositoryName=name, imageIds=[{"imageTag": "none"}])
    assert code_of(error) == "ImageNotFoundException"


def test_a_tag_of_an_immutable_repository_cannot_be_moved(ecr: ECRClient) -> None:
    """ECR User Guide, "Preventing image tags from being overwritten in Amazon ECR":
    ImageTagAlreadyExistsException."""
    name = f"repository-{uuid.uuid4()}"
    ecr.create_repository(repositoryName=name, imageTagMutability="IMMUTABLE")
    ecr.put_image(repositoryName=name, imageManifest=manifest("old"), imageTag="main")
    with pytest.raises(ClientError) as error:
        ecr.put_image(repositoryName=name, imageManifest=manifest("new"), imageTag="main")
    assert code_of(error) == "ImageTagAlreadyExistsException"
    found = ecr.describe_images(repositoryName=name)["imageDetails"]
    assert [image["imageDigest"] for image in found] == [digest(manifest("old"))]


def test_ecr_may_show_a_pushed_image_a_moment_later(
    ecr: ECRClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """DescribeImages is eventually consistent; the registry serves the image at once."""
    monkeypatch.setattr(fidelity, "IMAGE_LAG", 1.0)
    name = f"repository-{uuid.uuid4()}"
    ecr.create_repository(repositoryName=name)
    ecr.put_image(repositoryName=name, imageManifest=manifest("new"), imageTag="main")
    image: Any = {"repositoryName": name, "imageIds": [{"imageTag": "main"}]}
    with pytest.raises(ClientError) as error:
        ecr.describe_images(**image)
    assert code_of(error) == "ImageNotFoundException"
    assert ecr.describe_images(repositoryName=name)["imageDetails"] == []
    assert len(ecr.batch_get_image(**image)["images"]) == 1
    clock.advance(1)
    assert len(ecr.describe_images(**image)["imageDetails"]) == 1


def test_an_archived_image_is_described_but_not_handed_out_until_it_is_restored(
    ecr: ECRClient,
) -> None:
    """ECR User Guide, "Archiving an image": a pull fails with 404, describe-images shows the status
    ARCHIVED. UpdateImageStorageClass in the API reference: ACTIVE, ARCHIVED, ACTIVATING. How long a
    restore takes is in the guide, too: up to 20 minutes. DescribeImagesFilter in the API reference:
    if imageStatus is not specified, only images with ACTIVE status are returned."""
    name = f"repository-{uuid.uuid4()}"
    ecr.create_repository(repositoryName=name)
    ecr.put_image(repositoryName=name, imageManifest=manifest("new"), imageTag="main")
    image: Any = {"repositoryName": name, "imageIds": [{"imageTag": "main"}]}

    def status() -> str:
        found = ecr.describe_images(**image, filter={"imageStatus": "ANY"})["imageDetails"]
        active = ecr.describe_images(**image)["imageDetails"]
        assert active == [each for each in found if each["imageStatus"] == "ACTIVE"]
        return found[0]["imageStatus"]

    def move(target: Any) -> str:
        answer = ecr.update_image_storage_class(
            repositoryName=name, imageId={"imageTag": "main"}, targetStorageClass=target
        )
        return answer["imageStatus"]

    assert status() == "ACTIVE"
    assert move("ARCHIVE") == status() == "ARCHIVED"
    pulled = ecr.batch_get_image(**image)
    assert pulled["images"] == []
    assert pulled["failures"][0]["failureCode"] == "ImageNotFound"
    assert move("STANDARD") == status() == "ACTIVATING"
    assert ecr.batch_get_image(**image)["images"] == []
    clock.advance(fidelity.RESTORE_TIME)
    assert status() == "ACTIVE"
    assert len(ecr.batch_get_image(**image)["images"]) == 1


def test_a_layer_has_a_url_in_the_registry_that_has_the_blobs(
    ecr: ECRClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """API reference GetDownloadUrlForLayer: a URL, or LayersNotFoundException. On AWS it leads to
    S3."""
    name = f"repository-{uuid.uuid4()}"
    ecr.create_repository(repositoryName=name)
    layer = digest("layer")
    with pytest.raises(ClientError) as error:
        ecr.get_download_url_for_layer(repositoryName=name, layerDigest=layer)
    assert code_of(error) == "LayersNotFoundException"
    monkeypatch.setattr(fidelity, "BLOBS", "http://127.0.0.1:5000")
    found = ecr.get_download_url_for_layer(repositoryName=name, layerDigest=layer)
    assert found["downloadUrl"] == f"http://127.0.0.1:5000/v2/{name}/blobs/{layer}"


def test_a_received_message_returns_after_its_visibility_timeout(
    endpoint: str | None,
) -> None:
    """SQS Developer Guide, "Amazon SQS visibility timeout"; by the embedded cloud's clock."""
    sqs = boto3.client("sqs", region_name=REGION, endpoint_url=endpoint)
    url = sqs.create_queue(QueueName="wakeups", Attributes={"VisibilityTimeout": "180"})["QueueUrl"]
    sqs.send_message(QueueUrl=url, MessageBody="hello")

    def received() -> int:
        return len(sqs.receive_message(QueueUrl=url, WaitTimeSeconds=0).get("Messages", []))

    assert received() == 1
    clock.advance(179)
    assert received() == 0
    clock.advance(2)
    assert received() == 1


def test_dead_letters_are_moved_back_to_their_source_queue(endpoint: str | None) -> None:
    """StartMessageMoveTask in the SQS API reference: without a destination, to the source queues.
    "Using dead-letter queues in Amazon SQS": messages move after maxReceiveCount receives."""
    sqs = boto3.client("sqs", region_name=REGION, endpoint_url=endpoint)
    dead = sqs.create_queue(QueueName="dead")["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=dead, AttributeNames=["QueueArn"])["Attributes"]
    policy = {"deadLetterTargetArn": arn["QueueArn"], "maxReceiveCount": 1}
    attributes: Any = {"VisibilityTimeout": "0", "RedrivePolicy": json.dumps(policy)}
    url = sqs.create_queue(QueueName="live", Attributes=attributes)["QueueUrl"]
    sqs.send_message(QueueUrl=url, MessageBody="hello")

    def bodies(queue: str) -> list[str]:
        answer = sqs.receive_message(QueueUrl=queue, WaitTimeSeconds=0, VisibilityTimeout=0)
        return [message["Body"] for message in answer.get("Messages", [])]

    assert bodies(url) == ["hello"]
    assert bodies(url) == []
    assert bodies(dead) == ["hello"]
    sqs.start_message_move_task(SourceArn=arn["QueueArn"])
    assert bodies(dead) == []
    assert bodies(url) == ["hello"]


def test_an_action_that_is_not_emulated_is_refused_without_retries(endpoint: str | None) -> None:
    """Not AWS's behaviour: a missing action returns 501. SDKs do not retry it, unlike a 500."""
    codebuild = boto3.client("codebuild", region_name=REGION, endpoint_url=endpoint)
    with pytest.raises(ClientError, match="list_builds") as error:
        codebuild.list_builds()
    assert error.value.response["ResponseMetadata"]["HTTPStatusCode"] == 501
    assert error.value.response["ResponseMetadata"]["RetryAttempts"] == 0


def test_a_page_of_a_log_has_at_most_one_megabyte(endpoint: str | None) -> None:
    """Source: GetLogEvents in the CloudWatch Logs API reference."""
    logs: Any = boto3.client("logs", region_name=REGION, endpoint_url=endpoint)
    stream = {"logGroupName": (name := f"g-{uuid.uuid4()}"), "logStreamName": "s"}
    logs.create_log_group(logGroupName=name)
    logs.create_log_stream(**stream)
    at = int(time.time() * 1000)
    lines = [f"{number:03}{'x' * 99_997}" for number in range(25)]
    for line in lines:
        logs.put_log_events(**stream, logEvents=[{"timestamp": at, "message": line}])

    def walk(token: str, **options: Any) -> list[list[str]]:
        pages, answer = [], logs.get_log_events(**stream, **options)
        while answer["events"]:
            pages.append([event["message"] for event in answer["events"]])
            answer = logs.get_log_events(**stream, **options, nextToken=answer[token])
        return pages

    forward = walk("nextForwardToken", startFromHead=True)
    assert [len(page) for page in forward] == [10, 10, 5]
    assert [*chain(*forward)] == lines
    backward = walk("nextBackwardToken", startFromHead=False)
    assert [len(page) for page in backward] == [10, 10, 5]
    assert [*chain(*reversed(backward))] == lines
    newest = logs.get_log_events(**stream, startFromHead=False)
    again = {"nextToken": newest["nextForwardToken"], "startFromHead": True}
    assert logs.get_log_events(**stream, **again)["events"] == []
