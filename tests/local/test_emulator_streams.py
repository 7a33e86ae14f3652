"""Functions on the emulator follow the stream of a table as on AWS."""

from pathlib import Path

from tests.local.emulated import Launched

NOTING = """
def handler(event, context):
    with open({path!r}, "a") as file:
        for record in event["Records"]:
            file.write(record["dynamodb"]["Keys"]["ImageKey"]["S"] + "\\n")
"""


def test_a_function_is_given_the_changes_after_a_restart(launched_patched: Launched, tmp_path: Path):
    launched, emulated, noted = launched_patched, launched_patched.emulated(), tmp_path / "noted"
    dynamodb = emulated.client("dynamodb")
    table = dynamodb.create_table(
        TableName="images",
        BillingMode="PAY_PER_REQUEST",
        KeySchema=[{"AttributeName": "ImageKey", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "ImageKey", "AttributeType": "S"}],
        StreamSpecification={"StreamEnabled": True, "StreamViewType": "NEW_AND_OLD_IMAGES"},
    )["TableDescription"]
    mapping = emulated.client("lambda").create_event_source_mapping(
        EventSourceArn=table["LatestStreamArn"],
        FunctionName=emulated.function(NOTING.format(path=str(noted))),
        StartingPosition="TRIM_HORIZON",
    )
    for number in range(3):
        dynamodb.put_item(TableName="images", Item={"ImageKey": {"S": f"before {number}"}})
    emulated.eventually(lambda: noted.exists() and len(noted.read_text().splitlines()) == 3)
    launched.wait_until_saved(lambda_=f'"{mapping["UUID"]}"', dynamodb="images")

    again = launched.restart_after_kill()
    again.client("dynamodb").put_item(TableName="images", Item={"ImageKey": {"S": "after"}})

    assert again.eventually(lambda: "after" in noted.read_text())
