"""`make github-app`: the private key goes to KMS, encrypted for it, and signs there.

The KMS of the tests cannot import keys, so `KeyImport` answers these two calls. What it does is as
AWS's documents say, and was not compared with AWS.
"""

import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest
from botocore.client import BaseClient
from botocore.exceptions import ClientError
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.padding import MGF1, OAEP, PKCS1v15
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.keywrap import aes_key_unwrap_with_padding
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_der_private_key,
)
from moto import mock_aws
from moto.kms.models import kms_backends

from infra import github_app
from infra.package import ROOT
from infra.permissions import GITHUB_APP
from tests.support.embedded import client

ALIAS = "alias/slipway-dev-github-app"
PLAIN = NoEncryption()


@cache
def rsa_key(number: int, bits: int = 2048) -> rsa.RSAPrivateKey:
    """A key that the tests of this process share."""
    return rsa.generate_private_key(65537, bits)


def write(path: Path, key: Any, encryption: KeySerializationEncryption = PLAIN) -> Path:
    """The file that GitHub makes: PKCS #1 in PEM."""
    path.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, encryption))
    return path


class KeyImport:
    """GetParametersForImport and ImportKeyMaterial. `fails` calls of the second one fail first."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.fails = 0
        self.calls: list[tuple[str, Any]] = []
        call: Any = vars(BaseClient)["_make_api_call"]

        def make_api_call(client: BaseClient, operation: str, request: dict[str, Any]) -> Any:
            self.calls.append((operation, request))
            answer = getattr(self, operation, None)
            return answer(request) if answer else call(client, operation, request)

        monkeypatch.setattr(BaseClient, "_make_api_call", make_api_call)

    def count(self, operation: str) -> int:
        return sum(name == operation for name, _ in self.calls)

    def key(self, number: str) -> Any:
        return kms_backends["123456789012"]["eu-west-1"].keys[number]

    def CreateKey(self, _: dict[str, Any]) -> Any:  # noqa: N802
        """KMS: a key without key material is PendingImport."""
        backend = kms_backends["123456789012"]["eu-west-1"]
        made = backend.create_key(
            policy=None,
            key_usage="SIGN_VERIFY",
            key_spec="RSA_2048",
            description="",
            tags=[],
            origin="EXTERNAL",
        )
        made.key_state = "PendingImport"
        return {"KeyMetadata": {"KeyId": made.id}}

    def GetParametersForImport(self, request: dict[str, Any]) -> Any:  # noqa: N802
        assert request["WrappingAlgorithm"] == "RSA_AES_KEY_WRAP_SHA_256"
        assert request["WrappingKeySpec"] == "RSA_4096"
        public = rsa_key(0, 4096).public_key()
        der = public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        return {"PublicKey": der, "ImportToken": b"token of " + request["KeyId"].encode()}

    def ImportKeyMaterial(self, request: dict[str, Any]) -> Any:  # noqa: N802
        if self.fails:
            self.fails -= 1
            raise TimeoutError
        assert request["ImportToken"] == b"token of " + request["KeyId"].encode()
        assert request["ExpirationModel"] == "KEY_MATERIAL_DOES_NOT_EXPIRE"
        # RSA of 4,096 bits encrypts to 512 bytes.
        first, rest = request["EncryptedKeyMaterial"][:512], request["EncryptedKeyMaterial"][512:]
        once = rsa_key(0, 4096).decrypt(first, OAEP(MGF1(SHA256()), SHA256(), None))
        assert len(once) == 32
        imported = load_der_private_key(aes_key_unwrap_with_padding(once, rest), password=None)
        key = self.key(request["KeyId"])
        assert key.key_state == "PendingImport"
        key.private_key.private_key, key.key_state = imported, "Enabled"
        return {}


@pytest.fixture
def imports(monkeypatch: pytest.MonkeyPatch) -> Iterator[KeyImport]:
    with mock_aws():
        yield KeyImport(monkeypatch)


def run(path: Path, *options: str, app: str = "Iv23liSlipway") -> None:
    github_app.main(["dev", "--app", app, "--key", str(path), *options])


def signs_with(key: rsa.RSAPrivateKey) -> None:
    """Raises InvalidSignature unless the key with the alias is this one."""
    answer = client("kms").sign(
        KeyId=ALIAS,
        Message=b"text",
        MessageType="RAW",
        SigningAlgorithm="RSASSA_PKCS1_V1_5_SHA_256",
    )
    key.public_key().verify(answer["Signature"], b"text", PKCS1v15(), SHA256())


def test_the_key_of_the_file_signs_in_kms(
    imports: KeyImport, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write(tmp_path / "app.pem", rsa_key(1))
    run(path, "--yes")
    signs_with(rsa_key(1))
    shown = capsys.readouterr().out
    assert "account 123456789012, region eu-west-1" in shown
    assert f"rm {path}" in shown
    assert 'make deploy STAGE=dev ARGS="GithubApp=Iv23liSlipway"' in shown
    plain = rsa_key(1).private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    assert repr(plain)[2:-1] not in repr(imports.calls)


def test_a_second_run_changes_nothing(
    imports: KeyImport, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write(tmp_path / "app.pem", rsa_key(1))
    run(path, "--yes")
    run(path)
    assert "KMS has this key already" in capsys.readouterr().out
    assert imports.count("CreateKey") == imports.count("ImportKeyMaterial") == 1


def test_a_run_that_died_before_the_import_is_continued(imports: KeyImport, tmp_path: Path) -> None:
    path = write(tmp_path / "app.pem", rsa_key(1))
    imports.fails = 1
    with pytest.raises(TimeoutError):
        run(path, "--yes")
    run(path, "--yes")
    signs_with(rsa_key(1))
    assert imports.count("CreateKey") == imports.count("CreateAlias") == 1


def test_a_new_key_of_the_app_replaces_the_one_before_only_after_its_import(
    imports: KeyImport, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(write(tmp_path / "app.pem", rsa_key(1)), "--yes")
    path = write(tmp_path / "new.pem", rsa_key(2))
    imports.fails = 1
    with pytest.raises(TimeoutError):
        run(path, "--yes")
    signs_with(rsa_key(1))
    run(path, "--yes")
    signs_with(rsa_key(2))
    assert "aws kms schedule-key-deletion --key-id" in capsys.readouterr().out


def test_the_printed_policy_has_exactly_what_the_command_calls(
    imports: KeyImport, tmp_path: Path
) -> None:
    for number in (1, 2):
        run(write(tmp_path / "app.pem", rsa_key(number)), "--yes")
    called = {f"kms:{name}" for name, _ in imports.calls} - {"kms:GetCallerIdentity"}
    assert called == {action for grant in GITHUB_APP for action in grant.actions}


def test_a_refusal_names_the_policy(
    imports: KeyImport, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refusal = ClientError({"Error": {"Code": "AccessDeniedException"}}, "CreateKey")
    monkeypatch.setattr(imports, "CreateKey", Mock(side_effect=refusal))
    with pytest.raises(SystemExit, match=r"make policy STAGE=dev ARGS=--github-app prints"):
        run(write(tmp_path / "app.pem", rsa_key(1)), "--yes")


def test_without_a_person_nothing_is_changed(imports: KeyImport, tmp_path: Path) -> None:
    path = write(tmp_path / "app.pem", rsa_key(1))
    with pytest.raises(SystemExit, match="Nothing was changed: the input is not a terminal"):
        run(path)
    assert imports.count("CreateKey") == 0


def test_a_wrong_file_is_refused_before_any_call(imports: KeyImport, tmp_path: Path) -> None:
    text = tmp_path / "text.pem"
    text.write_text("a text")
    wrong = {
        tmp_path / "none.pem": "cannot be read",
        text: "is not a private key in PEM format",
        write(tmp_path / "long.pem", rsa_key(0, 4096)): "is not an RSA key of 2048 bits",
        write(tmp_path / "ec.pem", ec.generate_private_key(ec.SECP256R1())): "is not an RSA key",
        write(tmp_path / "x.pem", rsa_key(1), BestAvailableEncryption(b"password")): "is not a",
    }
    for path, message in wrong.items():
        with pytest.raises(SystemExit, match=message):
            run(path, "--yes")
    with pytest.raises(SystemExit, match="APP must be the App's client id or id"):
        run(write(tmp_path / "app.pem", rsa_key(1)), "--yes", app="my app")
    assert imports.calls == []


def test_make_names_what_is_missing(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "infra.github_app", "dev", "--app", "", "--key", ""]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "APP must be the App's client id or id" in done.stderr
    assert "Traceback" not in done.stderr
