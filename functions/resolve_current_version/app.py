"""ResolveCurrentVersion: decides what to do with a key whose upload was deleted, replaced or abandoned."""

from datetime import datetime

from aws_lambda_powertools import Logger
from aws_lambda_powertools.utilities.typing import LambdaContext

from imagepipeline import aws, config, objects, ordering, records, s3_events
from imagepipeline.keys import just_after
from imagepipeline.logs import keys_of, log_failures
from imagepipeline.models import Upload

logger = Logger()
aws.make_clients("s3", "dynamodb")


@logger.inject_lambda_context(clear_state=True)
@log_failures(logger)
def handler(event: dict, context: LambdaContext) -> dict:
    """Takes `{"Event", "Execution"}`, where `Event` is an S3 event, and returns `{"Action"}`, one of `ordering.Action`.

    With PROCESS, `Event` is the event that S3 would have sent for the version that is current again.
    """
    upload = Upload.from_event(event["Event"])
    logger.append_keys(**keys_of(upload.key, event))
    current, listed = objects.list_versions(upload.bucket, upload.key)
    record = records.find(config.text("IMAGES_TABLE"), upload.key)
    event_time = datetime.fromisoformat(upload.received_at)
    action = ordering.resolve_current_version(current, listed, record, upload.version_id, event_time)
    logger.info("current version resolved", extra={"action": action})
    if action is not ordering.Action.PROCESS:
        return {"Action": action}
    restored = s3_events.object_created(
        upload.bucket,
        upload.key,
        size=current["Bytes"],
        etag=current["ETag"],
        version_id=current["VersionId"],
        sequencer=just_after(upload.sequencer),
        time=event_time,
        reason="Version Restored",
    )
    return {"Action": action, "Event": restored}
