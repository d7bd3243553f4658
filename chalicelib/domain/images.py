"""Container images: repositories, tags, digests, references and platforms."""

import hashlib
import re
from collections.abc import Sequence
from typing import Annotated, Any, Literal, get_args

import msgspec
from msgspec import Meta

from chalicelib.domain.fields import END, Installation, Rule
from chalicelib.domain.refs import slug
from chalicelib.domain.regex import regex

_MAX_REFERENCE_LENGTH = 750  # the maximum lengths of host, name, tag and digest together
_MAX_NAME_LENGTH = 255  # docker's limit; ECR allows 256
_MIN_NAME_LENGTH = 2
_SHORT_SHA_LENGTH = 12
_CACHE = "buildcache"
ARM = "linux/arm64"

# ECR's CreateRepository: repositoryName. The distribution specification has the same grammar.
_COMPONENT = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
REPOSITORY_PATH = rf"{_COMPONENT}(?:/{_COMPONENT})*"
_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?"
_PORT = r":[0-9]{1,5}"
# docker reads the first part as a registry only if it looks like a host.
HOST = rf"(?:localhost(?:{_PORT})?|{_LABEL}(?:\.{_LABEL})+(?:{_PORT})?|{_LABEL}{_PORT})"
_NO_HOST = r"(?![^/]*\.[^/]*/)"
_TAG = r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}"
_DIGEST = r"sha256:[0-9a-f]{64}"
# It would be the tag of a repository "sha256".
_NO_DIGEST_ALONE = rf"(?!{_DIGEST}$)"
_NAME = rf"(?=[^:@]{{1,{_MAX_NAME_LENGTH}}}(?:[:@]|$)){REPOSITORY_PATH}"
_REFERENCE = regex(
    rf"{_NO_DIGEST_ALONE}(?:(?P<registry>{HOST})/|{_NO_HOST})(?P<repository>{_NAME})"
    rf"(?::(?P<tag>{_TAG}))?(?:@(?P<digest>{_DIGEST}))?"
)
# 18 digits always fit into 64 bits.
_BUILD_TAG = regex(r"[A-Za-z0-9_.-]+-(?P<build_id>[1-9][0-9]{0,17})", re.ASCII)

_ECR_HOST = regex(r"[0-9]{12}\.dkr\.ecr\.([a-z0-9-]+)\.amazonaws\.com(?:\.cn)?")


class ImageReference(msgspec.Struct, frozen=True):
    """An image as the caller wrote it. A missing part is empty."""

    registry: str
    repository: str
    tag: str
    digest: str

    @property
    def name(self) -> str:
        """The repository, with the registry before it if there is one."""
        return f"{self.registry}/{self.repository}".lstrip("/")


def image_tag(ref: str, sha: str, build_id: int) -> str:
    """The tag of a build: `<ref slug>-<12 digits of the commit>-<build id>`.

    The build id makes it unique. The commit is left out while it is unknown.
    """
    commit = [sha[:_SHORT_SHA_LENGTH]] if sha else []
    name = slug(ref)
    # Tags that begin with the cache's word may move, and expire early.
    prefix = ["ref"] if name.startswith(_CACHE) else []
    return "-".join([*prefix, name, *commit, str(build_id)])


def cache_tag(service_id: int, branch: str) -> str:
    """The tag of the build cache of a service's branch.

    The digest keeps branches with the same slug apart.
    """
    digest = hashlib.sha256(branch.encode()).hexdigest()[:8]
    return f"{_CACHE}-{service_id}-{slug(branch)[:40]}-{digest}"


def machine_for(platforms: Sequence[str]) -> str:
    """The platform of the build machine: linux/arm64 for images of only that platform."""
    return ARM if tuple(platforms) == (ARM,) else "linux/amd64"


def build_id_of_tag(tag: str) -> int | None:
    """The number of the build that would have this tag; None if no build can have it.

    The caller must compare the tag with the tag of that build: a tag that another tool pushed may
    end in a number, too.
    """
    match = _BUILD_TAG.fullmatch(tag)
    return int(match["build_id"]) if match else None


