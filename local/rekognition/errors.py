"""Rekognition's errors, by code.

Messages and HTTP status codes are from "Error handling" in the Rekognition developer guide. It lists
ThrottlingException with status 400 (the caller's request rate) and 500 (the service's load); the stand-in uses 400.
"""

SERVER_ERRORS = {"InternalServerError", "ServiceUnavailableException"}

MESSAGES = {
    "AccessDeniedException": "User is not authorized to perform this operation.",
    "ImageTooLargeException": "Image size is too large.",
    "InternalServerError": "Internal server error",
    "InvalidImageFormatException": "Request has invalid image format",
    "InvalidParameterException": "Request has invalid parameters",
    "InvalidS3ObjectException": (
        "Unable to get object metadata from S3. Check object key, region and/or access permissions."
    ),
    "ProvisionedThroughputExceededException": "Provisioned Rate exceeded.",
    "SerializationException": "The request body does not match the operation's input.",
    "ServiceUnavailableException": "Service Unavailable",
    "ThrottlingException": "Slow down; sudden increase in rate of requests.",
    "UnknownOperationException": (
        "The local stand-in implements only DetectLabels, DetectFaces and DetectModerationLabels."
    ),
    "UnrecognizedClientException": "The security token included in the request is invalid.",
    "ValidationException": "1 validation error detected.",
}


class ServiceError(Exception):
    """An error response, which an AWS SDK raises as an exception named `code`."""

    def __init__(self, code: str, message: str | None = None) -> None:
        super().__init__(message or MESSAGES[code])
        self.code = code

    @property
    def status(self) -> int:
        """The HTTP status code."""
        return 500 if self.code in SERVER_ERRORS else 400
