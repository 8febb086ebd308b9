"""What a request's query, JSON body or form may look like before its fields are checked: nothing twice or unknown.

JSON is read strictly: UTF-8, no duplicate keys, no NaN, no number beyond 64 bits, no lone surrogate, bounded depth.
"""

import json
import math
from collections import Counter
from collections.abc import AsyncIterator, Callable, Collection, Coroutine
from contextlib import asynccontextmanager
from itertools import islice
from typing import Any

from fastapi import Request, Response
from fastapi.routing import APIRoute
from starlette.datastructures import FormData
from starlette.exceptions import HTTPException

from vidgen.api.limits import (
    MAX_EXACT_FLOAT,
    MAX_FIELD_CHARS,
    MAX_FIELDS_NAMED,
    MAX_JSON_DEPTH,
    MAX_JSON_INTEGER,
    MAX_NAME_CHARS,
)
from vidgen.errors import FieldError, InvalidInput
from vidgen.media.files import full_disk_is_ours


class StrictRoute(APIRoute):
    """A route that refuses unknown query parameters and reads its JSON body strictly; where it takes none, it refuses
    whatever stands in one.
    """

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()
        known = {field.alias for field in self.dependant.query_params}
        takes_json, takes_nothing = self.body_field is not None, _takes_no_body(self)

        async def strict(request: Request) -> Response:
            check_query(request, known)
            if takes_json:
                request = JsonRequest(request.scope, request.receive)
                await request.load()
            elif takes_nothing:
                check_nothing(await request.body())
            return await handle(request)

        return strict


class JsonRequest(Request):
    """A request whose JSON body has been read by our rules."""

    parsed: Any = None

    async def load(self) -> None:
        """Read and parse the body; an empty one is left for the field check to name.

        :raises InvalidInput: naming ``Content-Type`` or ``body``.
        :raises TooLarge: from the guard, which counts.
        """
        data = await self.body()
        if data:
            if content_type(self) != "application/json":
                raise InvalidInput.of("Content-Type", "must be application/json")
            self.parsed = parse_json(data)

    async def json(self) -> Any:
        return self.parsed


def _takes_no_body(route: APIRoute) -> bool:
    """Whether a body would be without effect. A route that reads one by hand describes it by hand; one that answers 501
    refuses all that it could hold.
    """
    by_hand = "requestBody" in (route.openapi_extra or {})
    return not (route.body_field or by_hand or route.status_code == 501 or "GET" in route.methods)


def check_nothing(data: bytes) -> None:
    """Refuse a body that says something, where none is taken.

    :raises InvalidInput: naming its fields, or ``body``.
    """
    try:
        said = parse_json(data) if data.strip() else None
    except InvalidInput:
        said = data
    if said and isinstance(said, dict):
        raise InvalidInput(*(
            FieldError(name[:MAX_FIELD_CHARS], "is not a field of this request")
            for name in islice(said, MAX_FIELDS_NAMED)
        ))
    if said:
        raise _wrong("is not taken here; leave it empty")


def check_query(request: Request, known: Collection[str]) -> None:
    """Refuse query parameters that are unknown or given twice."""
    times = Counter(name for name, _ in request.query_params.multi_items())
    wrong = [
        FieldError(name[:MAX_FIELD_CHARS], "is given twice" if name in known else "is not a parameter of this route")
        for name, count in times.items() if name not in known or count > 1
    ]
    if wrong:
        raise InvalidInput(*wrong[:5])


def content_type(request: Request) -> str:
    """Without its parameters, in lower case."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


@asynccontextmanager
async def open_form(
    request: Request, *, files: int, fields: int, part_bytes: int, otherwise: str
) -> AsyncIterator[FormData]:
    """The request's form; its temporary files are closed at the end.

    :param files: at most so many, and at most so many *fields* beside, of *part_bytes* each.
    :param otherwise: what is said of a body that is not such a form.
    :raises InvalidInput: naming ``body``.
    :raises DiskLow: there is no room for a file.
    """
    try:
        with full_disk_is_ours():
            form = await request.form(max_files=files, max_fields=fields, max_part_size=part_bytes)
    except HTTPException as e:
        if e.status_code != 400:
            raise
        raise _wrong(otherwise) from None
    try:
        yield form
    finally:
        await form.close()


def shown_name(name: str | None) -> str:
    """The client's own name for a file, to show: its last part, printable, bounded."""
    last = (name or "").replace("\\", "/").rpartition("/")[2]
    return "".join(c for c in last if c.isprintable())[:MAX_NAME_CHARS] or "image"


def parse_json(data: bytes) -> Any:
    """*data* as JSON.

    :raises InvalidInput: naming ``body`` and what is wrong.
    """
    try:
        value = json.loads(
            data.decode("utf-8"), object_pairs_hook=_object, parse_constant=_constant,
            parse_int=_integer, parse_float=_number,
        )
        _check_depth(value)
        json.dumps(value, ensure_ascii=False).encode("utf-8")
    except json.JSONDecodeError as e:
        raise _wrong(f"is not JSON: see character {e.pos}") from None
    except UnicodeDecodeError:
        raise _wrong("is not UTF-8") from None
    except UnicodeEncodeError:
        raise _wrong("has half of a surrogate pair in a string") from None
    except RecursionError:
        raise _wrong("is nested too deeply") from None
    return value


def _wrong(message: str) -> InvalidInput:
    return InvalidInput.of("body", message)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) < len(pairs):
        twice = Counter(name for name, _ in pairs).most_common(1)[0][0]
        raise InvalidInput.of(twice[:MAX_FIELD_CHARS], "is given twice")
    return value


def _constant(name: str) -> Any:
    raise _wrong(f"has {name}, which is not JSON")


def _integer(digits: str) -> int:
    if len(digits) > 20 or abs(int(digits)) > MAX_JSON_INTEGER:
        raise _wrong("has an integer beyond 64 bits")
    return int(digits)


def _number(digits: str) -> int | float:
    """JSON has one kind of number: 24.0 is the integer 24, as far as floating point tells integers apart."""
    value = float(digits)
    if not math.isfinite(value):
        raise _wrong("has a number that is too large")
    return int(value) if value.is_integer() and abs(value) <= MAX_EXACT_FLOAT else value


def _check_depth(value: Any) -> None:
    level = [value]
    for _ in range(MAX_JSON_DEPTH):
        level = [
            child for item in level if isinstance(item, dict | list)
            for child in (item.values() if isinstance(item, dict) else item)
        ]
        if not level:
            return
    raise _wrong(f"is nested deeper than {MAX_JSON_DEPTH} levels")
