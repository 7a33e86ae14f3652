import json
from urllib.parse import parse_qs, quote, urlencode, urlsplit

import pytest

from functions.read_images import app
from imagepipeline import aws
from imagepipeline.api import index
from imagepipeline.items import to_item
from imagepipeline.lists import ALL, Entry, position
from tests.functions.contract import check_response
from tests.functions.deployed import IMAGES_TABLE, INDEX_TABLE, invoke, put, remove, sample
from tests.functions.test_status import COMPLETED, FAILED, HELD, PROCESSING, REJECTED
from tests.in_memory import refuse


def image(number: int, status: str = "COMPLETED", received_at: str | None = None, prefix: str = "") -> dict:
    """A record; a higher number was received later."""
    received_at = received_at or f"2026-11-21T{number // 3600:02}:{number // 60 % 60:02}:{number % 60:02}Z"
    return PROCESSING | {
        "ImageKey": f"uploads/{prefix}{number:05}.jpg",
        "Status": status,
        "ReceivedAt": received_at,
    }


def ask(route: str = "GET /images", query: str = "", **parameters: object) -> dict:
    event = sample("read_images")
    event["routeKey"] = event["requestContext"]["routeKey"] = route
    event["rawQueryString"] = query or urlencode(parameters)
    answer = invoke(app, event)
    check_response(route, answer["statusCode"], answer["headers"], answer.get("body", ""))
    return answer


def body(answer: dict) -> dict:
    return json.loads(answer["body"])


def keys(answer: dict) -> list[str]:
    assert answer["statusCode"] == 200, answer
    return [found["ImageKey"] for found in body(answer)["Images"]]


def all_pages(**parameters: object) -> list[str]:
    """The keys of every page, following the cursors."""
    found, cursor = [], {}
    for _ in range(1000):
        page = ask(**parameters, **cursor)
        found += keys(page)
        if "NextCursor" not in body(page):
            return found
        cursor = {"cursor": body(page)["NextCursor"]}
    raise AssertionError("the listing does not end")


# -------------------------------------------------------------------------------------------------------- one image


@pytest.mark.parametrize("record", [PROCESSING, REJECTED, FAILED], ids=lambda record: record["Status"])
def test_a_record_is_returned_as_it_is(record):
    put(record)

    answer = ask(key=record["ImageKey"])

    assert (answer["statusCode"], body(answer)) == (200, record)


def test_each_rendition_has_a_url_that_expires_and_leads_to_it():
    put(COMPLETED)

    found = body(ask(key=COMPLETED["ImageKey"]))

    for name, rendition in COMPLETED["Renditions"].items():
        url = urlsplit(found["Renditions"][name].pop("Url"))
        assert url.path.endswith(f"/{rendition['Key']}")
        assert parse_qs(url.query)["X-Amz-Expires"] == ["900"]
    assert found == COMPLETED


@pytest.mark.parametrize(
    "key", ["uploads/a b+c%2F%25/ä 🚀?&=#.jpg", "uploads/../x", "uploads/a\nb", "uploads/" + "x" * 1016]
)
def test_every_key_can_be_asked_for(key):
    put(COMPLETED | {"ImageKey": key})

    assert body(ask(query=f"key={quote(key, safe='')}"))["ImageKey"] == key


def test_an_unknown_key_is_not_found():
    answer = ask(key="uploads/nothing.jpg")

    assert (answer["statusCode"], body(answer)) == (404, {"message": "there is no image with this key"})


def test_a_held_image_is_described_without_its_renditions():
    put(HELD)

    answer = ask(key=HELD["ImageKey"])

    assert (answer["statusCode"], body(answer)) == (200, {n: v for n, v in HELD.items() if n != "Renditions"})


# ------------------------------------------------------------------------------------------------------- renditions


