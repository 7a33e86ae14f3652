"""The acceptance run against the deployed stack: it keeps every promise, and afterwards nothing is left of it."""

import pytest

from tests.integration.conftest import PHOTOS

pytestmark = pytest.mark.xdist_group("deployed")


def test_the_deployed_stack_keeps_every_promise(deployed, command):
    renditions = deployed.rendition_keys()

    status, documents = command("check", str(PHOTOS / "cat.png"), "--timeout", "120")

    outcomes = {line["Promise"]: (line["Outcome"], line["Seen"]) for line in documents if "Promise" in line}
    answers = {line["Question"]: line["Answer"] for line in documents if "Question" in line}
    assert {name: seen for name, (outcome, seen) in outcomes.items() if outcome == "FAIL"} == {}
    assert status == 0
    assert [name for name, (outcome, _) in outcomes.items() if outcome == "skipped"] == [
        "The status API refuses unsigned requests"
    ]
    assert "Cat" in answers["Are labels, quotas and latency of Rekognition as expected?"]
    assert "DynamoDB.ConditionalCheckFailedException" in answers["What are DynamoDB's errors called in Step Functions?"]
    assert "question mark 400" in answers["How does an HTTP API decode the path?"]

    prefix = "uploads/image-pipeline-check-"
    uploads = deployed.s3.list_object_versions(Bucket=deployed.outputs["UploadsBucket"], Prefix=prefix)
    records = deployed.table.scan(TableName=deployed.outputs["ImagesTable"])["Items"]
    queues = deployed.stack.client("sqs").list_queues(QueueNamePrefix="image-pipeline-check-")
    topic = deployed.outputs["NotificationsTopic"]
    subscriptions = deployed.stack.client("sns").list_subscriptions_by_topic(TopicArn=topic)["Subscriptions"]
    assert not uploads.get("Versions")
    assert not [record for record in records if record["ImageKey"]["S"].startswith(prefix)]
    assert deployed.rendition_keys() <= renditions
    assert not queues.get("QueueUrls")
    assert not [found for found in subscriptions if "image-pipeline-check-" in found["Endpoint"]]
