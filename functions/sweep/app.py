"""Sweep: reports uploads that are stuck, and hands Express executions that ended early to Housekeeping."""

from datetime import UTC, datetime, timedelta

from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.metrics import MetricUnit
from aws_lambda_powertools.utilities.typing import LambdaContext

from imagepipeline import aws, config
from imagepipeline.executions import OVERDUE_AFTER
from imagepipeline.sweep import find_registered, find_stuck, hand_over

logger = Logger()
metrics = Metrics()
aws.make_clients("dynamodb", "stepfunctions")


@logger.inject_lambda_context(clear_state=True)
def handler(event: dict, context: LambdaContext) -> dict:
    """Takes the event of a schedule. Raises ServiceUnavailable.

    With a Standard workflow, returns `{"Examined", "Stuck"}`, numbers of records. With an Express workflow, returns
    `{"Registered", "Stuck", "HandedOver"}`, numbers of executions. There, `OverdueAfterSeconds` in the event replaces
    the time after which an execution must have ended. Only a system whose time runs faster needs it, such as that of
    the tests.
    """
    if config.choice("WORKFLOW_TYPE", "STANDARD", "EXPRESS") == "EXPRESS":
        return _recover(timedelta(seconds=event.get("OverdueAfterSeconds", OVERDUE_AFTER.total_seconds())))
    examined, stuck = find_stuck(config.text("IMAGES_TABLE"), config.text("IMAGE_PIPELINE"), datetime.now(UTC))
    metrics.add_metric(name="StuckRecords", unit=MetricUnit.Count, value=stuck)
    metrics.flush_metrics()
    logger.info("swept", extra={"examined": examined, "stuck": stuck})
    return {"Examined": examined, "Stuck": stuck}


def _recover(overdue_after: timedelta) -> dict:
    table, housekeeping = config.text("EXECUTIONS_TABLE"), config.text("HOUSEKEEPING")
    found = find_registered(table, datetime.now(UTC), overdue_after)
    # Before handing over, which may fail: then the metrics show what is not recovered.
    metrics.add_metric(name="StuckRecords", unit=MetricUnit.Count, value=found.stuck)
    metrics.add_metric(name="OldestExecutionAge", unit=MetricUnit.Seconds, value=found.oldest.total_seconds())
    metrics.flush_metrics()
    hand_over(table, housekeeping, found.overdue)
    logger.info("swept", extra={"registered": found.registered, "handed_over": len(found.overdue)})
    return {"Registered": found.registered, "Stuck": found.stuck, "HandedOver": len(found.overdue)}
