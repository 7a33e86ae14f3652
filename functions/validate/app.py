"""ValidateImage: is this upload an image the pipeline will take? Reads its header only."""

from functools import cache

from aws_lambda_powertools import Logger
from aws_lambda_powertools.utilities.typing import LambdaContext

from imagepipeline import aws, config
from imagepipeline.limits import Limits, check
from imagepipeline.models import Upload
from imagepipeline.objects import UploadedObject
from imagepipeline.probing import probe

logger = Logger()
aws.make_clients("s3")


@cache
def limits() -> Limits:
    return Limits(
        max_bytes=config.whole_number("MAX_FILE_BYTES", 1, 5 * 1024**3),
        max_pixels=config.whole_number("MAX_PIXELS", 1, 2**31),
    )


@logger.inject_lambda_context(clear_state=True)
def handler(event: dict, context: LambdaContext) -> dict:
    """Takes `{"Upload"}`, returns the `Header`. Raises an ImageRejected that names what is wrong with the file."""
    upload = Upload.from_state(event["Upload"])
    logger.append_keys(image_key=upload.key)
    header = probe(UploadedObject(upload))
    check(header, upload.size, limits())
    logger.info("header accepted", extra=header.to_state())
    return header.to_state()
