import struct

import pytest
from botocore.exceptions import ClientError

from functions.validate import app
from imagepipeline import aws
from imagepipeline.errors import (
    ConfigError,
    DamagedImage,
    EmptyFile,
    FileTooLarge,
    FolderMarker,
    ImageRejected,
    ServiceUnavailable,
    TooManyPixels,
    UnsupportedFormat,
    UploadGone,
    UploadReplaced,
)
from tests.functions.deployed import UPLOADS_BUCKET, invoke, keep_versions, picture, upload
from tests.in_memory import Calls, refuse


def validate(body: bytes, key: str = "uploads/photo.jpg") -> dict:
    return invoke(app, {"Event": upload(body, key)})


# ----------------------------------------------------------------------------------------------------- what is accepted


def test_a_png_named_jpg_is_taken_for_what_it_is():
    header = validate(picture(40, 30, "PNG"), "uploads/actually-a-png.jpg")

    assert (header["Format"], header["Width"], header["Height"]) == ("PNG", 40, 30)


@pytest.mark.parametrize(
    "key",
    [
        "uploads/a+b.jpg",
        "uploads/100%25.jpg",
        "uploads/two words/🐈.jpg",
        "uploads/what?.jpg",
        "uploads/no-extension",
        "uploads/a/",
    ],
)
def test_keys_are_taken_raw(key):
    header = validate(picture(40, 30), key)

    assert header["Width"] == 40


def test_a_folder_marker_is_named_as_such():
    with pytest.raises(FolderMarker):
        validate(b"", "uploads/folder/")


# -------------------------------------------------------------------------------------------------------- what it costs


def test_an_ordinary_photo_costs_one_request_of_64_kib():
    event = {"Event": upload(picture(1000, 800, noise=True))}
    s3 = Calls("s3")

    invoke(app, event)

    assert event["Event"]["detail"]["object"]["size"] > 6 * 65536
    assert s3.operations == ["GetObject"]
    assert s3.of("GetObject")[0]["Range"] == "bytes=0-65535"
    assert s3.bytes_received == 65536


def test_a_small_file_is_asked_for_no_byte_it_has_not():
    event = {"Event": upload(picture(40, 30))}
    s3 = Calls("s3")

    invoke(app, event)

    assert s3.of("GetObject")[0]["Range"] == f"bytes=0-{event['Event']['detail']['object']['size'] - 1}"


def test_a_header_behind_a_long_preamble_costs_one_more_request_and_not_the_file():
    preamble = b"\xff\xe1" + struct.pack(">H", 60_002) + bytes(60_000)
    photo = picture(1000, 800, noise=True)
    event = {"Event": upload(photo[:2] + 2 * preamble + photo[2:])}
    s3 = Calls("s3")

    header = invoke(app, event)

    assert header["Width"] == 1000
    assert s3.operations == ["GetObject"] * 2
    assert s3.bytes_received < event["Event"]["detail"]["object"]["size"]


def test_every_read_insists_on_the_object_of_the_event():
    event = {"Event": upload(picture(1000, 800, noise=True))}
    s3 = Calls("s3")

    invoke(app, event)

    assert [call["IfMatch"] for call in s3.of("GetObject")] == [f'"{event["Event"]["detail"]["object"]["etag"]}"']
    assert "VersionId" not in s3.of("GetObject")[0]


# ----------------------------------------------------------------------------------------------------- what is rejected


