"""Types of fields that have a grammar of their own, as the OpenAPI document shows them.

Nothing here is checked when a body is read: the parsers in `domain` do that, and know more than a
schema can say.
"""

from typing import Annotated, Any

from msgspec import Meta

from chalicelib.domain.build_args import PROXIES, RESERVED, RESERVED_PREFIXES
from chalicelib.domain.images import PLATFORMS


def _shown(meaning: str, **schema: Any) -> Meta:
    return Meta(description=meaning, extra_json_schema=schema)


GitUrl = Annotated[
    str,
    _shown(
        "A repository, https://<host>/<owner>/<name>.git, on a host that builds may fetch from.",
        format="git-url",
        maxLength=300,
    ),
]
GitCredential = Annotated[
    str,
    _shown(
        "The ARN of the Secrets Manager secret, below slipway/git/, that builds fetch private "
        "repositories with.",
        format="git-credential",
        maxLength=600,
    ),
]
GitRef = Annotated[
    str,
    _shown(
        "A branch or tag by its name, or a commit by the 40 digits of its SHA.",
        format="git-ref",
        minLength=1,
        maxLength=200,
    ),
]
Branch = Annotated[
    str,
    _shown("The branch whose pushes are built.", format="git-branch", minLength=1, maxLength=200),
]
RepositoryPath = Annotated[
    str,
    _shown(
        "A path inside the repository, without . and .. in it; no part starts with -.",
        format="repository-path",
        minLength=1,
        maxLength=200,
    ),
]
ContextPath = Annotated[
    str,
    _shown(
        "The directory that is the build context; . is the repository itself.",
        format="repository-path",
        minLength=1,
        maxLength=200,
    ),
]
ImageRepository = Annotated[
    str,
    _shown(
        "An ECR repository of this account, by its name.",
        format="image-repository",
        minLength=2,
        maxLength=256,
    ),
]
ImageReference = Annotated[
    str,
    _shown(
        "repository:tag of a build of this service, or repository@sha256:… of any image in it.",
        format="image-reference",
        maxLength=500,
    ),
]
Platforms = Annotated[
    list[Annotated[str, Meta(extra_json_schema={"enum": sorted(PLATFORMS)})]],
    _shown(
        "The platforms to build for, each once.",
        minItems=1,
        maxItems=8,
        uniqueItems=True,
    ),
]
# A schema's patterns know no case, and proxies are refused in every one.
_ANY_CASE = ("".join(f"[{c}{c.lower()}]" if c != "_" else c for c in each) for each in PROXIES)
_RESERVED = "|".join(
    [*RESERVED_PREFIXES, *(f"{name}$" for name in sorted([*RESERVED, *_ANY_CASE]))]
)
_PRINTABLE = r"^[^\x00-\x08\x0b-\x1f\x7f]*$"
BuildArgs = Annotated[
    dict[str, Annotated[str, Meta(extra_json_schema={"pattern": _PRINTABLE})]],
    _shown(
        "Build arguments by name, 16 KiB in all; names that mean something to the build itself are "
        "reserved. Not for secrets: whoever may read builds or the image's history sees them.",
        propertyNames={"pattern": rf"^(?!{_RESERVED})[A-Za-z_][A-Za-z0-9_]*$"},
        maxProperties=100,
    ),
]