def image_reference(text: str) -> ImageReference:
    """The parts of a text that matches `Image`; raises ValueError for any other text."""
    match = _REFERENCE.fullmatch(text)
    if match is None:
        raise ValueError("an image must be repository:tag or repository@sha256:digest")
    parts = {name: part or "" for name, part in match.groupdict().items()}
    return ImageReference(**{**parts, "registry": parts["registry"].lower()})


def repository_of(image: str) -> str:
    """The repository of an image with its registry; empty for a text that names no image."""
    try:
        return image_reference(image).name
    except ValueError:
        return ""


def no_repository(name: str) -> str:
    """The text for an image repository that ECR does not have."""
    return f"ECR has no image repository {name}"


def create_repository(name: str, registry: str) -> str:
    """The advice to create an image repository in ECR, with the command."""
    ecr = _ECR_HOST.fullmatch(registry)
    region = f" --region {ecr[1]}" if ecr else ""
    return f"Create the repository: aws ecr create-repository --repository-name {name}{region}"


def _explain_image(value: Any) -> str:
    # The time of this match grows with the square of the length.
    short = isinstance(value, str) and len(value) <= _MAX_REFERENCE_LENGTH
    match = _REFERENCE.fullmatch(value) if short else None
    if match is not None and not match["tag"] and not match["digest"]:
        name = match["repository"]
        return (
            f"the image {name} needs a tag or a digest. If {name} is a tag itself, put the name of "
            f"the image repository before it: repository:{name}"
        )
    if short and re.fullmatch(f"@?{_DIGEST}", value):
        digest = value.removeprefix("@")
        return f"put the name of the image repository before the digest: repository@{digest}"
    return (
        "an image must be repository:tag or repository@sha256:digest, at most "
        f"{_MAX_REFERENCE_LENGTH} characters"
    )


def _explain_platforms(_value: Any) -> str:
    return f"platforms must be a list of 1 to 8 different values of {', '.join(get_args(Platform))}"


def _without_registry(value: str, installation: Installation) -> str:
    """The name without the host of the installation's registry; raises ValueError for others."""
    host, slash, name = value.partition("/")
    if slash and host.lower() == installation.registry:
        return name
    if slash and (host == "localhost" or set(host) & {".", ":"}):
        raise ValueError(f"images must be in {installation.registry}: leave the registry out")
    return value


def _each_once(platforms: tuple[str, ...], _installation: Installation) -> tuple[str, ...]:
    if len(set(platforms)) != len(platforms):
        raise ValueError("platforms must not contain a platform twice")
    return platforms


ImageRepository = Annotated[
    str,
    Meta(
        pattern=rf"^(?:{HOST}/|{_NO_HOST})(?=.{{{_MIN_NAME_LENGTH},{_MAX_NAME_LENGTH}}}$){REPOSITORY_PATH}{END}",
        min_length=_MIN_NAME_LENGTH,
        max_length=_MAX_REFERENCE_LENGTH,
        description=(
            f"the name of an ECR repository of this account: 2 to {_MAX_NAME_LENGTH} lower-case "
            "letters, digits and single separators (. _ - /)"
        ),
        extra_json_schema={"format": "image-repository"},
    ),
    Rule(code="invalid_image", normal=_without_registry),
]
Image = Annotated[
    str,
    Meta(
        pattern=(
            rf"^{_NO_DIGEST_ALONE}(?:{HOST}/|{_NO_HOST}){_NAME}"
            rf"(?::{_TAG}(?:@{_DIGEST})?|@{_DIGEST}){END}"
        ),
        max_length=_MAX_REFERENCE_LENGTH,
        description=(
            "repository:tag of a build of this service, or repository@sha256:… of any image in its "
            "repository"
        ),
        extra_json_schema={"format": "image-reference"},
    ),
    Rule(code="invalid_image", explain=_explain_image),
]
Platform = Literal[
    "linux/386",
    "linux/amd64",
    "linux/arm/v6",
    "linux/arm/v7",
    "linux/arm64",
    "linux/ppc64le",
    "linux/riscv64",
    "linux/s390x",
]
Platforms = Annotated[
    tuple[Platform, ...],
    Meta(
        min_length=1,
        max_length=8,
        description="the platforms to build for: 1 to 8 different ones",
        extra_json_schema={"uniqueItems": True},
    ),
    Rule(normal=_each_once, explain=_explain_platforms),
]
