"""Budgets of stacks on the emulator."""

from tests.local.emulated import ACCOUNT, Emulated


def test_a_stack_creates_a_budget(patched: Emulated):
    budget = {"BudgetType": "COST", "TimeUnit": "MONTHLY", "BudgetLimit": {"Amount": 100, "Unit": "USD"}}
    notification = {"NotificationType": "ACTUAL", "ComparisonOperator": "GREATER_THAN", "Threshold": 100}
    subscriber = {"SubscriptionType": "EMAIL", "Address": "ann@example.com"}
    properties = {
        "Budget": budget,
        "NotificationsWithSubscribers": [{"Notification": notification, "Subscribers": [subscriber]}],
    }

    created = patched.stack({"Budget": {"Type": "AWS::Budgets::Budget", "Properties": properties}})

    found = patched.client("budgets").describe_budget(AccountId=ACCOUNT, BudgetName=created["Budget"])["Budget"]
    assert found["BudgetType"] == "COST"
