"""What `image-pipeline cost` computes and prints."""

import json
from datetime import date

import pytest

from cli import costs
from cli.costs import EXPRESS, STANDARD, Price, Prices, Question, estimate
from cli.main import main

FREE = {name: Price(1, "", "") for name in costs.prices().by_name}
FUNCTION = {"Invocations": 2, "MemoryMb": 1024, "ProcessorMs": 0, "WaitMs": 500, "InitProcessorMs": 0}
USED = {
    "Upload": {
        "Transitions": 6,
        "Functions": {"A": FUNCTION, "B": FUNCTION | {"Invocations": 1, "RekognitionMs": 1000}},
        "S3Writes": 5,
        "S3Reads": 2,
        "WriteUnits": 6,
        "ReadUnits": 2,
        "LogBytes": 2**20,
        "OrchestrationMs": 250,
        "StoredBytes": 2**20,
        "LabelEntries": 4,
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
        "SweepsAMonth": 100,
        "Sweep": {"ProcessorMs": 0, "WaitMs": 1000, "MemoryMb": 1024},
        "SweepLogBytes": 0,
        "Metrics": 2,
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
        ("dynamodb_pitr_gb_month", 1000 / 1024),
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
    assert bill("metric_month", workflow=EXPRESS) == 1 + 2


def test_labels_cost_a_call_a_read_entries_and_a_longer_run():
    assert bill("rekognition_image", labels=True) == 1000
    assert bill("dynamodb_write_unit", labels=True) == 10 * 1000
    assert bill("s3_read", labels=True) == 2000 + 1000
    assert bill("lambda_gb_second_arm64", labels=True) == pytest.approx((3 * 0.5 + 1) * 1000)
    assert bill("rekognition_image", labels=True, faces=True, moderation=True) == 3000


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


def test_no_uploads_cost_what_is_idle(capsys: pytest.CaptureFixture[str]):
    found = json.loads(printed(capsys, "--json", "--images", "0"))

    assert set(found["ByService"]) == {"CloudWatch"}


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
