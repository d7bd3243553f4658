"""Images in ECR: look-ups by tag and by digest, their manifests and configs, and repositories."""

import json
from http import HTTPStatus
from http.client import HTTPException
from typing import Any, NamedTuple
from urllib.error import HTTPError
from urllib.request import urlopen

from chalicelib import budget
from chalicelib.aws.clients import calling, client, read_timeout
from chalicelib.domain.manifests import ACCEPTED
from chalicelib.errors import Rejected, Unavailable

_GONE = {"ImageNotFoundException", "RepositoryNotFoundException"}
_MOST_BYTES = 1_000_000  # of a config blob; common ones have some kilobytes


def digest_of(repository: str, tag: str) -> str | None:
    """The digest of the image with this tag, or None if there is none."""
    found = _describe(repository, {"imageTag": tag})
    return None if found is None else str(found["imageDigest"])


class Image(NamedTuple):
    """An image: its imageStatus is ACTIVE, ARCHIVED or ACTIVATING (ImageDetail in the ECR API
    reference).
    """

    status: str
    tags: frozenset[str]


def find_image(repository: str, mark: str) -> Image | None:
    """The image with this digest or tag; None if the repository has none."""
    found = _describe(repository, {"imageDigest" if ":" in mark else "imageTag": mark})
    if found is None:
        return None
    return Image(str(found.get("imageStatus", "ACTIVE")), frozenset(found.get("imageTags", ())))


def status_of(repository: str, mark: str) -> str | None:
    """The imageStatus of the image with this digest or tag; None if the repository has none."""
    found = find_image(repository, mark)
    return None if found is None else found.status


def manifest(repository: str, digest: str) -> tuple[str, str]:
    """The media type and the text of an image's manifest. Raises Rejected if there is none."""
    with calling("ECR BatchGetImage"):
        answer = client("ecr").batch_get_image(
            repositoryName=repository,
            imageIds=[{"imageDigest": digest}],
            acceptedMediaTypes=list(ACCEPTED),
        )
    if not answer["images"]:
        why = [each.get("failureReason", "") for each in answer["failures"]]
        raise Rejected(f"ECR BatchGetImage: {'; '.join(why)}")
    found = answer["images"][0]
    return found.get("imageManifestMediaType", ""), found["imageManifest"]


def config(repository: str, digest: str) -> bytes:
    """An image's config blob, by its digest.

    S3 has the blobs: ECR only gives a URL, as it does for layers (GetDownloadUrlForLayer in the ECR
    API reference).
    """
    with calling("ECR GetDownloadUrlForLayer"):
        answer = client("ecr").get_download_url_for_layer(
            repositoryName=repository, layerDigest=digest
        )
    return _download(answer["downloadUrl"])


def _download(url: str) -> bytes:
    content = b""
    try:
        # ECR made the URL, so no caller chooses it.
        with urlopen(url, timeout=read_timeout()) as answer:
            while part := answer.read1(_MOST_BYTES + 1 - len(content)):
                content += part
                budget.check()  # the time-out is that of one read
    except (HTTPException, OSError) as error:
        status = error.code if isinstance(error, HTTPError) else None
        is_temporary = status is None or status >= 500 or status == HTTPStatus.TOO_MANY_REQUESTS
        kind = Unavailable if is_temporary else Rejected
        raise kind(f"download of an image's config: {error}") from error
    if len(content) > _MOST_BYTES:
        raise Rejected(f"the image's config has more than {_MOST_BYTES} bytes")
    return content


def digests_of(repository: str, digest: str) -> set[str]:
    """The digest of an image, and those of its platforms if it is an image index.

    Raises Rejected if ECR does not have it.
    """
    _, text = manifest(repository, digest)
    return {digest} | {each["digest"] for each in json.loads(text).get("manifests", ())}


def has_repository(name: str) -> bool:
    """Whether ECR has an image repository of this name. Raises Rejected if the look is denied."""
    try:
        with calling("ECR DescribeImages"):
            client("ecr").describe_images(repositoryName=name, maxResults=1)
    except Rejected as error:
        if error.code == "RepositoryNotFoundException":
            return False
        raise
    return True


def _describe(repository: str, image: dict[str, str]) -> dict[str, Any] | None:
    """An image of any status; without the filter ECR returns only active ones (DescribeImagesFilter
    in the ECR API reference).
    """
    try:
        with calling("ECR DescribeImages"):
            answer = client("ecr").describe_images(
                repositoryName=repository, imageIds=[image], filter={"imageStatus": "ANY"}
            )
    except Rejected as error:
        if error.code in _GONE:
            return None
        raise
    found: list[dict[str, Any]] = answer["imageDetails"]
    return found[0] if found else None
