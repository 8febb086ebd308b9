"""What the pages say, held against the code."""

import re
import subprocess
from pathlib import Path

import pytest

from vidgen.registry import discover
from vidgen.settings import Settings, load_settings

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
ARCHITECTURE = (ROOT / "ARCHITECTURE.md").read_text()
PAGES = sorted(ROOT.glob("*.md"))

OTHERS = {"JOB_MOVES", "STEP_MOVES", "HF_TOKEN", "HF_ENDPOINT", "VIDGEN_URL", "VIDGEN_API_KEY"}
"""Names in capitals that are no settings: two tables, and what the hub's client and ours read from the environment."""


def test_the_readmes_card_is_a_model_that_lacks_its_weights_alone(tmp_path):
    (tmp_path / "mine.toml").write_text(re.search(r"```toml\n(.*?)```", README, re.DOTALL)[1])
    settings = load_settings(_env_file=None, models_dir=tmp_path, weights_dir=tmp_path, gpu_device="cpu")
    availability = discover(settings).model("local:my-wan").availability()
    assert availability.reason == "its weights are not here; run: make weights MODEL=my-wan"


def test_the_settings_that_the_pages_name_exist():
    named = set(re.findall(r"\b[A-Z]+(?:_[A-Z]+)+\b", README + ARCHITECTURE))
    assert named - OTHERS <= {name.upper() for name in Settings.model_fields}


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_links_between_files_lead_somewhere(page):
    for target in re.findall(r"\]\((?!https?:)([^)#]+)\)", page.read_text()):
        assert (ROOT / target).exists(), target


NAMED_FILES = sorted(set(re.findall(r"`((?:vidgen|backends|tests|scripts)/[\w/.-]*)", README + ARCHITECTURE)))


@pytest.mark.parametrize("path", NAMED_FILES)
def test_the_files_that_the_pages_name_exist(path):
    assert (ROOT / path.rstrip(".")).exists()


def test_the_functions_that_the_architecture_names_exist():
    for file, name in re.findall(r"`(?:vidgen/)?([\w/]+\.py): (\w+(?:\.\w+)?)`", ARCHITECTURE):
        code = (ROOT / "vidgen" / file).read_text()
        assert re.search(rf"^\s*(?:def|class) {name.split('.')[-1]}\b", code, re.M), name


def test_make_alone_lists_every_target():
    said = subprocess.run(["make", "-s"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    phony = re.search(r"^\.PHONY: (.*)$", (ROOT / "Makefile").read_text(), re.M)[1].split()
    assert {line.split()[1] for line in said.splitlines()} == set(phony)
