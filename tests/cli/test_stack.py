"""Finding a stack, and reading its table."""

from decimal import Decimal
from itertools import batched
from pathlib import Path
from urllib.parse import urlsplit

import boto3
import pytest

from cli.problems import SetupError
from cli.stack import KEYS_PER_READ, Stack, default_name, default_session
from tests.cli.stand_in import REGION, PipelineStandIn, samconfig


def test_a_stack_is_found_by_its_name(stack: Stack) -> None:
    found = Stack.find(boto3.Session(region_name="eu-west-1"), "photos")

    assert found.uploads_bucket == stack.uploads_bucket
    assert found.records(["uploads/none.jpg"]) == {}


def test_a_missing_stack_is_reported_with_the_endpoint(stack: Stack) -> None:
    with pytest.raises(
        SetupError, match=r'stack "photos" does not exist at https://cloudformation\.us-east-2\..*AWS_REGION'
    ):
        Stack.find(boto3.Session(region_name="us-east-2"), "photos")


def test_an_unrelated_stack_is_reported_with_its_missing_outputs(stack: Stack) -> None:
    template = "Resources: {Queue: {Type: 'AWS::SQS::Queue'}}"
    session = boto3.Session(region_name="eu-west-1")
    session.client("cloudformation").create_stack(StackName="queue", TemplateBody=template)

    with pytest.raises(SetupError, match="has no output UploadsBucket and no ImagesTable"):
        Stack.find(session, "queue")


def test_a_url_of_a_rendition_leads_to_the_region_of_the_bucket(stack: Stack) -> None:
    url = stack.rendition_url({"Renditions": {"small": {"Key": "1f/A1/small.jpg", "Width": 100, "Height": 75}}})

    # The global endpoint redirects to the Region's, for whose name the URL is not signed, while a bucket is new.
    assert urlsplit(url).hostname == f"{stack.outputs['ThumbnailsBucket']}.s3.{REGION}.amazonaws.com"


def test_the_environment_overrides_every_samconfig(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    samconfig(folder, stack_name="from-file")
    monkeypatch.setenv("IMAGE_PIPELINE_STACK", "from-environment")

    assert default_name(folder) == "from-environment"


@pytest.mark.parametrize("section", ["global", "deploy"])
def test_the_nearest_samconfig_names_the_stack(folder: Path, section: str) -> None:
    samconfig(folder.parent.parent, stack_name="far")
    samconfig(folder.parent, section, stack_name="near")

    assert default_name(folder) == "near"


def test_the_samconfig_of_the_checkout_is_the_last_resort(folder: Path, tmp_path: Path) -> None:
    samconfig(tmp_path / "installed", stack_name="own")

    assert default_name(folder) == "own"


def test_without_a_name_the_error_says_how_to_set_one(folder: Path) -> None:
    with pytest.raises(SetupError, match="--stack or IMAGE_PIPELINE_STACK"):
        default_name(folder)


def test_an_invalid_samconfig_is_reported(folder: Path) -> None:
    (folder / "samconfig.toml").write_text("[default")

    with pytest.raises(SetupError, match=r"photos/samconfig\.toml cannot be read"):
        default_name(folder)


def test_either_region_variable_overrides_the_samconfig(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    samconfig(folder, stack_name="photos", region="ca-central-1")
    monkeypatch.chdir(folder)
    monkeypatch.delenv("AWS_REGION")
    saved = default_session().region_name
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-west-2")
    by_default = default_session().region_name

    monkeypatch.setenv("AWS_REGION", "eu-west-1")

    assert (saved, by_default, default_session().region_name) == ("ca-central-1", "us-west-2", "eu-west-1")


def test_numbers_in_records_are_int_or_float(pipeline: PipelineStandIn, stack: Stack) -> None:
    labels = [{"Name": "Cat", "Confidence": Decimal("98.25")}]
    pipeline.write("uploads/cat.jpg", Bytes=1234, Labels=labels)

    record = stack.records(["uploads/cat.jpg"])["uploads/cat.jpg"]

    assert repr(record["Bytes"]) == "1234"
    assert repr(record["Labels"][0]["Confidence"]) == "98.25"


def test_more_records_than_one_call_returns_are_read(stack: Stack) -> None:
    keys = [f"uploads/{number}.jpg" for number in range(KEYS_PER_READ + 10)]
    for batch in batched(keys, 25, strict=False):
        puts = [{"PutRequest": {"Item": {"ImageKey": {"S": key}}}} for key in batch]
        stack.dynamodb.batch_write_item(RequestItems={stack.outputs["ImagesTable"]: puts})

    twice = [key for key in keys for _ in range(2)]
    assert sorted(stack.records(twice)) == sorted(keys)


def test_unprocessed_keys_are_read_again(pipeline: PipelineStandIn, stack: Stack) -> None:
    pipeline.write("uploads/a.jpg")
    pipeline.write("uploads/b.jpg")
    table = stack.outputs["ImagesTable"]
    answers = []

    def leave_one_out(parsed: dict, **_: object) -> None:
        answers.append(len(parsed["Responses"][table]))
        if len(answers) == 1:
            left = parsed["Responses"][table].pop()
            parsed["UnprocessedKeys"] = {table: {"Keys": [{"ImageKey": left["ImageKey"]}]}}

    stack.dynamodb.meta.events.register("after-call.dynamodb.BatchGetItem", leave_one_out)

    records = stack.records(["uploads/a.jpg", "uploads/b.jpg"])

    assert sorted(records) == ["uploads/a.jpg", "uploads/b.jpg"]
    assert answers == [2, 1]
