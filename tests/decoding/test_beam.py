"""The search against brute force over all paths, with everything that may weigh words."""

import itertools
import math
from collections import defaultdict

import numpy
import pytest
import torch

import asr.lm
from asr.decoding.beam import BeamSearch
from asr.errors import ConfigError
from asr.text import CharTokenizer

TOKENIZER = CharTokenizer("ab ")
WIDE = {"beam_size": 3000, "token_cut": 0.0, "score_margin": math.inf}
ARPA = """\\data\\
ngram 1=6
ngram 2=6

\\1-grams:
-1.9\t<unk>\t0
0\t<s>\t-0.3
-0.9\t</s>\t0
-0.6\ta\t-0.2
-0.8\tb\t-0.4
-1.1\tab\t-0.1

\\2-grams:
-0.4\t<s> ab
-1.3\ta b
-0.2\tb a
-0.5\tab </s>
-0.7\ta a
-0.3\ta </s>

\\end\\
"""


class Subwords:
    """Words may begin with a space inside the token; most texts can be written in many ways, of which `encode` knows
    one.
    """

    tokens = ("", " a", "b", " b", " ", " ab")
    size = 6
    characters = frozenset("ab ")

    def encode(self, text: str) -> list[int]:
        return [{" a": 1, "b": 2, " b": 3}[piece] for word in text.split() for piece in (f" {word[0]}", *word[1:])]

    def decode(self, ids: list[int]) -> str:
        return "".join(self.tokens[index] for index in ids).strip()

    def uncovered(self, text: str) -> dict[str, int]:
        return {character: 1 for character in text if character not in "ab "}


@pytest.fixture(scope="session")
def lm(tmp_path_factory: pytest.TempPathFactory) -> asr.lm.NgramModel:
    path = tmp_path_factory.mktemp("lm") / "tiny.arpa"
    path.write_text(ARPA)
    return asr.lm.load(path)


@pytest.fixture(scope="session")
def speller() -> asr.lm.NgramModel:
    """Of characters; does not know what follows "bb", nor c."""
    return asr.lm.train(["ab a", "a b ab", "b", "ab ab a bb"], 3, unit="character")


def emissions(seed: int, frames: int, tokens: int, sharpness: float = 1.5) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    logits = sharpness * torch.randn(frames, tokens, dtype=torch.float64, generator=generator)
    return torch.log_softmax(logits, dim=1)


def likelihoods(log_probs: torch.Tensor) -> dict[tuple[int, ...], float]:
    """The probability of every token sequence: all paths, one by one."""
    probabilities = log_probs.exp().numpy()
    totals: dict[tuple[int, ...], float] = defaultdict(float)
    for path in itertools.product(range(log_probs.shape[1]), repeat=len(log_probs)):
        value = math.prod(probabilities[t, token] for t, token in enumerate(path))
        totals[tuple(token for token, _ in itertools.groupby(path) if token)] += value
    return totals


def language(lm: asr.lm.NgramModel, words: list[str]) -> float:
    total, state = 0.0, lm.start()
    for word in lm.units(" ".join(words)):
        value, state = lm.score(state, word)
        total += value
    return total + lm.finish(state)


def occurrences(words: list[str], phrase: str) -> int:
    wanted = phrase.split()
    return sum(words[i : i + len(wanted)] == wanted for i in range(len(words)))


@pytest.mark.parametrize("seed", range(150))
def test_best_text_and_score_equal_brute_force(seed: int) -> None:
    log_probs = emissions(seed, 1 + seed % 6, 4, sharpness=0.5 + seed % 4)
    totals = likelihoods(log_probs)
    tokens = max(totals, key=totals.__getitem__)
    best, *others = BeamSearch(TOKENIZER, **WIDE, nbest=5)(log_probs)
    assert best.tokens == tokens
    assert best.score == best.acoustic_score == pytest.approx(math.log(totals[tokens]), abs=1e-9)
    expected = sorted(totals.values(), reverse=True)[1:5]
    assert [other.score for other in others] == pytest.approx(numpy.log(expected), abs=1e-9)


