"""Requests with an Idempotency-Key: done once, answered the same way each time."""

import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from chalice.app import Request

from chalicelib.access import Principal
from chalicelib.api.http.answers import Reply
from chalicelib.api.http.bodies import raw_body
from chalicelib.errors import InvalidInput, SlipwayError
from chalicelib.store.idempotency import IdempotencyKey

# Answers again for what an earlier request made, by its number.
Repeat = Callable[[Principal, int], Reply]

_KEY = re.compile(r"[!-~]{1,255}", re.ASCII)


def run_once(
    repeat: Repeat, caller: Principal, request: Request, path: str, run: Callable[..., Any]
) -> Any:
    """Run a view, or repeat the answer if a request with this key was done before."""
    sent = request.headers.get("idempotency-key")
    if sent is None:
        return run(idempotency_key=None)
    key = _read(sent, caller, request, path)
    made = key.find()
    if made is None:
        try:
            return run(idempotency_key=key)
        except SlipwayError:
            # A request with the same key may have been faster, or AWS's answer was lost after the
            # commit.
            made = key.find()
            if made is None:
                raise
    return replace(repeat(caller, made), headers=(("Idempotency-Replayed", "true"),))


def _read(sent: str, caller: Principal, request: Request, path: str) -> IdempotencyKey:
    if not _KEY.fullmatch(sent):
        raise InvalidInput(
            "a key has 1 to 255 visible ASCII characters",
            code="invalid_idempotency_key",
            field="Idempotency-Key",
        )
    return IdempotencyKey(
        token=caller.token_id,
        request=f"{request.method} {path}",
        key=sent,
        body=raw_body(request),
    )
