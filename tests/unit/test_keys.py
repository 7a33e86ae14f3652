import re
from urllib.parse import quote

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from imagepipeline import keys
from imagepipeline.keys import comparable, just_after, rendition_key, renditions_prefix, version_prefix

sequencers = st.text("0123456789abcdefABCDEF", min_size=1, max_size=keys.SEQUENCER_LENGTH)
# Any text that S3 would take as a key: UTF-8, so no lone surrogates, of at most 1,024 bytes.
uploads = (
    st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=1016)
    .map(lambda name: keys.UPLOADS_PREFIX + name)
    .filter(lambda key: len(key.encode()) <= keys.MAX_KEY_BYTES)
)
formats = st.sampled_from(["JPEG", "PNG", "WEBP", "AVIF"])
names = st.from_regex(r"\A[a-z0-9-]{1,32}\Z")


def s3_says_is_older(one: str, other: str) -> bool:
    """S3's rule, as its guide words it: pad the shorter on its right with zeros, then compare as strings.

    Hexadecimal digits occur in both cases, and mean the same in both.
    """
    length = max(len(one), len(other))
    return one.lower().ljust(length, "0") < other.lower().ljust(length, "0")


# --------------------------------------- sequencers


@given(
    st.text("0123456789abcdefABCDEF", min_size=1, max_size=20),
    st.text("0123456789abcdefABCDEF", min_size=1, max_size=20),
)
@example("0061A8B3", "0061A8B4")
def test_just_after_a_sequencer_is_before_any_later_one(one, later):
    assume(comparable(one) < comparable(later))

    assert comparable(one) < just_after(comparable(one)) < comparable(later)
    assert len(just_after(comparable(one))) == keys.SEQUENCER_LENGTH


@given(sequencers, sequencers)
@example("0061A8B3", "0061a8b3")
@example("0061A8B3", "0061A8B30000")
@example("0061A8B3", "0061A8B300001")
@example("9F", "A0")
@example("9f", "A0")
def test_sequencers_compare_as_s3_compares_them(one, other):
    assert (comparable(one) < comparable(other)) == s3_says_is_older(one, other)


def test_a_comparable_sequencer_has_one_length_and_one_case():
    assert comparable("0061a8b3F") == "0061A8B3F" + 55 * "0"


@given(sequencers)
def test_what_is_comparable_stays_as_it_is(sequencer):
    assert comparable(comparable(sequencer)) == comparable(sequencer)


@pytest.mark.parametrize("sequencer", ["", "0x61", "61 ", "G1", "61\n", "é1"])
def test_what_is_not_hexadecimal_is_refused(sequencer):
    with pytest.raises(ValueError, match="is not a hexadecimal sequencer"):
        comparable(sequencer)


# --------------------------------------- renditions

EXECUTION = "arn:aws:states:us-east-1:111122223333:execution:p:1"


@given(uploads, sequencers.map(comparable), names, formats)
def test_a_rendition_s_key_is_short_and_needs_no_escaping_whatever_the_upload_is_called(upload, sequencer, name, form):
    key = rendition_key(upload, sequencer, EXECUTION, name, form)

    assert quote(key) == key
    assert len(key.encode()) <= keys.MAX_KEY_BYTES
    assert re.fullmatch(r"[0-9a-f]{32}/[0-9A-F]+-[0-9a-f]{8}/[a-z0-9-]+\.(jpg|png|webp|avif)", key)


@given(uploads, uploads)
@example("uploads/a/x.jpg", "uploads/b/x.jpg")
@example("uploads/x.jpg", "uploads/x.png")
@example("uploads/x y.jpg", "uploads/x+y.jpg")
@example("uploads/u\u0308.jpg", "uploads/\u00fc.jpg")
@example("uploads/" + 1016 * "x", "uploads/" + 1015 * "x" + "y")
def test_no_two_uploads_keep_renditions_in_the_same_place(one, other):
    assume(one != other)

    assert renditions_prefix(one) != renditions_prefix(other)


@given(sequencers, sequencers)
@example("0A", "0A0")
@example("0A", "00A")
@example("0", "00")
def test_two_events_keep_renditions_in_the_same_place_only_if_s3_holds_them_for_one(one, other):
    same_place = prefix(one) == prefix(other)

    assert same_place == (not s3_says_is_older(one, other) and not s3_says_is_older(other, one))


@given(uploads, sequencers.map(comparable), names, formats)
def test_a_rendition_lies_in_its_version_s_folder_within_its_upload_s(upload, sequencer, name, form):
    key = rendition_key(upload, sequencer, EXECUTION, name, form)

    assert key.startswith(version_prefix(upload, sequencer, EXECUTION))
    assert version_prefix(upload, sequencer, EXECUTION).startswith(renditions_prefix(upload))


def prefix(sequencer: str, execution: str = EXECUTION) -> str:
    return version_prefix("uploads/x", comparable(sequencer), execution)


def test_no_version_s_prefix_is_the_beginning_of_another_s():
    assert not prefix("0A1").startswith(prefix("0A"))


def test_two_executions_for_one_event_do_not_share_a_prefix():
    assert prefix("0A") != prefix("0A", EXECUTION + "2")


def test_a_rendition_s_key_stays_the_same_in_every_release():
    # The records name it: a change would orphan the renditions of everything stored before.
    key = rendition_key("uploads/cat.jpg", comparable("0061a8b3f2"), EXECUTION, "small", "JPEG")

    assert key == "934f77a8395bcbf9d4772cfb0b229d28/0061A8B3F2-477bdceb/small.jpg"
