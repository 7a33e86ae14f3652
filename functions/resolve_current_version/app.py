"""ResolveCurrentVersion: decides what to do with a key whose upload was deleted or replaced."""

from datetime import datetime

from aws_lambda_powertools import Logger
from aws_lambda_powertools.utilities.typing import LambdaContext

from imagepipeline import aws, config, objects, ordering, records
from imagepipeline.keys import just_after
from imagepipeline.models import Upload

logger = Logger()
aws.make_clients("s3", "dynamodb")


@logger.inject_lambda_context(clear_state=True)
def handler(event: dict, context: LambdaContext) -> dict:
    """Takes `{"Upload"}` as its event described it, returns `{"Next"}`: "REMOVE", "NOTHING" or "PROCESS".

    With "PROCESS" comes `Event`: what S3 would have sent for the version that is the newest again.
    """
    upload = Upload.from_state(event["Upload"])
    logger.append_keys(image_key=upload.key)
    current = objects.current_object(upload.bucket, upload.key)
    record = records.find(config.text("IMAGES_TABLE"), upload.key)
    todo = ordering.resolve_current_version(
        current, record, upload.version_id, datetime.fromisoformat(upload.received_at)
    )
    logger.info("key judged", extra={"next": todo})
    if todo != "PROCESS":
        return {"Next": todo}
    return {"Next": todo, "Event": created_event(upload, current)}


def created_event(upload: Upload, current: dict) -> dict:
    return {
        "source": "aws.s3",
        "detail-type": "Object Created",
        "time": upload.received_at,
        "detail": {
            "bucket": {"name": upload.bucket},
            "object": {
                "key": upload.key,
                "size": current["Bytes"],
                "etag": current["ETag"],
                "version-id": current["VersionId"],
                "sequencer": just_after(upload.sequencer),
            },
            "reason": "Version Restored",
        },
    }
