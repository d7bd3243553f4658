"""The tree of errors. It knows nothing of HTTP; `api.problems` gives each leaf its status.

SlipwayError
├── InvalidInput      the request itself is wrong; `field` says where
├── Unauthorized      nobody we know is asking
├── Forbidden         known, well formed, and not allowed
├── NotFound          no such thing, or not yours: the two look alike
├── Conflict          right request, wrong moment
├── Rejected          AWS, or what was found there, says no for good: trying again cannot help
├── Unavailable       AWS says not now: trying again later helps
└── Stale             another request changed the row first; read it again and decide again
"""

from typing import ClassVar


class SlipwayError(Exception):
    """Base of all errors of ours.

    `detail` is a sentence for people that says what to do next where that helps; `code` is the
    stable word for programs; `field` names the part of the request that is meant, if any.
    """

    default_code: ClassVar[str] = "error"

    def __init__(self, detail: str, *, code: str = "", field: str = "") -> None:
        super().__init__(detail)
        self.detail = detail
        self.code = code or self.default_code
        self.field = field


class InvalidInput(SlipwayError):
    """The request cannot be read as what it should be."""

    default_code = "invalid_input"


class Unauthorized(SlipwayError):
    """No valid token or signature."""

    default_code = "unauthorized"


class Forbidden(SlipwayError):
    """Understood, and refused."""

    default_code = "forbidden"


class NotFound(SlipwayError):
    """No such thing for this caller."""

    default_code = "not_found"


class Conflict(SlipwayError):
    """The state of things does not allow it now."""

    default_code = "conflict"


class Rejected(SlipwayError):
    """A definite no: bad request, missing resource, denied access."""

    default_code = "rejected"


class Unavailable(SlipwayError):
    """Throttled, timed out, over a limit, or broken on the other side: wait, then try again."""

    default_code = "unavailable"


class Stale(SlipwayError):
    """A conditional write failed: the row was changed since it was read."""

    default_code = "concurrent_update"