@pytest.mark.parametrize("name", [*HELD["Renditions"], "huge"])
def test_a_rendition_of_a_held_image_is_refused_with_the_reason(name):
    put(HELD)

    answer = ask("GET /renditions", key=HELD["ImageKey"], name=name)

    assert answer["statusCode"] == 409
    assert body(answer)["HeldBecause"] == HELD["HeldBecause"]
    assert "Location" not in answer["headers"]


def test_a_rendition_is_a_redirect_to_its_url():
    put(COMPLETED)

    answer = ask("GET /renditions", key=COMPLETED["ImageKey"], name="small")

    assert answer["statusCode"] == 302
    assert COMPLETED["Renditions"]["small"]["Key"] in answer["headers"]["Location"]
    assert answer["headers"]["Cache-Control"] == "no-store"  # a browser must not keep a URL that expires


@pytest.mark.parametrize(("record", "names"), [(COMPLETED, sorted(COMPLETED["Renditions"])), (REJECTED, [])])
def test_a_missing_rendition_is_answered_with_those_that_exist(record, names):
    put(record)

    answer = ask("GET /renditions", key=record["ImageKey"], name="huge")

    assert (answer["statusCode"], body(answer)["Renditions"]) == (404, names)


# --------------------------------------------------------------------------------------------------------- listings


def test_images_of_every_status_are_listed_newest_first():
    for number, status in ((2, "FAILED"), (0, "COMPLETED"), (1, "PROCESSING")):
        put(image(number, status))

    assert keys(ask()) == ["uploads/00002.jpg", "uploads/00001.jpg", "uploads/00000.jpg"]


@pytest.mark.parametrize("status", ["PROCESSING", "COMPLETED", "REJECTED", "FAILED"])
def test_images_are_listed_by_status(status):
    for number, other in enumerate(["PROCESSING", "COMPLETED", "REJECTED", "FAILED"]):
        put(image(number, other))

    assert [found["Status"] for found in body(ask(status=status))["Images"]] == [status]


def test_the_cursors_lead_through_every_image_once():
    for number in range(12):
        put(image(number, received_at="2026-11-21T00:00:00Z" if number % 2 else None))

    for limit in (1, 2, 7, 100):
        assert sorted(all_pages(limit=limit)) == [f"uploads/{number:05}.jpg" for number in range(12)]


def test_an_image_that_arrives_while_pages_are_read_moves_none_of_the_others():
    for number in range(4):
        put(image(number))
    first = ask(limit=2)

    put(image(9))
    second = ask(limit=2, cursor=body(first)["NextCursor"])

    assert keys(first) + keys(second) == [f"uploads/{number:05}.jpg" for number in (3, 2, 1, 0)]


def test_a_page_continues_behind_an_image_that_was_deleted_meanwhile():
    for number in range(4):
        put(image(number))
    first = ask(limit=2)

    remove(keys(first)[-1])

    assert keys(ask(limit=2, cursor=body(first)["NextCursor"])) == ["uploads/00001.jpg", "uploads/00000.jpg"]


@pytest.mark.parametrize(
    ("bounds", "expected"),
    [
        ({"from": "2026-11-21"}, [3, 2, 1]),
        ({"to": "2026-11-22"}, [2, 1, 0]),
        ({"from": "2026-11-21", "to": "2026-11-22"}, [2, 1]),
        ({"from": "2026-11-21T23:59:59Z", "to": "2026-11-22T00:00:00Z"}, [2]),
        ({"from": "2026-11-22T00:59:59+01:00"}, [3, 2]),
        ({"to": "2026-11-20"}, []),
        ({"to": "0999-12-31"}, []),
    ],
)
def test_images_are_listed_by_day_and_time(bounds, expected):
    times = ["2026-11-20T23:59:59Z", "2026-11-21T00:00:00Z", "2026-11-21T23:59:59Z", "2026-11-22T00:00:00Z"]
    for number, time in enumerate(times):
        put(image(number, received_at=time))

    assert keys(ask(**bounds)) == [f"uploads/{number:05}.jpg" for number in expected]


