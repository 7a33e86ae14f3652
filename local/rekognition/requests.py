"""Requests, validated against botocore's model of Rekognition."""

import base64
import json

import botocore.session
from botocore.validate import ParamValidator

from local.rekognition.errors import ServiceError

MAX_REQUEST_BYTES = 5 * 1024 * 1024  # of an image in the request

_MODEL = botocore.session.get_session().get_service_model("rekognition")


def parse(operation: str, body: bytes) -> dict:
    """The request's parameters, with `Image.Bytes` decoded.

    Raises ServiceError: SerializationException, ValidationException, InvalidParameterException.
    """
    try:
        parameters = json.loads(body)
        image = parameters["Image"]
        if "Bytes" in image:
            image["Bytes"] = base64.b64decode(image["Bytes"], validate=True)
    except (ValueError, TypeError, KeyError) as error:
        raise ServiceError("SerializationException") from error
    report = ParamValidator().validate(parameters, _MODEL.operation_model(operation).input_shape)
    if report.has_errors():
        raise ServiceError("ValidationException", report.generate_report())
    if len(image.get("Bytes", b"")) > MAX_REQUEST_BYTES:
        raise ServiceError("ValidationException", f"Image.Bytes has more than {MAX_REQUEST_BYTES} bytes")
    if ("Bytes" in image) == ("S3Object" in image):
        raise ServiceError("InvalidParameterException")
    return parameters
