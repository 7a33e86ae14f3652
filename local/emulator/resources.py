"""Properties of CloudFormation resources that MiniStack's handlers drop or spell differently."""

import os
from collections.abc import Callable

from ministack.services import apigateway, dynamodb, lambda_svc
from ministack.services.cloudformation.provisioners import _RESOURCE_HANDLERS

from local.emulator.upstream import patch

CREATE = "create(logical_id, props, stack_name)"
UPDATE = "update(physical_id, old_props, new_props, stack_name, logical_id)"


def patch_resource(resource_type: str) -> Callable:
    """Decorate a function of (handle, props): `handle(props)` creates or updates; its result is to be returned."""

    def register(replacement: Callable) -> Callable:
        def create(original: Callable, logical_id: str, props: dict, stack_name: str) -> tuple:
            return replacement(lambda changed: original(logical_id, changed, stack_name), props)

        def update(
            original: Callable, physical_id: str, old_props: dict, new_props: dict, *rest: str, **named: str
        ) -> tuple:
            return replacement(lambda changed: original(physical_id, old_props, changed, *rest, **named), new_props)

        patch(_RESOURCE_HANDLERS[resource_type], CREATE)(create)
        patch(_RESOURCE_HANDLERS[resource_type], UPDATE)(update)
        return replacement

    return register


@patch_resource("AWS::Lambda::Function")
def keep_concurrency_and_dlq(handle: Callable, props: dict) -> tuple:
    """ReservedConcurrentExecutions throttles, and DeadLetterConfig receives failed asynchronous events."""
    result = handle(props)
    function = lambda_svc._functions[result[0]]
    function["concurrency"] = props.get("ReservedConcurrentExecutions")
    function["config"]["DeadLetterConfig"] = props.get("DeadLetterConfig", {})
    return result


@patch_resource("AWS::DynamoDB::Table")
def keep_time_to_live(handle: Callable, props: dict) -> tuple:
    """TimeToLiveSpecification makes items expire."""
    result = handle(props)
    specification = props.get("TimeToLiveSpecification")
    if specification:
        enabled = str(specification.get("Enabled")).lower() == "true"
        dynamodb._update_ttl({"TableName": result[0], "TimeToLiveSpecification": specification | {"Enabled": enabled}})
    return result


@patch_resource("AWS::ApiGatewayV2::Api")
def spell_cors_as_the_api_does(handle: Callable, props: dict) -> tuple:
    """CorsConfiguration, which templates write in PascalCase, takes effect."""
    if "CorsConfiguration" in props:
        cors = {name[0].lower() + name[1:]: value for name, value in props["CorsConfiguration"].items()}
        props = props | {"CorsConfiguration": cors}
    return handle(props)


@patch_resource("AWS::ApiGatewayV2::Api")
def give_an_address_that_resolves(handle: Callable, props: dict) -> tuple:
    """ApiEndpoint can be asked by any client; MiniStack's own, under `*.localhost`, is unknown to many resolvers."""
    physical_id, attributes, *rest = handle(props)
    endpoint = f"http://127.0.0.1:{os.environ['GATEWAY_PORT']}/_aws/execute-api/{physical_id}"
    apigateway._apis[physical_id]["apiEndpoint"] = endpoint
    return physical_id, attributes | {"ApiEndpoint": endpoint}, *rest