def test_images_are_listed_by_prefix(monkeypatch):
    monkeypatch.setattr(index, "EXAMINED", 4)
    for number in range(15):
        put(image(number, prefix="cats/" if number % 3 == 0 else "dogs/"))

    cats = [f"uploads/cats/{number:05}.jpg" for number in (12, 9, 6, 3, 0)]
    for limit in (1, 2, 3, 100):
        assert all_pages(prefix="uploads/cats/", limit=limit) == cats


def test_a_page_for_a_rare_prefix_examines_a_bounded_number_of_images(monkeypatch):
    monkeypatch.setattr(index, "EXAMINED", 4)
    for number in range(9):
        put(image(number))

    answer = body(ask(prefix="uploads/rare/"))

    assert answer["Images"] == []
    assert answer["NextCursor"]


def labelled(number: int, **confidences: float) -> dict:
    """A completed record with these labels."""
    return image(number) | {"Labels": [{"Name": name, "Confidence": c} for name, c in confidences.items()]}


def test_images_are_listed_by_label_in_any_letter_case():
    put(labelled(0, Cat=80, Animal=90))
    put(labelled(1, Dog=80, Animal=90))
    put(image(2))

    assert keys(ask(label="Animal")) == keys(ask(label="aNIMAL")) == ["uploads/00001.jpg", "uploads/00000.jpg"]
    assert keys(ask(label="Cat")) == ["uploads/00000.jpg"]
    assert keys(ask(label="Bird")) == []


def test_the_cursors_of_a_label_lead_through_its_confident_images_once(monkeypatch):
    monkeypatch.setattr(index, "EXAMINED", 4)
    for number in range(15):
        put(labelled(number, Cat=90.5 if number % 3 == 0 else 80))

    confident = [f"uploads/{number:05}.jpg" for number in (12, 9, 6, 3, 0)]
    for limit in (1, 2, 100):
        assert all_pages(label="cat", min_confidence="90.5", limit=limit) == confident


def test_a_label_is_combined_with_status_prefix_and_time():
    for number in range(4):
        put(labelled(number, Cat=90) | {"Status": "FAILED" if number == 1 else "COMPLETED"})
    put(labelled(9, Cat=90) | {"ImageKey": "uploads/elsewhere/cat.jpg"})

    found = ask(label="Cat", status="COMPLETED", prefix="uploads/0", **{"from": "2026-11-21T00:00:01Z"})

    assert keys(found) == ["uploads/00003.jpg", "uploads/00002.jpg"]


@pytest.mark.parametrize("labels", [{}, {"Dog": 90}, {"Cat": 60}])
def test_an_image_whose_label_is_outdated_is_not_shown(labels):
    put(labelled(0, Cat=90))
    put_unindexed(labelled(0, **labels))

    assert keys(ask(label="Cat", min_confidence=70)) == []


def test_a_deleted_image_is_in_no_list_although_its_entries_remain():
    put(labelled(0, Cat=90))
    aws.client("dynamodb").delete_item(TableName=IMAGES_TABLE, Key={"ImageKey": {"S": "uploads/00000.jpg"}})

    assert keys(ask(label="Cat")) == keys(ask()) == keys(ask(status="COMPLETED")) == []


def test_an_image_that_is_in_a_list_twice_while_it_is_indexed_is_shown_once():
    earlier = Entry(ALL, position("2026-11-20T00:00:00Z", "uploads/00000.jpg"), "uploads/00000.jpg")
    put(image(0))
    aws.client("dynamodb").put_item(TableName=INDEX_TABLE, Item=earlier.item)

    assert keys(ask()) == ["uploads/00000.jpg"]


def put_unindexed(record: dict) -> None:
    """Write a record that the index has not followed yet."""
    aws.client("dynamodb").put_item(TableName=IMAGES_TABLE, Item=to_item(record))


def test_a_listed_image_that_is_held_says_why_and_has_no_renditions():
    put(HELD)

    [found] = body(ask(status="HELD"))["Images"]

    assert found["HeldBecause"] == HELD["HeldBecause"]
    assert "Renditions" not in found


