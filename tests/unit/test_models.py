import json
from dataclasses import FrozenInstanceError, replace
from datetime import UTC, datetime, timedelta, timezone
from typing import get_type_hints

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imagepipeline.keys import comparable
from imagepipeline.models import Header, Rendition, Upload, timestamp

CREATED = {
    "time": "2026-11-21T01:06:20Z",
    "detail": {
        "bucket": {"name": "uploads-bucket"},
        "object": {"key": "uploads/a+b %.jpg", "size": 50542, "etag": "d2f61c5e", "sequencer": "00691fba1c8d2e7f40"},
    },
}


def any_of(value_class: type) -> st.SearchStrategy:
    """Values of a class in which every field varies, those with a default too."""
    return st.builds(value_class, **{name: st.from_type(kind) for name, kind in get_type_hints(value_class).items()})


def test_an_upload_is_what_its_event_describes():
    upload = Upload.from_event(CREATED)

    assert (upload.bucket, upload.key, upload.received_at) == ("uploads-bucket", "uploads/a+b %.jpg", CREATED["time"])
    assert (upload.size, upload.etag, upload.version_id) == (50542, "d2f61c5e", "null")
    assert upload.sequencer == comparable("00691fba1c8d2e7f40")


def test_a_deletion_has_neither_size_nor_etag():
    described = {"key": "uploads/x", "version-id": "v1", "sequencer": "0A"}

    upload = Upload.from_event(CREATED | {"detail": CREATED["detail"] | {"object": described}})

    assert (upload.size, upload.etag, upload.version_id) == (0, "", "v1")


@pytest.mark.parametrize("missing", ["key", "sequencer"])
def test_an_incomplete_event_names_what_is_missing(missing):
    described = {name: value for name, value in CREATED["detail"]["object"].items() if name != missing}

    with pytest.raises(KeyError, match=missing):
        Upload.from_event(CREATED | {"detail": CREATED["detail"] | {"object": described}})


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


@pytest.mark.parametrize(
    ("moment", "text"),
    [
        (datetime(2026, 11, 21, 1, 6, 24, tzinfo=UTC), "2026-11-21T01:06:24.000Z"),
        (datetime(2026, 11, 21, 1, 6, 24, 999_999, tzinfo=UTC), "2026-11-21T01:06:24.999Z"),
        (datetime(2026, 11, 21, 2, 6, 24, tzinfo=timezone(timedelta(hours=1))), "2026-11-21T01:06:24.000Z"),
    ],
)
def test_times_are_utc_with_milliseconds_and_a_z(moment, text):
    assert timestamp(moment) == text
