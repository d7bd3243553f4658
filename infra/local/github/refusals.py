"""GitHub's answers other than success."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

DOCS = "https://docs.github.com/rest"


@dataclass
class Refusal(Exception):
    """An answer with a status of 4xx.

    `document` is GitHub's page about it, if it is not the page of the route.
    """

    status: int
    message: str
    errors: list[dict[str, Any]] | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    document: str | None = None

    def body(self, document: str) -> dict[str, Any]:
        errors = {} if self.errors is None else {"errors": self.errors}
        return {
            "message": self.message,
            **errors,
            "documentation_url": self.document or document,
            "status": str(self.status),
        }


def invalid_field(resource: str, name: str, message: str) -> Refusal:
    """422 for one field. REST API, "Troubleshooting the REST API": "Validation Failed"."""
    error = {"resource": resource, "code": "custom", "field": name, "message": message}
    return Refusal(422, "Validation Failed", [error])


def not_found(message: str = "Not Found") -> Refusal:
    return Refusal(404, message)