@pytest.mark.parametrize("tokenizer", [TOKENIZER, Subwords()], ids=["char", "subwords"])
@pytest.mark.parametrize("kind", ["words", "characters", "lexicon", "hotwords", "words, all", "characters, all"])
@pytest.mark.parametrize("seed", range(12))
def test_with_words_weighed_equals_brute_force(
    tokenizer: CharTokenizer, kind: str, seed: int, lm: asr.lm.NgramModel, speller: asr.lm.NgramModel
) -> None:
    log_probs = emissions(seed, 2 + seed % 4, tokenizer.size, sharpness=1.0)
    hotwords = {"ab": 2.0, "b a": 1.5, "a": -0.7, "a b": 0.9} if kind == "hotwords" or "all" in kind else {}
    lexicon = ["a", "b", "ab"] if kind == "lexicon" or "all" in kind else None
    model = lm if "words," in f"{kind}," else speller if "characters" in kind else None
    known = {"a", "b", "ab"}

    def score(tokens: tuple[int, ...], likelihood: float) -> float:
        words = tokenizer.decode(tokens).split()
        if (lexicon is not None and not set(words) <= known) or not likelihood:
            return -math.inf
        total = math.log(likelihood) + sum(boost * occurrences(words, phrase) for phrase, boost in hotwords.items())
        if model is None:
            return total
        total += 0.8 * language(model, words) + 0.3 * len(words)
        if model is speller:
            return total + 0.4 * len(" ".join(words))
        return total - 1.5 * sum(word not in known for word in words)

    expected = {tokens: score(tokens, value) for tokens, value in likelihoods(log_probs).items()}
    search = BeamSearch(
        tokenizer, lm=model, lm_weight=0.8, word_bonus=0.3, lexicon=lexicon, hotwords=hotwords,
        character_bonus=0.4, unknown_score=-1.5, nbest=400, **WIDE,
    )  # fmt: skip
    found = {hypothesis.tokens: hypothesis for hypothesis in search(log_probs)}
    for tokens, hypothesis in found.items():
        assert hypothesis.score == pytest.approx(expected[tokens], abs=1e-9), tokens
    assert len(found) > 2
    assert next(iter(found)) == max(expected, key=expected.__getitem__)


def test_a_narrow_beam_finds_what_a_wide_one_finds_where_frames_are_sure() -> None:
    log_probs = emissions(3, 60, 4, sharpness=6.0)
    wide, narrow = BeamSearch(TOKENIZER, **{**WIDE, "beam_size": 400})(log_probs), BeamSearch(TOKENIZER, 8)(log_probs)
    assert (narrow[0].tokens, narrow[0].score) == (wide[0].tokens, pytest.approx(wide[0].score, abs=1e-9))


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("tokenizer", [TOKENIZER, Subwords()], ids=["char", "subwords"])
def test_what_is_skipped_unasked_could_not_have_survived(
    seed: int, tokenizer: CharTokenizer, lm: asr.lm.NgramModel, speller: asr.lm.NgramModel
) -> None:
    """The bounds on the factors of tokens save work and change nothing."""
    log_probs = emissions(seed, 80, tokenizer.size, sharpness=2.0)
    for options in (
        {"lm": lm, "lexicon": ["a", "ab", "b"]},
        {"lm": lm, "hotwords": {"a b": 3.0, "b": -2.0}},
        {"lm": lm},
        {"lm": speller, "hotwords": {"a b": 3.0, "b": -2.0}},
        {"lm": speller, "character_bonus": 1.5},
    ):
        bounded, asked = (BeamSearch(tokenizer, 6, nbest=6, **options) for _ in range(2))
        asked._words.tokens["gain"] = asked._words.tokens["reach"] = math.inf
        assert bounded(log_probs) == asked(log_probs)


@pytest.mark.parametrize("model", ["lm", "speller"])
@pytest.mark.parametrize("seed", range(20))
def test_in_chunks_equals_at_once(seed: int, model: str, request: pytest.FixtureRequest) -> None:
    rng = numpy.random.default_rng(seed)
    log_probs = emissions(seed, 300, 4, sharpness=4.0).float()
    lm = request.getfixturevalue(model)
    search = BeamSearch(TOKENIZER, 12, lm=lm, hotwords={"b a": 2.0}, nbest=12)
    state = search.start()
    cuts = sorted(rng.integers(0, 301, size=rng.integers(1, 30)).tolist())
    for start, end in itertools.pairwise([0, *cuts, 300]):
        state = search.advance(state, log_probs[start:end])
        if start % 3 == 0:
            search.finish(state)  # a look in between changes nothing
    assert search.finish(state) == search(log_probs)


@pytest.mark.parametrize("chunk", [400, 1, 7])
def test_boosts_that_add_up_beyond_all_numbers_are_borne(chunk: int) -> None:
    """200 words of e^8 each make e^1600, where float64 ends at e^709."""
    said = TOKENIZER.encode("ab ") * 200
    log_probs = torch.full((len(said), TOKENIZER.size), 1e-4).log()
    log_probs[range(len(said)), said] = math.log(1 - 1e-4 * (TOKENIZER.size - 1))
    search = BeamSearch(TOKENIZER, 10, hotwords={"ab": 8.0})
    state = search.start()
    for frames in log_probs.split(chunk):
        state = search.advance(state, frames)
    (best,) = search.finish(state)
    assert best.text == " ".join(["ab"] * 200)
    assert best.score == pytest.approx(1600 + best.acoustic_score)


