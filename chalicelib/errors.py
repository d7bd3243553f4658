"""The tree of errors. It is independent of HTTP: `api.http.problems` gives each leaf its status.

SlipwayError
├── InvalidInput      the request is wrong; `field` names the wrong part
├── Unauthorized      no valid token or signature
├── Forbidden         the caller is known but not allowed to do this
├── NotFound          the resource is missing or hidden; both look the same
├── Conflict          the present state does not allow the request
├── Rejected          AWS refuses permanently: a retry cannot help
├── Unavailable       AWS fails temporarily: a later retry helps
└── Stale             another request changed the row: read it and decide again
"""

from typing import ClassVar


class SlipwayError(Exception):
    """The base of all errors.

    `detail` is a text for people, with the next step if that helps. `code` is the stable word for
    programs. `field` names the part of the request, if the error is about one.
    """

    default_code: ClassVar[str] = "error"

    def __init__(self, detail: str, *, code: str = "", field: str = "") -> None:
        super().__init__(detail)
        self.detail = detail
        self.code = code or self.default_code
        self.field = field


class InvalidInput(SlipwayError):
    """The request does not have the required form."""

    default_code = "invalid_input"


class Unauthorized(SlipwayError):
    """No valid token or signature."""

    default_code = "unauthorized"


class Forbidden(SlipwayError):
    """The caller is not allowed to do this."""

    default_code = "forbidden"


class NotFound(SlipwayError):
    """The resource is missing or hidden from this caller."""

    default_code = "not_found"


class Conflict(SlipwayError):
    """The present state does not allow the request."""

    default_code = "conflict"


class Rejected(SlipwayError):
    """A permanent refusal: bad request, missing resource, denied access."""

    default_code = "rejected"


class Unavailable(SlipwayError):
    """A temporary failure: throttled, timed out, over a limit, or a server error."""

    default_code = "unavailable"


class Stale(SlipwayError):
    """A conditional write failed: the row has changed since it was read."""

    default_code = "concurrent_update"
