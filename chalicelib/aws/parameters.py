"""Parameter Store: secret texts that builds read."""

from chalicelib.aws.clients import calling, client


def put_secret(name: str, text: str) -> None:
    """Set a parameter to a secret text, encrypted with AWS's key for Parameter Store.

    Raises Rejected and Unavailable. A repetition has the same effect.
    """
    with calling("SSM PutParameter"):
        client("ssm").put_parameter(Name=name, Value=text, Type="SecureString", Overwrite=True)