@pytest.mark.parametrize("words", [["ab"], ["ab", "ba"], ["b", "aba"]])
@pytest.mark.parametrize("seed", range(12))
def test_nothing_but_words_of_the_lexicon_is_ever_returned(seed: int, words: list[str]) -> None:
    log_probs = emissions(seed, 2 + seed % 5, 4, sharpness=1.0)
    totals = likelihoods(log_probs)
    allowed = {tokens: total for tokens, total in totals.items() if set(TOKENIZER.decode(tokens).split()) <= {*words}}
    found = BeamSearch(TOKENIZER, lexicon=words, nbest=400, **WIDE)(log_probs)
    assert {each.tokens for each in found} <= allowed.keys()
    assert found[0].score == pytest.approx(math.log(max(allowed.values())), abs=1e-9)


def test_of_what_a_lexicon_cuts_short_the_likeliest_comes_first() -> None:
    """ "ab ab a" broke off within a word."""
    said = [1, 2, 3, 1, 2, 3, 1]
    space = TOKENIZER.encode(" ")[0]
    said = [space if token == 3 else token for token in said]
    log_probs = torch.full((len(said), TOKENIZER.size), -math.inf)
    log_probs[range(len(said)), said] = 0.0
    noisy = (0.99 * log_probs.exp() + 0.01 / TOKENIZER.size).log()
    noisy[-1] = log_probs[-1]
    for most in (1, 3):
        best, *_ = BeamSearch(TOKENIZER, lexicon=["ab"], nbest=most)(noisy)
        assert best.text == "ab ab"


def test_a_state_may_be_used_twice() -> None:
    first, left, right = (emissions(seed, 20, 4, 3.0) for seed in range(3))
    search = BeamSearch(TOKENIZER, 10)
    state = search.advance(search.start(), first)
    for ending in (left, right):
        assert search.finish(search.advance(state, ending)) == search(torch.cat([first, ending]))


def test_batch_equals_one_by_one(lm: asr.lm.NgramModel) -> None:
    lengths = torch.tensor([40, 0, 17, 1, 33])
    log_probs = torch.stack([emissions(seed, 40, 4, 2.0).float() for seed in range(5)])
    search = BeamSearch(TOKENIZER, 10, lm=lm, nbest=3)
    expected = [search(frames[:length]) for frames, length in zip(log_probs, lengths.tolist(), strict=True)]
    assert search.batch(log_probs, lengths, threads=2) == expected == search.batch(log_probs, lengths, threads=1)


def test_the_tree_is_pruned_without_a_trace() -> None:
    """Long and flat enough for several rounds of forgetting; a shorter tree must change nothing."""
    log_probs = emissions(1, 1500, 4, sharpness=1.0)
    search = BeamSearch(TOKENIZER, 30, token_cut=0.0)
    whole = search.advance(search.start(), log_probs)
    assert len(whole.tables.tree) < 1500 * 10
    roomy = search.start()
    roomy.tables.tree.resize(200_000, refcheck=False)
    assert search.finish(search.advance(roomy, log_probs)) == search.finish(whole)


def test_lexicon_that_cannot_say_what_was_heard_gives_what_it_can() -> None:
    """The frames insist on "bb"; the lexicon has only "ab"."""
    log_probs = torch.full((4, 4), -math.inf)
    log_probs[torch.arange(4), torch.tensor([2, 0, 2, 0])] = 0.0
    (hypothesis,) = BeamSearch(TOKENIZER, lexicon=["ab"])(log_probs)
    assert (hypothesis.text, hypothesis.score) == ("", -math.inf)
    unfinished = emissions(0, 8, 4, 0.1)
    unfinished[-1] = torch.tensor([0.0, -math.inf, -math.inf, -math.inf])
    assert set(BeamSearch(TOKENIZER, lexicon=["ab"])(unfinished)[0].text.split()) <= {"ab"}


@pytest.mark.parametrize(
    ("log_probs", "said"),
    [
        (torch.zeros(3, 4), "frame 0 add up to 4"),
        (torch.cat([emissions(0, 2, 4), torch.full((1, 4), math.nan)]), "frame 2 add up to nan"),
        (emissions(0, 2, 4).index_fill(0, torch.tensor([1]), math.inf), "frame 1 add up to inf"),
        (emissions(0, 2, 4).exp(), "frame 0"),
        (emissions(0, 2, 5), "tokenizer has 4 tokens"),
        (emissions(0, 2, 4)[None], "tokenizer has 4 tokens"),
    ],
)
def test_what_is_not_log_probabilities_is_refused(log_probs: torch.Tensor, said: str) -> None:
    with numpy.errstate(over="ignore"), pytest.raises(ValueError, match=said):
        BeamSearch(TOKENIZER)(log_probs)


@pytest.mark.parametrize("setting", ["beam_size", "nbest", "lm_weight", "token_cut", "score_margin"])
def test_impossible_settings_are_refused(setting: str) -> None:
    with pytest.raises(ConfigError, match=setting):
        BeamSearch(TOKENIZER, **{setting: -1})