@pytest.mark.parametrize(
    ("body", "rejection", "message"),
    [
        (b"", EmptyFile, "the file is empty (0 bytes)"),
        (
            b"<!doctype html>",
            UnsupportedFormat,
            "the content is an HTML page; accepted formats are JPEG, PNG",
        ),
        (b"%PDF-1.7\n", UnsupportedFormat, "the content is a PDF document; accepted formats are JPEG, PNG"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", UnsupportedFormat, "the content is an SVG drawing"),
        (b"Dear diary,", UnsupportedFormat, "the content is text"),
        (b"\x00" * 100, UnsupportedFormat, "the content is nothing but zero bytes"),
        (picture(40, 30)[:20], DamagedImage, "the JPEG is damaged: "),
        (picture(40, 30, "PNG")[:20], DamagedImage, "the PNG is damaged: "),
    ],
    ids=["empty", "html", "pdf", "svg", "text", "zeros", "cut-off-jpeg", "cut-off-png"],
)
def test_what_is_no_image_is_rejected_by_name_and_told_why(body, rejection, message):
    with pytest.raises(ImageRejected) as rejected:
        validate(body)

    assert type(rejected.value) is rejection
    assert str(rejected.value).startswith(message)


def test_a_file_over_the_limit_is_rejected_with_both_numbers(setting):
    setting("MAX_FILE_BYTES", "10000")
    body = picture(100, 100, noise=True)
    body += bytes(12_345 - len(body))

    with pytest.raises(FileTooLarge, match=r"^the file has 12,345 bytes; the limit is 10,000$"):
        validate(body)


def test_a_file_at_the_limit_is_accepted(setting):
    body = picture(100, 100)
    setting("MAX_FILE_BYTES", str(len(body)))

    assert validate(body)["Format"] == "JPEG"


def test_a_picture_over_the_limit_is_rejected_with_both_numbers(setting):
    setting("MAX_PIXELS", "1000000")

    with pytest.raises(TooManyPixels, match=r"^1250x1000 is 1\.2 megapixels; the limit is 1$"):
        validate(picture(1250, 1000))


def test_a_picture_at_the_limit_is_accepted(setting):
    setting("MAX_PIXELS", "1000000")

    assert validate(picture(1000, 1000))["Width"] == 1000


# ----------------------------------------------------------------------------------------------------- what has changed


def test_an_upload_that_was_replaced_is_told_from_the_new_one():
    event = {"Event": upload(picture(40, 30))}
    upload(picture(30, 40))

    with pytest.raises(UploadReplaced):
        invoke(app, event)


def test_an_upload_that_was_deleted_is_gone():
    event = {"Event": upload(picture(40, 30))}
    aws.client("s3").delete_object(Bucket=UPLOADS_BUCKET, Key="uploads/photo.jpg")

    with pytest.raises(UploadGone):
        invoke(app, event)


def test_with_versions_an_upload_replaced_by_the_same_bytes_is_told_from_the_new_one():
    keep_versions()
    event = {"Event": upload(picture(40, 30))}
    upload(picture(40, 30))

    with pytest.raises(UploadReplaced):
        invoke(app, event)


def test_with_versions_an_upload_under_a_delete_marker_is_gone():
    keep_versions()
    event = {"Event": upload(picture(40, 30))}
    aws.client("s3").delete_object(Bucket=UPLOADS_BUCKET, Key="uploads/photo.jpg")

    with pytest.raises(UploadGone):
        invoke(app, event)


def test_with_versions_the_newest_is_read():
    keep_versions()
    upload(picture(30, 40))

    assert validate(picture(40, 30))["Width"] == 40


# --------------------------------------------------------------------------------------------------------- AWS's faults


@pytest.mark.parametrize(("code", "http_status"), [("SlowDown", 503), ("InternalError", 500), ("RequestTimeout", 400)])
def test_an_s3_that_is_busy_is_worth_another_try(code, http_status):
    event = {"Event": upload(picture(40, 30))}
    refuse("s3", "GetObject", code, http_status)

    with pytest.raises(ServiceUnavailable, match=f"^S3 is unavailable: .*{code}, says AWS"):
        invoke(app, event)


def test_a_missing_permission_is_neither_a_deletion_nor_worth_another_try():
    event = {"Event": upload(picture(40, 30))}
    refuse("s3", "GetObject", "AccessDenied", 403)

    with pytest.raises(ClientError, match="AccessDenied"):
        invoke(app, event)


# ------------------------------------------------------------------------------------------------------------- settings


@pytest.mark.parametrize("name", ["MAX_FILE_BYTES", "MAX_PIXELS"])
@pytest.mark.parametrize(
    ("value", "problem"),
    [
        (None, "is not set"),
        ("", "is not set"),
        ("plenty", '"plenty" is not a number'),
        ("1.5", '"1.5" is not a whole number'),
        ("0", "0 is not between 1 and"),
        ("nan", "nan is not between"),
    ],
)
def test_a_setting_that_makes_no_sense_is_named(setting, name, value, problem):
    setting(name, value)

    with pytest.raises(ConfigError, match=f"^{name}: {problem}"):
        validate(picture(40, 30))
