"""The script as a person runs it: what it prints, what it leaves, how it exits."""

import re
import subprocess

import pytest

from tests.weights.conftest import ROOT
from vidgen.weights import WeightsError, problem
from vidgen.weights.fetch import fetch
from vidgen.weights.hub import Hub

LARGE = "unet/diffusion.safetensors"
GONE = "http://127.0.0.1:9"


def test_a_model_is_fetched_from_the_mirror_that_hf_endpoint_names(setting):
    card = setting.card()
    done = setting.run("local:clip", "clip")
    assert (done.returncode, done.stderr) == (0, "")
    assert f"clip  from lab/clip at {setting.repository.commit[:12]}" in done.stdout
    assert "licence: Lab License, https://lab.example/licence" in done.stdout
    assert f"900 kB  {LARGE}  fetched  (6 of 6, 1.2 MB of 1.2 MB)" in done.stdout
    assert problem(card, setting.weights) is None


def test_a_dry_run_says_what_would_come_and_fetches_nothing(setting):
    setting.card()
    setting.repository.gated = True
    done = setting.run("--dry-run", "clip")
    assert (done.returncode, done.stderr) == (0, "")
    assert "6 files, 1.2 MB; 0 B here," in done.stdout and " free" in done.stdout
    assert "gated: to be accepted on the repository's page" in done.stdout
    assert f"900 kB  {LARGE}  to be fetched" in done.stdout
    assert not setting.hub.served
    assert not setting.weights.exists()


def test_a_dry_run_counts_what_an_earlier_run_left(setting):
    setting.hub.cut = [0, 400_000] + [0] * 9
    with pytest.raises(WeightsError):
        fetch(setting.card(patterns=["*/diffusion.safetensors", "*.json"]), setting.weights,
              Hub(False, setting.hub.url, (0,)))
    done = setting.run("--dry-run", "clip")
    assert f"900 kB  {LARGE}  to be fetched, 400 kB of it are here" in done.stdout
    assert "model_index.json            is here" in done.stdout


def test_the_list_says_what_is_here(setting):
    setting.card("none")
    setting.fetched(setting.card("clip"))
    (setting.fetched(setting.card("half")) / LARGE).unlink()
    done = setting.run("--list")
    assert (done.returncode, done.stderr) == (0, "")
    rows = {row.split()[0]: row for row in done.stdout.splitlines()}
    assert re.fullmatch(r"clip +200 MB +yes +lab/clip +Lab License, https://lab.example/licence", rows["clip"])
    assert [rows[name].split()[3] for name in ("half", "none")] == ["part", "no"]


def test_verify_needs_no_hub_and_names_what_changed(setting):
    place = setting.fetched(setting.card())
    right = setting.run("--verify", HF_ENDPOINT=GONE)
    assert (right.returncode, right.stderr) == (0, "")
    assert f"{LARGE}  right" in right.stdout and "clip is whole" in right.stdout
    with (place / LARGE).open("r+b") as file:
        file.seek(450_000)
        file.write(b"x")
    (place / "vae/vae.safetensors").unlink()
    (place / "unet/more.safetensors").write_bytes(b"")
    (place / "unet/old.bin").write_bytes(b"")
    wrong = setting.run("--verify", "clip", HF_ENDPOINT=GONE)
    assert wrong.returncode == 1
    assert wrong.stderr.splitlines() == [
        "clip: not whole", f"  {LARGE} has changed: its SHA-256 is not the lock's", "  vae/vae.safetensors is missing",
        "  unet/more.safetensors is not in the lock", "  unet/old.bin is not in the lock",
    ]


def test_verify_where_nothing_is(setting):
    setting.card()
    done = setting.run("--verify")
    assert (done.returncode, done.stdout, done.stderr) == (0, "no weights are here\n", "")


def test_one_model_that_fails_does_not_stop_the_others(setting):
    setting.card("clip")
    setting.card("gone", repository="lab/gone")
    done = setting.run("gone", "clip")
    assert done.returncode == 1
    assert "gone: there is no repository lab/gone" in done.stderr and "failed: gone" in done.stderr
    assert "clip is whole" in done.stdout
    assert problem(setting.card("clip"), setting.weights) is None


def test_another_folder_can_be_named(setting):
    card = setting.card()
    assert setting.run("clip", "--weights-dir", str(setting.folder / "other")).returncode == 0
    assert problem(card, setting.folder / "other") is None
    assert not setting.weights.exists()


def test_offline_is_said_in_words(setting):
    setting.card()
    done = setting.run("clip", HF_HUB_OFFLINE=1)
    assert done.returncode == 1
    assert done.stderr == "clip: HF_HUB_OFFLINE is set, so nothing can be fetched; unset it\n"


def test_a_wrong_token_in_the_environment_is_said_in_words(setting):
    setting.card()
    done = setting.run("clip", HF_TOKEN="hf_wrong")
    assert done.returncode == 1
    assert "refuses the token in HF_TOKEN" in done.stderr and "Traceback" not in done.stderr
    assert "hf_wrong" not in done.stderr


@pytest.mark.parametrize(("arguments", "words"), [
    ([], "name a model"),
    (["nothing"], "no card that names weights is called 'nothing'; there are "),
    (["--all", "clip"], "either --all or names"),
    (["--list", "--verify"], "not allowed with"),
    (["--lis"], "unrecognized arguments"),
])
def test_a_wrong_call_is_told_from_a_failure(setting, arguments, words):
    setting.card()
    done = setting.run(*arguments)
    assert done.returncode == 2
    assert words in done.stderr


def test_a_broken_card_is_named_and_stops_nothing(setting):
    setting.card()
    (setting.cards / "torn.toml").write_text("provider = ")
    done = setting.run("--verify", "--all")
    assert "a card is broken and left out: torn.toml" in done.stderr
    assert "clip: not whole\n  its weights are not here; run: make weights MODEL=clip" in done.stderr


def test_make_weights_passes_names_and_options_on():
    make = ["make", "--no-print-directory", "-n", "-o", ".venv/.base", "weights"]
    shown = subprocess.run(
        [*make, "MODEL=svd-xt sd-turbo", "ARGS=--dry-run"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert shown.stdout.strip().endswith("python scripts/download_weights.py svd-xt sd-turbo --dry-run")
