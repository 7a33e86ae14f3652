"""HTTP APIs of the emulator."""

from tests.integration.clients import send
from tests.local.emulated import ACCOUNT, REGION, Emulated

# What the path after /images/ becomes in rawPath, as recorded on AWS: ingress-paths.json of github.com/hotsock/voker.
RECORDED_PATHS = {
    "percent%25done": (400, None),
    "literal%2525value": (200, "literal%value"),
    "literal%252Fvalue": (200, "literal/value"),
    "literal%253Fvalue": (200, "literal?value"),
    "question%3Fvalue": (200, "question"),
    "hash%23value": (200, "hash#value"),
}


def http_api(role: str) -> dict:
    """An HTTP API with one greedy route to a function that returns its event."""
    function_arn = {"Fn::GetAtt": ["F", "Arn"]}
    return {
        "F": {
            "Type": "AWS::Lambda::Function",
            "Properties": {
                "Runtime": "python3.13",
                "Handler": "index.handler",
                "Role": role,
                "Code": {"ZipFile": "def handler(event, context): return event"},
            },
        },
        "Api": {"Type": "AWS::ApiGatewayV2::Api", "Properties": {"Name": "api", "ProtocolType": "HTTP"}},
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


def get(url: str, **headers: str) -> tuple[int, dict]:
    """Status and body of a GET."""
    response = send("GET", url, headers=headers)
    return response.status, response.json


def allowed_origin(url: str, method: str, origin: str) -> str | None:
    """The origin whose pages a browser lets read the response."""
    return send(method, url, headers={"Origin": origin}).headers["Access-Control-Allow-Origin"]


def test_a_path_is_decoded_twice_and_cut_at_the_question_mark(patched: Emulated):
    stack = patched.stack(http_api(patched.role()))
    endpoint = f"{patched.url}/_aws/execute-api/{stack['Api']}/$default"

    answers = {path: get(f"{endpoint}/images/{path}?key=100%2525%3F") for path in RECORDED_PATHS}

    received = {path: (status, event.get("rawPath")) for path, (status, event) in answers.items()}
    assert received == {
        path: (status, decoded and f"/images/{decoded}") for path, (status, decoded) in RECORDED_PATHS.items()
    }
    for status, event in answers.values():
        if status == 200:
            assert event["pathParameters"]["key"] == event["rawPath"].removeprefix("/images/")
            assert event["rawQueryString"] == "key=100%2525%3F"


def test_an_api_needs_permission_to_invoke_its_function(patched: Emulated):
    resources = http_api(patched.role())
    resources["Permission"]["Properties"]["SourceArn"] = f"arn:aws:execute-api:{REGION}:{ACCOUNT}:another/*"
    stack = patched.stack(resources)

    answer = get(f"{patched.url}/_aws/execute-api/{stack['Api']}/$default/images/uploads/cat.jpg")

    assert answer == (500, {"message": "Internal Server Error"})


def test_a_token_does_not_replace_a_signature(patched: Emulated):
    resources = http_api(patched.role())
    resources["Route"]["Properties"]["AuthorizationType"] = "AWS_IAM"
    stack = patched.stack(resources)
    url = f"{patched.url}/_aws/execute-api/{stack['Api']}/$default/images/cat.jpg"

    answer = get(url, Authorization="Bearer a.b.c")

    assert answer == (403, {"message": "Forbidden"})


def test_pages_of_allowed_origins_alone_can_call_an_api(patched: Emulated):
    resources = http_api(patched.role())
    resources["Api"]["Properties"]["CorsConfiguration"] = {
        "AllowOrigins": ["https://app.test"],
        "AllowMethods": ["GET"],
    }
    stack = patched.stack(resources)
    url = f"{patched.url}/_aws/execute-api/{stack['Api']}/$default/images/cat.jpg"

    assert allowed_origin(url, "OPTIONS", "https://app.test") == "https://app.test"
    assert allowed_origin(url, "GET", "https://app.test") == "https://app.test"
    assert allowed_origin(url, "GET", "https://other.test") is None


def test_an_apis_endpoint_resolves_for_every_client(patched: Emulated):
    stack = patched.stack(http_api(patched.role()))

    endpoint = patched.client("apigatewayv2").get_api(ApiId=stack["Api"])["ApiEndpoint"]

    assert endpoint.startswith("http://127.0.0.1:")
    assert get(f"{endpoint}/images/cat.jpg")[0] == 200
