"""HTTP APIs: paths, permissions and addresses."""

import os
import re
from collections.abc import Callable
from urllib.parse import unquote

from ministack.core.responses import get_account_id, get_region
from ministack.services import apigateway, lambda_svc
from ministack.services.cloudformation.provisioners import _RESOURCE_HANDLERS

from local.emulator.permissions import function_admits
from local.emulator.upstream import patch

BAD_REQUEST = 400, {"Content-Type": "application/json"}, b'{"message":"Bad Request"}'
FORBIDDEN = 403, {"Content-Type": "application/json"}, b'{"message":"Forbidden"}'
INTERNAL_SERVER_ERROR = 500, {"Content-Type": "application/json"}, b'{"message":"Internal Server Error"}'
_MALFORMED_ESCAPE = re.compile("%(?![0-9A-Fa-f]{2})")


# An HTTP API decodes the path, cuts it at the first "?", and decodes it again before it becomes rawPath. The source is
# recorded requests: ingress-paths.json in github.com/hotsock/voker. The query string is never decoded.


@patch(apigateway, "decode_http_api_path(raw_path)")
def decode_and_cut_the_path(_original: Callable, raw_path: str) -> str:
    """The first decoding turns `%3F` into a question mark, which ends the path."""
    return unquote(raw_path).partition("?")[0]


@patch(apigateway, "handle_execute(api_id, stage, path, method, headers, body, query_params, raw_query_string)")
async def decode_the_path_again(
    original: Callable, api_id: str, stage: str, path: str, *rest: object, **named: object
) -> tuple:
    """The second decoding answers a malformed escape, such as `%25` before a letter, with 400."""
    if _MALFORMED_ESCAPE.search(path):
        return BAD_REQUEST
    return await original(api_id, stage, unquote(path), *rest, **named)


@patch(apigateway, "handle_execute(api_id, stage, path, method, headers, body, query_params, raw_query_string)")
async def refuse_an_authorization_that_is_no_signature(
    original: Callable, api_id: str, stage: str, path: str, method: str, headers: dict, *rest: object, **named: object
) -> tuple:
    """A route with IAM authorization does not take a token in place of a signature."""
    signed = headers.get("authorization", "").startswith("AWS4-HMAC-SHA256 ")
    if not signed and apigateway.route_authorization_type(api_id, stage, method, unquote(path)) == "AWS_IAM":
        return FORBIDDEN
    return await original(api_id, stage, path, method, headers, *rest, **named)


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
    """An API can invoke a function only if the function's resource policy permits it."""
    reference = apigateway._extract_lambda_ref_from_integration_uri(integration["integrationUri"])
    function, _config, _name = lambda_svc._get_func_record_for_ref(reference)
    source = f"arn:aws:execute-api:{get_region()}:{get_account_id()}:{api_id}/{stage}/{method}{path}"
    if function and not function_admits(function, "apigateway.amazonaws.com", source):
        return INTERNAL_SERVER_ERROR
    return await original(integration, api_id, stage, path, method, *rest, **named)


@patch(_RESOURCE_HANDLERS["AWS::ApiGatewayV2::Api"], "create(logical_id, props, stack_name)")
def return_a_resolvable_endpoint(original: Callable, logical_id: str, props: dict, stack_name: str) -> tuple:
    """Every client can resolve ApiEndpoint. Many resolvers do not know MiniStack's own, under `*.localhost`."""
    physical_id, attributes = original(logical_id, props, stack_name)
    endpoint = f"http://127.0.0.1:{os.environ['GATEWAY_PORT']}/_aws/execute-api/{physical_id}"
    apigateway._apis[physical_id]["apiEndpoint"] = endpoint
    return physical_id, attributes | {"ApiEndpoint": endpoint}


@patch(_RESOURCE_HANDLERS["AWS::ApiGatewayV2::Api"], "create(logical_id, props, stack_name)")
def create_with_cors(original: Callable, logical_id: str, props: dict, stack_name: str) -> tuple:
    """CorsConfiguration takes effect."""
    return original(logical_id, _spell_cors_as_the_api_does(props), stack_name)


@patch(
    _RESOURCE_HANDLERS["AWS::ApiGatewayV2::Api"],
    "update(physical_id, old_props, new_props, stack_name, logical_id)",
)
def update_with_cors(
    original: Callable, physical_id: str, old_props: dict, new_props: dict, *rest: object, **named: object
) -> tuple:
    """A changed CorsConfiguration takes effect."""
    return original(physical_id, old_props, _spell_cors_as_the_api_does(new_props), *rest, **named)


def _spell_cors_as_the_api_does(props: dict) -> dict:
    """Templates write `AllowOrigins`, and API Gateway's own interface `allowOrigins`, which MiniStack reads."""
    if not props.get("CorsConfiguration"):
        return props
    cors = {name[0].lower() + name[1:]: value for name, value in props["CorsConfiguration"].items()}
    return props | {"CorsConfiguration": cors}
