"""The model that a training begins with, where that is not a new one: to go on with other data, or to adapt it."""

import json

from asr.config import Recipe
from asr.errors import ConfigError
from asr.model import Bundle, load_bundle
from asr.text.tokenizer import BpeTokenizer

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
