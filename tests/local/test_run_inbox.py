"""The inbox of the local run, on the emulator."""

import json
from uuid import uuid4

import pytest

from local.inbox import QUEUE_NAME, Inbox


@pytest.fixture
def sns(emulator):
    return emulator.client("sns")


@pytest.fixture
def sqs(emulator):
    return emulator.client("sqs")


@pytest.fixture
def topic(sns):
    return sns.create_topic(Name=f"topic-{uuid4().hex}")["TopicArn"]


def test_a_notification_arrives_as_it_was_sent(sns, sqs, topic, tmp_path):
    inbox = Inbox(sqs, sns, tmp_path / "inbox.jsonl")
    inbox.subscribe(topic)

    sns.publish(
        TopicArn=topic,
        Subject="An image is ready",
        MessageStructure="json",
        Message=json.dumps({"default": "{}", "email": "It is beautiful.\nSee for yourself."}),
        MessageAttributes={"imageId": {"DataType": "String", "StringValue": "uploads/ä b.jpg"}},
    )

    (mail,) = inbox.read()
    assert (mail.subject, mail.body) == ("An image is ready", "It is beautiful.\nSee for yourself.")
    assert mail.attributes == {"imageId": "uploads/ä b.jpg"}
    assert str(mail).endswith(
        "Subject: An image is ready\nimageId: uploads/ä b.jpg\n\nIt is beautiful.\nSee for yourself."
    )


def test_reading_in_several_batches_loses_nothing(sns, sqs, topic, tmp_path):
    inbox = Inbox(sqs, sns, tmp_path / "inbox.jsonl")
    inbox.subscribe(topic)
    for number in range(25):  # more than two SQS responses hold
        sns.publish(TopicArn=topic, Message=f"first {number}")
    inbox.read()
    sns.publish(TopicArn=topic, Message="second")

    mails = Inbox(sqs, sns, tmp_path / "inbox.jsonl").read()

    assert sorted(mail.body for mail in mails) == sorted([*(f"first {number}" for number in range(25)), "second"])


def test_read_notifications_leave_the_queue(sns, sqs, topic, tmp_path):
    inbox = Inbox(sqs, sns, tmp_path / "inbox.jsonl")
    inbox.subscribe(topic)
    sns.publish(TopicArn=topic, Message="read")

    inbox.read()

    left = ("ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible")
    queue_url = sqs.get_queue_url(QueueName=QUEUE_NAME)["QueueUrl"]
    attributes = sqs.get_queue_attributes(QueueUrl=queue_url, AttributeNames=left)["Attributes"]
    assert attributes == dict.fromkeys(left, "0")


def test_subscribing_twice_delivers_once(sns, sqs, topic, tmp_path):
    inbox = Inbox(sqs, sns, tmp_path / "inbox.jsonl")
    inbox.subscribe(topic)
    inbox.subscribe(topic)

    sns.publish(TopicArn=topic, Message="once")

    assert [mail.body for mail in inbox.read()] == ["once"]
