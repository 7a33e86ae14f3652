import boto3
import pytest

from functions.pause import app
from imagepipeline import aws
from imagepipeline.errors import ConfigError
from imagepipeline.pausing import TargetNotReplaced
from tests.functions.deployed import SETTINGS, UPLOADS_TARGET, invoke, put_uploads_rule, sample
from tests.in_memory import Calls

RULE, QUEUE = SETTINGS["UPLOADS_RULE"], SETTINGS["PAUSED_UPLOADS_QUEUE_ARN"]


@pytest.fixture(autouse=True)
def rule():
    put_uploads_rule()


def targets() -> list[dict]:
    return boto3.client("events").list_targets_by_rule(Rule=RULE)["Targets"]


def test_a_spent_budget_has_new_uploads_wait():
    answer = invoke(app, sample("pause"))

    assert answer == {"Paused": True}
    [target] = targets()
    assert target["Arn"] == QUEUE
    assert target["Id"] == UPLOADS_TARGET["Id"]  # replaced in one write, so that no event finds no target
    assert target["RetryPolicy"] == UPLOADS_TARGET["RetryPolicy"]
    assert target["DeadLetterConfig"] == UPLOADS_TARGET["DeadLetterConfig"]
    assert "RoleArn" not in target


def test_operators_are_told_how_to_go_on():
    sns = Calls("sns")

    invoke(app, sample("pause"))

    [published] = sns.of("Publish")
    assert published["TopicArn"] == SETTINGS["ALARMS_TOPIC"]
    assert "image-pipeline resume" in published["Message"]
    assert len(published["Subject"]) < 100


def test_a_second_message_changes_nothing_and_is_announced_all_the_same():
    invoke(app, sample("pause"))
    events, sns = Calls("events"), Calls("sns")

    answer = invoke(app, sample("pause"))

    assert answer == {"Paused": False}
    assert events.operations == ["ListTargetsByRule"]
    assert sns.operations == ["Publish"]


def test_a_change_that_eventbridge_refuses_is_an_error():
    refusal = {"FailedEntryCount": 1, "FailedEntries": [{"TargetId": "ImagePipeline", "ErrorCode": "Denied"}]}
    aws.client("events").meta.events.register(
        "after-call.eventbridge.PutTargets", lambda parsed, **_: parsed.update(refusal)
    )

    with pytest.raises(TargetNotReplaced, match="Denied"):
        invoke(app, sample("pause"))


def test_a_rule_without_its_target_is_named():
    boto3.client("events").remove_targets(Rule=RULE, Ids=[UPLOADS_TARGET["Id"]])

    with pytest.raises(TargetNotReplaced, match=f"{RULE} has 0 targets instead of one"):
        invoke(app, sample("pause"))


@pytest.mark.parametrize("name", ["UPLOADS_RULE", "PAUSED_UPLOADS_QUEUE_ARN", "ALARMS_TOPIC"])
def test_a_missing_setting_is_named(setting, name):
    setting(name, None)

    with pytest.raises(ConfigError, match=rf"^{name}: is not set$"):
        invoke(app, sample("pause"))
