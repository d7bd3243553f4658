"""Makes moto 5.2.5 behave like AWS where Slipway needs it, for tests and the embedded cloud.

The patches replace functions of moto by name, so moto's version is pinned. Each patch closes one
gap, and a test states AWS's behaviour. The gaps: a lock, all-or-nothing transactions, real digests,
images that ECR shows late or has archived, their configs, pages of logs, and a
clear refusal of actions that moto lacks.
"""

import copy
import hashlib
import itertools
import json
import re
import threading
import time
from typing import Any

import moto
import moto.sqs.models
from moto.core.common_types import TYPE_RESPONSE
from moto.core.exceptions import ServiceException
from moto.core.responses import ActionResult, BaseResponse
from moto.dynamodb.exceptions import DynamodbException
from moto.dynamodb.models import DynamoDBBackend
from moto.dynamodb.models.table import Table
from moto.dynamodb.responses import DynamoHandler
from moto.ecr.exceptions import ImageNotFoundException
from moto.ecr.models import ECRBackend, Image
from moto.ecr.responses import ECRResponse
from moto.logs.exceptions import InvalidParameterException
from moto.logs.models import LogStream
from moto.sqs.models import Message, SQSBackend
from moto.sqs.responses import SQSResponse

from infra.local.aws import clock

MOTO_VERSION = "5.2.5"
STATEFUL = frozenset({"codebuild", "dynamodb", "ecr", "ecs", "events", "logs", "sqs"})
TOKEN_LIFETIME = 600
# Seconds until DescribeImages shows a pushed image. Tests set it: on AWS it may be a second.
IMAGE_LAG = 0.0
# Seconds until ECR has restored an archived image: up to 20 minutes ("Restoring an image").
RESTORE_TIME = 600
# The registry that has the blobs of images: `http://<host>`. Without it ECR has none.
BLOBS = ""
POLL_INTERVAL = 0.05
MAX_LOG_PAGE = 1024 * 1024

# A condition instead of a lock: a long poll releases it while it waits.
_turn = threading.Condition(threading.RLock())
_installed = False


class IdempotentParameterMismatch(DynamodbException):
    """A ClientRequestToken was reused for another request."""

    def __init__(self) -> None:
        super().__init__(
            "com.amazonaws.dynamodb.v20120810#IdempotentParameterMismatchException",
            "The request uses the same client token as a previous, but non-identical request.",
        )


class ImageDigestDoesNotMatch(ServiceException):
    """The digest of the request is not the manifest's digest."""

    code = "ImageDigestDoesNotMatchException"
    message = "The image digest does not match the manifest."


class ImageTagAlreadyExists(ServiceException):
    """The request would move a tag of an immutable repository."""

    code = "ImageTagAlreadyExistsException"


class LayersNotFound(ServiceException):
    """The repository has no such layer."""

    code = "LayersNotFoundException"
    message = "The layer does not exist in the repository."


def install() -> None:
    """Patch moto once per process, before moto is used.

    Raises RuntimeError if the installed moto is not the pinned version.
    """
    global _installed
    if _installed:
        return
    if moto.__version__ != MOTO_VERSION:
        raise RuntimeError(f"these patches are for moto {MOTO_VERSION}, not {moto.__version__}")
    from infra.local.aws import codebuild, ecs

    _take_turns()
    _wait_without_the_turn()
    _undo_only_touched_items()
    _honour_request_tokens()
    _digest_manifests()
    _show_images_late()
    _archive_images()
    _point_to_blobs()
    _page_through_logs()
    _tell_sqs_the_time()
    _move_dead_letters()
    codebuild.install()
    ecs.install()
    _installed = True


def _take_turns() -> None:
    """Run one action at a time: moto has no locks, and DynamoDB checks conditions one by one."""
    original = BaseResponse.call_action

    def call_action(self: BaseResponse) -> TYPE_RESPONSE:
        try:
            if self.service_name not in STATEFUL:
                return original(self)
            with _turn:
                return original(self)
        except NotImplementedError as error:
            return _refusal(str(error))

    BaseResponse.call_action = call_action  # type: ignore[method-assign]


