"""Budgets of stacks."""

from uuid import uuid4

from ministack.services import budgets
from ministack.services.cloudformation.provisioners import _RESOURCE_HANDLERS

from local.emulator.upstream import add

TYPE = "AWS::Budgets::Budget"


def create(logical_id: str, props: dict, stack_name: str) -> tuple[str, dict]:
    """CloudFormation creates budgets. MiniStack has the service, and not the resource."""
    name = f"{stack_name}-{logical_id}-{uuid4().hex[:12]}"
    created = {
        "Budget": props["Budget"] | {"BudgetName": name},
        "NotificationsWithSubscribers": props["NotificationsWithSubscribers"],
    }
    status, _, body = budgets._create_budget(created)
    if status >= 400:
        raise ValueError(f"{TYPE} create failed: {body!r}")
    return name, {}


def update(name: str, old_props: dict, new_props: dict, stack_name: str) -> tuple[str, dict]:
    """A changed budget keeps its name."""
    budgets._update_budget({"NewBudget": new_props["Budget"] | {"BudgetName": name}})
    return name, {}


def delete(name: str, props: dict) -> None:
    budgets._delete_budget({"BudgetName": name})


add(_RESOURCE_HANDLERS, TYPE, {"create": create, "update": update, "delete": delete})
