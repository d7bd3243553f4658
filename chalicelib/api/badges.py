"""The badge of a service. It is public where the service's setting `badge` says so."""

from chalice.app import Request

from chalicelib.api.http.answers import Reply
from chalicelib.api.http.endpoints import Documented, Routes
from chalicelib.api.http.parameters import parse_id
from chalicelib.domain.badges import Badge, state_of
from chalicelib.errors import NotFound
from chalicelib.store.services import get_service

routes = Routes(__name__)

# The picture is a file of its own: opened by itself it may load and run nothing.
_HEADERS = (
    ("Cache-Control", "public, max-age=60"),
    ("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'"),
)


@routes.endpoint(
    "GET",
    "/v1/services/{service_id}/badge.svg",
    role=None,
    documented=Documented(
        media_types=("image/svg+xml",), headers=("Cache-Control",), errors=(400, 404, 503)
    ),
)
def get_badge(_request: Request, service_id: str) -> Reply:
    """Get a picture of a service's state, if its setting `badge` is on."""
    number = parse_id(service_id)
    service = get_service(number)
    if not service.settings.badge or service.deleted_at is not None:
        raise NotFound(f"there is no service {number}")
    state = state_of(
        has_active=service.active is not None,
        has_current=service.current is not None,
        is_degraded=service.health is not None and service.health.reported,
        has_failed=service.failed_deployment is not None,
        needs_attention=service.drift is not None or service.attention is not None,
    )
    svg = Badge(service.settings.name, state).svg
    return Reply(svg, media_type="image/svg+xml", headers=_HEADERS)
