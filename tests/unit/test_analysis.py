import pytest
from hypothesis import given
from hypothesis import strategies as st

from imagepipeline.analysis import ANALYSES, FACES, LABELS, MODERATION, answers, in_picture, missing, visible

REASON = {"Name": "RekognitionFailed", "Message": "InternalServerError"}


def detail(left: float = 0.1, top: float = 0.2, width: float = 0.3, height: float = 0.4, **more: object) -> dict:
    """A FaceDetail of Rekognition's response."""
    box = {"Left": left, "Top": top, "Width": width, "Height": height}
    return {
        "BoundingBox": box,
        "Confidence": 99.98765,
        "Quality": {"Brightness": 80.0},
        "Smile": {"Value": True},
    } | more


def test_labels_are_rounded_and_name_their_model():
    response = {"Labels": [{"Name": "Cat", "Confidence": 98.6543, "Parents": []}], "LabelModelVersion": "3.0"}

    assert LABELS.read(response) == {"Labels": [{"Name": "Cat", "Confidence": 98.7}], "LabelModelVersion": "3.0"}


def test_a_face_is_where_it_is_and_how_it_is_turned_and_nothing_about_the_person():
    eye = {"Type": "eyeLeft", "X": 0.123456789, "Y": 0.25}
    pose = {"Roll": -3.14159, "Yaw": 12.0, "Pitch": 0.05}

    assert FACES.read({"FaceDetails": [detail(0.123456, Landmarks=[eye], Pose=pose)]}) == {
        "Faces": [
            {
                "BoundingBox": {"Left": 0.12346, "Top": 0.2, "Width": 0.3, "Height": 0.4},
                "Confidence": 100.0,
                "Landmarks": [{"Type": "eyeLeft", "X": 0.12346, "Y": 0.25}],
                "Pose": {"Roll": -3.1, "Yaw": 12.0, "Pitch": 0.1},
            }
        ]
    }


def test_the_twenty_largest_faces_are_kept_largest_first():
    sides = [0.01 * number for number in (7, 30, 1, *range(2, 7), *range(8, 30))]

    faces = FACES.read({"FaceDetails": [detail(width=side, height=side) for side in sides]})["Faces"]

    assert [round(100 * face["BoundingBox"]["Width"]) for face in faces] == list(range(30, 10, -1))


def test_moderation_labels_keep_their_place_in_the_taxonomy():
    weapons = {"Name": "Weapons", "ParentName": "Violence", "Confidence": 91.26, "TaxonomyLevel": 2}

    assert MODERATION.read({"ModerationLabels": [weapons], "ModerationModelVersion": "7.0"}) == {
        "ModerationLabels": [weapons | {"Confidence": 91.3}],
        "ModerationModelVersion": "7.0",
    }


def test_only_the_landmarks_that_bound_the_record_are_kept():
    points = [{"Type": name, "X": 0.5, "Y": 0.5} for name in ("chinBottom", "nose", "leftPupil")]

    [face] = FACES.read({"FaceDetails": [detail(Landmarks=points)]})["Faces"]

    assert face["Landmarks"] == [{"Type": "nose", "X": 0.5, "Y": 0.5}]


@pytest.mark.parametrize("analysis", ANALYSES, ids=lambda analysis: analysis.name)
def test_an_answer_with_an_error_or_a_reason_to_skip_it_is_none(analysis):
    name = analysis.attributes[0]

    assert analysis.is_answered({name: []})
    assert not analysis.is_answered({})
    assert not analysis.is_answered({name: [], analysis.error: REASON})
    assert not analysis.is_answered({name: [], analysis.skipped: REASON})


def test_only_answers_are_taken_from_a_record():
    record = {
        "ImageKey": "uploads/a.jpg",
        "Labels": [{"Name": "Cat", "Confidence": 98.7}],
        "LabelModelVersion": "3.0",
        "FacesError": REASON,
        "ModerationLabels": [],
    }

    assert answers(record).keys() == {"Labels", "LabelModelVersion", "ModerationLabels"}
    assert answers(record, [MODERATION, FACES]).keys() == {"ModerationLabels"}
    assert missing(record) == [FACES]


sides = st.integers(1, 5000)


@pytest.mark.parametrize(
    ("picture", "crop", "shown"),
    [
        ((640, 480), (320, 240), (0, 0, 1, 1)),
        ((400, 100), (50, 50), (0.375, 0, 0.25, 1)),
        ((100, 400), (50, 50), (0, 0.375, 1, 0.25)),
    ],
    ids=["whole", "middle of a wide picture", "middle of a tall picture"],
)
def test_a_crop_from_the_centre_shows_the_middle(picture, crop, shown):
    assert visible(picture, crop) == pytest.approx(shown)


@given(st.tuples(sides, sides), st.tuples(sides, sides))
def test_what_a_crop_shows_lies_within_the_picture(picture, crop):
    left, top, width, height = visible(picture, crop)

    assert 0 <= left <= left + width <= 1 + 1e-9
    assert 0 <= top <= top + height <= 1 + 1e-9


def test_a_face_in_a_crop_is_placed_in_the_picture():
    [face] = FACES.read({"FaceDetails": [detail(0.5, 0.5, 0.5, 0.5, Landmarks=[{"Type": "nose", "X": 0, "Y": 1}])]})[
        "Faces"
    ]

    [placed] = in_picture([face], (0.375, 0, 0.25, 1))

    assert placed["BoundingBox"] == {"Left": 0.5, "Top": 0.5, "Width": 0.125, "Height": 0.5}
    assert placed["Landmarks"] == [{"Type": "nose", "X": 0.375, "Y": 1}]
