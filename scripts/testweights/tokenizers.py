"""Small tokenizers in the released file names. They know a few dozen words and spell out everything else."""

import functools
import io
import itertools
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

SAID = """
a an and the of in on at over under by to from with without is are it as one two three red green blue white black golden
small large old young man woman child cat dog horse bird fish tree forest mountain river sea ocean sky sun moon star
cloud rain snow fire water light shadow city street house door window car train boat ship lighthouse beach wave field
flower garden road bridge night day morning evening slow fast walks runs flies swims turns looks opens closes rises
falls camera shot film photo video close wide quality low bad blurry
"""
WORDS = SAID.split()

TOKENS = 1024
"""Rows of the embedding tables that go with these tokenizers; like the released ones, they are never filled."""

EXTRA_IDS = 100
BYT5_EXTRA_IDS = 125
T5_SPECIAL = {"eos_token": "</s>", "pad_token": "<pad>", "unk_token": "<unk>"}
QWEN_MARKS = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]

CHAT = (
    "{% for message in messages %}<|im_start|>{{ message.role }}\n{{ message.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
"""ChatML, the form in which Qwen's models are spoken to."""

Files = dict[str, bytes]
Merge = tuple[str, str]


def t5_encoder(width: int, tokens: int = TOKENS) -> dict[str, Any]:
    """The configuration of a small T5 encoder that goes with these tokenizers.

    :param width: of its states.
    """
    return {
        "vocab_size": tokens, "d_model": width, "d_kv": 8, "d_ff": 32, "num_layers": 2, "num_heads": 2,
        "feed_forward_proj": "gated-gelu",
    }


def clip(length: int = 77, pad_token: str = "<|endoftext|>") -> Files:
    """CLIP's: byte pairs with an end-of-word mark; ``<|endoftext|>`` has the highest id, as CLIP's pooling needs."""
    letters = list(byte_letters().values())
    merges = learn_merges([*word[:-1], word[-1] + "</w>"] for word in WORDS)
    tokens = [*letters, *(letter + "</w>" for letter in letters), *("".join(merge) for merge in merges)]
    special = {"bos_token": "<|startoftext|>", "eos_token": "<|endoftext|>", "unk_token": "<|endoftext|>"}
    settings = {"tokenizer_class": "CLIPTokenizer", "model_max_length": length, "do_lower_case": True}
    return {
        "vocab.json": _vocabulary([*tokens, "<|startoftext|>", "<|endoftext|>"]),
        "merges.txt": _merges(merges),
        **_settings(settings, special | {"pad_token": pad_token}),
    }


def t5(length: int = 512) -> Files:
    """T5's, as LTX-Video and CogVideoX have it: a sentencepiece model and no ``tokenizer.json``."""
    extra = [f"<extra_id_{i}>" for i in range(EXTRA_IDS)]
    last = _pieces() + EXTRA_IDS - 1
    settings = {"tokenizer_class": "T5Tokenizer", "model_max_length": length, "extra_ids": EXTRA_IDS, "legacy": True}
    return {
        "spiece.model": sentencepiece_model(),
        "added_tokens.json": json.dumps({token: last - i for i, token in enumerate(extra)}, indent=2).encode(),
        **_settings(settings, {"additional_special_tokens": extra, **T5_SPECIAL}),
    }


def umt5(length: int = 512) -> Files:
    """UMT5's, as Wan has it: the sentencepiece model, and beside it the ``tokenizer.json`` that is read first."""
    from transformers import T5Tokenizer

    with TemporaryDirectory() as folder:
        (Path(folder) / "spiece.model").write_bytes(sentencepiece_model())
        fast = T5Tokenizer.from_pretrained(folder, extra_ids=0).backend_tokenizer.to_str()
    settings = {"tokenizer_class": "T5Tokenizer", "model_max_length": length, "extra_ids": 0, "legacy": True}
    return {
        "spiece.model": sentencepiece_model(), "tokenizer.json": fast.encode(), **_settings(settings, T5_SPECIAL),
    }


def byt5() -> Files:
    """ByT5's: bytes need no vocabulary, so there is none."""
    extra = [f"<extra_id_{i}>" for i in range(BYT5_EXTRA_IDS)]
    settings = {"tokenizer_class": "ByT5Tokenizer", "model_max_length": 512, "extra_ids": BYT5_EXTRA_IDS}
    return _settings(settings, {"additional_special_tokens": extra, **T5_SPECIAL})


def qwen(template: str) -> Files:
    """Qwen2.5's, with its chat marks; every word of *template*, the text around each prompt, is one token."""
    words = [*re.findall(r" ?[A-Za-z]+|\s+(?=\s)", template), *WORDS, *(f" {word}" for word in WORDS)]
    table = byte_letters()
    merges = learn_merges([table[byte] for byte in word.encode()] for word in words)
    vocabulary = list(dict.fromkeys([*table.values(), *("".join(merge) for merge in merges)]))
    added = {token: len(vocabulary) + i for i, token in enumerate(QWEN_MARKS)}
    special = {"eos_token": "<|im_end|>", "pad_token": "<|endoftext|>", "additional_special_tokens": QWEN_MARKS[1:]}
    decoder = {str(i): {"content": token, "special": True} for token, i in added.items()}
    settings = {
        "tokenizer_class": "Qwen2Tokenizer", "model_max_length": 131072, "padding_side": "right", "errors": "replace",
        "add_prefix_space": False, "split_special_tokens": False, "added_tokens_decoder": decoder,
    }
    return {
        "vocab.json": _vocabulary(vocabulary),
        "merges.txt": _merges(merges),
        "added_tokens.json": json.dumps(added, indent=2).encode(),
        "chat_template.jinja": CHAT.encode(),
        **_settings(settings, special),
    }


def byte_letters() -> dict[int, str]:
    """The visible letter that stands for each byte in byte-level vocabularies (GPT-2's table)."""
    shown = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    hidden = (byte for byte in range(256) if byte not in shown)
    return {**{byte: chr(byte) for byte in shown}, **{byte: chr(256 + i) for i, byte in enumerate(hidden)}}


def learn_merges(words: Iterable[Sequence[str]]) -> list[Merge]:
    """Byte-pair merges, by rank, that make one token of each of *words*, which are given as their letters."""
    ranks: dict[Merge, int] = {}
    for word in words:
        pieces = _merged(list(word), ranks)
        while len(pieces) > 1:
            ranks[pieces[0], pieces[1]] = len(ranks)
            pieces = _merged(pieces, ranks)
    return list(ranks)


def _merged(pieces: list[str], ranks: Mapping[Merge, int]) -> list[str]:
    """*pieces* after every merge that applies, the lowest rank first."""
    while found := [(ranks[pair], i) for i, pair in enumerate(itertools.pairwise(pieces)) if pair in ranks]:
        _, i = min(found)
        pieces = [*pieces[:i], pieces[i] + pieces[i + 1], *pieces[i + 2:]]
    return pieces


def _vocabulary(tokens: Iterable[str]) -> bytes:
    return json.dumps({token: i for i, token in enumerate(dict.fromkeys(tokens))}, ensure_ascii=False).encode()


def _merges(merges: Iterable[Merge]) -> bytes:
    return ("#version: 0.2\n" + "".join(f"{left} {right}\n" for left, right in merges)).encode()


def _settings(settings: Mapping[str, Any], special: Mapping[str, Any]) -> Files:
    return {
        "tokenizer_config.json": json.dumps({**settings, **special}, indent=2).encode(),
        "special_tokens_map.json": json.dumps(special, indent=2).encode(),
    }


@functools.cache
def sentencepiece_model() -> bytes:
    """A unigram model trained on :data:`WORDS`, with T5's first ids: 0 pads, 1 ends, 2 is unknown."""
    import sentencepiece

    printable = [chr(code) for code in range(ord("!"), ord("~") + 1)]
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter([*WORDS, *WORDS, *printable]), model_writer=model, model_type="unigram", vocab_size=300,
        hard_vocab_limit=False, character_coverage=1.0, pad_id=0, eos_id=1, unk_id=2, bos_id=-1, pad_piece="<pad>",
        num_threads=1, minloglevel=2,
    )
    return model.getvalue()


def _pieces() -> int:
    import sentencepiece

    return sentencepiece.SentencePieceProcessor(model_proto=sentencepiece_model()).get_piece_size()
