"""Sweep: hands executions of an Express workflow that ended early to Housekeeping."""

from datetime import UTC, datetime, timedelta

from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.metrics import MetricUnit
from aws_lambda_powertools.utilities.typing import LambdaContext

from imagepipeline import aws, config
from imagepipeline.executions import OVERDUE_AFTER
from imagepipeline.sweep import sweep

logger = Logger()
metrics = Metrics()
aws.make_clients("dynamodb", "stepfunctions")


@logger.inject_lambda_context(clear_state=True)
def handler(event: dict, context: LambdaContext) -> dict:
    """Takes the event of a schedule, and returns `{"Registered", "Stuck", "HandedOver"}`, numbers of executions.

    `OverdueAfterSeconds` in the event replaces the time after which an execution must have ended. Only a system whose
    time runs faster needs it, such as that of the tests. Raises ServiceUnavailable.
    """
    overdue_after = timedelta(seconds=event.get("OverdueAfterSeconds", OVERDUE_AFTER.total_seconds()))
    found = sweep(config.text("EXECUTIONS_TABLE"), config.text("HOUSEKEEPING"), datetime.now(UTC), overdue_after)
    metrics.add_metric(name="StuckRecords", unit=MetricUnit.Count, value=found.stuck)
    metrics.add_metric(name="OldestExecutionAge", unit=MetricUnit.Seconds, value=found.oldest.total_seconds())
    metrics.flush_metrics()
    logger.info("swept", extra={"registered": found.registered, "handed_over": found.handed_over})
    return {"Registered": found.registered, "Stuck": found.stuck, "HandedOver": found.handed_over}
