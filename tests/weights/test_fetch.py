"""What a fetch brings, checks, refuses and leaves, by the real client from a loopback hub."""

import fcntl
import os

import pytest

from tests.fakes.hub import COMMIT, PIECE_BYTES
from tests.weights.conftest import REPOSITORY, noise
from vidgen.weights import LockedFile, WeightsError, lock_file, problem, read_lock
from vidgen.weights.errors import HubUnreachable, WrongContent
from vidgen.weights.fetch import fetch, look
from vidgen.weights.hashing import sha256_of
from vidgen.weights.hub import Hub
from vidgen.weights.verify import verify

LARGE = "unet/diffusion.safetensors"
WANTED = {
    "model_index.json", "unet/config.json", LARGE, "vae/config.json", "vae/empty.safetensors", "vae/vae.safetensors",
}


@pytest.fixture
def get(setting):
    """Fetch the card's files; without waiting between tries, with no token."""

    def get(card=None, *, pauses_s=(0, 0), token=False):
        return fetch(card or setting.card(), setting.weights, Hub(token, setting.hub.url, pauses_s))

    return get


def on_disk(setting):
    """All that is in the folder of weights, by path."""
    return {p.relative_to(setting.weights).as_posix() for p in setting.weights.rglob("*") if not p.is_dir()}


def test_only_what_the_card_asks_for_comes_byte_for_byte(setting, get):
    get()
    assert on_disk(setting) == {f"clip/{path}" for path in WANTED} | {"clip.lock.json"}
    for path in WANTED:
        assert (setting.weights / "clip" / path).read_bytes() == setting.repository.files[path]
    assert problem(setting.card(), setting.weights) is None


def test_the_lock_has_the_commit_and_each_files_size_and_hash(setting, get):
    assert read_lock(setting.card(), setting.weights) is None
    lock = get()
    assert lock == read_lock(setting.card(), setting.weights)
    assert (lock.repository, lock.revision, set(lock.files)) == (REPOSITORY, COMMIT, WANTED)
    for path, file in lock.files.items():
        there = setting.weights / "clip" / path
        assert file == LockedFile(size=there.stat().st_size, sha256=sha256_of(there, lambda _: None))


def test_what_is_here_and_right_is_not_fetched_again(setting, get):
    first = get()
    served = setting.hub.served.copy()
    assert get() == first
    assert setting.hub.served == served


def test_a_look_fetches_and_writes_nothing(setting):
    plan = look(setting.card(), setting.weights, Hub(False, setting.hub.url))
    assert {file.path for file in plan.files} == WANTED
    assert sum(plan.here.values()) == 0
    assert not setting.weights.exists()
    assert not setting.hub.served


def test_the_token_stays_with_the_hub(setting, get):
    setting.repository.gated = setting.repository.accepted = True
    get(token="hf_right")
    assert all("authorization" not in headers for headers in setting.hub.asked_for(LARGE))
    assert setting.hub.asked_for(LARGE)
    to_hub = [headers for _, path, headers in setting.hub.requests if path.startswith("/api/")]
    assert [headers["authorization"] for headers in to_hub] == ["Bearer hf_right"]


# going on


def test_a_broken_line_is_taken_up_where_it_broke(setting, get):
    setting.hub.cut = [PIECE_BYTES + 1000] * 2
    setting.repository.files = {LARGE: noise(3, 900_000)}
    get(setting.card(patterns=["*.safetensors"]))
    assert setting.hub.served[LARGE] == 900_000
    ranges = [headers.get("range") for headers in setting.hub.asked_for(LARGE)]
    assert ranges == [None, f"bytes={PIECE_BYTES + 1000}-", f"bytes={2 * (PIECE_BYTES + 1000)}-"]


def test_a_line_that_never_lasts_ends_the_fetch_and_keeps_what_came(setting, get):
    setting.hub.cut = [0] * 10
    with pytest.raises(HubUnreachable, match="line"):
        get()
    assert problem(setting.card(), setting.weights).startswith("a download of its weights was cut short")
    setting.hub.cut = []
    get()
    assert verify(setting.card(), setting.weights) == []


def test_a_busy_hub_is_asked_again(setting, get):
    setting.hub.busy = 2
    get()
    setting.hub.busy = 99
    with pytest.raises(HubUnreachable, match="status 503"):
        get(setting.card("other"))


def test_a_server_that_knows_no_ranges_sends_the_file_from_its_begin(setting, get):
    setting.hub.cut, setting.hub.ranges = [PIECE_BYTES], False
    get()
    assert verify(setting.card(), setting.weights) == []


def test_a_part_of_other_content_is_not_gone_on_with(setting, get):
    setting.hub.cut = [0, PIECE_BYTES] + [0] * 9
    with pytest.raises(HubUnreachable):
        get(setting.card(patterns=[LARGE]))
    setting.hub.cut = []
    setting.repository.files[LARGE], setting.repository.commit = noise(9, 900_000), "d" * 40
    get(setting.card(patterns=[LARGE]))
    assert setting.hub.asked_for(LARGE)[-1].get("range") is None
    assert (setting.weights / "clip" / LARGE).read_bytes() == noise(9, 900_000)
    assert on_disk(setting) == {f"clip/{LARGE}", "clip.lock.json"}


