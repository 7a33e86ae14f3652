"""DynamoDB as the pipeline relies on it: of many writers at once, a condition lets one through."""

import json
from uuid import uuid4

from tests.local.emulated import Emulated

WRITERS = 40
ROUNDS = 10


def test_of_many_state_machines_that_claim_a_key_at_once_one_gets_it(emulator: Emulated):
    tables = emulator.client("dynamodb")
    table = f"table-{uuid4().hex}"
    tables.create_table(
        TableName=table,
        AttributeDefinitions=[{"AttributeName": "Key", "AttributeType": "S"}],
        KeySchema=[{"AttributeName": "Key", "KeyType": "HASH"}],
        BillingMode="PAY_PER_REQUEST",
    )
    claim = {
        "Type": "Task",
        "Resource": "arn:aws:states:::dynamodb:putItem",
        "Arguments": {
            "TableName": table,
            "Item": {"Key": {"S": "{% $states.input.key %}"}},
            "ConditionExpression": "attribute_not_exists(#key)",
            "ExpressionAttributeNames": {"#key": "Key"},
        },
        "Output": "won",
        "Catch": [{"ErrorEquals": ["DynamoDB.ConditionalCheckFailedException"], "Next": "Lost"}],
        "End": True,
    }
    machine = emulator.state_machine(
        {
            "QueryLanguage": "JSONata",
            "StartAt": "Everybody",
            "States": {
                "Everybody": {
                    "Type": "Map",
                    "Items": "{% $states.input %}",
                    "ItemProcessor": {
                        "StartAt": "Claim",
                        "States": {"Claim": claim, "Lost": {"Type": "Pass", "Output": "lost", "End": True}},
                    },
                    "End": True,
                }
            },
        },
        {"Effect": "Allow", "Action": "dynamodb:PutItem", "Resource": "*"},
    )

    for _ in range(ROUNDS):
        outcomes = json.loads(emulator.run(machine, [{"key": uuid4().hex}] * WRITERS)["output"])

        assert sorted(outcomes) == ["lost"] * (WRITERS - 1) + ["won"]
