"""A small checker for JSON Schema: the dicts describe requests, the checker holds requests to them.

Understood: type (one or several), required, properties, additionalProperties (as a schema), minProperties, items,
minItems, maxItems, minLength, maxLength, enum (of texts), minimum, maximum, default, and the format `model-name`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..errors import InvalidRequest
from ..names import ModelName

Schema = Mapping[str, Any]

_TYPES: dict[str, tuple[type, ...]] = {
    "object": (dict,),
    "array": (list,),
    "string": (str,),
    "boolean": (bool,),
    "integer": (int,),
    "null": (type(None),),
}
_WORDS = {"object": "an object", "array": "a list", "boolean": "true or false", "integer": "a whole number"}


def check_object(value: Any, schema: Schema, *, whole: str = "body") -> dict[str, Any]:
    """A request's fields as its schema wants them: checked, defaults filled in, model names parsed.

    Fields that the schema does not know are left out, unless it has `additionalProperties`.

    Raises:
        InvalidRequest: the first thing that is wrong; `details` names the field and the reason.
    """
    if not isinstance(value, dict):
        raise InvalidRequest(f"The {whole} must be an object", field=whole, reason="type")
    if len(value) < schema.get("minProperties", 0):
        raise InvalidRequest(f"The {whole} is empty", field=whole, reason="empty")
    fields: dict[str, Any] = {}
    properties: Mapping[str, Schema] = schema.get("properties", {})
    for name, rule in properties.items():
        if name in value:
            fields[name] = _check(value[name], rule, name)
        elif name in schema.get("required", ()):
            raise InvalidRequest(f"{name} is required", field=name, reason="missing")
        else:
            fields[name] = rule.get("default")
    others = schema.get("additionalProperties")
    if isinstance(others, Mapping):
        fields.update({name: _check(value[name], others, name) for name in value if name not in properties})
    return fields


def _check(value: Any, rule: Schema, field: str) -> Any:
    if rule.get("format") == "model-name":
        return ModelName.parse(value, field=field)
    _check_type(value, rule, field)
    if isinstance(value, str):
        _check_text(value, rule, field)
    elif isinstance(value, list):
        _check_length(len(value), rule, field, "minItems", "maxItems", "entries")
        return [_check(entry, rule.get("items", {}), f"{field}[{index}]") for index, entry in enumerate(value)]
    elif isinstance(value, int) and not isinstance(value, bool):
        _check_range(value, rule, field)
    return value


def _check_type(value: Any, rule: Schema, field: str) -> None:
    wanted = rule.get("type", list(_TYPES))
    kinds = [wanted] if isinstance(wanted, str) else wanted
    for kind in kinds:
        # True is an int to Python, and no number to anybody else.
        if isinstance(value, _TYPES[kind]) and (kind == "boolean" or not isinstance(value, bool)):
            return
    words = " or ".join(_WORDS.get(kind, f"a {kind}") for kind in kinds if kind != "null")
    raise InvalidRequest(f"{field} must be {words}", field=field, reason="type")


def _check_text(value: str, rule: Schema, field: str) -> None:
    _check_length(len(value), rule, field, "minLength", "maxLength", "characters")
    if "enum" in rule and value not in rule["enum"]:
        raise InvalidRequest(f"{field} must be {' or '.join(rule['enum'])}", field=field, reason="choice")
    if any("\ud800" <= character <= "\udfff" for character in value):
        raise InvalidRequest(f"{field} has half a character that no text can carry", field=field, reason="encoding")


def _check_length(length: int, rule: Schema, field: str, low: str, high: str, unit: str) -> None:
    if length < rule.get(low, 0):
        raise InvalidRequest(f"{field} must have at least {rule[low]} {unit}", field=field, reason="length")
    if high in rule and length > rule[high]:
        raise InvalidRequest(f"{field} must have at most {rule[high]} {unit}", field=field, reason="length")


def _check_range(value: int, rule: Schema, field: str) -> None:
    low, high = rule.get("minimum"), rule.get("maximum")
    if (low is not None and value < low) or (high is not None and value > high):
        raise InvalidRequest(f"{field} must be {low} to {high}", field=field, reason="range")
