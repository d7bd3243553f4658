"""Image tags, references, repositories and platforms."""

import itertools
import re
from typing import get_args

import pytest
from docker_image.digest import InvalidDigest
from docker_image.reference import InvalidReference, Reference
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.domain.images import (
    Image,
    ImageReference,
    ImageRepository,
    Platform,
    Platforms,
    build_id_of_tag,
    image_reference,
    image_tag,
)
from chalicelib.errors import InvalidInput
from tests.support.fields import read

SHA = "6113728f27ae82c7b1a177c8d03f9e96e0adf246"
DIGEST = "sha256:" + "a" * 64
ECR = "123456789012.dkr.ecr.eu-west-1.amazonaws.com"

PLATFORMS = set(get_args(Platform))


def parse_image_reference(value: object) -> ImageReference:
    return image_reference(read(Image, value, "image_tag"))


def parse_repository_name(value: object) -> str:
    """Parse a name with the registry before it: docker reads a first part with a dot as a host."""
    sent = f"{ECR}/{value}" if isinstance(value, str) else value
    return str(read(ImageRepository, sent, "image_repository"))


def parse_platforms(value: object) -> list[str]:
    return list(read(Platforms, value, "platforms"))


BUILD_IDS = st.integers(min_value=1, max_value=10**18 - 1)
SHAS = st.just("") | st.from_regex(r"[0-9a-f]{40}", fullmatch=True)


def test_a_tag_names_the_ref_the_commit_and_the_build() -> None:
    assert image_tag("main", SHA, 123) == "main-6113728f27ae-123"
    assert image_tag("Feature/X", "", 7) == "feature-x-7"


@given(ref=st.text(), sha=SHAS, build_id=BUILD_IDS)
def test_a_tag_is_always_legal(ref: str, sha: str, build_id: int) -> None:
    assert re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}", image_tag(ref, sha, build_id))


@given(ref=st.text(), sha=SHAS, build_id=BUILD_IDS)
def test_a_tag_ends_in_the_id_of_its_build(ref: str, sha: str, build_id: int) -> None:
    assert build_id_of_tag(image_tag(ref, sha, build_id)) == build_id


@given(ref=st.text(), sha=SHAS, one=BUILD_IDS, other=BUILD_IDS)
def test_two_builds_never_share_a_tag(ref: str, sha: str, one: int, other: int) -> None:
    assert (image_tag(ref, sha, one) == image_tag(ref, sha, other)) is (one == other)


@pytest.mark.parametrize(
    "tag", ["", "latest", "123", "-123", "main-", "main-0", "main-01", "main-\uff11", "main-12\n"]
)
def test_a_tag_that_no_build_can_have_gives_no_build_id(tag: str) -> None:
    # "-123" has an empty slug, which no build has.
    assert build_id_of_tag(tag) is None


def test_a_number_too_large_for_an_id_is_not_a_build() -> None:
    assert build_id_of_tag("main-" + "9" * 19) is None


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("myapp:v1", ImageReference("", "myapp", "v1", "")),
        ("team/app:v1", ImageReference("", "team/app", "v1", "")),
        (f"myapp@{DIGEST}", ImageReference("", "myapp", "", DIGEST)),
        (f"myapp:v1@{DIGEST}", ImageReference("", "myapp", "v1", DIGEST)),
        (f"{ECR}/team/app:main-1", ImageReference(ECR, "team/app", "main-1", "")),
        ("127.0.0.1:5001/hello:v1", ImageReference("127.0.0.1:5001", "hello", "v1", "")),
        ("localhost/hello:v1", ImageReference("localhost", "hello", "v1", "")),
        ("registry:5000/hello:v1", ImageReference("registry:5000", "hello", "v1", "")),
        ("EVIL.example/myapp:v1", ImageReference("evil.example", "myapp", "v1", "")),
        ("my__app/a--b/c.d:_x", ImageReference("", "my__app/a--b/c.d", "_x", "")),
        ("myapp:" + "a" * 128, ImageReference("", "myapp", "a" * 128, "")),
    ],
)
def test_a_reference_is_read_as_docker_reads_it(text: str, expected: ImageReference) -> None:
    assert parse_image_reference(text) == expected


@pytest.mark.parametrize("value", [DIGEST, f"@{DIGEST}"])
def test_a_digest_alone_is_refused_with_what_to_write_instead(value: str) -> None:
    with pytest.raises(InvalidInput, match=f"repository@{DIGEST}"):
        parse_image_reference(value)


