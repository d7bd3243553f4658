"""Images in ECR: look-ups by tag and by digest, and of repositories."""

import json

from chalicelib.aws.clients import calling, client
from chalicelib.errors import Rejected

_GONE = {"ImageNotFoundException", "RepositoryNotFoundException"}


def digest_of(repository: str, tag: str) -> str | None:
    """The digest of the image with this tag, or None if there is none."""
    return _digest(repository, {"imageTag": tag})


def exists(repository: str, digest: str) -> bool:
    """Whether the repository still contains the image with this digest."""
    return _digest(repository, {"imageDigest": digest}) is not None


def digests_of(repository: str, digest: str) -> set[str]:
    """The digest of an image, and those of its platforms if it is an image index."""
    with calling("ECR BatchGetImage"):
        answer = client("ecr").batch_get_image(
            repositoryName=repository, imageIds=[{"imageDigest": digest}]
        )
    manifests = [json.loads(each["imageManifest"]) for each in answer["images"]]
    return {digest} | {
        each["digest"] for manifest in manifests for each in manifest.get("manifests", ())
    }


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


def _digest(repository: str, image: dict[str, str]) -> str | None:
    try:
        with calling("ECR DescribeImages"):
            answer = client("ecr").describe_images(repositoryName=repository, imageIds=[image])
    except Rejected as error:
        if error.code in _GONE:
            return None
        raise
    digest: str = answer["imageDetails"][0]["imageDigest"]
    return digest
