"""CreateThumbnails: creates every configured rendition from one download and one decode."""

import hashlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache, partial
from time import perf_counter

from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.utilities.typing import LambdaContext

from imagepipeline import analysis, aws, config, metering, objects, rekognition, renditions
from imagepipeline.analysis import FACES
from imagepipeline.description import describe
from imagepipeline.geometry import Box, Size
from imagepipeline.keys import rendition_key
from imagepipeline.logs import keys_of, log_failures
from imagepipeline.models import Execution, Header, Rendition, Upload
from imagepipeline.rendering import Encoded
from imagepipeline.rendering.isolation import render

logger = Logger()
metrics = Metrics()
aws.make_clients("s3")


@cache
def specs() -> tuple[renditions.RenditionSpec, ...]:
    return renditions.parse(config.text("RENDITIONS"))


@logger.inject_lambda_context(clear_state=True)
@log_failures(logger)
def handler(event: dict, context: LambdaContext) -> dict:
    """Takes `{"Event", "Execution", "Header", "RetryCount"}`, returns `{"Renditions", "Picture"}`.

    Raises DamagedImage and other ImageRejected; with `cover:face`, RekognitionThrottled and RekognitionFailed.
    """
    upload, execution = Upload.from_event(event["Event"]), Execution.from_state(event["Execution"])
    logger.append_keys(**keys_of(upload.key, event))
    header = Header.from_state(event["Header"])
    started = perf_counter()
    original = objects.UploadedObject(upload).read_all()
    read = perf_counter()
    faces: dict = {}  # attributes of the record

    def locate(jpeg: bytes, size: Size) -> Sequence[Box]:
        faces.update(find_faces(jpeg, size, event))
        return analysis.boxes(faces.get("Faces", []))

    rendered = render(original, header, specs(), locate)
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
        "Picture": describe(header, rendered.picture, sha256, location=config.switch("RECORD_LOCATION"))
        | recorded(faces),
    }


def find_faces(jpeg: bytes, size: Size, event: dict) -> dict:
    """The record's attributes for the faces in an image, or why they are not known. Without any, crops are centred."""
    if known := analysis.answers(event["Event"].get("Answers", {}), [FACES]):  # that `redrive` found in the record
        return known
    if not rekognition.is_large_enough(size):
        return {}
    with metering.rekognition_calls(metrics):
        found, failures = rekognition.ask({FACES: rekognition.FACES_REQUEST}, {"Bytes": jpeg})
    rekognition.raise_while_retried(failures, event.get("RetryCount", 0))
    return found | {one.error: rekognition.reason(error) for one, error in failures.items()}


def recorded(faces: dict) -> dict:
    """What the record says of faces that crops needed. Why they are not known belongs there in any case."""
    return faces if config.switch("DETECT_FACES") or "Faces" not in faces else {}


def store(upload: Upload, execution: Execution, encoded: Encoded) -> Rendition:
    key = rendition_key(upload.key, upload.sequencer, execution.arn, encoded.name, encoded.format)
    objects.write_rendition(config.text("THUMBNAILS_BUCKET"), key, encoded.format, encoded.data)
    return Rendition(encoded.name, key, encoded.width, encoded.height, encoded.format, len(encoded.data))
