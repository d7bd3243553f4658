"""Image manifests: what a manifest describes, and for which platforms.

Sources: the OCI image specification (manifest, image index, config), Docker's "Image Manifest
Version 2, Schema 2", and "Image attestation storage" of BuildKit.
"""

import json
from collections.abc import Mapping
from typing import Any

import msgspec

_INDEXES = (
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
)
_MANIFESTS = (
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
)
# The media types to ask a registry for.
ACCEPTED = (*_INDEXES, *_MANIFESTS)
_CONFIGS = (
    "application/vnd.oci.image.config.v1+json",
    "application/vnd.docker.container.image.v1+json",
)
# The config of an artifact that has none: then `artifactType` says what it is.
_EMPTY = "application/vnd.oci.empty.v1+json"
_ATTESTATION = "application/vnd.in-toto+json"
# BuildKit gives the attestations in an index the platform unknown/unknown.
_NO_PLATFORM = "unknown/unknown"


class Manifest(msgspec.Struct, frozen=True):
    """A parsed manifest.

    `platforms` are written as `os/architecture`. They are empty if the manifest does not have them:
    then `config` is the digest of the blob that does. `other` says what the manifest describes if
    it is not an image, else it is empty.
    """

    platforms: frozenset[str] = frozenset()
    config: str = ""
    other: str = ""


def parse_manifest(media_type: str, text: str) -> Manifest:
    """Parse a manifest of a registry. Raises ValueError for one that cannot be read.

    Without a `media_type` it is the one that the manifest names: a registry need not name it
    (imageManifestMediaType in the ECR API reference is optional).
    """
    if media_type and media_type not in ACCEPTED:
        return Manifest(other=f"of the type {media_type}")
    content = _parsed(text)
    kind = media_type or str(content.get("mediaType", ""))
    if not kind:
        raise ValueError("the manifest names no type")
    if kind not in ACCEPTED:
        return Manifest(other=f"of the type {kind}")
    try:
        return _index(content) if kind in _INDEXES else _single(content)
    except (AttributeError, TypeError) as error:
        raise ValueError(f"not a manifest: {error}") from error


def platform_of(config: bytes) -> str:
    """The platform in an image's config blob. Raises ValueError if it cannot be read."""
    found = _platform(_parsed(config))
    if not found:
        raise ValueError("the image's config names no platform")
    return found


def _index(content: Mapping[str, Any]) -> Manifest:
    # An artifact beside the images, such as the index of SOCI, has a type of its own. That of an
    # image is the type of its config (OCI, "Content Descriptors").
    images = {None, "", *_CONFIGS}
    entries = [each for each in content.get("manifests", []) if each.get("artifactType") in images]
    found = [_platform(each.get("platform") or {}) for each in entries]
    platforms = frozenset(each for each in found if each and each != _NO_PLATFORM)
    if not platforms and "" not in found:
        return Manifest(other="an index without an image")
    # An entry without a platform may be for any.
    return Manifest(frozenset() if "" in found else platforms)


def _single(content: Mapping[str, Any]) -> Manifest:
    config = content.get("config") or {}
    kind = str(config.get("mediaType", ""))
    layers = [each.get("mediaType") for each in content.get("layers", [])]
    if layers and set(layers) == {_ATTESTATION}:
        return Manifest(other="an attestation")
    if not kind:
        raise ValueError("the manifest names no type of its config")
    if kind not in _CONFIGS:
        artifact = str(content.get("artifactType") or kind) if kind == _EMPTY else kind
        return Manifest(other=f"an artifact of the type {artifact}")
    return Manifest(config=str(config.get("digest", "")))


def _platform(content: Mapping[str, Any]) -> str:
    """`os/architecture`, without the variant: ECS has no setting for it. Empty if incomplete."""
    system, architecture = content.get("os"), content.get("architecture")
    return f"{system}/{architecture}" if system and architecture else ""


def _parsed(text: str | bytes) -> dict[str, Any]:
    try:
        content = json.loads(text)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
    if not isinstance(content, dict):
        raise ValueError("not a JSON object")
    return content