def test_two_downloads_of_one_model_do_not_mix(setting, get):
    place = setting.weights / "clip"
    place.mkdir(parents=True)
    fd = os.open(place, os.O_RDONLY)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        with pytest.raises(WeightsError, match="another download"):
            get()
    finally:
        os.close(fd)
    get()


# a folder that is not empty


def test_a_new_commit_replaces_what_changed_and_nothing_else(setting, get):
    get()
    (setting.weights / "clip" / "notes.txt").write_text("mine")
    setting.repository.commit = "f" * 40
    setting.repository.files |= {LARGE: noise(5, 500_000)}
    setting.hub.served.clear()
    assert get().revision == "f" * 40
    assert set(setting.hub.served) == {LARGE}
    assert verify(setting.card(), setting.weights) == []
    assert (setting.weights / "clip" / "notes.txt").read_text() == "mine"


@pytest.mark.parametrize("spoil", [
    lambda path: path.write_bytes(path.read_bytes()[:-1] + b"!"),
    lambda path: path.write_bytes(path.read_bytes()[:-1]),
    lambda path: path.unlink(),
], ids=["changed", "shorter", "missing"])
def test_a_file_that_was_spoilt_on_the_disk_is_fetched_again(setting, get, spoil):
    get()
    spoil(setting.weights / "clip" / LARGE)
    setting.hub.served.clear()
    get()
    assert setting.hub.served == {LARGE: 900_000}
    assert verify(setting.card(), setting.weights) == []


# what is refused


@pytest.mark.parametrize("path", ["model_index.json", LARGE])
def test_a_changed_byte_is_named_and_fetched_again(setting, get, path):
    true = setting.repository.files[path]
    setting.repository.changed[path] = true[:-5] + b"x" + true[-4:]
    with pytest.raises(WrongContent, match=f"{path}: .* hash .* removed"):
        get()
    assert read_lock(setting.card(), setting.weights) is None
    assert problem(setting.card(), setting.weights) is not None
    setting.repository.changed.clear()
    get()
    assert (setting.weights / "clip" / path).read_bytes() == true


@pytest.mark.parametrize(("change", "words"), [(b"more", "more bytes"), (None, "fewer bytes")])
def test_another_size_than_listed_is_named(setting, get, change, words):
    true = setting.repository.files[LARGE]
    setting.repository.changed[LARGE] = true + change if change else true[:-4]
    with pytest.raises(WrongContent, match=f"{LARGE}: .*{words}"):
        get()
    setting.repository.changed.clear()
    get()


def test_a_changed_byte_leaves_the_lock_and_the_files_of_before(setting, get):
    before = get()
    setting.repository.commit = "e" * 40
    setting.repository.files[LARGE] = noise(6, 900_000)
    setting.repository.changed[LARGE] = noise(7, 900_000)
    with pytest.raises(WrongContent):
        get()
    assert read_lock(setting.card(), setting.weights) == before
    assert verify(setting.card(), setting.weights) == []


def test_a_file_that_the_hub_lists_and_has_not_is_named(setting, get):
    setting.repository.lost.add(LARGE)
    with pytest.raises(WeightsError, match=LARGE):
        get()
    assert read_lock(setting.card(), setting.weights) is None


def test_a_pattern_that_matches_nothing_is_named_with_its_card(setting, get):
    with pytest.raises(WeightsError, match=r"clip.toml: weights.files: nothing in lab/clip matches '\*.gguf'"):
        get(setting.card(patterns=["*.json", "*.gguf"]))
    assert not setting.weights.exists()


def test_a_pickle_is_refused_by_name_before_anything_comes(setting, get):
    with pytest.raises(WeightsError, match=r"vae/vae.fp32.bin.* pickle"):
        get(setting.card(patterns=["*.json", "vae/"]))
    assert not setting.weights.exists()
    assert not setting.hub.served


def test_a_download_that_brings_nothing_leaves_no_folder(setting, get):
    setting.repository.gated = True
    with pytest.raises(WeightsError):
        get(setting.card(patterns=["*.json"]))
    assert list(setting.weights.iterdir()) == []


def test_more_than_the_disk_has_room_for_is_refused_with_the_numbers(setting, get):
    setting.repository.listed[LARGE] = 900 * 10**12
    with pytest.raises(WeightsError, match=r"too full: 900 TB are to come .* 67.1 MB .* only .*B are"):
        get()
    assert not setting.hub.served


def test_a_folder_that_cannot_be_written_is_named(setting, get):
    setting.weights.mkdir()
    (setting.weights / "clip").write_text("a file")
    with pytest.raises(WeightsError, match="weights/clip: "):
        get()


def test_a_lock_is_never_written_under_a_half_true_name(setting, get):
    get()
    lock_file(setting.card(), setting.weights).write_text("{")
    assert read_lock(setting.card(), setting.weights) is None
    get()
    assert read_lock(setting.card(), setting.weights) is not None
