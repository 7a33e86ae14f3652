"""docs/architecture.svg shows the system that template.yaml and the state machines describe."""

import re
import runpy
from pathlib import Path

from tests.template.stack import source

SHOWN = {
    "AWS::ApiGatewayV2::Api",
    "AWS::CloudWatch::Alarm",
    "AWS::DynamoDB::Table",
    "AWS::Events::Rule",
    "AWS::S3::Bucket",
    "AWS::SNS::Topic",
    "AWS::SQS::Queue",
    "AWS::Serverless::Function",
    "AWS::Serverless::StateMachine",
}
SCRIPT = runpy.run_path(str(Path(__file__).parents[2] / "docs" / "architecture.py"))
COMMITTED = SCRIPT["PICTURE"].read_text(encoding="utf-8")
WORDS = set(re.findall(r"\w+", " ".join(re.findall(">([^<]+)<", COMMITTED))))


def test_the_committed_picture_is_the_one_the_script_draws():
    assert SCRIPT["draw"]() == COMMITTED, "run: .venv/bin/python docs/architecture.py"


def test_every_resource_is_in_the_picture():
    assert {name for name, resource in source()["Resources"].items() if resource["Type"] in SHOWN} <= WORDS
