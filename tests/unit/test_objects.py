import boto3
import pytest
from botocore.awsrequest import AWSResponse, HeadersDict
from botocore.exceptions import ClientError
from moto import mock_aws
from moto.core.botocore_stubber import MockRawResponse

from imagepipeline import aws, objects
from imagepipeline.errors import (
    ArchivedObject,
    CustomerKeyRequired,
    EncryptedWithUnavailableKey,
    ServiceUnavailable,
    UploadGone,
    UploadReplaced,
)
from imagepipeline.keys import comparable, rendition_key
from imagepipeline.models import Upload
from imagepipeline.objects import UploadedObject
from tests.in_memory import Calls, refuse

BUCKET = "a-bucket"
TEN_BYTES = b"0123456789"


@pytest.fixture(autouse=True)
def bucket(monkeypatch):
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    aws.client.cache_clear()
    with mock_aws(config={"core": {"reset_boto3_session": False}}):  # reading the models again would take longest
        boto3.client("s3").create_bucket(Bucket=BUCKET)
        yield
    aws.client.cache_clear()


def uploaded(body: bytes = TEN_BYTES) -> UploadedObject:
    put = aws.client("s3").put_object(Bucket=BUCKET, Key="uploads/x", Body=body)
    upload = Upload(
        bucket=BUCKET,
        key="uploads/x",
        etag=put["ETag"].strip('"'),
        size=len(body),
        sequencer=comparable("00A1"),
        version_id=put.get("VersionId", "null"),
        received_at="",
    )
    return UploadedObject(upload)


# --------------------------------------- reading uploads


@pytest.mark.parametrize(
    ("offset", "length", "read"),
    [(0, 4, b"0123"), (6, 4, b"6789"), (6, 100, b"6789"), (9, 1, b"9"), (0, 10, TEN_BYTES), (0, 11, TEN_BYTES)],
)
def test_a_range_comes_back_short_only_at_the_end(offset, length, read):
    assert uploaded().read(offset, length) == read


@pytest.mark.parametrize(("offset", "length"), [(10, 1), (11, 5), (0, 0), (3, -1)])
def test_what_isn_t_there_is_not_asked_for(offset, length):
    upload = uploaded()
    s3 = Calls("s3")

    assert upload.read(offset, length) == b""
    assert s3.operations == []


def test_an_empty_object_is_not_asked_for():
    upload = uploaded(b"")
    s3 = Calls("s3")

    assert upload.read(0, 65536) == b""
    assert s3.operations == []


def test_the_whole_object_comes_in_one_request():
    upload = uploaded()
    s3 = Calls("s3")

    assert upload.read_all() == TEN_BYTES
    assert s3.operations == ["GetObject"]


@pytest.mark.parametrize("read", [UploadedObject.read_all, lambda upload: upload.read(0, 4)], ids=["whole", "range"])
def test_a_newer_object_is_never_taken_for_it(read):
    upload = uploaded()
    uploaded(b"something else")

    with pytest.raises(UploadReplaced):
        read(upload)


def test_a_newer_version_of_the_same_bytes_is_not_taken_for_it():
    aws.client("s3").put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": "Enabled"})
    upload = uploaded()
    uploaded()

    with pytest.raises(UploadReplaced):
        upload.read_all()


@pytest.mark.parametrize("code", ["NoSuchKey", "404"])
def test_what_s3_does_not_find_is_gone(code):
    upload = uploaded()
    refuse("s3", "GetObject", code, 404)

    with pytest.raises(UploadGone):
        upload.read_all()


@pytest.mark.parametrize("code", ["PreconditionFailed", "412"])
def test_what_s3_finds_changed_is_replaced(code):
    upload = uploaded()
    refuse("s3", "GetObject", code, 412)

    with pytest.raises(UploadReplaced):
        upload.read_all()


# S3's answers, headers and body, as people who met them have published them.
NOT_ALLOWED = "<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>"
NOT_ALLOWED_BY_KMS = (
    "<Error><Code>AccessDenied</Code><Message>User: arn:aws:sts::111122223333:assumed-role/r/f is not authorized to "
    "perform: kms:Decrypt on resource: arn:aws:kms:us-east-1:111122223333:key/k because no identity-based policy "
    "allows the kms:Decrypt action</Message></Error>"
)
DISABLED = "<Error><Code>KMS.DisabledException</Code><Message>arn:aws:kms:… is disabled.</Message></Error>"
DELETED = "<Error><Code>KMS.KMSInvalidStateException</Code><Message>… is pending deletion.</Message></Error>"
SSE_C = (
    "<Error><Code>InvalidRequest</Code><Message>The object was stored using a form of Server Side Encryption. "
    "The correct parameters must be provided to retrieve the object.</Message></Error>"
)
ARCHIVED = (
    "<Error><Code>InvalidObjectState</Code><Message>The operation is not valid for the object's storage class</Message>"
    "<StorageClass>GLACIER</StorageClass></Error>"
)
KMS = {"x-amz-server-side-encryption": "aws:kms"}


