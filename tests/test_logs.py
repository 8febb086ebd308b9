"""Log lines, for people and for programs."""

import json
import logging

from vidgen.logs import JsonLines, TextLines


def record(message="render ended", *args, error=None, **extra):
    made = logging.makeLogRecord({"name": "vidgen.engine", "levelname": "INFO", "msg": message, "args": args, **extra})
    made.created = 0.25
    made.exc_info = (type(error), error, error.__traceback__) if error else None
    return made


def failure() -> Exception:
    try:
        raise ValueError("bad\nthing")
    except ValueError as e:
        return e


def test_a_line_of_text():
    line = TextLines().format(record("render ended after %d s", 3, job="job_1", step=7, path="a b"))
    assert line == '1970-01-01T00:00:00.250Z INFO vidgen.engine render ended after 3 s job=job_1 step=7 path="a b"'


def test_a_line_of_json():
    said = json.loads(JsonLines().format(record(job="job_1", step=7)))
    assert said == {
        "time": "1970-01-01T00:00:00.250Z", "level": "info", "logger": "vidgen.engine", "message": "render ended",
        "job": "job_1", "step": 7,
    }


def test_nobody_begins_a_line_of_his_own():
    text = TextLines().format(record("said %s", "x\n1970 INFO forged", job="a\nb"))
    assert text.count("\n") == 0 and "\\n1970" in text and 'job="a\\nb"' in text


def test_a_traceback():
    text = TextLines().format(record(error=failure()))
    assert all(line.startswith("  ") for line in text.splitlines()[1:]) and "ValueError" in text
    assert "ValueError" in json.loads(JsonLines().format(record(error=failure())))["exception"]
    assert "\n" not in JsonLines().format(record(error=failure()))


def test_what_is_not_json_is_written_all_the_same():
    assert json.loads(JsonLines().format(record(path=object)))["path"] == "<class 'object'>"