def test_a_listed_image_says_what_a_gallery_needs_and_no_more():
    put(COMPLETED)

    [found] = body(ask())["Images"]

    assert found == {name: COMPLETED[name] for name in index.SUMMARY if name in COMPLETED}
    assert "ExecutionArn" not in found


def test_a_record_that_changed_after_the_index_was_read_is_left_out(monkeypatch):
    put(image(0))
    put(image(1))
    read = index._query

    def then_replaced(*arguments):
        found = read(*arguments)
        put(image(1, "PROCESSING", received_at="2026-11-21T09:00:00Z"))
        return found

    monkeypatch.setattr(index, "_query", then_replaced)

    assert keys(ask()) == ["uploads/00000.jpg"]


# ------------------------------------------------------------------------------------------------------- bad requests


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("key=", "key"),
        ("key=uploads%2F", "key"),
        ("key=elsewhere%2Fcat.jpg", "key"),
        ("key=uploads%2F" + "x" * 1017, "1024"),
        ("key=uploads%2F%FF", "UTF-8"),
        ("key=uploads%2Fa&key=uploads%2Fb", "more than once"),
        ("key=uploads%2Fa&limit=3", "no other parameter"),
        ("kye=uploads%2Fa", "unknown parameter"),
        ("status=completed", "COMPLETED"),
        ("label=", "1 to 255 printable"),
        ("label=" + "x" * 256, "1 to 255 printable"),
        ("label=cat%0A", "1 to 255 printable"),
        ("min_confidence=90", "needs a label"),
        ("label=cat&min_confidence=", "0 to 100"),
        ("label=cat&min_confidence=100.1", "0 to 100"),
        ("label=cat&min_confidence=-1", "0 to 100"),
        ("label=cat&min_confidence=nan", "0 to 100"),
        ("limit=0", "1 to 100"),
        ("limit=101", "1 to 100"),
        ("limit=1e2", "1 to 100"),
        ("limit=%D9%A3", "1 to 100"),  # an Arabic digit
        ("limit=" + "9" * 5000, "1 to 100"),
        ("from=yesterday", "from"),
        ("from=2026-11-21T00%3A00%3A00", "UTC"),  # without a time zone
        ("to=0001-01-01", "to must be later"),
        ("to=9999-12-31T23%3A59%3A59-12%3A00", "to must be a date"),
        ("from=2026-11-22&to=2026-11-21", "earlier"),
        ("prefix=", "prefix"),
        ("prefix=elsewhere%2F", "prefix"),
        ("prefix=uploads%2F" + "x" * 1017, "prefix"),
        ("cursor=", "cursor"),
        ("cursor=nonsense", "cursor"),
        ("cursor=%C3%A4", "cursor"),
        ("cursor=" + "A" * 4000, "cursor"),
        ("&".join(f"a{number}=1" for number in range(60)), "50 parameters"),
    ],
)
def test_a_bad_request_is_refused_with_what_would_be_right(query, names):
    answer = ask(query=query)

    assert answer["statusCode"] == 400
    assert names in body(answer)["message"]


def test_a_cursor_of_another_listing_is_refused():
    for number in range(3):
        put(image(number))
    cursor = body(ask(limit=1))["NextCursor"]

    assert ask(limit=2, cursor=cursor)["statusCode"] == 200
    assert ask(status="FAILED", cursor=cursor)["statusCode"] == 400
    assert ask(label="Cat", cursor=cursor)["statusCode"] == 400
    assert ask(cursor=cursor[:-2] + "AA")["statusCode"] == 400


@pytest.mark.parametrize(
    ("operation", "parameters"), [("Query", {}), ("BatchGetItem", {}), ("GetItem", {"key": "uploads/cat.jpg"})]
)
def test_a_busy_table_is_answered_503(operation, parameters):
    put(image(0))
    refuse("dynamodb", operation, "ThrottlingException")

    answer = ask(**parameters)

    assert (answer["statusCode"], body(answer)) == (503, {"message": app.BUSY})
