"""Reference images over HTTP."""

import re

import pytest

from tests.api import check
from tests.server import ROOT, Server

PHOTO = (ROOT / "tests" / "data" / "reference.jpg").read_bytes()


def upload(server: Server, *parts, **options):
    return server.post("/api/v1/upload", files=parts, **options)


def part(data: bytes = PHOTO, name: str = "reference.jpg", field: str = "file"):
    return field, (name, data, "image/jpeg")


def test_an_upload_is_as_the_document_shows_it(server):
    answer = upload(server, part())
    said = answer.json()
    assert answer.status_code == 200
    assert said["filename"] == "reference.jpg"
    assert said["file_size_bytes"] == len(PHOTO)
    assert re.fullmatch(r"/workspace/uploads/\d{8}_\d{6}_\w+\.png", said["file_path"])
    assert said["width"] > 0 and said["height"] > 0
    assert check.UTC.fullmatch(said["uploaded_at"])


@pytest.mark.parametrize("by", ["file_id", "file_path"])
def test_a_job_starts_from_an_upload(server, by):
    said = upload(server, part()).json()
    job = server.wait(server.submit(reference_image=said[by]))
    assert job["generation_mode"] == "image_to_video"
    assert job["reference_image"] == said[by]


@pytest.mark.parametrize(
    ("parts", "field"),
    [
        ([part(field="image")], "image"), ([part(), part()], "file"), ([part(b"")], "file"),
        ([("file", (None, "text"))], "file"), ([part(), ("more", (None, "x"))], "more"),
    ],
)
def test_forms_that_are_no_good(server, parts, field):
    answer = upload(server, *parts)
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_input")
    assert field in [wrong["field"] for wrong in answer.json()["fields"]]


def test_what_is_no_image(server):
    check.error(upload(server, part(b"not an image")), 400, "unsupported_image", "file")


@pytest.mark.parametrize(
    ("content", "kind"),
    [(b"", "multipart/form-data; boundary=x"), (b"{}", "multipart/form-data"),
     (b"--x", "multipart/form-data; boundary=y"), (b"--x\r\nnonsense", "multipart/form-data; boundary=x")],
)
def test_bodies_that_are_no_form(server, content, kind):
    answer = server.post("/api/v1/upload", content=content, headers={"Content-Type": kind})
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_input"), answer.text


def test_another_content_type(server):
    answer = server.post("/api/v1/upload", content=PHOTO, headers={"Content-Type": "image/jpeg"})
    check.error(answer, 400, "invalid_input", "Content-Type")


def test_a_file_that_is_too_large(server):
    check.error(upload(server, part(PHOTO + b"\0" * 10 * 1024 * 1024)), 413, "too_large")
    check.error(upload(server, part(PHOTO + b"\0" * 12 * 1024 * 1024)), 413, "too_large")


@pytest.mark.parametrize("name", ["../../../etc/passwd", "C:\\photos\\me.jpg", "a\r\nb.jpg", "x" * 400, "né.jpg"])
def test_the_clients_name_is_only_shown(server, name):
    answer = upload(server, part(name=name))
    shown = answer.json()["filename"]
    assert answer.status_code == 200
    assert len(shown) <= 255 and shown.isprintable() and "/" not in shown and "\\" not in shown
    stored = server.workspace / "uploads" / answer.json()["file_path"].rpartition("/")[2]
    assert stored.is_file()
