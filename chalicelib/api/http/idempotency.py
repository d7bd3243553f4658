"""Requests with an Idempotency-Key: the first one does the work, a repeat replays its answer."""

import re
from collections.abc import Callable
from typing import Any

from chalice.app import Request
from msgspec.structs import replace

from chalicelib.access import Principal
from chalicelib.api.http.answers import Reply
from chalicelib.api.http.bodies import raw_body
from chalicelib.domain.regex import regex
from chalicelib.errors import InvalidInput, SlipwayError
from chalicelib.store.idempotency import IdempotencyKey

# Makes the answer to an earlier request again, from the number of the row that it created.
Repeat = Callable[[Principal, int], Reply]

_KEY = regex(r"[!-~]{1,255}", re.ASCII)


def run_or_replay(
    repeat: Repeat,
    caller: Principal,
    request: Request,
    path: str,
    run: Callable[..., Any],
    *,
    is_dry_run: bool = False,
) -> Any:
    """Run a view, or replay the answer if an earlier request with this key did the work.

    A dry run does no work, so it neither uses a key nor gets the answer of an earlier request.
    """
    sent = request.headers.get("idempotency-key")
    if sent is None:
        return run(idempotency_key=None)
    key = _parse_key(sent, caller, request, path)
    if is_dry_run:
        return run(idempotency_key=None)
    number = key.find()
    if number is None:
        try:
            return run(idempotency_key=key)
        except SlipwayError:
            # Another request with this key may have been faster, or the commit succeeded and its
            # answer was lost.
            number = key.find()
            if number is None:
                raise
    return replace(repeat(caller, number), headers=(("Idempotency-Replayed", "true"),))


def _parse_key(sent: str, caller: Principal, request: Request, path: str) -> IdempotencyKey:
    if not _KEY.fullmatch(sent):
        raise InvalidInput(
            "Idempotency-Key must have 1 to 255 visible ASCII characters",
            code="invalid_idempotency_key",
            field="Idempotency-Key",
        )
    return IdempotencyKey(
        token=caller.token_id,
        request=f"{request.method} {path}",
        key=sent,
        body=raw_body(request),
    )
