"""The reference image of a create: a file of the form, a ``data:`` URL, or an upload. No URL is opened."""

import base64
from io import BytesIO
from typing import Any

from vidgen.api.openai.form import Picture, Sent
from vidgen.errors import InvalidInput, TooLarge
from vidgen.media.images import MAX_UPLOAD_BYTES

FIELD = "input_reference"
KINDS = ("image_url", "file_id")


def picture_in(sent: Sent) -> tuple[Picture | None, str | None]:
    """The image itself, or the id of the upload that is meant; neither, where there is none.

    :raises InvalidInput: where it is something else, or twice there.
    :raises TooLarge: it is.
    """
    said = sent.fields.get(FIELD)
    if sent.picture is not None:
        if sent.picture.field != FIELD:
            raise InvalidInput.of(sent.picture.field, "is not a field of this request that takes a file")
        if said is not None:
            raise InvalidInput.of(FIELD, "is given twice")
        return sent.picture, None
    if said is None:
        return None, None
    kind, text = _kind(said)
    return (_decoded(text), None) if kind == "image_url" else (None, text)


def _kind(said: Any) -> tuple[str, str]:
    if isinstance(said, str):
        return ("image_url" if "://" in said or said[:5].lower() == "data:" else "file_id"), said
    if isinstance(said, dict) and len(said) == 1:
        (kind, text), = said.items()
        if kind in KINDS and isinstance(text, str):
            return kind, text
    raise InvalidInput.of(FIELD, "must be a file, or an object with either image_url (a data: URL) or file_id")


def _decoded(url: str) -> Picture:
    head, _, data = url.partition(",")
    if head[:5].lower() != "data:":
        raise InvalidInput.of(FIELD, "no URL is opened; send the image itself, as a file or as a data: URL")
    if not head.lower().endswith(";base64"):
        raise InvalidInput.of(FIELD, "must be in base64 where it is a data: URL")
    try:
        image = base64.b64decode(data, validate=True)
    except ValueError:
        raise InvalidInput.of(FIELD, "is not base64") from None
    if not image:
        raise InvalidInput.of(FIELD, "is empty")
    if len(image) > MAX_UPLOAD_BYTES:
        raise TooLarge(f"the image is larger than {MAX_UPLOAD_BYTES:,} bytes")
    return Picture(FIELD, "image", BytesIO(image), len(image))
