"""Why an image did not come out, one class a reason.

The class name is the contract: Lambda reports it as the error's type, the state machine's `Catch` and `Retry` match
it, and the record stores it as `Error.Name`. tests/statemachine holds the two against each other.
"""


class PipelineError(Exception):
    """Base of everything the pipeline raises by intent."""


class ConfigError(PipelineError):
    """A setting is missing or can't be read. The message names the setting and what would be right."""

    def __init__(self, setting: str, problem: str) -> None:
        super().__init__(f"{setting}: {problem}")


# ---------------------------------------------------------------- the uploader's doing: recorded, announced, no retry


class ImageRejected(PipelineError):
    """Base of the rejections: the file itself is the reason, and another try would end the same."""


class EmptyFile(ImageRejected):
    """The object has no bytes."""

    def __init__(self) -> None:
        super().__init__("the file is empty (0 bytes)")


class FileTooLarge(ImageRejected):
    """The object has more bytes than the pipeline accepts."""

    def __init__(self, size: int, limit: int) -> None:
        super().__init__(f"the file has {size:,} bytes; the limit is {limit:,}")


class UnsupportedFormat(ImageRejected):
    """The bytes are not of a format on the allowlist, whatever the name says."""

    def __init__(self, found: str, accepted: tuple[str, ...]) -> None:
        super().__init__(f"the content is {found}; accepted are {', '.join(accepted)}")


class DamagedImage(ImageRejected):
    """The file claims a format and breaks its rules: truncated, corrupt, or inconsistent."""

    def __init__(self, format_name: str, problem: str) -> None:
        super().__init__(f"the {format_name} is damaged: {problem}")


class TooManyPixels(ImageRejected):
    """The header promises more pixels than the pipeline will decode."""

    def __init__(self, width: int, height: int, limit: int) -> None:
        super().__init__(f"{width}x{height} is {width * height / 1e6:.1f} megapixels; the limit is {limit / 1e6:g}")


class TooComplex(ImageRejected):
    """Within the pixel limit, yet decoding would cost far more than such a picture should (scans, segments, frames)."""

    def __init__(self, problem: str) -> None:
        super().__init__(problem)


# -------------------------------------------------------------- superseded, or no upload at all: nothing to announce


class FolderMarker(PipelineError):
    """The object is what the S3 console creates for a folder: empty, with a key that ends in a slash."""

    def __init__(self) -> None:
        super().__init__("the object is a folder marker")


class UploadReplaced(PipelineError):
    """The object under this key is no longer the one of this event; its own event is on the way."""

    def __init__(self) -> None:
        super().__init__("the upload was replaced before it was processed")


class UploadGone(PipelineError):
    """The object was deleted before it was processed."""

    def __init__(self) -> None:
        super().__init__("the upload was deleted before it was processed")


class Superseded(PipelineError):
    """Another event has taken the key over: a newer upload, or a deletion."""

    def __init__(self) -> None:
        super().__init__("a newer upload or a deletion has taken the key over")


# --------------------------------------------------------------------------------------------- worth trying again later


class ServiceUnavailable(PipelineError):
    """S3 or DynamoDB throttled or failed, beyond botocore's own retries."""

    def __init__(self, service: str, detail: str) -> None:
        super().__init__(f"{service} is not answering: {detail}")


class RenditionsNotRemoved(PipelineError):
    """The record stands; renditions that it doesn't name could not be removed yet."""

    def __init__(self, detail: str) -> None:
        super().__init__(f"unneeded renditions remain: {detail}")


class RekognitionThrottled(PipelineError):
    """Rekognition refused the call for its rate, beyond botocore's own retries."""

    def __init__(self, detail: str) -> None:
        super().__init__(f"Rekognition is throttling: {detail}")


class RekognitionFailed(PipelineError):
    """Rekognition answered with an error, or not in time."""

    def __init__(self, detail: str) -> None:
        super().__init__(f"Rekognition failed: {detail}")
