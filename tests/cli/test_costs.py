"""What `image-pipeline cost` computes and prints."""

import json
from datetime import date
from pathlib import Path

import pytest

from cli import costs
from cli.costs import EXPRESS, STANDARD, Price, Prices, Question, estimate
from cli.main import main

FREE = {name: Price(1, "", "") for name in costs.prices().by_name}
FUNCTION = {"Invocations": 2, "MemoryMb": 1024, "ProcessorMs": 0, "WaitMs": 500, "InitProcessorMs": 0}
USED = {
    "Assumed": {"LabelsAnImage": 4, "LabelBytes": 2**10, "ListEntryBytes": 2**11},
    "Upload": {
        "Transitions": 6,
        "Functions": {"A": FUNCTION | {"FaceCropsMs": 3000}, "B": FUNCTION | {"Invocations": 1, "RekognitionMs": 1000}},
        "S3Writes": 5,
        "S3Reads": 2,
        "WriteUnits": 6,
        "ReadUnits": 2,
        "LogBytes": 2**20,
        "OrchestrationMs": 250,
        "StoredBytes": 2**20,
        "BackedUpBytes": 2**19,
        "OriginalBytes": 2**30,
        "RenditionBytes": 2**20,
    },
    "Deletion": {
        "Transitions": 7,
        "Functions": {},
        "S3Writes": 3,
        "S3Reads": 0,
        "WriteUnits": 3,
        "ReadUnits": 3,
        "LogBytes": 0,
        "OrchestrationMs": 0,
    },
    "Express": {
        "WriteUnits": 2,
        "OrchestrationMs": 100,
    },
    "Sweeps": {
        "AMonth": {"STANDARD": 0, "EXPRESS": 100},
        "Metrics": {"STANDARD": 0, "EXPRESS": 2},
        "Function": {"ProcessorMs": 0, "WaitMs": 1000, "MemoryMb": 1024},
        "LogBytes": 0,
    },
    "Idle": {"Alarms": 4, "Metrics": 1, "Dashboards": 1},
}


def bill(price: str, usd: float = 1.0, **question: object) -> float:
    """The total if only one thing has a price, for each unit."""
    settings = {"images": 1000, "labels": False, "deleted": 0, "retried": 0} | question
    return estimate(Question(**settings), USED, Prices("here", date.min, FREE | {price: Price(1, "", "", usd)})).total


# ----------------------------------------------------------------------------------------------------------- arithmetic


@pytest.mark.parametrize(
    ("price", "quantity"),
    [
        ("step_functions_transition", 6 * 1000),
        ("step_functions_request", 0),
        ("lambda_request", 3 * 1000),
        ("lambda_gb_second_arm64", 3 * 0.5 * 1000),
        ("lambda_gb_second_x86_64", 0),
        ("s3_write", 5 * 1000),
        ("s3_read", 2 * 1000),
        ("dynamodb_write_unit", 6 * 1000),
        ("dynamodb_gb_month", 1000 / 1024),
        ("dynamodb_pitr_gb_month", 1000 / 2048),
        ("eventbridge_event", 1000),
        ("sns_email", 0),
        ("logs_gb", 1000 / 1024),
        ("alarm_month", 4),
        ("xray_trace", 0),
        ("rekognition_image", 0),
        ("s3_gb_month", 0),  # objects are no part of the estimate
    ],
)
def test_each_unit_of_an_upload_is_billed(price: str, quantity: float):
    assert bill(price) == pytest.approx(quantity)


def test_deletions_and_retries_are_billed():
    assert bill("step_functions_transition", deleted=0.5) == 6 * 1000 + 7 * 500
    assert bill("step_functions_transition", retried=0.5) == 9 * 1000
    assert bill("s3_write", deleted=1) == 5000 + 3000


def test_an_express_execution_pays_for_its_duration():
    milliseconds = 2 * 500 + 500 + 250 + 100

    assert bill("step_functions_transition", workflow=EXPRESS) == 0
    assert bill("step_functions_request", workflow=EXPRESS) == 1000
    assert bill("step_functions_gb_second", workflow=EXPRESS) == pytest.approx(
        1000 * (milliseconds + 50) / 1000 * 64 / 1024  # rounded up to 100 ms
    )


def test_traces_and_mails_are_billed_on_request():
    assert bill("xray_trace", traces=True) == 1000
    assert bill("sns_email", mail=True) == 1000


def test_express_pays_for_its_table_and_its_sweeps():
    assert bill("dynamodb_write_unit", workflow=EXPRESS) == (6 + 2) * 1000
    assert bill("lambda_gb_second_arm64", workflow=EXPRESS) == pytest.approx(3 * 0.5 * 1000 + 100)
    assert bill("dynamodb_read_unit", workflow=EXPRESS) == 2 * 1000 + 100 / 2
    assert bill("metric_month", workflow=EXPRESS) == 1 + 2


def test_labels_cost_a_call_a_read_and_a_longer_run():
    assert bill("rekognition_image", labels=True) == 1000
    assert bill("s3_read", labels=True) == 2000 + 1000
    assert bill("lambda_gb_second_arm64", labels=True) == pytest.approx((3 * 0.5 + 1) * 1000)


def test_an_entry_of_each_label_is_written_stored_and_removed():
    assert bill("dynamodb_write_unit", labels=True) == (6 + 4) * 1000
    assert bill("dynamodb_write_unit", labels=True, deleted=0.5) == (6 + 4) * 1000 + (3 + 4) * 500
    assert bill("dynamodb_gb_month", labels=True) == pytest.approx(1000 * (2**20 + 4 * (2**10 + 2**11)) / 2**30)
    assert bill("dynamodb_pitr_gb_month", labels=True) == pytest.approx(1000 * (2**19 + 4 * 2**10) / 2**30)


