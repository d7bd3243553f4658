"""Makes moto 5.2.5 faithful where Slipway depends on it, for tests and the local cloud alike.

moto is patched by name, so its version is pinned. Each patch closes one gap that a test states with
AWS's own behaviour: a lock, all-or-nothing transactions, digests that are digests, and a refusal of
what moto cannot do.
"""

import copy
import hashlib
import json
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
from moto.ecr.models import ECRBackend, Image
from moto.sqs.models import Message, SQSBackend
from moto.sqs.responses import SQSResponse

from infra.local.aws import clock

MOTO_VERSION = "5.2.5"
STATEFUL = frozenset({"codebuild", "dynamodb", "ecr", "ecs", "events", "logs", "sqs"})
TOKEN_LIFETIME = 600
POLL_INTERVAL = 0.05

# A condition and not a bare lock: a long poll gives it up while it waits.
_turn = threading.Condition(threading.RLock())
_installed = False


class IdempotentParameterMismatch(DynamodbException):
    """A ClientRequestToken came back with another request."""

    def __init__(self) -> None:
        super().__init__(
            "com.amazonaws.dynamodb.v20120810#IdempotentParameterMismatchException",
            "The request uses the same client token as a previous, but non-identical request.",
        )


class ImageDigestDoesNotMatch(ServiceException):
    """The digest that was sent is not the manifest's."""

    code = "ImageDigestDoesNotMatchException"
    message = "The image digest does not match the manifest."


class ImageTagAlreadyExists(ServiceException):
    """A tag of an immutable repository was to be moved."""

    code = "ImageTagAlreadyExistsException"


def install() -> None:
    """Patch moto, once for the process and before it is used.

    Raises RuntimeError where another moto than the pinned one is installed.
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
    _tell_sqs_the_time()
    _move_dead_letters()
    codebuild.install()
    ecs.install()
    _installed = True


def _take_turns() -> None:
    """One action at a time: moto has no locks, and DynamoDB decides conditions one by one."""
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
    """A 501, which SDKs do not repeat; moto's 500 would be tried again and again."""
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
    """moto undoes a transaction by putting copies of whole tables back, made for every one."""
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
        # Kept on the backend, so that moto's reset forgets them.
        tokens = self.dynamodb_backend.__dict__.setdefault("request_tokens", {})
        request = json.dumps(self.body["TransactItems"], sort_keys=True)
        used_at, used_for = tokens.get(token, (float("-inf"), None))
        if clock.now() - used_at < TOKEN_LIFETIME:
            if used_for != request:
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


def _tell_sqs_the_time() -> None:
    """Visibility runs by the embedded cloud's clock."""
    vars(moto.sqs.models).update(
        unix_time=lambda: clock.now(), unix_time_millis=lambda: clock.now() * 1000
    )


def _move_dead_letters() -> None:
    """StartMessageMoveTask, which moto does not have: every message back to where it came from."""

    def start_message_move_task(self: SQSResponse) -> ActionResult:
        arn = self._get_param("SourceArn")
        backend = self.sqs_backend
        dead = next(queue for queue in backend.queues.values() if queue.queue_arn == arn)
        (source,) = (queue for queue in backend.queues.values() if queue.dead_letter_queue is dead)
        for message in list(dead._messages):
            backend.send_message(source.name, message.body)
            dead._messages.remove(message)
        return ActionResult({"TaskHandle": f"{arn}-task"})

    SQSResponse.start_message_move_task = start_message_move_task  # type: ignore[attr-defined]


def _digest(manifest: str) -> str:
    return f"sha256:{hashlib.sha256(manifest.encode()).hexdigest()}"


def _untag(image: Image, tag: str) -> None:
    image.image_tags.remove(tag)
    image.image_tag = image.image_tags[-1] if image.image_tags else None  # type: ignore[assignment]
