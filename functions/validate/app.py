"""ValidateImage: decides from an upload's header whether the pipeline accepts it."""

from functools import cache

from aws_lambda_powertools import Logger
from aws_lambda_powertools.utilities.typing import LambdaContext

from imagepipeline import aws, config
from imagepipeline.errors import FolderMarker
from imagepipeline.keys import is_folder_marker
from imagepipeline.limits import MAX_FILE_BYTES, Limits, check
from imagepipeline.logs import keys_of, log_failures
from imagepipeline.models import Upload
from imagepipeline.objects import UploadedObject
from imagepipeline.probing import probe

logger = Logger()
aws.make_clients("s3")


@cache
def limits() -> Limits:
    return Limits(
        max_bytes=config.whole_number("MAX_FILE_BYTES", 1, MAX_FILE_BYTES),
        max_pixels=config.whole_number("MAX_PIXELS", 1, 2**31),
    )


@logger.inject_lambda_context(clear_state=True)
@log_failures(logger)
def handler(event: dict, context: LambdaContext) -> dict:
    """Takes `{"Event", "Execution"}`, where `Event` is an S3 event, and returns the `Header`.

    Raises an ImageRejected that names what is wrong with the file, or FolderMarker.
    """
    upload = Upload.from_event(event["Event"])
    logger.append_keys(**keys_of(upload.key, event))
    if is_folder_marker(upload.key, upload.size):
        raise FolderMarker
    header = probe(UploadedObject(upload))
    check(header, upload.size, limits())
    logger.info("header accepted", extra=header.to_state())
    return header.to_state()
