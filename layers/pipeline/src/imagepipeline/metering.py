"""Metrics of what Rekognition was asked."""

from collections import Counter

from aws_lambda_powertools import Metrics
from aws_lambda_powertools.metrics import MetricUnit

from imagepipeline.rekognition import THROTTLED


def publish_calls(metrics: Metrics, answers: Counter[str]) -> None:
    """Publishes the calls that are billed, and those that a quota refused, and forgets them.

    `answers` are those that `aws.count_answers` counts.
    """
    counts = {"RekognitionCalls": answers[""], "RekognitionThrottles": sum(answers[code] for code in THROTTLED)}
    answers.clear()
    for name, count in counts.items():
        if count:
            metrics.add_metric(name=name, unit=MetricUnit.Count, value=count)
    if any(counts.values()):
        metrics.flush_metrics()
