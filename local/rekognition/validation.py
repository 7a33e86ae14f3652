"""Validation of requests against botocore's model of Rekognition."""

import base64
import binascii
import json
import re

import botocore.session
from botocore.model import Shape

from local.rekognition.errors import ServiceError

_MODEL = botocore.session.get_session().get_service_model("rekognition")


def parse(operation: str, body: bytes) -> dict:
    """The request's parameters, blobs decoded. Raises ServiceError: ValidationException, SerializationException."""
    try:
        document = json.loads(body)
    except ValueError as error:
        raise ServiceError("SerializationException") from error
    violations: list[str] = []
    parameters = _parse(document, _MODEL.operation_model(operation).input_shape, "", violations)
    if violations:
        plural = "s" if len(violations) > 1 else ""
        raise ServiceError(
            "ValidationException",
            f"{len(violations)} validation error{plural} detected: {'; '.join(violations)}",
        )
    return parameters


def _parse(value: object, shape: Shape, path: str, violations: list[str]) -> object:
    expected = {"structure": dict, "list": list, "string": str, "blob": str, "integer": int, "float": (int, float)}
    if not isinstance(value, expected[shape.type_name]) or isinstance(value, bool):
        raise ServiceError("SerializationException", f"{path or 'the body'} is not of type {shape.type_name}")
    if shape.type_name == "structure":
        for name in shape.required_members:
            if name not in value:
                violations.append(_violation("null", f"{path}{_camel(name)}", "Member must not be null"))
        return {
            name: _parse(value[name], member, f"{path}{_camel(name)}.", violations)
            for name, member in shape.members.items()
            if value.get(name) is not None
        }
    where = path.rstrip(".")
    if shape.type_name == "list":
        value = [_parse(item, shape.member, f"{where}.{n}.member.", violations) for n, item in enumerate(value, 1)]
    elif shape.type_name == "blob":
        try:
            value = base64.b64decode(value, validate=True)
        except binascii.Error as error:
            raise ServiceError("SerializationException", f"{where} is not base64") from error
    _check(value, shape, where, violations)
    return value


def _check(value: object, shape: Shape, where: str, violations: list[str]) -> None:
    limits = shape.metadata
    number = isinstance(value, int | float)
    size = value if number else len(value)
    member = "Member must have value" if number else "Member must have length"
    shown = f"{len(value)} bytes" if isinstance(value, bytes) else value
    if "min" in limits and size < limits["min"]:
        violations.append(_violation(shown, where, f"{member} greater than or equal to {limits['min']}"))
    if "max" in limits and size > limits["max"]:
        violations.append(_violation(shown, where, f"{member} less than or equal to {limits['max']}"))
    if "enum" in limits and value not in limits["enum"]:
        violations.append(
            _violation(shown, where, f"Member must satisfy enum value set: [{', '.join(limits['enum'])}]")
        )
    if "pattern" in limits and not re.fullmatch(limits["pattern"], value):
        violations.append(
            _violation(shown, where, f"Member must satisfy regular expression pattern: {limits['pattern']}")
        )


def _violation(shown: object, where: str, constraint: str) -> str:
    return f"Value '{shown}' at '{where}' failed to satisfy constraint: {constraint}"


def _camel(name: str) -> str:
    return name[0].lower() + name[1:]
