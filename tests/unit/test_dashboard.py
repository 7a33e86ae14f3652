"""The dashboard: CloudWatch accepts it, its prices are those of docs/costs.md, and the picture shows it."""

import json
import re
import runpy
from itertools import combinations
from pathlib import Path

import pytest

from cli import costs
from tests.template.stack import Deployment, of_type, source

SCRIPT = runpy.run_path(str(Path(__file__).parents[2] / "docs" / "dashboard.py"))
BODY = SCRIPT["dashboard"]()
WIDGETS = BODY["widgets"]
SUBSTITUTED = Deployment().resources["Dashboard"]["DashboardBody"]["Fn::Sub"][1]

# "Dashboard body structure and syntax" in the reference of the CloudWatch API.
VIEWS = {"timeSeries", "singleValue", "gauge", "bar", "pie", "table"}
STATISTIC = r"SampleCount|Average|Sum|Minimum|Maximum|p\d{1,2}(\.\d+)?"


def titled(title: str) -> dict:
    [widget] = [widget for widget in WIDGETS if widget["properties"]["title"].startswith(title)]
    return widget["properties"]


@pytest.mark.parametrize("widget", WIDGETS, ids=lambda widget: widget["properties"]["title"])
def test_a_widget_is_as_cloudwatch_documents_it(widget: dict):
    assert widget.keys() == {"type", "x", "y", "width", "height", "properties"}
    assert widget["x"] + widget["width"] <= 24
    assert 1 <= widget["height"] <= 1000
    properties = widget["properties"]
    if widget["type"] == "alarm":
        assert 0 < len(properties["alarms"]) <= 100
        return
    assert widget["type"] == "metric"
    assert properties["region"]
    assert properties["view"] in VIEWS
    assert properties["period"] % 60 == 0
    ids = [last["id"] for *_, last in properties["metrics"] if "id" in last]
    assert len(ids) == len(set(ids))
    assert all(re.fullmatch(r"[a-z]\w*", name) for name in ids)
    for *about, options in properties["metrics"]:
        assert ("expression" in options) == (not about)
        assert not about or len(about) % 2 == 0  # a namespace, a name, and pairs of dimensions
        assert re.fullmatch(STATISTIC, options.get("stat", properties.get("stat", "Sum")))


def test_no_widget_covers_another():
    for one, other in combinations(WIDGETS, 2):
        beside = one["x"] + one["width"] <= other["x"] or other["x"] + other["width"] <= one["x"]
        assert beside or one["y"] + one["height"] <= other["y"] or other["y"] + other["height"] <= one["y"]


def test_the_dashboard_shows_every_alarm():
    body, substituted = source()["Resources"]["Dashboard"]["Properties"]["DashboardBody"]["Fn::Sub"]

    shown = set(re.findall(r"\$\{(\w+Alarm)\.Arn}", body + json.dumps(substituted)))
    assert shown == of_type("AWS::CloudWatch::Alarm").keys()


def test_the_dashboard_watches_metrics_that_the_functions_publish():
    folder = SCRIPT["REPOSITORY"]
    sources = [*folder.glob("functions/*/app.py"), *folder.glob("layers/pipeline/src/imagepipeline/*.py")]
    code = "".join(source.read_text() for source in sources)
    named = re.findall(r'"ImagePipeline", "(\w+)"|MetricName=\\"(\w+)\\"', json.dumps(BODY))

    assert len(named) > 8
    assert all(f'"{metric or searched}"' in code for metric, searched in named)


# --------------------------------------------------------------------------------------------------------------- costs


def test_prices_are_those_of_the_price_table():
    prices = costs.prices().by_name

    def usd(name: str) -> float:
        return prices[name].of(1)

    assert float(SUBSTITUTED["Execution"]) == pytest.approx(6 * usd("step_functions_transition"))
    assert float(SUBSTITUTED["GBSecond"]) == usd("lambda_gb_second_arm64")
    assert float(SUBSTITUTED["Invocation"]) == pytest.approx(usd("lambda_request"))
    express = Deployment(WorkflowType="EXPRESS").resources["Dashboard"]["DashboardBody"]["Fn::Sub"][1]
    estimate = costs.estimate(costs.Question(1_000_000, costs.EXPRESS), costs.usage(), costs.prices())
    paid = sum(line.usd for line in estimate.lines if line.service == "Step Functions" and "uploads" in line.what)
    assert float(express["Execution"]) == pytest.approx(paid / 1_000_000, rel=0.2)
    assert float(SUBSTITUTED["RekognitionCall"]) == usd("rekognition_image")
    x86 = Deployment(Architecture="x86_64").resources["Dashboard"]["DashboardBody"]["Fn::Sub"][1]
    assert float(x86["GBSecond"]) == usd("lambda_gb_second_x86_64")


def test_the_memory_of_a_function_is_the_deployed_one():
    functions = of_type("AWS::Lambda::Function")

    for name in ("Validate", "Thumbnails", "Metadata", "Store"):
        assert int(SUBSTITUTED[f"{name}Memory"]) == functions[f"{name}Function"]["MemorySize"]


def test_what_is_not_counted_costs_about_as_much_as_estimated():
    estimate = costs.estimate(costs.Question(1_000_000), costs.usage(), costs.prices())
    counted = ("Rekognition", "Step Functions", "Lambda")
    others = [line for line in estimate.lines if line.service not in counted and line.what != "custom metrics"]
    usd = sum(line.usd for line in others if not line.monthly) / 1_000_000

    assert float(SUBSTITUTED["OtherServices"]) == pytest.approx(usd, rel=0.2)


def test_the_cost_is_the_sum_of_its_parts():
    widget = {"properties": titled("What does it cost a day?")}
    points = [
        [0, "ImagePipeline", "RekognitionCalls", {"service": "image-pipeline"}, 1000],
        [0, "AWS/States", "ExecutionsStarted", {"StateMachineArn": "ImagePipeline"}, 1000],
        [0, "AWS/Lambda", "Duration", {"FunctionName": "ThumbnailsFunction"}, 1000 * 1024 * 1000 / 1769],
    ]

    paid = dict(SCRIPT["costs"](widget, SCRIPT["Recording"]({"Seconds": 60, "Points": points})))

    assert paid["Rekognition"] == pytest.approx(1.00)
    assert paid["Step Functions"] == pytest.approx(0.15)
    assert paid["Lambda"] == pytest.approx(1000 * float(SUBSTITUTED["GBSecond"]) + 4000 * 0.0000002)
    assert paid["Together"] == pytest.approx(paid["Rekognition"] + paid["Step Functions"] + paid["Lambda"])


# ------------------------------------------------------------------------------------------------------------- picture


def test_the_committed_picture_is_the_one_the_script_draws():
    drawn = SCRIPT["draw"](json.loads(SCRIPT["RECORDED"].read_text()))

    assert drawn == SCRIPT["PICTURE"].read_text(), "run: .venv/bin/python docs/dashboard.py"
