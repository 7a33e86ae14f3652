"""HTTP APIs: what MiniStack passes on to a function, and what it would let pass."""

from collections.abc import Callable

from ministack.core.responses import get_account_id, get_region
from ministack.services import apigateway, lambda_svc

from local.emulator.permissions import function_admits
from local.emulator.upstream import patch

INTERNAL_SERVER_ERROR = 500, {"Content-Type": "application/json"}, b'{"message":"Internal Server Error"}'


@patch(apigateway, "_extract_path_params(route_path, request_path)")
def decode_percent_signs(original: Callable, route_path: str, request_path: str) -> dict[str, str] | None:
    """Path parameters are decoded in full, though rawPath keeps `%25`."""
    parameters = original(route_path, request_path)
    return parameters and {name: value.replace("%25", "%") for name, value in parameters.items()}


@patch(
    apigateway,
    "_invoke_lambda_proxy(integration, api_id, stage, path, method, headers, body, query_params, route_key, "
    "path_params, authorizer_claims, authorizer_scopes, authorizer_lambda_context, authorizer_iam, owner_account_id, "
    "owner_region, raw_query_string)",
)
async def require_lambda_permission(
    original: Callable,
    integration: dict,
    api_id: str,
    stage: str,
    path: str,
    method: str,
    *rest: object,
    **named: object,
) -> tuple:
    """A function that hasn't permitted the API to invoke it can't be reached through it."""
    reference = apigateway._extract_lambda_ref_from_integration_uri(integration["integrationUri"])
    function, _config, _name = lambda_svc._get_func_record_for_ref(reference)
    source = f"arn:aws:execute-api:{get_region()}:{get_account_id()}:{api_id}/{stage}/{method}{path}"
    if function and not function_admits(function, "apigateway.amazonaws.com", source):
        return INTERNAL_SERVER_ERROR
    return await original(integration, api_id, stage, path, method, *rest, **named)
