import json
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

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
# What state data can hold: JSON, of numbers as measured and counted.
numbers = st.integers(-(2**53), 2**53) | st.floats(-1e9, 1e9).map(lambda number: round(number, 6))
values = st.recursive(
    st.none() | st.booleans() | numbers | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(min_size=1), inner, max_size=4),
    max_leaves=12,
)


@given(st.dictionaries(st.text(min_size=1), values, max_size=6))
def test_a_record_comes_back_from_the_table_as_it_went(record):
    assert records.from_item(records.to_item(record)) == record


def test_whole_numbers_come_back_whole():
    came_back = records.from_item(records.to_item({"Bytes": 50542, "Confidence": 98.7, "Whole": 75.0}))

    assert json.dumps(came_back) == '{"Bytes": 50542, "Confidence": 98.7, "Whole": 75}'


def test_numbers_in_lists_and_maps_are_converted_too():
    record = {"Labels": [{"Name": "Cat", "Confidence": 98.7}], "Renditions": {"small": {"Width": 100}}}

    assert json.loads(json.dumps(records.from_item(records.to_item(record)))) == record


def test_an_item_is_what_dynamodb_takes():
    assert records.to_item({"Bytes": 1, "Ratio": 1.5, "Notes": ["x"], "None": None}) == {
        "Bytes": {"N": "1"},
        "Ratio": {"N": "1.5"},
        "Notes": {"L": [{"S": "x"}]},
        "None": {"NULL": True},
    }


@pytest.mark.parametrize("value", [b"bytes", {1, 2}, datetime(2026, 11, 21, tzinfo=UTC)], ids=str)
def test_what_is_not_json_is_no_part_of_a_record(value):
    with pytest.raises(TypeError, match="is not JSON"):
        records.to_item({"Labels": [value]})


def test_an_attribute_that_no_record_has_is_not_guessed_at():
    with pytest.raises(TypeError, match="no attributes of the type SS"):
        records.from_item({"Labels": {"SS": ["Cat"]}})


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
