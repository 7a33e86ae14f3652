"""Has botocore and moto do once what they do for every request, though the result never changes."""

from functools import cache

import botocore.hooks
import botocore.useragent
import moto.core.models
import moto.core.responses
from botocore.model import Shape
from moto.core.base_backend import BaseBackend
from moto.core.serialize import ResponseSerializer


def accelerate() -> None:
    """Takes effect for the mocks that are started from now on."""
    alias = cache(botocore.hooks.EventAliaser(None)._alias_event_name)
    botocore.hooks.EventAliaser._alias_event_name = lambda _self, event_name: alias(event_name)

    botocore.useragent.sanitize_user_agent_string_component = cache(
        botocore.useragent.sanitize_user_agent_string_component
    )

    # Every start of the mock registers 1,300 addresses of AWS for `requests`. The tests call botocore alone.
    moto.core.models.RESPONSES_METHODS.clear()
    for name in ("camelcase_to_underscores", "method_names_from_class"):
        setattr(moto.core.responses, name, cache(getattr(moto.core.responses, name)))
    BaseBackend.urls = property(_urls)
    ResponseSerializer._serialize_structure_member = _serialize_structure_member


compute_urls = BaseBackend.urls.fget
urls_of: dict[type, dict] = {}


def _urls(backend: BaseBackend) -> dict:
    """The addresses that a service answers at, which moto derives anew for every request."""
    if type(backend) not in urls_of:
        urls_of[type(backend)] = compute_urls(backend)
    return urls_of[type(backend)]


serialize_structure_member = ResponseSerializer._serialize_structure_member


def _serialize_structure_member(self: ResponseSerializer, into: dict, value: object, shape: Shape, key: str) -> None:
    """Skips the nine types that a value in DynamoDB is not of: moto would look for each under several spellings."""
    if type(value) is dict and key not in value and shape.parent.name == "AttributeValue":
        return
    serialize_structure_member(self, into, value, shape, key)
