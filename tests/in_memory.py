"""Watching and disturbing the clients of `imagepipeline.aws`, while moto stands for AWS."""

from collections.abc import Callable
from dataclasses import dataclass, field

from botocore.awsrequest import AWSResponse

from imagepipeline import aws


def answer(service: str, operation: str, response: dict) -> None:
    """Have every call of an operation that is not refused answered with a response, as long as the client lives."""
    aws.client(service).meta.events.register_last(
        f"before-call.{service}.{operation}", lambda **_: (AWSResponse("", 200, {}, None), response)
    )


def refuse(service: str, operation: str, code: str, http_status: int = 400) -> Callable[[], None]:
    """Have every call of an operation answered with an error, until the function that is returned is called."""
    client = aws.client(service)
    events, event = client.meta.events, f"before-call.{client.meta.service_model.service_id.hyphenize()}.{operation}"
    response = {
        "Error": {"Code": code, "Message": f"{code}, says AWS"},
        "ResponseMetadata": {"HTTPStatusCode": http_status},
    }

    def give(**_: object) -> tuple[AWSResponse, dict]:
        return AWSResponse("", http_status, {}, None), response

    events.register(event, give)
    return lambda: events.unregister(event, give)


@dataclass
class Calls:
    """The requests sent to one service from now on, in order."""

    service: str
    made: list[tuple[str, dict]] = field(default_factory=list)  # operation, parameters
    bytes_received: int = 0  # in bodies of GetObject

    def __post_init__(self) -> None:
        events = aws.client(self.service).meta.events
        events.register("provide-client-params", self._sent)
        events.register(f"after-call.{self.service}.GetObject", self._answered)

    def of(self, operation: str) -> list[dict]:
        """The parameters of each call of one operation."""
        return [parameters for name, parameters in self.made if name == operation]

    @property
    def operations(self) -> list[str]:
        return [operation for operation, _ in self.made]

    def _sent(self, params: dict, model, **_) -> None:
        self.made.append((model.name, dict(params)))

    def _answered(self, parsed: dict, **_) -> None:
        self.bytes_received += parsed.get("ContentLength", 0)
