"""Metrics of what Rekognition was asked."""

from collections.abc import Iterator
from contextlib import contextmanager

from aws_lambda_powertools import Metrics
from aws_lambda_powertools.metrics import MetricUnit

from imagepipeline import aws
from imagepipeline.rekognition import THROTTLED


@contextmanager
def rekognition_calls(metrics: Metrics) -> Iterator[None]:
    """Publishes how many of the calls within it are billed, and how many a quota refused."""
    with aws.record_responses("rekognition") as codes:
        try:
            yield
        finally:
            counts = {
                "RekognitionCalls": codes.count(""),
                "RekognitionThrottles": sum(code in THROTTLED for code in codes),
            }
            for name, count in counts.items():
                if count:
                    metrics.add_metric(name=name, unit=MetricUnit.Count, value=count)
            if any(counts.values()):
                metrics.flush_metrics()