@pytest.mark.parametrize(
    "value",
    [
        "",
        None,
        5,
        DIGEST,
        "myapp",
        f"{ECR}/myapp",
        "MyApp:v1",
        "myapp:",
        "myapp:-x",
        "myapp:.x",
        "myapp:" + "a" * 129,
        "my//app:v1",
        "/myapp:v1",
        "my_-app:v1",
        "my___app:v1",
        "-myapp:v1",
        "myapp-:v1",
        "myapp:v1 --privileged",
        "--privileged",
        "myapp:v1\n",
        "myapp:v\xe9",
        "https://github.com/a/b:v1",
        "myapp@sha256:" + "a" * 63,
        "myapp@sha256:" + "A" * 64,
        "myapp@sha512:" + "a" * 128,
        "myapp@md5:" + "a" * 32,
        "@" + DIGEST,
        f"myapp:v1@{DIGEST}@{DIGEST}",
        f"myapp@{DIGEST}:v1",
        "a" * 256 + ":v1",
        "-evil.example/myapp:v1",
        "evil-.example/myapp:v1",
        "evil_.example/myapp:v1",
        f"{ECR}/" + "a" * 500 + ":v1",
    ],
)
def test_text_that_is_not_an_image_is_refused(value: object) -> None:
    with pytest.raises(InvalidInput) as refused:
        parse_image_reference(value)
    assert (refused.value.code, refused.value.field) == ("invalid_image", "image_tag")


@given(
    registry=st.sampled_from(["", ECR, "127.0.0.1:5001", "localhost"]),
    repository=st.from_regex(
        r"[a-z0-9]{1,9}([._-][a-z0-9]{1,9})?(/[a-z0-9]{1,9})?", fullmatch=True
    ),
    tag=st.just("") | st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}", fullmatch=True),
    digest=st.sampled_from(["", DIGEST]),
)
def test_a_reference_is_parsed_into_its_parts(
    registry: str, repository: str, tag: str, digest: str
) -> None:
    host = registry or ("localhost" if "." in repository.partition("/")[0] else "")
    text = (
        f"{host}/" * bool(host) + repository + f":{tag}" * bool(tag) + f"@{digest}" * bool(digest)
    )
    expected = ImageReference(host, repository, tag, digest)
    if tag or digest:
        assert parse_image_reference(text) == expected
    else:
        with pytest.raises(InvalidInput, match=r"needs a tag or a digest.*is a tag itself"):
            parse_image_reference(text)


@given(st.text() | st.from_regex(r"[a-z0-9._/:@-]+", fullmatch=True))
def test_any_text_is_parsed_or_refused(value: str) -> None:
    try:
        reference = parse_image_reference(value)
    except InvalidInput:
        return
    assert reference.tag or reference.digest


# Parts of references, valid and invalid.
REGISTRIES = [
    *("", "localhost/", "localhost:5000/", "registry:5000/", "Registry/", "REGISTRY:5000/"),
    *(f"{ECR}/", "EVIL.example/", "-a.example/", "a-.example/", "a..example/", ".a/", "a_b.c/"),
    *("1.2.3.4/", "a.b:/", "a.b:x/", "a.b:123456/", "[::1]/", "[::1]:5000/", "user@a.b/", "/"),
]
REPOSITORIES = [
    *("app", "team/app", "a.b", "a_b", "a__b", "a---b", "a/b/c", "0", "a/" + "a" * 253, "a" * 256),
    *("", "App", "a___b", "a_-b", "a..b", ".a", "a.", "-a", "a-", "a//b", "a/", "\xe4", "a b"),
    "f" * 64,
]
TAGS = [
    *("", ":v1", ":V1.0_x-y", ":_", ":" + "a" * 128),
    *(":", ":-x", ":.x", ":" + "a" * 129, ":v/1", ":v1\n", ":\xe4"),
]
DIGESTS = [
    *("", f"@{DIGEST}", f"@{DIGEST}\n", f"@{DIGEST}@{DIGEST}", f"@{DIGEST}:v1"),
    *("@sha256:" + "a" * 63, "@sha256:" + "A" * 64, "@sha512:" + "a" * 128),
]
PIECES = [*"aB0._-/:@\n", "__", "localhost", "example.com", ":5000", ":v1", f"@{DIGEST}"]


def test_all_references_of_these_parts_mean_the_same_to_docker_and_slipway() -> None:
    for parts in itertools.product(REGISTRIES, REPOSITORIES, TAGS, DIGESTS):
        compare_with_docker("".join(parts))


