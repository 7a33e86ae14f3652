from datetime import UTC, datetime

from imagepipeline import records
from imagepipeline.models import Execution, Upload

UPLOAD = Upload(
    bucket="uploads-bucket",
    key="uploads/cat.jpg",
    etag="d2f61c5e",
    size=50542,
    sequencer="00A1",
    version_id="null",
    received_at="2026-11-21T01:06:20Z",
)
EXECUTION = Execution(
    arn="arn:aws:states:us-east-1:111122223333:execution:ImagePipeline:1", started_at="2026-11-21T01:06:21.402Z"
)


def test_the_completed_record_has_the_upload_s_story_and_what_was_found_out():
    completed_at = datetime(2026, 11, 21, 1, 6, 24, 811_900, tzinfo=UTC)

    metadata, renditions, attempts = {"Format": "JPEG", "Labels": []}, {"small": {"Key": "k"}}, {"ValidateImage": 2}
    record = records.completed(UPLOAD, EXECUTION, completed_at, metadata, renditions, attempts)

    assert record == {
        "ImageKey": "uploads/cat.jpg",
        "Status": "COMPLETED",
        "Sequencer": "00A1",
        "VersionId": "null",
        "ETag": "d2f61c5e",
        "Bytes": 50542,
        "ReceivedAt": "2026-11-21T01:06:20Z",
        "StartedAt": "2026-11-21T01:06:21.402Z",
        "CompletedAt": "2026-11-21T01:06:24.811Z",
        "ExecutionArn": "arn:aws:states:us-east-1:111122223333:execution:ImagePipeline:1",
        "Attempts": {"ValidateImage": 2},
        "Format": "JPEG",
        "Labels": [],
        "Renditions": {"small": {"Key": "k"}},
    }
