"""A GitHub App for tests: its private key is in KMS, and the GitHub on loopback knows the other."""

import base64

import boto3

from infra.local.github.server import GitHub

APP = "Iv23liSlipway"
PERMISSIONS = {
    "statuses": "write",
    "deployments": "write",
    "contents": "read",
    "checks": "read",
}


def create_key(alias: str = "alias/slipway-github-app") -> str:
    """A new key in KMS with this alias. Returns its public key as PEM."""
    kms = boto3.client("kms", region_name="eu-west-1")
    # KMS of the tests cannot import keys: it makes one.
    number = kms.create_key(KeyUsage="SIGN_VERIFY", KeySpec="RSA_2048")["KeyMetadata"]["KeyId"]
    kms.create_alias(AliasName=alias, TargetKeyId=number)
    der = base64.encodebytes(kms.get_public_key(KeyId=number)["PublicKey"]).decode()
    return f"-----BEGIN PUBLIC KEY-----\n{der}-----END PUBLIC KEY-----\n"


def register_app(github: GitHub, permissions: dict[str, str] = PERMISSIONS) -> None:
    """Create the key, and the App that GitHub knows by its client id."""
    github.register_app(create_key(), permissions, client_id=APP)
