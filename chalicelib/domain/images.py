"""Container images: repositories, tags, digests, references and platforms."""

import re
from dataclasses import dataclass

from chalicelib.domain.refs import slug
from chalicelib.errors import InvalidInput

PLATFORMS = frozenset(
    {
        "linux/386",
        "linux/amd64",
        "linux/arm/v6",
        "linux/arm/v7",
        "linux/arm64",
        "linux/ppc64le",
        "linux/riscv64",
        "linux/s390x",
    }
)

_MAX_PLATFORMS = 8
_MAX_REFERENCE_LENGTH = 750  # a host, a name, a tag and a digest, all as long as they get
_MAX_NAME_LENGTH = 255  # docker's; ECR would take one more
_SHORT_SHA_LENGTH = 12

# ECR's CreateRepository: repositoryName. The distribution specification's grammar is the same.
_COMPONENT = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_PATH = rf"{_COMPONENT}(?:/{_COMPONENT})*"
_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?"
_PORT = r":[0-9]{1,5}"
_REPOSITORY_NAME = re.compile(_PATH, re.ASCII)
# As docker reads it: the first part is a registry if it looks like a host, and only then.
_HOST = rf"localhost(?:{_PORT})?|{_LABEL}(?:\.{_LABEL})+(?:{_PORT})?|{_LABEL}{_PORT}"
_REFERENCE = re.compile(
    rf"(?:(?P<registry>{_HOST})/|(?![^/]*\.[^/]*/))"
    rf"(?P<repository>{_PATH})"
    r"(?::(?P<tag>[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}))?"
    r"(?:@(?P<digest>sha256:[0-9a-f]{64}))?",
    re.ASCII,
)
# 18 digits always fit the 64 bits that ids are kept in.
_BUILD_TAG = re.compile(r"[A-Za-z0-9_.-]+-(?P<build_id>[1-9][0-9]{0,17})", re.ASCII)


@dataclass(frozen=True)
class ImageReference:
    """An image as somebody wrote it; what was not written is empty."""

    registry: str
    repository: str
    tag: str
    digest: str


def image_tag(ref: str, sha: str, build_id: int) -> str:
    """The one tag of a build: readable, unique by its id, and always legal.

    `<ref slug>-<12 digits of the commit>-<build id>`; the commit is left out while it is unknown.
    """
    commit = [sha[:_SHORT_SHA_LENGTH]] if sha else []
    return "-".join([slug(ref), *commit, str(build_id)])


def build_id_of_tag(tag: str) -> int | None:
    """The build that a tag of ours would belong to; None if it cannot be one of ours.

    The caller still has to compare: anybody can push a tag that ends in a number.
    """
    match = _BUILD_TAG.fullmatch(tag)
    return int(match["build_id"]) if match else None


def parse_image_reference(value: object, field: str = "image_tag") -> ImageReference:
    """Read `[registry/]repository[:tag][@sha256:digest]` with a tag or a digest, or both.

    There is no implied `latest`. Raises InvalidInput (invalid_image).
    """
    if not isinstance(value, str) or len(value) > _MAX_REFERENCE_LENGTH:
        raise _refuse(f"an image is named in at most {_MAX_REFERENCE_LENGTH} characters", field)
    match = _REFERENCE.fullmatch(value)
    if match is None or len(match["repository"]) > _MAX_NAME_LENGTH:
        raise _refuse("an image is named as repository:tag or repository@sha256:digest", field)
    if not match["tag"] and not match["digest"]:
        raise _refuse(f"name a tag or digest of {match['repository']}", field)
    parts = {name: part or "" for name, part in match.groupdict().items()}
    return ImageReference(**{**parts, "registry": parts["registry"].lower()})


def parse_repository_name(value: object, field: str = "image_repository") -> str:
    """Read the name of an ECR repository (CreateRepository) that docker can push to.

    Raises InvalidInput (invalid_image).
    """
    if (
        not isinstance(value, str)
        or not 2 <= len(value) <= _MAX_NAME_LENGTH
        or not _REPOSITORY_NAME.fullmatch(value)
    ):
        raise _refuse(
            f"an ECR repository is named in 2 to {_MAX_NAME_LENGTH} lower-case letters, digits "
            "and single separators (. _ - /)",
            field,
        )
    return value


def parse_platforms(value: object, field: str = "platforms") -> list[str]:
    """Read the platforms to build for, each once, in the order given.

    Raises InvalidInput (invalid_platforms).
    """
    if not isinstance(value, list) or not 1 <= len(value) <= _MAX_PLATFORMS:
        raise _refuse_platforms(f"name 1 to {_MAX_PLATFORMS} platforms", field)
    if any(not isinstance(platform, str) or platform not in PLATFORMS for platform in value):
        raise _refuse_platforms(f"known platforms are {', '.join(sorted(PLATFORMS))}", field)
    if len(set(value)) != len(value):
        raise _refuse_platforms("name each platform once", field)
    return list(value)


def _refuse(detail: str, field: str) -> InvalidInput:
    return InvalidInput(detail, code="invalid_image", field=field)


def _refuse_platforms(detail: str, field: str) -> InvalidInput:
    return InvalidInput(detail, code="invalid_platforms", field=field)
