"""Printing results."""

import json
from pathlib import Path

import pytest

from cli.files import Item
from cli.following import Result
from cli.report import json_line, line

RENDITIONS = {
    "large": {"Key": "1f/A/large.jpg", "Width": 1280, "Height": 960, "Format": "JPEG", "Bytes": 99000},
    "small": {"Key": "1f/A/small.jpg", "Width": 100, "Height": 75, "Format": "JPEG", "Bytes": 3000},
}


def labels(*names: str) -> list[dict]:
    return [{"Name": name, "Confidence": 98.6} for name in names]


def fields(**record: object) -> list[str]:
    return line(Result("uploads/cat.jpg", "COMPLETED", record={"Bytes": 2_100_000, **record}, seconds=1.26)).split("\t")


def test_a_line_has_status_key_size_renditions_content_and_seconds() -> None:
    assert fields(Renditions=RENDITIONS, Labels=labels("Cat", "Pet")) == [
        "COMPLETED",
        "uploads/cat.jpg",
        "2.1 MB",
        "small 100×75, large 1280×960",
        "Cat 99%, Pet 99%",
        "1.3",
        "",
    ]


def test_only_the_first_labels_are_shown_and_the_others_counted() -> None:
    assert fields(Labels=labels("Cat", "Animal", "Pet", "Sofa", "Room"))[4] == "Cat 99%, Animal 99%, Pet 99%, 2 more"


@pytest.mark.parametrize("attribute", ["LabelsError", "LabelsSkipped"])
def test_missing_labels_show_the_reason(attribute: str) -> None:
    why = {"Name": "ImageTooSmall", "Message": "60x40 is too small"}

    assert fields(**{attribute: why})[4] == "none: 60x40 is too small"


@pytest.mark.parametrize(
    ("record", "content"),
    [
        ({"Faces": [{}, {}]}, "Cat 99%; 2 faces"),
        ({"Faces": [{}]}, "Cat 99%; 1 face"),
        ({"Faces": [], "ModerationLabels": []}, "Cat 99%; no faces; moderation: nothing found"),
        ({"ModerationLabels": labels("Violence")}, "Cat 99%; moderation: Violence 99%"),
        ({"FacesError": {"Name": "X", "Message": "AccessDenied"}}, "Cat 99%; faces: none: AccessDenied"),
    ],
)
def test_faces_and_moderation_are_shown_where_there_are_any(record: dict, content: str) -> None:
    assert fields(Labels=labels("Cat"), **record)[4] == content


def test_a_failure_shows_the_reason() -> None:
    error = {"Name": "DamagedImage", "Message": "the JPEG is damaged:\ntruncated"}

    assert line(Result("uploads/cat.jpg", "REJECTED", error=error)).endswith(
        "\tDamagedImage: the JPEG is damaged:%0Atruncated"
    )


@pytest.mark.parametrize(
    ("key", "shown"),
    [
        ("plain [red]brackets[/red] 100% a+b.jpg", "plain [red]brackets[/red] 100% a+b.jpg"),
        ("Screenshot 3.21.45\u202fPM.png", "Screenshot 3.21.45\u202fPM.png"),  # macOS writes a narrow space
        ("\x1b[31mred\x07.jpg", "%1B[31mred%07.jpg"),
        ("two\nlines\tand tabs.jpg", "two%0Alines%09and tabs.jpg"),
        ("caf\udce9.jpg", "caf%ED%B3%A9.jpg"),  # not UTF-8
    ],
)
def test_nothing_in_a_name_can_control_the_terminal(key: str, shown: str) -> None:
    assert line(Result(key, "COMPLETED")).split("\t")[1] == shown


def test_a_json_line_holds_the_record_and_the_file() -> None:
    item = Item(Path("holiday/caf\u00e9\n.jpg"), "uploads/caf\u00e9\n.jpg", 2100)
    record = {"ImageKey": item.key, "Status": "COMPLETED", "Bytes": 2100, "Labels": labels("Cat")}

    text = json_line(Result(item.key, "COMPLETED", item, record, seconds=1.26))

    assert len(text.splitlines()) == 1
    assert json.loads(text) == {**record, "File": str(item.path), "Seconds": 1.26}
