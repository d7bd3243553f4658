"""Image tags, references, repositories and platforms."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.domain.images import (
    PLATFORMS,
    ImageReference,
    build_id_of_tag,
    image_tag,
    parse_image_reference,
    parse_platforms,
    parse_repository_name,
)
from chalicelib.errors import InvalidInput

SHA = "6113728f27ae82c7b1a177c8d03f9e96e0adf246"
DIGEST = "sha256:" + "a" * 64
ECR = "123456789012.dkr.ecr.eu-west-1.amazonaws.com"

BUILD_IDS = st.integers(min_value=1, max_value=10**18 - 1)
SHAS = st.just("") | st.from_regex(r"[0-9a-f]{40}", fullmatch=True)


def test_a_tag_names_the_ref_the_commit_and_the_build() -> None:
    assert image_tag("main", SHA, 123) == "main-6113728f27ae-123"
    assert image_tag("Feature/X", "", 7) == "feature-x-7"


@given(ref=st.text(), sha=SHAS, build_id=BUILD_IDS)
def test_a_tag_is_always_legal(ref: str, sha: str, build_id: int) -> None:
    assert re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}", image_tag(ref, sha, build_id))


@given(ref=st.text(), sha=SHAS, build_id=BUILD_IDS)
def test_a_tag_leads_back_to_its_build(ref: str, sha: str, build_id: int) -> None:
    assert build_id_of_tag(image_tag(ref, sha, build_id)) == build_id


@given(ref=st.text(), sha=SHAS, one=BUILD_IDS, other=BUILD_IDS)
def test_two_builds_never_share_a_tag(ref: str, sha: str, one: int, other: int) -> None:
    assert (image_tag(ref, sha, one) == image_tag(ref, sha, other)) is (one == other)


@pytest.mark.parametrize(
    "tag", ["", "latest", "123", "-123", "main-", "main-0", "main-01", "main-\uff11", "main-12\n"]
)
def test_a_tag_that_no_build_makes_leads_nowhere(tag: str) -> None:
    # "-123" has an empty ref, which a slug never is.
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


@pytest.mark.parametrize(
    "value",
    [
        "",
        None,
        5,
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
        f"{ECR}/" + "a" * 500 + ":v1",
    ],
)
def test_what_is_not_an_image_is_refused(value: object) -> None:
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
def test_a_reference_reads_back_as_what_it_was_made_of(
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
        with pytest.raises(InvalidInput, match="name a tag or digest"):
            parse_image_reference(text)


@given(st.text() | st.from_regex(r"[a-z0-9._/:@-]+", fullmatch=True))
def test_any_text_is_an_image_or_refused(value: str) -> None:
    try:
        reference = parse_image_reference(value)
    except InvalidInput:
        return
    assert reference.tag or reference.digest


@pytest.mark.parametrize("name", ["ab", "team/app", "a.b_c-d/e__f--g", "a" * 255])
def test_a_repository_name_is_kept_as_it_is(name: str) -> None:
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
def test_platforms_are_a_short_list_of_known_ones(value: object) -> None:
    with pytest.raises(InvalidInput) as refused:
        parse_platforms(value)
    assert (refused.value.code, refused.value.field) == ("invalid_platforms", "platforms")
