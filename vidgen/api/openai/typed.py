"""Text of a form, read as the type that a JSON schema asks for.

What cannot be read stays text, so that the field's own check refuses it in its own words.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from vidgen.api.body import parse_json
from vidgen.errors import InvalidInput

Schema = Mapping[str, Any]

_NUMBER = re.compile(r"-?\d+(\.\d+)?([eE][+-]?\d+)?")
_BOOLEANS = {"true": True, "false": False}


def typed(value: Any, schema: Schema, within: Schema, name: str = "") -> Any:
    """*value* as *schema* wants it.

    :param within: the whole schema, whose definitions the references name.
    :param name: of the field, for errors.
    :raises InvalidInput: naming the field that is given twice and is no list, or is broken JSON.
    """
    kinds = {kind.get("type"): kind for kind in _alternatives(schema, within)}
    if isinstance(value, str):
        return _read(value, kinds, name)
    if "array" in kinds and (items := _items(value)) is not None:
        return [typed(each, _of_item(kinds["array"], n), within, f"{name}.{n}") for n, each in enumerate(items)]
    if isinstance(value, list):
        raise InvalidInput.of(name, "is given twice")
    return {part: typed(each, _of_part(kinds.get("object", {}), part), within, f"{name}.{part}".lstrip("."))
            for part, each in value.items()}


def _read(text: str, kinds: Mapping[str | None, Schema], name: str) -> Any:
    if "string" in kinds:
        return text
    if "boolean" in kinds and text in _BOOLEANS:
        return _BOOLEANS[text]
    if ("object" in kinds and text.startswith("{")) or ("array" in kinds and text.startswith("[")):
        return _json(text, name)
    if {"integer", "number"} & kinds.keys() and _NUMBER.fullmatch(text):
        return _json(text, name)
    return text


def _json(text: str, name: str) -> Any:
    try:
        return parse_json(text.encode("utf-8", "surrogatepass"))
    except InvalidInput as e:
        raise InvalidInput.of(name, e.fields[0].message) from None


def _alternatives(schema: Schema, within: Schema) -> Iterator[Schema]:
    """The schemas of which one must hold, without references."""
    if "$ref" in schema:
        yield from _alternatives(within["$defs"][schema["$ref"].rpartition("/")[2]], within)
    elif "anyOf" in schema:
        for each in schema["anyOf"]:
            yield from _alternatives(each, within)
    else:
        yield schema


def _items(value: Any) -> list[Any] | None:
    """A form's list: given several times under one name, or counted from 0."""
    counted = [str(n) for n in range(len(value))]
    if isinstance(value, dict) and value.keys() == set(counted):
        return [value[number] for number in counted]
    return value if isinstance(value, list) else None


def _of_item(schema: Schema, number: int) -> Schema:
    fixed = schema.get("prefixItems", ())
    return fixed[number] if number < len(fixed) else schema.get("items", {})


def _of_part(schema: Schema, part: str) -> Schema:
    further = schema.get("additionalProperties")
    return schema.get("properties", {}).get(part, further if isinstance(further, dict) else {})