def _refusal(reason: str) -> TYPE_RESPONSE:
    """A 501, which SDKs do not retry. They would retry moto's 500."""
    body = json.dumps({"__type": "NotImplemented", "message": reason})
    return 501, {"Content-Type": "application/x-amz-json-1.1", "status": "501"}, body


def _wait_without_the_turn() -> None:
    original = SQSBackend.receive_message

    def receive_message(
        self: SQSBackend, queue_name: str, count: int, wait: int, *args: Any, **kwargs: Any
    ) -> list[Message]:
        deadline = time.monotonic() + (wait or 0)
        with _turn:
            while True:
                found = original(self, queue_name, count, 0, *args, **kwargs)
                if found or time.monotonic() >= deadline:
                    return found
                _turn.wait(POLL_INTERVAL)

    SQSBackend.receive_message = receive_message  # type: ignore[assignment,method-assign]


def _undo_only_touched_items() -> None:
    """Restore only the items of a failed transaction. moto copies and restores whole tables."""
    original = DynamoDBBackend.transact_write_items

    def transact_write_items(self: DynamoDBBackend, transact_items: list[dict[str, Any]]) -> None:
        touched = [_remember(self, item) for item in transact_items]
        try:
            original(self, transact_items)
        except Exception:
            for table, hash_key, range_key, item in touched:
                _put_back(table, hash_key, range_key, item)
            raise

    Table.__deepcopy__ = lambda self, _memo: self  # type: ignore[attr-defined]
    DynamoDBBackend.transact_write_items = transact_write_items  # type: ignore[method-assign]


def _remember(backend: DynamoDBBackend, action: dict[str, Any]) -> tuple[Table, Any, Any, Any]:
    kind, request = next(iter(action.items()))
    table = backend.get_table(request["TableName"])
    keys = request["Item"] if kind == "Put" else request["Key"]
    hash_key, range_key = backend.get_keys_value(table, keys)
    return table, hash_key, range_key, copy.deepcopy(table.get_item(hash_key, range_key))


def _put_back(table: Table, hash_key: Any, range_key: Any, item: Any) -> None:
    rows: dict[Any, Any] = table.items if range_key is None else table.items[hash_key]
    key = hash_key if range_key is None else range_key
    if item is None:
        rows.pop(key, None)
    else:
        rows[key] = item


def _honour_request_tokens() -> None:
    original = DynamoHandler.transact_write_items

    def transact_write_items(self: DynamoHandler) -> ActionResult:
        token = self.body.get("ClientRequestToken")
        if token is None:
            return original(self)
        # Stored on the backend, so that a reset of moto clears them.
        tokens = self.dynamodb_backend.__dict__.setdefault("request_tokens", {})
        # The digest: ten minutes of whole requests would take hundreds of megabytes.
        request = _digest(json.dumps(self.body["TransactItems"], sort_keys=True))
        clock.forget_old(tokens, TOKEN_LIFETIME)
        if token in tokens:
            if tokens[token][1] != request:
                raise IdempotentParameterMismatch
            return ActionResult({})
        result = original(self)
        tokens[token] = (clock.now(), request)
        return result

    DynamoHandler.transact_write_items = transact_write_items  # type: ignore[method-assign]


def _digest_manifests() -> None:
    original = ECRBackend.put_image

    def put_image(
        self: ECRBackend,
        repository_name: str,
        image_manifest: str,
        image_tag: str,
        image_manifest_mediatype: str | None = None,
        digest: str | None = None,
    ) -> Image:
        if digest not in (None, _digest(image_manifest)):
            raise ImageDigestDoesNotMatch
        repository = self._get_repository(repository_name)
        for image in repository.images if image_tag else []:
            if image_tag in image.image_tags and image.image_manifest != image_manifest:
                if repository.is_tag_immutable():
                    raise ImageTagAlreadyExists(
                        f"The image tag '{image_tag}' already exists in the '{repository_name}'"
                        " repository and cannot be overwritten because the tag is immutable."
                    )
                _untag(image, image_tag)
        return original(self, repository_name, image_manifest, image_tag, image_manifest_mediatype)

    def create_digest(self: Image) -> None:
        self._image_digest = _digest(self.image_manifest)

    ECRBackend.put_image = put_image  # type: ignore[method-assign]
    Image._create_digest = create_digest  # type: ignore[method-assign]


