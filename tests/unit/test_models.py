import json
from dataclasses import FrozenInstanceError, fields, replace
from typing import get_type_hints

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imagepipeline.models import Header, Rendition, Upload

UPLOAD = {
    "Bucket": "uploads-bucket",
    "ImageKey": "uploads/a+b %.jpg",
    "ETag": "d2f61c5e9379ad69255ab421d61aff30",
    "Bytes": 50542,
    "Sequencer": "00691FBA1C8D2E7F40",
    "VersionId": "null",
    "ReceivedAt": "2026-11-21T01:06:20Z",
    "StartedAt": "2026-11-21T01:06:21.402Z",
    "ExecutionArn": "arn:aws:states:us-east-1:111122223333:execution:ImagePipeline:1",
}


def any_of(value_class: type) -> st.SearchStrategy:
    """Values of a class in which every field varies, those with a default too."""
    return st.builds(value_class, **{name: st.from_type(kind) for name, kind in get_type_hints(value_class).items()})


def test_an_upload_is_all_that_its_state_says():
    upload = Upload.from_state(UPLOAD)

    assert {getattr(upload, field.name) for field in fields(upload)} == set(UPLOAD.values())
    assert (upload.bucket, upload.key) == ("uploads-bucket", "uploads/a+b %.jpg")
    assert (upload.received_at, upload.started_at) == ("2026-11-21T01:06:20Z", "2026-11-21T01:06:21.402Z")


@pytest.mark.parametrize("missing", UPLOAD)
def test_an_incomplete_upload_names_what_is_missing(missing):
    state = {name: value for name, value in UPLOAD.items() if name != missing}

    with pytest.raises(KeyError, match=missing):
        Upload.from_state(state)


@given(any_of(Header))
def test_a_header_survives_its_way_through_state_data(header):
    assert Header.from_state(json.loads(json.dumps(header.to_state()))) == header


@given(any_of(Rendition))
def test_a_rendition_survives_its_way_through_state_data(rendition):
    state = json.loads(json.dumps(rendition.to_state()))

    assert Rendition.from_state(rendition.name, state) == rendition
    assert "Name" not in state


@pytest.mark.parametrize("state", [Header("JPEG", 4, 3).to_state(), Rendition("s", "k", 4, 3, "JPEG", 9).to_state()])
def test_state_data_spells_its_attributes_as_aws_does(state):
    assert all(name[0].isupper() and name.isalnum() for name in state)


def test_a_header_s_pixels_are_those_of_one_frame():
    assert Header("GIF", 400, 300, frames=12).pixels == 120_000


def test_values_do_not_change():
    header = Header("JPEG", 4, 3)

    with pytest.raises(FrozenInstanceError):
        header.width = 5

    assert replace(header, width=5) != header
