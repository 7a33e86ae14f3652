"""What a template says is what the emulator does."""

import json
import urllib.error
import urllib.request

import pytest

from tests.local.emulated import ACCOUNT, REGION, Emulated, queue_arn


def function_resource(role: str, code: str, **properties: object) -> dict:
    """A function whose code is in the template."""
    base = {"Runtime": "python3.13", "Handler": "index.handler", "Role": role, "Code": {"ZipFile": code}}
    return {"Type": "AWS::Lambda::Function", "Properties": base | properties}


def test_reserved_concurrency_is_kept(mended: Emulated):
    code = "def handler(event, context): return 'ran'"
    stack = mended.stack({"F": function_resource(mended.role(), code, ReservedConcurrentExecutions=0)})

    invoke = mended.client("lambda")

    with pytest.raises(invoke.exceptions.TooManyRequestsException):
        invoke.invoke(FunctionName=stack["F"])


def test_a_functions_dlq_receives_what_it_failed_on(mended: Emulated):
    dlq = mended.queue()
    send = {"Effect": "Allow", "Action": "sqs:SendMessage", "Resource": queue_arn(dlq)}
    code = "def handler(event, context): raise ValueError('always')"
    stack = mended.stack(
        {"F": function_resource(mended.role(send), code, DeadLetterConfig={"TargetArn": queue_arn(dlq)})}
    )
    client = mended.client("lambda")
    client.put_function_event_invoke_config(FunctionName=stack["F"], MaximumRetryAttempts=0)

    client.invoke(FunctionName=stack["F"], InvocationType="Event", Payload=json.dumps({"key": "uploads/cat.jpg"}))

    assert "uploads/cat.jpg" in mended.received(dlq)["Body"]


def test_items_of_a_table_with_a_time_to_live_expire(mended: Emulated):
    table = {
        "Type": "AWS::DynamoDB::Table",
        "Properties": {
            "BillingMode": "PAY_PER_REQUEST",
            "KeySchema": [{"AttributeName": "Id", "KeyType": "HASH"}],
            "AttributeDefinitions": [{"AttributeName": "Id", "AttributeType": "S"}],
            "TimeToLiveSpecification": {"AttributeName": "ExpiresAt", "Enabled": True},
        },
    }

    stack = mended.stack({"Table": table})

    described = mended.client("dynamodb").describe_time_to_live(TableName=stack["Table"])["TimeToLiveDescription"]
    assert described == {"TimeToLiveStatus": "ENABLED", "AttributeName": "ExpiresAt"}


def http_api(role: str, **api: object) -> dict:
    """An HTTP API from plain resources: one greedy route to one function."""
    code = "def handler(event, context): return {'statusCode': 200, 'body': event['pathParameters']['key']}"
    function_arn = {"Fn::GetAtt": ["F", "Arn"]}
    return {
        "F": function_resource(role, code),
        "Api": {"Type": "AWS::ApiGatewayV2::Api", "Properties": {"Name": "api", "ProtocolType": "HTTP"} | api},
        "Integration": {
            "Type": "AWS::ApiGatewayV2::Integration",
            "Properties": {
                "ApiId": {"Ref": "Api"},
                "IntegrationType": "AWS_PROXY",
                "IntegrationUri": function_arn,
                "PayloadFormatVersion": "2.0",
            },
        },
        "Route": {
            "Type": "AWS::ApiGatewayV2::Route",
            "Properties": {
                "ApiId": {"Ref": "Api"},
                "RouteKey": "GET /images/{key+}",
                "Target": {"Fn::Join": ["/", ["integrations", {"Ref": "Integration"}]]},
            },
        },
        "Stage": {
            "Type": "AWS::ApiGatewayV2::Stage",
            "Properties": {"ApiId": {"Ref": "Api"}, "StageName": "$default", "AutoDeploy": True},
        },
        "Permission": {
            "Type": "AWS::Lambda::Permission",
            "Properties": {
                "Action": "lambda:InvokeFunction",
                "FunctionName": function_arn,
                "Principal": "apigateway.amazonaws.com",
                "SourceArn": {"Fn::Sub": f"arn:aws:execute-api:{REGION}:{ACCOUNT}:${{Api}}/*"},
            },
        },
    }


def fetch(url: str) -> tuple[int, str]:
    """Status and body of a GET."""
    try:
        with urllib.request.urlopen(url, timeout=30) as response:  # noqa: S310
            return response.status, response.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def test_an_http_api_of_plain_resources_reaches_its_function(emulator: Emulated):
    stack = emulator.stack(http_api(emulator.role()))

    answer = fetch(f"{emulator.url}/_aws/execute-api/{stack['Api']}/$default/images/uploads/a%20b.jpg")

    assert answer == (200, "uploads/a b.jpg")


def test_an_http_api_says_an_address_that_every_client_can_ask(mended: Emulated):
    stack = mended.stack(http_api(mended.role()))

    endpoint = mended.client("apigatewayv2").get_api(ApiId=stack["Api"])["ApiEndpoint"]

    assert endpoint.startswith("http://127.0.0.1:")
    assert fetch(f"{endpoint}/images/cat.jpg") == (200, "cat.jpg")


def test_a_path_parameter_is_decoded_in_full(mended: Emulated):
    stack = mended.stack(http_api(mended.role()))

    answer = fetch(f"{mended.url}/_aws/execute-api/{stack['Api']}/$default/images/100%2525%2B.jpg")

    assert answer == (200, "100%25+.jpg")


def test_an_http_api_without_permission_to_invoke_its_function_fails(mended: Emulated):
    resources = http_api(mended.role())
    resources["Permission"]["Properties"]["SourceArn"] = f"arn:aws:execute-api:{REGION}:{ACCOUNT}:another/*"
    stack = mended.stack(resources)

    answer = fetch(f"{mended.url}/_aws/execute-api/{stack['Api']}/$default/images/uploads/cat.jpg")

    assert answer == (500, '{"message":"Internal Server Error"}')


def test_an_http_api_answers_a_browsers_preflight_as_its_template_says(mended: Emulated):
    cors = {"AllowOrigins": ["https://example.com"], "AllowMethods": ["GET"], "MaxAge": 300}
    stack = mended.stack(http_api(mended.role(), CorsConfiguration=cors))
    preflight = urllib.request.Request(  # noqa: S310
        f"{mended.url}/_aws/execute-api/{stack['Api']}/$default/images/uploads/cat.jpg",
        method="OPTIONS",
        headers={"Origin": "https://example.com", "Access-Control-Request-Method": "GET"},
    )

    with urllib.request.urlopen(preflight, timeout=30) as response:  # noqa: S310
        headers = response.headers

    assert headers["Access-Control-Allow-Origin"] == "https://example.com"
    assert headers["Access-Control-Allow-Methods"] == "GET"
    assert headers["Access-Control-Max-Age"] == "300"