def _show_images_late() -> None:
    """DescribeImages shows a pushed image IMAGE_LAG seconds after the push."""
    put, describe = ECRBackend.put_image, ECRBackend.describe_images

    def put_image(self: ECRBackend, *args: Any, **kwargs: Any) -> Image:
        image = put(self, *args, **kwargs)
        vars(image).setdefault("shown_at", clock.now() + IMAGE_LAG)
        return image

    def describe_images(
        self: ECRBackend,
        repository_name: str,
        registry_id: str | None = None,
        image_ids: list[dict[str, str]] | None = None,
    ) -> list[Image]:
        images = describe(self, repository_name, registry_id, image_ids)
        shown = [image for image in images if vars(image).get("shown_at", 0) <= clock.now()]
        if image_ids and not shown:
            raise ImageNotFoundException(str(image_ids), repository_name, self.account_id)
        return shown

    ECRBackend.put_image = put_image  # type: ignore[method-assign]
    ECRBackend.describe_images = describe_images  # type: ignore[method-assign]


def _archive_images() -> None:
    """Add imageStatus and UpdateImageStorageClass. An archived image cannot be pulled.

    Its status is ACTIVATING while it is restored (UpdateImageStorageClass, "Archiving an image").
    DescribeImages returns only active images unless its filter says otherwise
    (DescribeImagesFilter). It leaves out the others (inferred: an ImageNotFoundException is for an
    image that does not exist).
    """
    get, describe = ECRBackend.batch_get_image, ECRResponse.describe_images

    def image_status(self: Image) -> str:
        archived, active_at = vars(self).get("storage", (False, 0.0))
        if archived:
            return "ARCHIVED"
        return "ACTIVE" if clock.now() >= active_at else "ACTIVATING"

    def update_image_storage_class(self: ECRResponse) -> ActionResult:
        name, wanted = self._get_param("repositoryName"), self._get_param("imageId")
        repository = self.ecr_backend._get_repository(name)
        image = repository._get_image(wanted.get("imageTag"), wanted.get("imageDigest"))
        archived = self._get_param("targetStorageClass") == "ARCHIVE"
        vars(image)["storage"] = (archived, clock.now() + RESTORE_TIME)
        status = image_status(image)
        return ActionResult({"repositoryName": name, "imageId": wanted, "imageStatus": status})

    def describe_images(self: ECRResponse) -> ActionResult:
        answer: Any = describe(self).result
        wanted = (self._get_param("filter") or {}).get("imageStatus", "ACTIVE")
        shown = [each for each in answer["imageDetails"] if wanted in {"ANY", image_status(each)}]
        return ActionResult({"imageDetails": shown})

    def batch_get_image(self: ECRBackend, *args: Any, **kwargs: Any) -> dict[str, Any]:
        answer = get(self, *args, **kwargs)
        for image in [each for each in answer["images"] if image_status(each) != "ACTIVE"]:
            answer["images"].remove(image)
            reason = "Requested image not found"  # the code is inferred from the 404 of a pull
            failure = {"imageId": image.image_id, "failureCode": "ImageNotFound"}
            answer["failures"].append(failure | {"failureReason": reason})
        return answer

    Image.image_status = property(image_status)  # type: ignore[attr-defined]
    ECRResponse.update_image_storage_class = update_image_storage_class  # type: ignore[attr-defined]
    ECRResponse.describe_images = describe_images  # type: ignore[method-assign]
    ECRBackend.batch_get_image = batch_get_image  # type: ignore[method-assign]


