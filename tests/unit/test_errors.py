import inspect

import pytest

from imagepipeline import errors
from imagepipeline.errors import ImageRejected, PipelineError

ALL = [
    error
    for _, error in inspect.getmembers(errors, inspect.isclass)
    if issubclass(error, PipelineError) and error is not PipelineError
]
SAMPLES = {
    errors.ConfigError("RENDITIONS", '"640" is not WIDTHxHEIGHT'): 'RENDITIONS: "640" is not WIDTHxHEIGHT',
    errors.EmptyFile(): "the file is empty (0 bytes)",
    errors.FileTooLarge(123456789, 104857600): "the file has 123,456,789 bytes; the limit is 104,857,600",
    errors.UnsupportedFormat("an HTML page", ("JPEG", "PNG")): (
        "the content is an HTML page; accepted formats are JPEG, PNG"
    ),
    errors.DamagedImage("PNG", "it ends at byte 1,024"): "the PNG is damaged: it ends at byte 1,024",
    errors.TooManyPixels(12000, 10000, 100_000_000): "12000x10000 is 120.0 megapixels; the limit is 100",
    errors.TooManyPixels(1250, 1000, 1_200_000): "1250x1000 is 1.2 megapixels; the limit is 1.2",
    errors.TooComplex("the JPEG has more than 100 scans"): "the JPEG has more than 100 scans",
    errors.EncryptedWithUnavailableKey(): (
        "the object is encrypted with a KMS key that the pipeline cannot use: check that the key is enabled and its "
        "policy admits this account, deploy with its ARN as UploadsKmsKeyArn, and redrive the image"
    ),
    errors.CustomerKeyRequired(): (
        "the object is encrypted with a key that its uploader provided (SSE-C), which S3 does not keep: "
        "upload it again without one"
    ),
    errors.ArchivedObject(): (
        "the object is archived: restore it or upload it again in a storage class with immediate access, "
        "and redrive the image"
    ),
    errors.RejectedByModerator(): "a moderator rejected the image",
    errors.FolderMarker(): "the object is a folder marker",
    errors.UploadReplaced(): "the upload was replaced before it was processed",
    errors.UploadGone(): "the upload was deleted before it was processed",
    errors.Superseded(): "a newer upload or a deletion has taken over the key",
    errors.ServiceUnavailable("S3", "SlowDown"): "S3 is unavailable: SlowDown",
    errors.RenditionsNotRemoved("SlowDown"): "outdated renditions were not removed: SlowDown",
    errors.RekognitionThrottled("Rate exceeded"): "Rekognition is throttling: Rate exceeded",
    errors.RekognitionFailed("InternalServerError"): "Rekognition failed: InternalServerError",
}


@pytest.mark.parametrize(("error", "message"), SAMPLES.items(), ids=lambda sample: type(sample).__name__)
def test_a_message_says_what_is_wrong_and_what_would_be_right(error, message):
    assert str(error) == message


def test_every_error_has_a_message_here():
    assert {type(error) for error in SAMPLES} == set(ALL) - {ImageRejected, errors.ObjectUnreadable}


@pytest.mark.parametrize("error", ALL, ids=lambda error: error.__name__)
def test_every_error_explains_itself(error):
    assert error.__doc__


def test_what_is_the_uploader_s_doing_is_known_by_its_base():
    rejections = {type(error).__name__ for error in SAMPLES if isinstance(error, ImageRejected)}

    assert rejections == {
        "EmptyFile",
        "FileTooLarge",
        "UnsupportedFormat",
        "DamagedImage",
        "TooManyPixels",
        "TooComplex",
    }
