"""CloudWatch metrics, written to the log of the function in the embedded metric format (EMF).

CloudWatch Logs reads the metrics from such lines, so no call of AWS is made. Other places than
Lambda have no such reader, and get no lines.
"""

import logging
from collections.abc import Mapping
from typing import Any

from chalicelib.settings import on_lambda

NAMESPACE = "Slipway"

logger = logging.getLogger("slipway")


def put(
    dimensions: Mapping[str, str],
    *,
    counts: Mapping[str, int],
    seconds: Mapping[str, int],
    facts: Mapping[str, Any],
) -> None:
    """Write one line with metrics. `facts` are fields of the line that are no dimensions.

    A failure is only logged: the work that is measured is done.
    """
    if not on_lambda():
        return
    try:
        # Here, because most invocations end no job: the import takes some milliseconds.
        from aws_lambda_powertools.metrics import EphemeralMetrics, MetricUnit

        metrics = EphemeralMetrics(namespace=NAMESPACE)
        for name, value in dimensions.items():
            metrics.add_dimension(name, value)
        for name, number in counts.items():
            metrics.add_metric(name, MetricUnit.Count, number)
        for name, number in seconds.items():
            metrics.add_metric(name, MetricUnit.Seconds, number)
        for name, value in facts.items():
            metrics.add_metadata(name, value)
        metrics.flush_metrics()
    except Exception:
        logger.exception("metrics were not written")