def test_questions_about_a_rendition_are_asked_at_the_same_time():
    everything = {"labels": True, "faces": True, "moderation": True}

    assert bill("rekognition_image", **everything) == 3000
    assert bill("lambda_gb_second_arm64", **everything) == pytest.approx((3 * 0.5 + 1) * 1000)


def test_crops_around_faces_keep_the_larger_function_waiting():
    assert bill("rekognition_image", face_crops=True) == 1000
    assert bill("lambda_gb_second_arm64", face_crops=True) == pytest.approx((3 * 0.5 + 2 * 3) * 1000)
    assert bill("s3_read", face_crops=True) == 2000  # the request contains the picture


def test_faces_that_crops_needed_are_not_paid_for_twice():
    assert bill("rekognition_image", faces=True, face_crops=True) == 1000


def test_crops_around_faces_cost_what_their_page_says():
    def usd(**question: bool) -> float:
        return estimate(Question(1000, labels=False, **question), costs.usage(), costs.prices()).total

    waiting = usd(face_crops=True) - usd() - 1000 * costs.prices().by_name["rekognition_image"].of(1)

    page = (Path(__file__).parents[2] / "docs" / "faces.md").read_text(encoding="utf-8")
    assert f"its memory is billed: {waiting:.3f} USD per 1,000 images" in page


def test_tiers_are_used_one_after_another():
    price = Price(1, "", "", tiers=((10, 5.0), (20, 2.0), (float("inf"), 1.0)))

    assert [price.of(units) for units in (0, 4, 10, 11, 30, 31)] == [0, 20, 50, 52, 90, 91]


def test_half_a_processor_takes_twice_the_time():
    function = FUNCTION | {"ProcessorMs": 100, "WaitMs": 30}

    at = {size: costs.duration_ms(function, size) for size in (884, 1769, 3538)}

    assert at[884] == pytest.approx(230, abs=1)
    assert at[1769] == at[3538] == 130


def test_few_images_are_all_traced_and_many_are_sampled():
    month = costs.MONTH_SECONDS

    assert costs.traces(1000) == 1000
    assert costs.traces(month) == month
    assert costs.traces(101 * month) == pytest.approx(month * (1 + 5))


# ------------------------------------------------------------------------------------------------------------ contract


def printed(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert main(["cost", *arguments]) == 0
    return capsys.readouterr().out


def test_json_states_the_total_and_its_parts(capsys: pytest.CaptureFixture[str]):
    found = json.loads(printed(capsys, "--json", "--images", "1000", "--labels", "true"))

    assert found["Total"] == pytest.approx(sum(found["ByService"].values()), abs=1e-4)
    assert found["Total"] == pytest.approx(sum(line["Usd"] for line in found["Lines"]), abs=1e-4)
    assert found["ByService"]["Rekognition"] == 1.0
    assert found["ByService"]["Step Functions"] == pytest.approx(0.15, abs=0.003)
    assert found["PricesAsOf"]
    assert found["Assumed"]["LabelsAnImage"] == 10


def test_options_say_what_the_stack_asks_rekognition(capsys: pytest.CaptureFixture[str]):
    def calls(*options: str) -> float:
        return json.loads(printed(capsys, "--json", "--images", "1000", *options))["ByService"]["Rekognition"]

    assert calls("--labels", "false", "--faces") == calls("--labels", "false", "--face-crops") == 1
    assert calls("--faces", "--face-crops", "--moderation") == 3


def test_no_uploads_cost_what_is_idle(capsys: pytest.CaptureFixture[str]):
    found = json.loads(printed(capsys, "--json", "--images", "0"))

    assert set(found["ByService"]) == {"CloudWatch", "Lambda", "DynamoDB"}  # the last two for sweeps
    assert found["ByService"]["CloudWatch"] == pytest.approx(found["Total"], rel=0.01)


def test_a_pipe_gets_tab_separated_lines(capsys: pytest.CaptureFixture[str]):
    *lines, total = [line.split("\t") for line in printed(capsys, "--labels", "false").splitlines()]

    assert total[0] == "Total"
    assert float(total[3]) == pytest.approx(sum(float(usd) for *_, usd in lines), abs=1e-4)
    assert "Rekognition" not in {line[0] for line in lines}


@pytest.mark.parametrize(
    "arguments", [["--images", "-1"], ["--images", "many"], ["--labels", "yes"], ["--deleted", "101"]]
)
def test_nonsense_is_refused(arguments: list[str]):
    with pytest.raises(SystemExit) as ended:
        main(["cost", *arguments])

    assert ended.value.code == 2


# --------------------------------------------------------------------------------------------------------- price table


def test_every_price_names_its_source_and_unit():
    table = costs.prices()

    assert table.region == "us-east-1"
    assert date(2026, 1, 1) < table.as_of <= date.today()  # noqa: DTZ011 (a day is enough)
    for name, price in table.by_name.items():
        assert price.source.startswith("https://aws.amazon.com/"), name
        assert price.unit, name
        assert (price.usd > 0) != bool(price.tiers), name
        assert price.per > 0, name


@pytest.mark.parametrize(("workflow", "most"), [(STANDARD, 210), (EXPRESS, 70)])
def test_a_million_uploads_without_rekognition_stay_affordable(workflow: str, most: float):
    answer = estimate(Question(1_000_000, workflow, labels=False), costs.usage(), costs.prices())

    assert answer.total <= most


def test_transitions_of_a_million_uploads_cost_150_dollars():
    answer = estimate(Question(1_000_000, deleted=0, retried=0), costs.usage(), costs.prices())

    assert answer.by_service["Step Functions"] == pytest.approx(150)