@given(st.lists(st.sampled_from(PIECES), max_size=9).map("".join))
def test_random_references_mean_the_same_to_docker_and_slipway(text: str) -> None:
    compare_with_docker(text)


def compare_with_docker(text: str) -> None:
    """Fail if docker reads a reference differently, or reads one that Slipway should accept."""
    by_slipway, by_docker = read_by_slipway(text), read_by_docker(text)
    if by_slipway is not None:
        assert by_slipway == by_docker, text
    elif by_docker is not None:
        assert is_refused_on_purpose(text, by_docker), text


def read_by_slipway(text: str) -> ImageReference | None:
    try:
        return parse_image_reference(text)
    except InvalidInput:
        return None


def read_by_docker(text: str) -> ImageReference | None:
    """docker's reading, without the registry docker.io and the path library/ that it adds."""
    try:
        read = Reference.parse_normalized_named(text)
    except (InvalidReference, InvalidDigest):
        return None
    registry, path = read.domain().lower(), read.path()
    if registry == "docker.io":
        registry, path = "", path.removeprefix("library/")
    return ImageReference(registry, path, read["tag"] or "", read["digest"] or "")


def is_refused_on_purpose(text: str, read: ImageReference) -> bool:
    """Whether docker allows a reference that Slipway refuses on purpose.

    The line break at the end is a bug of the library.
    """
    return (
        not (read.tag or read.digest)
        or (read.digest != "" and not read.digest.startswith("sha256:"))
        or text.endswith("\n")
        or read.registry.startswith("[")
        or re.search(r":[0-9]{6,}$", read.registry) is not None
        or not set(read.registry) & {".", ":"}  # a host only because of a capital letter
    )


@pytest.mark.parametrize("name", ["ab", "team/app", "a.b_c-d/e__f--g", "a" * 255])
def test_a_valid_repository_name_is_accepted_unchanged(name: str) -> None:
    assert parse_repository_name(name) == name


@pytest.mark.parametrize(
    "value",
    [
        "",
        "a",
        "A/b",
        "a//b",
        "/ab",
        "ab/",
        "a_-b",
        "a___b",
        "-ab",
        "ab-",
        "a:b",
        "ab\n",
        5,
        None,
        "a" * 256,
    ],
)
def test_a_repository_name_that_ecr_would_refuse_is_refused(value: object) -> None:
    with pytest.raises(InvalidInput) as refused:
        parse_repository_name(value)
    assert (refused.value.code, refused.value.field) == ("invalid_image", "image_repository")


@given(st.lists(st.sampled_from(sorted(PLATFORMS)), min_size=1, max_size=8, unique=True))
def test_known_platforms_are_kept_in_their_order(platforms: list[str]) -> None:
    assert parse_platforms(platforms) == platforms


@pytest.mark.parametrize(
    "value",
    [
        [],
        ["linux/amd64", "linux/amd64"],
        ["windows/amd64"],
        ["linux/amd64,linux/arm64"],
        ["linux/amd64\n"],
        [5],
        [["linux/amd64"]],
        "linux/amd64",
        None,
        ["linux/amd64"] * 9,
    ],
)
def test_unknown_repeated_or_too_many_platforms_are_refused(value: object) -> None:
    with pytest.raises(InvalidInput) as refused:
        parse_platforms(value)
    assert (refused.value.code, refused.value.field) == ("invalid_platforms", "platforms")


@given(
    st.lists(
        st.sampled_from([*sorted(PLATFORMS), "linux/arm/v8", "linux/amd64\n", ""])
        | st.none()
        | st.integers()
        | st.lists(st.sampled_from(sorted(PLATFORMS)), max_size=1),
        max_size=9,
    )
    | st.text()
)
def test_any_value_is_a_list_of_platforms_or_refused(value: object) -> None:
    try:
        platforms = parse_platforms(value)
    except InvalidInput:
        return
    assert platforms == value
    assert len(set(platforms)) == len(platforms)
    assert set(platforms) <= PLATFORMS


@given(st.lists(st.sampled_from(PIECES), max_size=9).map("".join))
def test_a_repository_name_equals_the_one_in_an_image_reference(name: str) -> None:
    reference = read_by_slipway(f"{ECR}/{name}:v1")
    try:
        assert reference == ImageReference(ECR, parse_repository_name(name), "v1", "")
    except InvalidInput:
        assert reference is None or len(name) < 2  # docker allows one character, ECR does not
