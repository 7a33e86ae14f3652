"""Pauses the pipeline when its monthly budget is spent: the events of new uploads wait in a queue."""

from aws_lambda_powertools import Logger
from aws_lambda_powertools.utilities.typing import LambdaContext

from imagepipeline import aws, config, pausing

SUBJECT = "Image pipeline: paused, because the monthly budget is spent"
MESSAGE = """The pipeline's monthly budget is spent. New uploads wait in a queue, for at most 14 days. Nothing is lost.

To process them, run: image-pipeline resume
See "Budget" in docs/operations.md of the image pipeline.
"""

logger = Logger()
aws.make_clients("events", "sns")


@logger.inject_lambda_context(clear_state=True)
def handler(event: dict, context: LambdaContext) -> dict:
    """Takes a message of the topic that the budget notifies; its content does not matter.

    Returns `{"Paused"}`, whether this invocation paused the pipeline. It notifies the subscribers of the alarms in any
    case, because an earlier invocation may have paused the pipeline and then failed. Raises TargetNotReplaced.
    """
    paused = pausing.pause(aws.client("events"), config.text("UPLOADS_RULE"), config.text("PAUSED_UPLOADS_QUEUE_ARN"))
    aws.client("sns").publish(TopicArn=config.text("ALARMS_TOPIC"), Subject=SUBJECT, Message=MESSAGE)
    logger.info("pipeline paused", extra={"changed": paused})
    return {"Paused": paused}
