"""The reasons why an image is not processed, one class for each.

The class name is part of the interface: Lambda reports it as the error type, `Retry` and `Catch` of the state machines
match it, and the record stores it as `Error.Name`. tests/statemachine checks that the names agree.
"""


class PipelineError(Exception):
    """Base of all errors that the pipeline raises deliberately."""


class ConfigError(PipelineError):
    """A setting is missing or invalid. The message names the setting and the valid values."""

    def __init__(self, setting: str, problem: str) -> None:
        super().__init__(f"{setting}: {problem}")


# --------------------------------------------------------------------- invalid input: recorded, announced, not retried


class ImageRejected(PipelineError):
    """Base of rejections: the file is the reason, so a retry would give the same result."""


class EmptyFile(ImageRejected):
    """The file has no bytes."""

    def __init__(self) -> None:
        super().__init__("the file is empty (0 bytes)")


class FileTooLarge(ImageRejected):
    """The file has more bytes than the pipeline accepts."""

    def __init__(self, size: int, limit: int) -> None:
        super().__init__(f"the file has {size:,} bytes; the limit is {limit:,}")


class UnsupportedFormat(ImageRejected):
    """The content is not of a supported format, whatever the file name says."""

    def __init__(self, found: str, accepted: tuple[str, ...]) -> None:
        super().__init__(f"the content is {found}; accepted formats are {', '.join(accepted)}")


class DamagedImage(ImageRejected):
    """The file is truncated, corrupt, or inconsistent with its format."""

    def __init__(self, format_name: str, problem: str) -> None:
        super().__init__(f"the {format_name} is damaged: {problem}")


class TooManyPixels(ImageRejected):
    """The header declares more pixels than the pipeline decodes."""

    def __init__(self, width: int, height: int, limit: int) -> None:
        super().__init__(f"{width}x{height} is {width * height / 1e6:.1f} megapixels; the limit is {limit / 1e6:g}")


class TooComplex(ImageRejected):
    """Decoding would take far more time or memory than an image of this size should (scans, segments, frames)."""

    def __init__(self, problem: str) -> None:
        super().__init__(problem)


class RejectedByModerator(PipelineError):
    """A moderator rejected the image, which was held. The state machine raises it."""

    def __init__(self) -> None:
        super().__init__("a moderator rejected the image")


# -------------------------------------------------------------------------- superseded, or not an image: not announced


class FolderMarker(PipelineError):
    """The object is what the S3 console creates for a folder: empty, with a key that ends in a slash."""

    def __init__(self) -> None:
        super().__init__("the object is a folder marker")


class UploadReplaced(PipelineError):
    """The object under this key is no longer the one of this event. The newer object has an event of its own."""

    def __init__(self) -> None:
        super().__init__("the upload was replaced before it was processed")


class UploadGone(PipelineError):
    """The object was deleted before it was processed."""

    def __init__(self) -> None:
        super().__init__("the upload was deleted before it was processed")


class Superseded(PipelineError):
    """Another execution owns the key, or its record was removed."""

    def __init__(self) -> None:
        super().__init__("a newer upload or a deletion has taken over the key")


# ----------------------------------------------------------- S3 does not return the object: FAILED, after one attempt


class ObjectUnreadable(PipelineError):
    """Base of the reasons why S3 does not return an object that exists. Until somebody acts, retries would fail too."""


class EncryptedWithUnavailableKey(ObjectUnreadable):
    """The object is encrypted with a KMS key that the pipeline may not use, or that is disabled or deleted."""

    def __init__(self) -> None:
        super().__init__(
            "the object is encrypted with a KMS key that the pipeline cannot use: check that the key is enabled and "
            "its policy admits this account, deploy with its ARN as UploadsKmsKeyArn, and redrive the image"
        )


class CustomerKeyRequired(ObjectUnreadable):
    """The object is encrypted with a key that only its uploader has (SSE-C)."""

    def __init__(self) -> None:
        super().__init__(
            "the object is encrypted with a key that its uploader provided (SSE-C), which S3 does not keep: "
            "upload it again without one"
        )


class ArchivedObject(ObjectUnreadable):
    """The object is in an archive storage class or access tier."""

    def __init__(self) -> None:
        super().__init__(
            "the object is archived: restore it or upload it again in a storage class with immediate access, "
            "and redrive the image"
        )


# -------------------------------------------------------------------------------------------------- transient: retried


class ServiceUnavailable(PipelineError):
    """S3 or DynamoDB throttled or failed in all of botocore's attempts."""

    def __init__(self, service: str, detail: str) -> None:
        super().__init__(f"{service} is unavailable: {detail}")


class RenditionsNotRemoved(PipelineError):
    """The record is written, but renditions that it does not name could not be removed yet."""

    def __init__(self, detail: str) -> None:
        super().__init__(f"outdated renditions were not removed: {detail}")


class RekognitionThrottled(PipelineError):
    """Rekognition throttled all of botocore's attempts."""

    def __init__(self, detail: str) -> None:
        super().__init__(f"Rekognition is throttling: {detail}")


class RekognitionFailed(PipelineError):
    """Rekognition returned an error, or did not respond in time."""

    def __init__(self, detail: str) -> None:
        super().__init__(f"Rekognition failed: {detail}")
