"""Tokens: characters or subwords, behind one interface. Token 0 is always the CTC blank, which no text contains.

Each token has a surface, the text it stands for, and a text is its tokens' surfaces joined:
`"".join(tokenizer.tokens[i] for i in ids).strip()`. A space in a surface separates words, so whoever needs words (their
times, a language model) splits at it, for every kind of tokenizer alike. The tokens of "a cab" are

    characters   "a"  " "  "c"  "a"  "b"
    subwords     " a"  " ca"  "b"
"""

import io
import json
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Protocol

import sentencepiece

from asr.config import TokenizerConfig
from asr.errors import BundleError, TextError

CHARACTERS_FILE = "tokenizer.json"
MODEL_FILE = "tokenizer.model"
SPACE = "\u2581"
"""How SentencePiece writes a space."""


class Tokenizer(Protocol):
    """Text to tokens and back. `decode(encode(text)) == text` for every normalised text that is covered."""

    @property
    def size(self) -> int:
        """Number of tokens, the blank included."""

    @property
    def tokens(self) -> tuple[str, ...]:
        """The surface of each token; that of token 0, the blank, is ""."""

    @property
    def characters(self) -> frozenset[str]:
        """Every character that can be written, the space included where it is one of them."""

    def encode(self, text: str) -> list[int]:
        """The tokens of a normalised text, never the blank.

        Raises:
            TextError: a character cannot be written.
        """

    def decode(self, ids: Iterable[int]) -> str:
        """The text of some tokens; blanks are skipped, repeats are not merged, spaces at the ends are dropped."""

    def uncovered(self, text: str) -> Counter[str]:
        """The characters of `text` that cannot be written, with their counts."""

    def save(self, folder: Path) -> None:
        """Write the tokenizer's one file into an existing folder; `load_tokenizer` reads it."""


class CharTokenizer:
    """Each character is a token: ids 1, 2, ... in the given order.

    Raises:
        TextError: no characters, or one of them twice.
    """

    def __init__(self, characters: str) -> None:
        if not characters:
            raise TextError("tokenizer: no characters; give tokenizer.characters, or transcripts to collect them from")
        twice = [character for character, count in Counter(characters).items() if count > 1]
        if twice:
            raise TextError(f"tokenizer: characters given more than once: {_name_all(twice)}; give each once")
        self.tokens: tuple[str, ...] = ("", *characters)
        self.size = len(self.tokens)
        self.characters = frozenset(characters)
        self._ids = {character: index for index, character in enumerate(self.tokens) if index}

    def encode(self, text: str) -> list[int]:
        try:
            return [self._ids[character] for character in text]
        except KeyError:
            raise _uncovered_error(text, self.uncovered(text)) from None

    def decode(self, ids: Iterable[int]) -> str:
        return _join(self.tokens, ids)

    def uncovered(self, text: str) -> Counter[str]:
        return _outside(self.characters, text)

    def save(self, folder: Path) -> None:
        content = {"kind": "char", "characters": "".join(self.tokens)}
        (folder / CHARACTERS_FILE).write_text(json.dumps(content, ensure_ascii=False) + "\n", encoding="utf-8")


class BpeTokenizer:
    """Byte-pair encoding (Sennrich et al. 2016, arXiv 1508.07909) by SentencePiece; words begin with a space.

    SentencePiece must have an unknown piece and CTC must have a blank; both are token 0 here, since no text is encoded
    with either. So ids are SentencePiece's own, and none is wasted.

    Args:
        model: a serialised SentencePiece model, as `build_tokenizer` trains it.

    Raises:
        TextError: not such a model.
    """

    def __init__(self, model: bytes) -> None:
        remedy = 'take one that a training with tokenizer.kind = "bpe" has made'
        processor = sentencepiece.SentencePieceProcessor()
        try:
            if not (model and processor.load_from_serialized_proto(model)):
                raise TextError(f"tokenizer: the SentencePiece model is empty; {remedy}")
        except RuntimeError:
            raise TextError(f"tokenizer: not a SentencePiece model; {remedy}") from None
        special = (processor.unk_id(), processor.bos_id(), processor.eos_id(), processor.pad_id())
        if special != (0, -1, -1, -1):
            raise TextError(f"tokenizer: piece 0 must be the unknown one, and the only special one; {remedy}")
        pieces = [processor.id_to_piece(index) for index in range(1, processor.get_piece_size())]
        self._processor = processor
        self.model = model
        self.tokens: tuple[str, ...] = ("", *(piece.replace(SPACE, " ") for piece in pieces))
        self.size = len(self.tokens)
        self.characters = frozenset(token for token in self.tokens if len(token) == 1)

    def __reduce__(self) -> tuple[type["BpeTokenizer"], tuple[bytes]]:
        return BpeTokenizer, (self.model,)

    def encode(self, text: str) -> list[int]:
        # U+2581 is not among `characters`: SentencePiece would take it for a space, and the text would change.
        if not self.characters.issuperset(text):
            raise _uncovered_error(text, self.uncovered(text))
        ids: list[int] = self._processor.encode(text)
        return ids

    def decode(self, ids: Iterable[int]) -> str:
        return _join(self.tokens, ids)

    def uncovered(self, text: str) -> Counter[str]:
        return _outside(self.characters, text)

    def save(self, folder: Path) -> None:
        (folder / MODEL_FILE).write_bytes(self.model)


def build_tokenizer(config: TokenizerConfig, texts: Iterable[str]) -> Tokenizer:
    """Make the vocabulary for normalised transcripts; the same transcripts in the same order give the same one.

    Characters are sorted by code point, unless the settings give them; `check_coverage` tells if those are all.

    Raises:
        TextError: no text, or a BPE vocabulary larger or smaller than the text allows.
    """
    if config.kind == "bpe":
        return BpeTokenizer(_train_bpe(config.vocabulary_size, list(texts)))
    return CharTokenizer(config.characters or "".join(sorted(set().union(*texts))))


