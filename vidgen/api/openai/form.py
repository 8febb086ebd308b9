"""Bodies for OpenAI's routes: a form (multipart or urlencoded) or JSON, read into a tree of fields and at most a file.

In a form, nested names stand for nested fields: ``style_preferences[mood]``, ``focus[]`` given twice,
``storyboard[shots][0][description]``. All values of a form are text; ``typed.py`` reads them.
"""

import hashlib
import json
import re
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, BinaryIO
from urllib.parse import parse_qsl

from fastapi import Request
from starlette.datastructures import FormData, UploadFile

from vidgen.api.body import content_type, open_form, parse_json, shown_name
from vidgen.api.limits import MAX_FIELD_CHARS, MAX_FORM_DEPTH, MAX_FORM_FIELDS, MAX_VIDEO_BODY_BYTES
from vidgen.errors import InvalidInput, TooLarge
from vidgen.media.images import MAX_UPLOAD_BYTES

MULTIPART, URLENCODED, JSON = "multipart/form-data", "application/x-www-form-urlencoded", "application/json"
NO_FORM = f"is not a form of at most {MAX_FORM_FIELDS} fields and one file"

_NAME = re.compile(r"([^\[\]]+)((?:\[[^\[\]]*\])*)")


@dataclass(frozen=True, slots=True)
class Picture:
    """The file of a form."""

    field: str
    filename: str                           # the client's own, to show
    file: BinaryIO
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Sent:
    """A body as it was sent."""

    fields: dict[str, Any]
    is_form: bool = False                   # then all that stands in the fields is text
    picture: Picture | None = None

    def digest(self, route: str) -> str:
        """What makes two requests to *route* the same, hashed: fields and file, whatever the form's boundary was."""
        said = hashlib.sha256(json.dumps([route, self.fields], sort_keys=True).encode())
        if self.picture is not None:
            said.update(hashlib.file_digest(self.picture.file, "sha256").digest())
            self.picture.file.seek(0)
        return said.hexdigest()


@asynccontextmanager
async def body_of(request: Request) -> AsyncIterator[Sent]:
    """What *request* says; its file is closed at the end.

    :raises InvalidInput: where it is neither a form nor JSON, or has something twice.
    :raises TooLarge: the file is.
    """
    kind = content_type(request)
    if kind == MULTIPART:
        limits = {"files": 2, "fields": MAX_FORM_FIELDS, "part_bytes": MAX_VIDEO_BODY_BYTES}
        async with open_form(request, **limits, otherwise=NO_FORM) as form:
            texts = [(name, value) for name, value in form.multi_items() if isinstance(value, str)]
            yield Sent(nested(texts), True, _picture(form))
    elif kind == URLENCODED:
        yield Sent(nested(_urlencoded(await request.body())), True)
    elif kind == JSON:
        fields = parse_json(await request.body())
        if not isinstance(fields, dict):
            raise InvalidInput.of("body", "must be an object")
        yield Sent(fields)
    else:
        raise InvalidInput.of("Content-Type", f"must be {JSON}, {MULTIPART} or {URLENCODED}")


def _urlencoded(data: bytes) -> list[tuple[str, str]]:
    try:
        text = data.decode("ascii")
        return parse_qsl(text, keep_blank_values=True, errors="strict", max_num_fields=MAX_FORM_FIELDS)
    except ValueError:
        raise InvalidInput.of("body", NO_FORM) from None


def _picture(form: FormData) -> Picture | None:
    files = [(name, value) for name, value in form.multi_items() if isinstance(value, UploadFile)]
    if not files:
        return None
    (name, file), *more = files
    if more:
        raise InvalidInput.of(more[0][0][:MAX_FIELD_CHARS], "is a second file; one is taken")
    size = file.size or 0
    if size > MAX_UPLOAD_BYTES:
        raise TooLarge(f"the file is larger than {MAX_UPLOAD_BYTES:,} bytes")
    if size == 0:
        raise InvalidInput.of(name[:MAX_FIELD_CHARS], "is empty")
    return Picture(name[:MAX_FIELD_CHARS], shown_name(file.filename), file.file, size)


def nested(items: Iterable[tuple[str, str]]) -> dict[str, Any]:
    """The fields of a form as a tree: what has no name of its own (``[]``) is counted from 0, a name that is given
    several times has a list.

    :raises InvalidInput: naming the field that is no name, too deep, or both a value and a group of values.
    """
    values: dict[tuple[str, ...], list[str]] = {}
    for name, value in items:
        values.setdefault(_path(name), []).append(value)
    _check_groups(values)
    tree: dict[str, Any] = {}
    for path, given in values.items():
        if "" not in path:
            _put(tree, path, given[0] if len(given) == 1 else given)
        for number, value in enumerate(given if "" in path else ()):
            _put(tree, tuple(part or str(number) for part in path), value)
    return tree


def _path(name: str) -> tuple[str, ...]:
    found = _NAME.fullmatch(name)
    path = (found[1], *found[2][1:-1].split("][")) if found and found[2] else (name,)
    if found is None or len(path) > MAX_FORM_DEPTH:
        raise InvalidInput.of(name[:MAX_FIELD_CHARS], "is not a field of this request")
    return path


def _check_groups(values: dict[tuple[str, ...], list[str]]) -> None:
    """Of a list of groups, such as shots, a form sends each name's values together: unless all have the same number,
    it cannot be told which belong to which.
    """
    counts: dict[tuple[str, ...], set[int]] = {}
    for path, given in values.items():
        if "" in path:
            counts.setdefault(path[:path.index("")], set()).add(len(given))
    for path in (*[p for p in values if p.count("") > 1], *[p for p, found in counts.items() if len(found) > 1]):
        name = ".".join(filter(None, path))
        raise InvalidInput.of(name, "cannot be told apart as fields of a form; send it as JSON, in one field")


def _put(tree: dict[str, Any], path: tuple[str, ...], value: Any) -> None:
    *groups, last = path
    for part in groups:
        tree = tree.setdefault(part, {})
        if not isinstance(tree, dict):
            break
    if not isinstance(tree, dict) or last in tree:
        raise InvalidInput.of(".".join(path)[:MAX_FIELD_CHARS], "is given twice")
    tree[last] = value