def answer_reads_with(status: int, body: str, head: dict[str, str] | None) -> None:
    """Have S3 refuse to give an object's bytes out, and describe it by these headers, or not at all."""
    events = aws.client("s3").meta.events
    events.register("before-send.s3.GetObject", lambda **_: answer(status, body.encode(), {}))
    events.register("before-send.s3.HeadObject", lambda **_: answer(200 if head is not None else 403, b"", head or {}))


def answer(status: int, body: bytes, headers: dict[str, str]) -> AWSResponse:
    return AWSResponse("", status, HeadersDict(headers), MockRawResponse(body))


@pytest.mark.parametrize(
    ("status", "body", "head", "error"),
    [
        (403, NOT_ALLOWED, KMS, EncryptedWithUnavailableKey),
        (403, NOT_ALLOWED, {"x-amz-server-side-encryption": "aws:kms:dsse"}, EncryptedWithUnavailableKey),
        (403, NOT_ALLOWED_BY_KMS, KMS, EncryptedWithUnavailableKey),
        (400, DISABLED, None, EncryptedWithUnavailableKey),
        (400, DELETED, None, EncryptedWithUnavailableKey),
        (400, SSE_C, None, CustomerKeyRequired),
        (403, ARCHIVED, {}, ArchivedObject),
        (403, NOT_ALLOWED, {"x-amz-server-side-encryption": "AES256"}, ClientError),
        (403, NOT_ALLOWED, None, ClientError),
    ],
)
@pytest.mark.parametrize("read", [UploadedObject.read_all, lambda upload: upload.read(0, 4)], ids=["whole", "range"])
def test_an_object_that_s3_does_not_give_out_is_named_by_its_reason(read, status, body, head, error):
    upload = uploaded()
    answer_reads_with(status, body, head)

    with pytest.raises(error) as raised:
        read(upload)

    assert "arn:" not in str(raised.value)


def test_a_throttled_key_is_worth_another_try():
    upload = uploaded()
    refuse("s3", "GetObject", "KMS.ThrottlingException", 400)

    with pytest.raises(ServiceUnavailable, match=r"^KMS is unavailable"):
        upload.read_all()


def test_the_current_object_is_described_without_downloading_it():
    uploaded()
    s3 = Calls("s3")

    current, listed = objects.list_versions(BUCKET, "uploads/x")

    assert (current["Bytes"], current["VersionId"]) == (10, "null")
    assert current["ETag"] == "781e5e245d69b566979b86e28d23f2c7"
    assert listed == {"null"}
    assert s3.operations == ["ListObjectVersions"]


def test_versions_and_delete_markers_of_one_key_are_listed():
    s3 = aws.client("s3")
    s3.put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": "Enabled"})
    older = s3.put_object(Bucket=BUCKET, Key="uploads/x", Body=TEN_BYTES)["VersionId"]
    marker = s3.delete_object(Bucket=BUCKET, Key="uploads/x")["VersionId"]
    newer = s3.put_object(Bucket=BUCKET, Key="uploads/x", Body=b"newer")["VersionId"]
    s3.put_object(Bucket=BUCKET, Key="uploads/xy", Body=b"another key")

    current, listed = objects.list_versions(BUCKET, "uploads/x")

    assert current["VersionId"] == newer
    assert listed == {older, marker, newer}


def test_a_key_whose_versions_fill_several_pages_is_listed_to_its_end():
    s3 = aws.client("s3")
    s3.put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": "Enabled"})
    versions = {s3.put_object(Bucket=BUCKET, Key="uploads/x", Body=b"")["VersionId"] for _ in range(5)}
    for number in range(5):
        s3.put_object(Bucket=BUCKET, Key=f"uploads/x{number}", Body=b"")
    s3.meta.events.register("provide-client-params.s3.ListObjectVersions", lambda params, **_: params | {"MaxKeys": 2})
    calls = Calls("s3")

    _, listed = objects.list_versions(BUCKET, "uploads/x")

    assert listed == versions
    assert len(calls.operations) == 3


