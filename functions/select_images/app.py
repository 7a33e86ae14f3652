"""SelectImages: decides which objects of a batch are processed again, and makes their events."""

from concurrent.futures import ThreadPoolExecutor

from aws_lambda_powertools import Logger
from aws_lambda_powertools.utilities.typing import LambdaContext

from imagepipeline import aws, config, objects, records, renditions, reprocessing
from imagepipeline.logs import log_failures
from imagepipeline.models import JsonObject
from imagepipeline.reprocessing import Decision, Selection

_THREADS = 8  # that ask S3 for current objects

logger = Logger()
aws.make_clients("s3", "dynamodb")


@logger.inject_lambda_context(clear_state=True)
@log_failures(logger)
def handler(event: dict, context: LambdaContext) -> dict:
    """Takes `{"Objects", "Run", "Selections"}`: up to 100 entries of an S3 listing, and what the run is about.

    Returns `{"Images", "Done"}`. `Images` is a list of `{"Name", "Event"}`: the name of the execution of ImagePipeline
    that processes the image again, and its input. `Done` is the number of objects that the run has processed before it
    was resumed. Raises ServiceUnavailable.
    """
    logger.append_keys(run=event["Run"])
    bucket, table = config.text("UPLOADS_BUCKET"), config.text("IMAGES_TABLE")
    selections = [Selection(selection) for selection in event["Selections"]]
    specs = renditions.parse(config.text("RENDITIONS"))
    sizes = {listed["Key"]: listed["Size"] for listed in event["Objects"]}
    found = records.find_all(table, list(sizes))
    decisions = {
        key: reprocessing.decide(key, size, found.get(key), selections, specs, event["Run"])
        for key, size in sizes.items()
    }
    chosen = [key for key, decision in decisions.items() if decision is Decision.PROCESS]
    done = sum(decision is Decision.DONE for decision in decisions.values())

    def image(key: str) -> JsonObject | None:
        # The listing may be days old. Its event for an object that was replaced since would remove the newer record.
        current, _ = objects.list_versions(bucket, key)
        if current is None:
            return None
        made = reprocessing.event(bucket, key, current, found.get(key))
        name = reprocessing.execution_name(event["Run"], key, made["detail"]["object"]["sequencer"])
        return {"Name": name, "Event": made}

    pool = ThreadPoolExecutor(_THREADS)
    try:
        images = [made for made in pool.map(image, chosen) if made]
    finally:
        pool.shutdown(cancel_futures=True)
    logger.info("images selected", extra={"listed": len(sizes), "selected": len(images), "done": done})
    return {"Images": images, "Done": done}