def _point_to_blobs() -> None:
    """GetDownloadUrlForLayer, which moto lacks, leads to the local registry instead of S3."""

    def get_download_url_for_layer(self: ECRResponse) -> ActionResult:
        name, digest = self._get_param("repositoryName"), self._get_param("layerDigest")
        self.ecr_backend._get_repository(name)
        if not BLOBS:
            raise LayersNotFound
        url = f"{BLOBS}/v2/{name}/blobs/{digest}"
        return ActionResult({"downloadUrl": url, "layerDigest": digest})

    ECRResponse.get_download_url_for_layer = get_download_url_for_layer  # type: ignore[assignment,method-assign]


def _page_through_logs() -> None:
    """GetLogEvents as its API reference has it.

    A page has at most 1 MB of events. A token is a place in the stream, also if the next request
    has other times. Events at `endTime` are not included. moto has no limit of the size, and its
    tokens count only the events between the times.
    """

    def get_log_events(
        self: LogStream, start: Any, end: Any, limit: Any, token: str | None, from_head: Any
    ) -> tuple[list[dict[str, Any]], str | None, str | None]:
        events = sorted(self.events, key=lambda event: event.timestamp)
        first = sum(event.timestamp < start for event in events) if start else 0
        end_at = sum(event.timestamp < end for event in events) if end else len(events)
        is_forward = bool(from_head)
        if token is not None:
            is_forward, place = token.startswith("f/"), _place_of(token)
            first, end_at = (max(first, place), end_at) if is_forward else (first, place)
        indexes = range(first, max(first, end_at))
        indexes = indexes[: limit or 10_000] if is_forward else indexes[-(limit or 10_000) :]
        kept = _within_size([events[i].message for i in indexes], from_end=not is_forward)
        shown = indexes[:kept] if is_forward else indexes[len(indexes) - kept :]
        back, forward = f"b/{shown.start:056d}", f"f/{shown.stop:056d}"
        return [events[i].to_response_dict() for i in shown], back, forward

    LogStream.get_log_events = get_log_events  # type: ignore[assignment,method-assign]


def _place_of(token: str) -> int:
    if not re.fullmatch(r"[fb]/[0-9]{56}", token):
        raise InvalidParameterException("The specified nextToken is invalid.")
    return int(token[2:])


def _within_size(messages: list[str], *, from_end: bool) -> int:
    """The number of events that fit into a page, at least one."""
    ordered = messages[::-1] if from_end else messages
    sizes = itertools.accumulate(len(message.encode()) for message in ordered)
    return max(min(1, len(messages)), sum(size <= MAX_LOG_PAGE for size in sizes))


def _tell_sqs_the_time() -> None:
    """Visibility timeouts follow the embedded cloud's clock."""
    vars(moto.sqs.models).update(
        unix_time=lambda: clock.now(), unix_time_millis=lambda: clock.now() * 1000
    )


def _move_dead_letters() -> None:
    """Add StartMessageMoveTask, which moto lacks: move all messages to their source queue."""

    def start_message_move_task(self: SQSResponse) -> ActionResult:
        arn = self._get_param("SourceArn")
        backend = self.sqs_backend
        dead = next(queue for queue in backend.queues.values() if queue.queue_arn == arn)
        (source,) = (queue for queue in backend.queues.values() if queue.dead_letter_queue is dead)
        for message in list(dead._messages):
            backend.send_message(
                source.name,
                message.body,
                deduplication_id=message.deduplication_id,
                group_id=message.group_id,
            )
            dead._messages.remove(message)
        return ActionResult({"TaskHandle": f"{arn}-task"})

    SQSResponse.start_message_move_task = start_message_move_task  # type: ignore[attr-defined]


def _digest(manifest: str) -> str:
    return f"sha256:{hashlib.sha256(manifest.encode()).hexdigest()}"


def _untag(image: Image, tag: str) -> None:
    image.image_tags.remove(tag)
    image.image_tag = image.image_tags[-1] if image.image_tags else None  # type: ignore[assignment]
