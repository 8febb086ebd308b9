"""The settings, and the page that lists them."""

import re
from pathlib import Path

import pytest

from vidgen.errors import StartRefused
from vidgen.ram import ram
from vidgen.registry import config_of
from vidgen.settings import Settings, load_settings

EXAMPLE = Path(__file__).parent.parent / ".env.example"


def example_values() -> dict[str, str]:
    return dict(re.findall(r"^([A-Z_]+)=(.*)$", EXAMPLE.read_text(), re.MULTILINE))


def test_the_example_lists_every_setting_and_no_other():
    assert set(example_values()) == {name.upper() for name in Settings.model_fields}


def test_every_value_of_the_example_is_the_default(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert Settings(_env_file=EXAMPLE) == Settings(_env_file=None)


def test_every_setting_of_the_example_has_a_sentence():
    lines = EXAMPLE.read_text().splitlines()
    for before, line in zip(lines, lines[1:], strict=False):
        if re.match(r"[A-Z_]+=", line):
            assert re.match(r"# \S.*[.:)]$|# .*\S$", before), line


@pytest.mark.parametrize(("name", "value"), [
    ("API_PORT", "seventy"), ("MAX_CONCURRENT_JOBS", "0"), ("LOG_LEVEL", "loud"), ("AGE_S", "-1"),
    ("ENCODER_PRESET", "ultrafast"), ("API_HOST", ""), ("WORKSPACE_DIR", ""), ("WEIGHTS_DIR", ""),
])
def test_a_bad_value_is_refused_by_name(monkeypatch, tmp_path, name, value):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(name, value)
    with pytest.raises(StartRefused, match=name):
        load_settings()


def test_an_unknown_name_in_the_file_is_refused_by_name(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".env").write_text("API_PROT=8000\n")
    with pytest.raises(StartRefused, match="API_PROT"):
        load_settings()


def test_a_file_that_is_not_utf_8_is_said_to_be_none(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".env").write_bytes("API_PORT=8000\n".encode("utf-16"))
    with pytest.raises(StartRefused, match=".env is not UTF-8"):
        load_settings()


def test_lists_are_written_with_commas(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CORS_ORIGINS", "http://a.example, http://b.example")
    assert load_settings().cors_origins == ("http://a.example", "http://b.example")


def test_secrets_are_not_in_the_representation(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-very-secret")
    monkeypatch.setenv("API_KEYS", "key-very-secret")
    assert "very-secret" not in repr(load_settings())


def test_the_cache_in_ram_is_as_large_as_it_was_set_or_not_too_large(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    quarter = ram().total_bytes // 4
    assert config_of(load_settings()).ram_cache_bytes == min(8_192 * 2**20, quarter)
    for set_to in (0, 8_192, 10**7):
        monkeypatch.setenv("RAM_CACHE_MB", str(set_to))
        assert config_of(load_settings()).ram_cache_bytes == set_to * 2**20


def test_backends_ask_about_the_device_as_they_are_told():
    assert config_of(load_settings(_env_file=None)).device_problem() is None
    assert config_of(load_settings(_env_file=None), lambda: "it is lost").device_problem() == "it is lost"
