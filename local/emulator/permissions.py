"""IAM: wildcards in policies, and decisions for calls that MiniStack does not authorize itself."""

import json
import re
from collections.abc import Callable

from ministack.core import iam_actions, iam_evaluator
from ministack.core.iam_evaluator import EvalContext, _gather_role_policies, evaluate, evaluate_resource_policy
from ministack.core.responses import get_account_id, get_region

from local.emulator.upstream import patch


@patch(iam_evaluator, "_fnmatch_compile(pattern, ignore_case)")
def match_line_breaks(original: Callable, pattern: str, ignore_case: bool) -> re.Pattern:
    """A wildcard of a policy matches every character, line breaks in the keys of objects included."""
    compiled = original(pattern, ignore_case)
    return re.compile(compiled.pattern, compiled.flags | re.DOTALL)


@patch(iam_actions, "extract_resource_arn(service, method, path, headers, body, query_params, region, account_id)")
def name_the_rule(original: Callable, service: str, method: str, path: str, headers: dict, body: bytes, *rest) -> str:
    """PutTargets and ListTargetsByRule, which name their rule as `Rule`, are authorized for the rule."""
    if service == "events" and (rule := json.loads(body or b"{}").get("Rule")):
        return f"arn:aws:events:{get_region()}:{get_account_id()}:rule/{rule}"
    return original(service, method, path, headers, body, *rest)


def role_allows(role_arn: str, action: str, resource_arn: str, **conditions: str) -> bool:
    """Whether a role's policies allow an action that AWS performs with that role.

    `conditions` are values for the service's condition keys, such as `s3_prefix="uploads/"`.
    """
    role, account = role_arn.rsplit("/", 1)[-1], get_account_id()
    session = f"arn:aws:sts::{account}:assumed-role/{role}/session"
    context = EvalContext(session, "AssumedRole", account, action, resource_arn, get_region())
    context.service_context.update({key.replace("_", ":", 1): value for key, value in conditions.items()})
    return evaluate(context, _gather_role_policies(role, account)).decision == "Allow"


def function_admits(function: dict, service: str, source_arn: str) -> bool:
    """Whether a function's resource policy lets a service invoke it on behalf of the source."""
    context = EvalContext(
        principal_arn="*",
        principal_type="Service",
        principal_account="",
        action="lambda:InvokeFunction",
        resource_arn=function["config"]["FunctionArn"],
        region=get_region(),
        service_context={"aws:sourcearn": source_arn, "aws:sourceaccount": get_account_id()},
    )
    return evaluate_resource_policy(function["policy"], context, service=service).decision == "Allow"
