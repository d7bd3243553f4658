"""`make github-app` imports the private key of a GitHub App into KMS, for a stage.

From there no program can read it. Slipway's functions only let KMS sign with it. They name it by
its alias, so a new key of the App needs no deploy.
"""

import argparse
import os
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import boto3
from botocore.exceptions import BotoCoreError, ClientError
from cryptography.hazmat.primitives.asymmetric.padding import MGF1, OAEP
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.keywrap import aes_key_wrap_with_padding
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_der_public_key,
    load_pem_private_key,
)

from chalicelib.domain.github_app import key_alias
from infra.confirm import confirm
from infra.stacks import Refused, open_session

_BITS = 2048  # GitHub's keys, and KMS's RSA_2048
_APP = re.compile(r"[A-Za-z0-9._-]{1,100}", re.ASCII)


def read_key(path: Path) -> RSAPrivateKey:
    """The private key in the file that GitHub made. Raises Refused."""
    try:
        key = load_pem_private_key(path.read_bytes(), password=None)
    except OSError as error:
        raise Refused(f"{path} cannot be read: {error.strerror}.\n{_NEW_KEY}") from error
    except (TypeError, ValueError) as error:
        raise Refused(f"{path} is not a private key in PEM format.\n{_NEW_KEY}") from error
    if not isinstance(key, RSAPrivateKey) or key.key_size != _BITS:
        raise Refused(f"{path} is not an RSA key of {_BITS} bits.\n{_NEW_KEY}")
    return key


_NEW_KEY = (
    "Generate a private key in the App's settings on GitHub, and give its file: KEY=<file>.pem"
)


def wrap(key: RSAPrivateKey, public_key: bytes) -> bytes:
    """The key in the form that KMS takes for RSA_AES_KEY_WRAP_SHA_256.

    An AES key of 256 bits, encrypted for KMS by RSAES-OAEP with SHA-256, and then the private key
    (PKCS #8, DER), encrypted with the AES key as RFC 5649 says. KMS Developer Guide: "Select a
    wrapping algorithm", "Requirements for imported key material", "Encrypt the key material".
    """
    wrapping = load_der_public_key(public_key)
    if not isinstance(wrapping, RSAPublicKey):
        raise TypeError("KMS's wrapping key is not an RSA key")
    once = os.urandom(32)
    plain = key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    padding = OAEP(mgf=MGF1(SHA256()), algorithm=SHA256(), label=None)
    return wrapping.encrypt(once, padding) + aes_key_wrap_with_padding(once, plain)


def import_key(kms: Any, number: str, key: RSAPrivateKey) -> None:
    """Give the KMS key its key material. A repetition with the same key has the same effect."""
    given = kms.get_parameters_for_import(
        KeyId=number,
        WrappingAlgorithm="RSA_AES_KEY_WRAP_SHA_256",
        WrappingKeySpec="RSA_4096",
    )
    kms.import_key_material(
        KeyId=number,
        ImportToken=given["ImportToken"],
        EncryptedKeyMaterial=wrap(key, given["PublicKey"]),
        ExpirationModel="KEY_MATERIAL_DOES_NOT_EXPIRE",
    )


def find_key(kms: Any, alias: str) -> tuple[str, str] | None:
    """The id and the state of the KMS key with an alias, or None."""
    try:
        found = kms.describe_key(KeyId=alias)["KeyMetadata"]
    except kms.exceptions.NotFoundException:
        return None
    return found["KeyId"], found["KeyState"]


def github_app(stage: str, app: str, path: Path, *, yes: bool) -> None:
    """Import the key and print what to do next. Raises Refused."""
    if not _APP.fullmatch(app):
        raise Refused(
            "APP must be the App's client id or id.\nIt is in the App's settings on GitHub: "
            f"make github-app STAGE={stage} APP=Iv23li… KEY=<file>.pem"
        )
    key = read_key(path)
    session = open_session()
    kms, alias = session.client("kms"), key_alias(f"slipway-{stage}")
    found = find_key(kms, alias)
    print(f"account {_account(session)}, region {session.region_name}")
    if found is not None and found[1] == "Enabled" and _has(kms, found[0], key):
        print(f"KMS has this key already: {alias} is {found[0]}")
    else:
        _replace(kms, alias, found, key, path, yes=yes)
    print(_next_steps(stage, app, path))


def _account(session: boto3.Session) -> str:
    return str(session.client("sts").get_caller_identity()["Account"])


def _has(kms: Any, number: str, key: RSAPrivateKey) -> bool:
    """Whether a KMS key has this key material. KMS takes no other material for the same key."""
    public = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return bool(kms.get_public_key(KeyId=number)["PublicKey"] == public)


def _replace(
    kms: Any,
    alias: str,
    found: tuple[str, str] | None,
    key: RSAPrivateKey,
    path: Path,
    *,
    yes: bool,
) -> None:
    """Import the key into the KMS key with the alias if it waits for one, or else into a new one.

    The alias moves after the import, so that Slipway can sign at any time.
    """
    unfinished = found is not None and found[1] == "PendingImport"
    print(f"  {'go on with' if unfinished else 'create'} a KMS key to sign, RSA_{_BITS}")
    print(f"  import {path} into it, encrypted for KMS")
    if found is None:
        print(f"  create {alias} for it")
    elif not unfinished:
        print(f"  move {alias} to it from {found[0]}, which is {found[1]}")
    confirm("Do this?", "yes", yes=yes)
    if found is None or not unfinished:
        made = kms.create_key(
            KeyUsage="SIGN_VERIFY",
            KeySpec=f"RSA_{_BITS}",
            Origin="EXTERNAL",
            Description=f"Private key of the GitHub App of {alias}",
        )
        number = made["KeyMetadata"]["KeyId"]
        print(f"created the KMS key {number}")
        if found is None:
            kms.create_alias(AliasName=alias, TargetKeyId=number)
    else:
        number = found[0]
    import_key(kms, number, key)
    if found is not None and not unfinished:
        kms.update_alias(AliasName=alias, TargetKeyId=number)
        print(
            f"the KMS key before is not used any more. After five minutes, delete it: "
            f"aws kms schedule-key-deletion --key-id {found[0]}"
        )
    print(f"imported the private key: {alias} is {number}")


def _next_steps(stage: str, app: str, path: Path) -> str:
    return "\n".join(
        [
            "Next:",
            f"  delete the file, because nothing needs it any more: rm {path}",
            f'  make deploy STAGE={stage} ARGS="GithubApp={app}"',
            "  install the App on your repositories, and create a channel: docs/telling.md",
        ]
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """Import the private key of a GitHub App into KMS, for a stage."""
    parser = argparse.ArgumentParser(prog="make github-app", description=main.__doc__)
    parser.add_argument("stage", choices=["dev", "prod"])
    parser.add_argument("--app", required=True, help="the App's client id or id")
    parser.add_argument("--key", required=True, type=Path, help="the file that GitHub made")
    parser.add_argument("--yes", action="store_true", help="do it without a question")
    options = parser.parse_args(arguments)
    try:
        github_app(options.stage, options.app, options.key, yes=options.yes)
    except Refused as refusal:
        sys.exit(str(refusal))
    except (BotoCoreError, ClientError) as error:
        sys.exit(
            f"{error}\nCheck that these credentials have the policy that make policy "
            f"STAGE={options.stage} ARGS=--github-app prints. Then run this again: it continues "
            "where it stopped."
        )


if __name__ == "__main__":
    main()
