"""KMS: signatures by the private key of the GitHub App, which never leaves KMS."""

from chalicelib.aws.clients import calling, client


def sign(key: str, message: bytes) -> bytes:
    """The RS256 signature of a message of at most 4,096 bytes, by the key with this alias.

    Raises Rejected and Unavailable. KMS API reference, "Sign": RSASSA_PKCS1_V1_5_SHA_256 is the
    algorithm that JWTs name RS256.
    """
    with calling("KMS Sign"):
        answer = client("kms").sign(
            KeyId=key,
            Message=message,
            MessageType="RAW",
            SigningAlgorithm="RSASSA_PKCS1_V1_5_SHA_256",
        )
    signature: bytes = answer["Signature"]
    return signature
