"""The model that a training begins with, where that is not a new one: to go on with other data, or to adapt it."""

import json
from collections.abc import Sequence

import torch

from asr.config import Recipe
from asr.errors import ConfigError
from asr.model import Bundle, Model, load_bundle
from asr.text import Tokenizer, build_tokenizer
from asr.text.tokenizer import BpeTokenizer, CharTokenizer

OF_TOKENS = {"head.weight": 0, "head.bias": 0, "feedback.weight": 1, "label_prior": 0}
"""Parameters and buffers that have a place for each token, and in which dimension."""
FREE = {"model.dropout", "model.weight_dropout", "model.layer_drop", "model.intermediate_layers"}
"""Settings that only training uses: here they may differ; intermediate layers not in a self-conditioned model."""


def load_initial(recipe: Recipe) -> Bundle | None:
    """What `training.initial_model` names, or None.

    Raises:
        BundleError: it cannot be read.
        ConfigError: it hears otherwise, is another network, or writes in tokens of another kind than the recipe says;
            names every setting.
    """
    folder = recipe.training.initial_model
    if folder is None:
        return None
    bundle = load_bundle(folder)
    free = FREE - {"model.intermediate_layers"} if bundle.architecture.self_conditioned else FREE
    different = [
        f"{table}.{key} = {json.dumps(has)}, not {json.dumps(wanted)}"
        for table, ours, theirs in (
            ("features", recipe.features, bundle.features),
            ("model", recipe.model, bundle.architecture),
        )
        for (key, wanted), has in zip(
            ours.model_dump(mode="json").items(), theirs.model_dump(mode="json").values(), strict=True
        )
        if wanted != has and f"{table}.{key}" not in free
    ]
    kind = "bpe" if isinstance(bundle.tokenizer, BpeTokenizer) else "char"
    if kind != recipe.tokenizer.kind:
        different.append(f'tokenizer.kind = "{kind}", not "{recipe.tokenizer.kind}"')
    if different:
        raise ConfigError(f"{folder}: this model has {', '.join(different)}; to begin with it, set the recipe alike")
    return bundle


def extend_tokenizer(recipe: Recipe, learned: Tokenizer, texts: Sequence[str]) -> Tokenizer:
    """The vocabulary of a training that begins with a model, which may be of another language.

    The recipe's characters, if it gives them; the model's own vocabulary, if that can write the transcripts; otherwise
    its characters and those they lack, or subwords made of them anew.

    Args:
        recipe: its tokenizer is of the model's kind.
        learned: the model's.
        texts: normalised transcripts.
    """
    lacking = sorted(set().union(*texts) - learned.characters)
    if isinstance(learned, CharTokenizer):
        return CharTokenizer(recipe.tokenizer.characters or "".join((*learned.tokens, *lacking)))
    return build_tokenizer(recipe.tokenizer, texts) if lacking else learned


def hand_over(learned: Bundle, model: Model, tokens: Sequence[str]) -> None:
    """Give a new model all that another has learned; tokens that the other lacks stay as they are.

    Args:
        learned: the other.
        model: alike but for its vocabulary; changed in place.
        tokens: the vocabulary of `model`.
    """
    known = {token: index for index, token in enumerate(learned.tokenizer.tokens)}
    ours = torch.tensor([index for index, token in enumerate(tokens) if token in known])
    theirs = torch.tensor([known[token] for token in tokens if token in known])
    values = model.state_dict()
    for name, value in learned.model.state_dict().items():
        if name in OF_TOKENS:
            values[name].index_copy_(OF_TOKENS[name], ours, value.index_select(OF_TOKENS[name], theirs))
        else:
            values[name].copy_(value)
