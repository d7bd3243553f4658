"""Manifests: what is an image, and for which platforms."""

import json
from typing import Any

import pytest

from chalicelib.domain.manifests import ACCEPTED, Manifest, parse_manifest, platform_of

OCI = "application/vnd.oci.image"
DOCKER = "application/vnd.docker"
INDEX, MANIFEST = f"{OCI}.index.v1+json", f"{OCI}.manifest.v1+json"
CONFIG_TYPE = f"{OCI}.config.v1+json"
CONFIG = {"mediaType": CONFIG_TYPE, "digest": "sha256:c"}


def entry(platform: str | None) -> dict[str, Any]:
    system, _, architecture = (platform or "").partition("/")
    place = {"platform": {"os": system, "architecture": architecture}} if platform else {}
    return {"mediaType": MANIFEST, "digest": "sha256:e", **place}


def index(*platforms: str | None) -> str:
    return json.dumps({"manifests": [entry(each) for each in platforms]})


def single(config: dict[str, Any] | None = None, *layers: str, **more: Any) -> str:
    content = {"config": CONFIG if config is None else config, **more}
    return json.dumps({**content, "layers": [{"mediaType": each} for each in layers]})


DEEP = '{"a":' * 100_000
LAYER = f"{OCI}.layer.v1.tar+gzip"
HELM = "application/vnd.cncf.helm.config.v1+json"
EMPTY = "application/vnd.oci.empty.v1+json"
SOCI = "application/vnd.amazon.soci.index.v2+json"
CACHE = "application/vnd.buildkit.cacheconfig.v0"


@pytest.mark.parametrize(
    ("media_type", "text", "expected"),
    [
        (INDEX, index("linux/amd64"), Manifest(frozenset({"linux/amd64"}))),
        # BuildKit's attestation is in the index with an unknown platform.
        (INDEX, index("linux/arm64", "unknown/unknown"), Manifest(frozenset({"linux/arm64"}))),
        (
            f"{DOCKER}.distribution.manifest.list.v2+json",
            index("linux/amd64", "windows/amd64"),
            Manifest(frozenset({"linux/amd64", "windows/amd64"})),
        ),
        (INDEX, index("unknown/unknown"), Manifest(other="an index without an image")),
        (INDEX, index(), Manifest(other="an index without an image")),
        (INDEX, index("linux/amd64", None), Manifest()),  # the second entry may be for any
        (MANIFEST, single(None, LAYER), Manifest(config="sha256:c")),
        (
            f"{DOCKER}.distribution.manifest.v2+json",
            single({"mediaType": f"{DOCKER}.container.image.v1+json", "digest": "sha256:d"}),
            Manifest(config="sha256:d"),
        ),
        (MANIFEST, single(None, "application/vnd.in-toto+json"), Manifest(other="an attestation")),
        (
            MANIFEST,
            single({"mediaType": HELM}, LAYER),
            Manifest(other=f"an artifact of the type {HELM}"),
        ),
        (
            MANIFEST,
            single({"mediaType": CACHE}, LAYER),
            Manifest(other=f"an artifact of the type {CACHE}"),
        ),
        (
            MANIFEST,
            single({"mediaType": EMPTY}, artifactType="application/spdx+json"),
            Manifest(other="an artifact of the type application/spdx+json"),
        ),
        (
            MANIFEST,
            single({"mediaType": EMPTY}),
            Manifest(other=f"an artifact of the type {EMPTY}"),
        ),
        # The type of the config decides: such an image can run.
        (MANIFEST, single(None, artifactType="application/x.app"), Manifest(config="sha256:c")),
        # ECR need not name the type, but the manifest may.
        ("", single(None, LAYER, mediaType=MANIFEST), Manifest(config="sha256:c")),
        ("", json.dumps({"mediaType": "text/plain"}), Manifest(other="of the type text/plain")),
        # The index of SOCI is an artifact beside the images.
        (
            INDEX,
            json.dumps({"manifests": [entry("linux/amd64"), {"artifactType": SOCI}]}),
            Manifest(frozenset({"linux/amd64"})),
        ),
        (
            INDEX,
            json.dumps({"manifests": [entry("linux/amd64") | {"artifactType": CONFIG_TYPE}]}),
            Manifest(frozenset({"linux/amd64"})),
        ),
        (
            INDEX,
            json.dumps({"manifests": [{"artifactType": SOCI}]}),
            Manifest(other="an index without an image"),
        ),
        ("text/plain", "", Manifest(other="of the type text/plain")),
    ],
)
def test_a_manifest_says_what_it_describes(media_type: str, text: str, expected: Manifest) -> None:
    assert parse_manifest(media_type, text) == expected


@pytest.mark.parametrize("media_type", ACCEPTED)
@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{",
        "1",
        '{"manifests": 1, "layers": 1}',
        '{"manifests": [1], "layers": [1]}',
        DEEP,
    ],
    ids=range(7),
)
def test_a_broken_manifest_is_an_error(media_type: str, text: str) -> None:
    with pytest.raises(ValueError, match=r"\S"):
        parse_manifest(media_type, text)


@pytest.mark.parametrize(
    ("media_type", "text"), [(MANIFEST, single({}, LAYER)), ("", single(None, LAYER)), ("", "{}")]
)
def test_a_manifest_without_a_type_is_an_error(media_type: str, text: str) -> None:
    with pytest.raises(ValueError, match="names no type"):
        parse_manifest(media_type, text)


def test_a_config_names_the_platform() -> None:
    assert platform_of(b'{"os": "linux", "architecture": "arm64", "variant": "v8"}') == (
        "linux/arm64"
    )


@pytest.mark.parametrize("config", [b"", b"[]", b"{}", b'{"os": "linux"}', b"\xff"])
def test_a_config_without_a_platform_is_an_error(config: bytes) -> None:
    with pytest.raises(ValueError, match=r"\S"):
        platform_of(config)
