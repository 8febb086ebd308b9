"""What the shell is offered for the word that it completes."""

import pytest


@pytest.fixture
def completed(vidgen, monkeypatch, capsys):
    """What bash is offered in place of the last of the words that it holds."""
    monkeypatch.setattr("vidgen.cli.options.COMPLETION_S", 60)

    def offered(*words: str) -> list[str]:
        monkeypatch.setenv("_VIDGEN_COMPLETE", "complete_bash")
        monkeypatch.setenv("COMP_WORDS", "\n".join(("vidgen", *words)))
        monkeypatch.setenv("COMP_CWORD", str(len(words)))
        with pytest.raises(SystemExit):
            vidgen()
        return capsys.readouterr().out.split()

    return offered


def test_ids_are_completed(completed, finished):
    assert completed("show", finished["id"][:12]) == [finished["id"]]


def test_models_are_completed_though_bash_splits_their_ids(completed):
    assert completed("models", "stub") == ["stub:animatic", "stub:still"]
    assert completed("models", "stub", ":") == ["animatic", "still"]
    assert completed("generate", "'A: b'", "-m", "stub", ":", "an") == ["animatic"]
    assert completed("models", "stub", ":", "x") == []