def load_tokenizer(folder: Path) -> Tokenizer:
    """Read the tokenizer that `save` wrote.

    Raises:
        BundleError: there is none, or it is damaged.
    """
    if (path := folder / MODEL_FILE).exists():
        try:
            return BpeTokenizer(path.read_bytes())
        except (OSError, TextError) as error:
            raise BundleError(f"{path}: {error}") from None
    path = folder / CHARACTERS_FILE
    remedy = "copy the whole model folder again"
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise BundleError(f"{folder}: no {CHARACTERS_FILE} and no {MODEL_FILE}; {remedy}") from None
    except (OSError, ValueError) as error:
        raise BundleError(f"{path}: cannot be read ({error}); {remedy}") from None
    if not isinstance(content, dict) or content.get("kind") != "char" or not isinstance(content.get("characters"), str):
        raise BundleError(f'{path}: expected {{"kind": "char", "characters": "..."}}; {remedy}, or update asr')
    try:
        return CharTokenizer(content["characters"])
    except TextError as error:
        raise BundleError(f"{path}: {error}") from None


def required_frames(tokens: Sequence[int]) -> int:
    """The fewest output frames with which CTC can emit these tokens.

    Each token takes a frame. CTC merges equal neighbours, so a token that repeats the one before it needs a blank in
    between, which takes another (Graves et al. 2006, "Connectionist temporal classification", section 3.1).

    Args:
        tokens: ids, without blanks.
    """
    return len(tokens) + sum(first == second for first, second in pairwise(tokens))


def check_coverage(
    vocabulary: Tokenizer | str, texts: Iterable[str], ids: Iterable[str] | None = None, learned: bool = False
) -> None:
    """Make sure, before a long training, that every character of the normalised transcripts can be written.

    Args:
        vocabulary: a tokenizer, or the characters it would have.
        texts: normalised transcripts.
        ids: the utterances they belong to, in the same order, for the message.
        learned: a trained model has the vocabulary, which no setting adds to, for the message.

    Raises:
        TextError: lists all characters outside the vocabulary, most frequent first, each with its code point, its
            count, and the first utterance it stands in.
    """
    known = frozenset(vocabulary) if isinstance(vocabulary, str) else vocabulary.characters
    counts: Counter[str] = Counter()
    first: dict[str, str] = {}
    named = ((text, "") for text in texts) if ids is None else zip(texts, ids, strict=True)
    for text, utterance in named:
        if known.issuperset(text):
            continue
        outside = _outside(known, text)
        counts.update(outside)
        for character in outside:
            first.setdefault(character, utterance)
    if counts:
        found = ", ".join(
            f"{_name(character)} {count}x" + (f" (first in {first[character]})" if ids is not None else "")
            for character, count in counts.most_common()
        )
        setting = "" if isinstance(vocabulary, BpeTokenizer) else "add them to tokenizer.characters, "
        how = "train on, with transcripts that have them, " if learned else setting
        raise TextError(f"transcripts: {len(counts)} characters outside the vocabulary: {found}; {how}{_REMEDY}")


_REMEDY = "map them with text.replace (made before the case is changed), or delete them with text.drop"


def _train_bpe(pieces: int, texts: Sequence[str]) -> bytes:
    model = io.BytesIO()
    characters = set().union(*texts) - {" "}
    if not characters:
        raise TextError("tokenizer: no text to learn subwords from; check the manifest and the settings in [text]")
    needed = len(characters) + 1  # and the space, which begins every word
    if pieces < needed:
        raise TextError(
            f"tokenizer: {pieces} pieces are fewer than the {needed} characters of the text; "
            f"set tokenizer.vocabulary_size to at least {needed}"
        )
    try:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(texts),
            model_writer=model,
            model_type="bpe",
            vocab_size=pieces + 1,  # and the unknown piece, whose place the blank takes
            unk_id=0,
            bos_id=-1,
            eos_id=-1,
            pad_id=-1,
            character_coverage=1.0,
            normalization_rule_name="identity",  # `Normalizer` has done that
            max_sentence_length=1 << 30,  # bytes; longer texts would be skipped without a word
            num_threads=1,
            minloglevel=3,
        )
    except RuntimeError as error:
        limit = re.search(r"value <= (\d+)", str(error))
        if limit is None:
            raise TextError(
                f"tokenizer: SentencePiece cannot learn from this text ({error}); use kind = 'char'"
            ) from None
        raise TextError(
            f"tokenizer: the text has no {pieces} different pieces; "
            f"set tokenizer.vocabulary_size to at most {int(limit[1]) - 1}, or train on more text"
        ) from None
    return model.getvalue()


def _join(tokens: Sequence[str], ids: Iterable[int]) -> str:
    return "".join(tokens[index] for index in ids).strip()


def _outside(characters: frozenset[str], text: str) -> Counter[str]:
    return Counter(character for character in text if character not in characters)


def _uncovered_error(text: str, uncovered: Counter[str]) -> TextError:
    return TextError(f"text {text!r}: characters outside the vocabulary: {_name_all(uncovered)}; {_REMEDY}")


def _name_all(characters: Iterable[str]) -> str:
    return ", ".join(map(_name, characters))


def _name(character: str) -> str:
    """E.g. 'é' (U+00E9 LATIN SMALL LETTER E WITH ACUTE)."""
    name = unicodedata.name(character, "")
    return f"{character!r} (U+{ord(character):04X}{' ' if name else ''}{name})"
