"""The image digests that Amazon ECS reports for the containers of a task.

Source: the ECS API reference, Container.imageDigest, "the container image manifest digest". For an
image index it does not say whether this is the digest of the index or that of the platform's
manifest. Inferred: it depends on the container runtime, so the caller chooses.
"""

import hashlib
import json
import re
from dataclasses import dataclass
from typing import Any

from moto.ecr.models import Image, ecr_backends

# An image in ECR, or in the registry of this machine that stores its manifests in ECR.
_IN_ECR = re.compile(
    r"(?:\d{12}\.dkr\.ecr\.[a-z0-9-]+\.amazonaws\.com|(?:127\.0\.0\.1|localhost):\d+)"
    r"/(?P<repository>[^:@]+)(?::(?P<tag>[^@]+))?(?:@(?P<digest>sha256:[0-9a-f]{64}))?",
    re.ASCII,
)
_ARCHITECTURES = {"X86_64": "amd64", "ARM64": "arm64"}


@dataclass(frozen=True)
class Images:
    """The images that tasks of one account and region can pull."""

    account: str
    region: str

    def digest(self, image: str) -> str | None:
        """The digest that an image's name leads to now. None if ECR does not have the image.

        Other registries are not emulated: an image there has one made-up digest for ever.
        """
        if "@" in image:
            return image.partition("@")[2]
        found = _IN_ECR.fullmatch(image)
        if found is None:
            return f"sha256:{hashlib.sha256(image.encode()).hexdigest()}"
        tag = found["tag"] or "latest"
        for each in self._stored(found["repository"]):
            if tag in each.image_tags:
                return str(each.image_digest)
        return None

    def manifest_digest(self, image: str, digest: str, platform: dict[str, str]) -> str:
        """The digest of the platform's manifest in an image index, or else the digest itself.

        `platform` is a task definition's `runtimePlatform`: Linux on X86_64 by default.
        """
        wanted = {
            "architecture": _ARCHITECTURES[platform.get("cpuArchitecture", "X86_64")],
            "os": platform.get("operatingSystemFamily", "LINUX").partition("_")[0].lower(),
        }
        found = _IN_ECR.fullmatch(image)
        for each in self._stored(found["repository"]) if found else []:
            if each.image_digest == digest:
                listed: list[dict[str, Any]] = json.loads(each.image_manifest).get("manifests", [])
                for manifest in listed:
                    if wanted.items() <= manifest["platform"].items():
                        return str(manifest["digest"])
        return digest

    def _stored(self, repository: str) -> list[Image]:
        found = ecr_backends[self.account][self.region].repositories.get(repository)
        return found.images if found else []
