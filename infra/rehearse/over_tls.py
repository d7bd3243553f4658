"""Runs a command as if its calls came over TLS: `python -m infra.rehearse.over_tls MODULE …`.

The bucket of packages refuses calls without TLS. The emulator takes TLS's place from a header, as
behind a proxy.
"""

import runpy
import sys
from typing import Any

import botocore


def _say_tls(**event: Any) -> None:
    event["request"].headers["X-Forwarded-Proto"] = "https"


if __name__ == "__main__":
    botocore.register_initializer(lambda session: session.register("before-send.s3", _say_tls))
    sys.argv = sys.argv[1:]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
