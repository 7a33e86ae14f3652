import json
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imagepipeline.items import from_item, to_item

# What state data can hold: JSON, of numbers as measured and counted.
numbers = st.integers(-(2**53), 2**53) | st.floats(-1e9, 1e9).map(lambda number: round(number, 6))
values = st.recursive(
    st.none() | st.booleans() | numbers | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(min_size=1), inner, max_size=4),
    max_leaves=12,
)


@given(st.dictionaries(st.text(min_size=1), values, max_size=6))
def test_a_record_comes_back_from_the_table_as_it_went(record):
    assert from_item(to_item(record)) == record


def test_whole_numbers_come_back_whole():
    came_back = from_item(to_item({"Bytes": 50542, "Confidence": 98.7, "Whole": 75.0}))

    assert json.dumps(came_back) == '{"Bytes": 50542, "Confidence": 98.7, "Whole": 75}'


def test_numbers_in_lists_and_maps_are_converted_too():
    record = {"Labels": [{"Name": "Cat", "Confidence": 98.7}], "Renditions": {"small": {"Width": 100}}}

    assert json.loads(json.dumps(from_item(to_item(record)))) == record


def test_an_item_is_what_dynamodb_takes():
    assert to_item({"Bytes": 1, "Ratio": 1.5, "Notes": ["x"], "None": None}) == {
        "Bytes": {"N": "1"},
        "Ratio": {"N": "1.5"},
        "Notes": {"L": [{"S": "x"}]},
        "None": {"NULL": True},
    }


@pytest.mark.parametrize("value", [b"bytes", {1, 2}, datetime(2026, 11, 21, tzinfo=UTC)], ids=str)
def test_what_is_not_json_is_no_part_of_a_record(value):
    with pytest.raises(TypeError, match="is not JSON"):
        to_item({"Labels": [value]})


def test_an_attribute_that_no_record_has_is_not_guessed_at():
    with pytest.raises(TypeError, match="no attributes of the type SS"):
        from_item({"Labels": {"SS": ["Cat"]}})
