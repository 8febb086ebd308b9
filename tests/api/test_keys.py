"""Keys: the one the server makes for itself, and comparing."""

import stat
from concurrent.futures import ThreadPoolExecutor

import pytest
from starlette.datastructures import Headers

from vidgen.api.keys import Keys, answered_subprotocol, keys_in_headers, keys_in_subprotocols, keys_of, own_key
from vidgen.errors import StartRefused
from vidgen.settings import load_settings


def test_the_key_is_made_once_and_readable_by_its_owner_only(tmp_path):
    path = tmp_path / "workspace" / "api_key"
    key = own_key(path)
    assert len(key) >= 40 and own_key(path) == key
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [file.name for file in path.parent.iterdir()] == ["api_key"]


def test_a_key_that_others_could_read_is_closed_to_them(tmp_path):
    path = tmp_path / "api_key"
    own_key(path)
    path.chmod(0o644)
    own_key(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_two_that_start_at_once_have_one_key(tmp_path):
    with ThreadPoolExecutor(8) as pool:
        assert len(set(pool.map(own_key, [tmp_path / "api_key"] * 8))) == 1


def test_a_file_that_holds_no_key(tmp_path):
    path = tmp_path / "api_key"
    path.write_text("")
    with pytest.raises(StartRefused, match="holds no key"):
        own_key(path)


def test_which_keys_are_in_force(tmp_path):
    def keys(**settings):
        return keys_of(load_settings(_env_file=None, workspace_dir=tmp_path, **settings))

    assert not keys()[0].needed
    configured, file = keys(api_keys="a,b", api_host="0.0.0.0")
    assert configured.needed and not configured.loopback_free and file is None
    made, file = keys(api_host="0.0.0.0")
    assert made.loopback_free and made.match([file.read_text().strip()])


def test_matching():
    keys = Keys(["alpha", "süß"], loopback_free=False)
    assert keys.match(["alpha"]) and keys.match(["x", "süß"])
    assert not keys.match([]) and not keys.match([""]) and not keys.match(["alph", "alphaa", "ALPHA"])


@pytest.mark.parametrize("encoding", ["utf-8", "latin-1"])
def test_a_key_of_any_letters_is_known_as_shells_and_browsers_send_it(encoding):
    keys = Keys(["süß"], loopback_free=False)
    for name, said in ((b"x-api-key", "süß"), (b"authorization", "Bearer süß")):
        assert keys.match(keys_in_headers(Headers(raw=[(name, said.encode(encoding))])))


def test_subprotocols():
    assert keys_in_subprotocols(["vidgen", "vidgen.key.a%20b", "chat"]) == ["a b"]
    assert answered_subprotocol(["vidgen.key.x", "vidgen"]) == "vidgen"
    assert answered_subprotocol(["chat", "vidgen.key.x"]) == "vidgen.key.x"
    assert answered_subprotocol(["chat"]) is None
