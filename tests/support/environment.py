"""The environment variables of the product: no real account and no real credentials."""

import os
import sys
from pathlib import Path

from tests.support.builders import WEBHOOK_SECRET

REGION = "eu-west-1"
ACCOUNT = "123456789012"
QUEUE = "slipway-wakeups"


def prepare() -> None:
    """Set the variables of the settings. Call it before the first import of the product."""
    _keep_compiled_modules()
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        del os.environ[name]
    # `python3` is then this interpreter. A version manager's script takes eight times as long.
    path = [str(Path(sys.executable).parent), os.environ["PATH"]]
    os.environ.update(
        PATH=os.pathsep.join(path),
        AWS_ACCESS_KEY_ID="test",
        AWS_SECRET_ACCESS_KEY="test",
        AWS_DEFAULT_REGION=REGION,
        AWS_REGION=REGION,
        AWS_ACCOUNT_ID_ENDPOINT_MODE="disabled",
        # No test starts a virtual machine, and moto's EC2 reads the images of machines each time.
        MOTO_EC2_LOAD_DEFAULT_AMIS="false",
        WEBHOOK_SECRET=WEBHOOK_SECRET,
        QUEUE_URL=f"https://sqs.{REGION}.amazonaws.com/{ACCOUNT}/{QUEUE}",
        REGISTRY=f"{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com",
    )


def _keep_compiled_modules() -> None:
    """Keep them beside the installed packages if the machine wants none beside the sources.

    Else each of the many processes of the tests compiles moto again, which takes seconds.
    """
    if sys.dont_write_bytecode:
        sys.dont_write_bytecode = False
        sys.pycache_prefix = str(Path(sys.prefix, "compiled"))
        os.environ |= {"PYTHONDONTWRITEBYTECODE": "", "PYTHONPYCACHEPREFIX": sys.pycache_prefix}


prepare()
