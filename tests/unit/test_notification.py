from urllib.parse import quote

import pytest

from imagepipeline import notification

API = "https://a1b2c3d4e5.execute-api.us-east-1.amazonaws.com"
RECORD = {
    "ImageKey": "uploads/cat.jpg",
    "Width": 4032,
    "Height": 3024,
    "Format": "JPEG",
    "Bytes": 3_456_789,
    "Renditions": {"small": {"Width": 100, "Height": 75}, "large": {"Width": 1280, "Height": 960}},
    "Labels": [{"Name": "Cat", "Confidence": 98.66}, {"Name": "Pet", "Confidence": 90.0}],
}


def line(record: dict, name: str) -> str | None:
    """What a message says under a name."""
    lines = notification.success(record, API).splitlines()
    return next((text.split(maxsplit=1)[1] for text in lines if text.split()[:1] == [name]), None)


def test_the_whole_message():
    assert notification.success(RECORD, API) == (
        "An image is ready.\n"
        "\n"
        "  Image       uploads/cat.jpg\n"
        "  Picture     4032 x 3024 JPEG, 3.5 MB\n"
        "  Renditions  small 100 x 75, large 1280 x 960\n"
        "  Labels      Cat 99 %, Pet 90 %\n"
        "  Status      https://a1b2c3d4e5.execute-api.us-east-1.amazonaws.com/images/uploads/cat.jpg/status\n"
    )


def test_camera_and_time_are_told_where_they_are_known():
    record = RECORD | {"Exif": {"Camera": "Example One", "TakenAt": "2026-08-14T18:02:11+02:00"}}

    assert line(record, "Camera") == "Example One"
    assert line(record, "Taken") == "2026-08-14T18:02:11+02:00"


def test_no_more_labels_are_told_than_one_reads():
    record = RECORD | {"Labels": [{"Name": f"Label{number}", "Confidence": 90.0} for number in range(10)]}

    assert line(record, "Labels") == "Label0 90 %, Label1 90 %, Label2 90 %, Label3 90 %, Label4 90 %"


@pytest.mark.parametrize("attribute", ["LabelsError", "LabelsSkipped"])
def test_missing_labels_are_told_with_their_reason(attribute):
    record = RECORD | {"Labels": [], attribute: {"Name": "X", "Message": "Rekognition is throttling"}}

    assert line(record, "Labels") == "none: Rekognition is throttling"


@pytest.mark.parametrize("labels", [{"Labels": []}, {}])
def test_a_picture_in_which_nothing_is_seen_says_so(labels):
    record = {name: value for name, value in RECORD.items() if name != "Labels"} | labels

    assert line(record, "Labels") == "none found"


def test_nothing_in_a_message_breaks_a_line_or_turns_its_direction():
    record = RECORD | {
        "ImageKey": "uploads/a\nStatus  http://example.com\u202egpj.exe",
        "Exif": {"Camera": "One\rTwo"},
        "LabelsError": {"Name": "X", "Message": "a\u2028b\tc"},
    }

    message = notification.success(record, API)

    assert line(record, "Image") == "uploads/a%0AStatus  http://example.com%E2%80%AEgpj.exe"
    assert line(record, "Camera") == "One%0DTwo"
    assert line(record, "Labels") == "none: a%E2%80%A8b%09c"
    assert len(message.splitlines()) == 2 + 6
    assert all(character.isprintable() for character in message.replace("\n", ""))


@pytest.mark.parametrize("key", ["uploads/a b.jpg", "uploads/x/ü_1-2.jpg", "uploads/.a..b"])
def test_a_plain_key_is_linked_by_its_path(key):
    assert notification.status_url(API, key) == f"{API}/images/{quote(key)}/status"


@pytest.mark.parametrize(
    ("key", "query"),
    [
        ("uploads/100%.jpg", "uploads/100%25.jpg"),
        ("uploads/100%25.jpg", "uploads/100%2525.jpg"),
        ("uploads/a+b&c=d.jpg", "uploads/a%2Bb%26c%3Dd.jpg"),
        ("uploads/x/🐈?#.jpg", "uploads/x/%F0%9F%90%88%3F%23.jpg"),
        ("uploads/x/", "uploads/x/"),
        ("uploads//x.jpg", "uploads//x.jpg"),
        ("uploads/../x.jpg", "uploads/../x.jpg"),
        ("uploads/..", "uploads/.."),
        ("uploads/x.jpg\n", "uploads/x.jpg%0A"),
    ],
)
def test_a_key_that_a_path_might_change_is_linked_by_a_query(key, query):
    assert notification.status_url(API, key) == f"{API}/images/status?key={query}"


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 bytes"),
        (999, "999 bytes"),
        (1000, "1.0 kB"),
        (50_542, "50.5 kB"),
        (999_949, "999.9 kB"),
        (1_000_000, "1.0 MB"),
        (104_857_600, "104.9 MB"),
        (5_368_709_120, "5.4 GB"),
    ],
)
def test_sizes_are_told_in_the_unit_a_person_would_use(count, text):
    assert notification.size(count) == text


@pytest.mark.parametrize(
    ("attributes", "faces"),
    [
        ({}, None),
        ({"Faces": []}, "none found"),
        ({"Faces": [{}, {}]}, "2"),
        ({"FacesError": {"Name": "X", "Message": "AccessDenied"}}, "none: AccessDenied"),
    ],
)
def test_the_number_of_faces_is_told_if_anyone_asked(attributes, faces):
    assert line(RECORD | attributes, "Faces") == faces


@pytest.mark.parametrize(
    ("attributes", "moderation"),
    [
        ({}, None),
        ({"ModerationLabels": []}, "nothing found"),
        ({"ModerationLabels": [{"Name": "Violence", "Confidence": 91.3}]}, "Violence 91 %"),
        ({"ModerationSkipped": {"Name": "X", "Message": "too small"}}, "none: too small"),
    ],
)
def test_moderation_labels_are_told_if_anyone_asked(attributes, moderation):
    assert line(RECORD | attributes, "Moderation") == moderation
