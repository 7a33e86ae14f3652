"""CreateThumbnails: creates every configured rendition from one download and one decode."""

import hashlib
from concurrent.futures import ThreadPoolExecutor
from functools import cache, partial
from time import perf_counter

from aws_lambda_powertools import Logger
from aws_lambda_powertools.utilities.typing import LambdaContext

from imagepipeline import aws, config, objects, renditions
from imagepipeline.description import describe
from imagepipeline.keys import rendition_key
from imagepipeline.logs import keys_of, log_failures
from imagepipeline.models import Execution, Header, Rendition, Upload
from imagepipeline.rendering import Encoded
from imagepipeline.rendering.isolation import render

logger = Logger()
aws.make_clients("s3")


@cache
def specs() -> tuple[renditions.RenditionSpec, ...]:
    return renditions.parse(config.text("RENDITIONS"))


@logger.inject_lambda_context(clear_state=True)
@log_failures(logger)
def handler(event: dict, context: LambdaContext) -> dict:
    """Takes `{"Event", "Execution", "Header"}`, returns `{"Renditions", "Picture"}`.

    Raises DamagedImage and other ImageRejected.
    """
    upload, execution = Upload.from_event(event["Event"]), Execution.from_state(event["Execution"])
    logger.append_keys(**keys_of(upload.key, event))
    header = Header.from_state(event["Header"])
    started = perf_counter()
    original = objects.UploadedObject(upload).read_all()
    read = perf_counter()
    rendered = render(original, header, specs())
    finished = perf_counter()
    # At the same time, because writing is waiting, and waiting is billed. No thread is left when the next image forks.
    with ThreadPoolExecutor() as pool:
        stored = list(pool.map(partial(store, upload, execution), rendered.renditions.values()))
    logger.debug(
        "seconds", extra={"reading": read - started, "rendering": finished - read, "writing": perf_counter() - finished}
    )
    logger.info("renditions written", extra={"count": len(stored), "bytes": sum(r.bytes for r in stored)})
    sha256 = hashlib.sha256(original).hexdigest()
    return {
        "Renditions": {r.name: r.to_state() for r in stored},
        "Picture": describe(header, rendered.picture, sha256, location=config.switch("RECORD_LOCATION")),
    }


def store(upload: Upload, execution: Execution, encoded: Encoded) -> Rendition:
    key = rendition_key(upload.key, upload.sequencer, execution.arn, encoded.name, encoded.format)
    objects.write_rendition(config.text("THUMBNAILS_BUCKET"), key, encoded.format, encoded.data)
    return Rendition(encoded.name, key, encoded.width, encoded.height, encoded.format, len(encoded.data))