def test_a_folder_marker_is_no_object():
    aws.client("s3").put_object(Bucket=BUCKET, Key="uploads/2026/", Body=b"")

    assert objects.list_versions(BUCKET, "uploads/2026/") == (None, {"null"})


def test_a_key_without_an_object_has_none():
    aws.client("s3").put_object(Bucket=BUCKET, Key="uploads/xy", Body=b"another key")

    assert objects.list_versions(BUCKET, "uploads/x") == (None, set())


def test_a_deleted_object_is_hidden_by_its_delete_marker():
    aws.client("s3").put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": "Enabled"})
    uploaded()
    aws.client("s3").delete_object(Bucket=BUCKET, Key="uploads/x")

    current, listed = objects.list_versions(BUCKET, "uploads/x")

    assert current is None
    assert len(listed) == 2


# --------------------------------------- renditions


def test_a_rendition_is_read_as_it_was_written():
    objects.write_rendition(BUCKET, "hash/0A/small.jpg", "JPEG", TEN_BYTES)

    assert objects.read_rendition(BUCKET, "hash/0A/small.jpg") == TEN_BYTES


def test_all_versions_renditions_of_an_upload_are_listed_and_none_of_another_s():
    mine = [
        rendition_key("uploads/x", comparable(sequencer), "execution", "small", "JPEG")
        for sequencer in ("00A1", "00A2")
    ]
    for key in [*mine, rendition_key("uploads/y", comparable("00A1"), "execution", "small", "JPEG")]:
        objects.write_rendition(BUCKET, key, "JPEG", TEN_BYTES)

    assert objects.list_renditions(BUCKET, "uploads/x") == mine


def test_listing_goes_on_where_s3_s_pages_end():
    keys = [rendition_key("uploads/x", comparable(f"00A{number}"), "execution", "s", "JPEG") for number in range(1, 6)]
    for key in keys:
        objects.write_rendition(BUCKET, key, "JPEG", b"")
    aws.client("s3").meta.events.register(
        "provide-client-params.s3.ListObjectsV2", lambda params, **_: params | {"MaxKeys": 2}
    )

    assert objects.list_renditions(BUCKET, "uploads/x") == keys


def test_deleting_takes_as_many_requests_as_s3_s_limit_asks_for():
    s3 = Calls("s3")

    objects.delete_renditions(BUCKET, [f"hash/0A/{number}.jpg" for number in range(1001)])

    assert [len(call["Delete"]["Objects"]) for call in s3.of("DeleteObjects")] == [1000, 1]


def test_deleting_nothing_asks_for_nothing():
    s3 = Calls("s3")

    objects.delete_renditions(BUCKET, [])

    assert s3.operations == []


def test_what_is_gone_already_counts_as_deleted():
    objects.delete_renditions(BUCKET, ["hash/0A/small.jpg"])


def test_a_deletion_that_s3_refuses_within_its_answer_is_not_overlooked():
    failed = {"Key": "hash/0A/small.jpg", "Code": "InternalError", "Message": "We encountered an internal error."}
    aws.client("s3").meta.events.register(
        "after-call.s3.DeleteObjects", lambda parsed, **_: parsed.update(Errors=[failed])
    )

    with pytest.raises(ServiceUnavailable, match=r"1 renditions were not removed; the first error is .*InternalError"):
        objects.delete_renditions(BUCKET, ["hash/0A/small.jpg"])


@pytest.mark.parametrize(
    ("operation", "call"),
    [
        ("PutObject", lambda: objects.write_rendition(BUCKET, "k", "JPEG", b"")),
        ("GetObject", lambda: objects.read_rendition(BUCKET, "k")),
        ("ListObjectVersions", lambda: objects.list_versions(BUCKET, "k")),
        ("ListObjectsV2", lambda: objects.list_renditions(BUCKET, "uploads/x")),
        ("DeleteObjects", lambda: objects.delete_renditions(BUCKET, ["k"])),
    ],
)
def test_a_busy_s3_is_called_unavailable_whatever_is_asked_of_it(operation, call):
    refuse("s3", operation, "SlowDown", 503)

    with pytest.raises(ServiceUnavailable, match=r"^S3 is unavailable: .*SlowDown"):
        call()
