"""The model that a training begins with, where that is not a new one: to go on with other data, or to adapt it."""

import json

from asr.config import Recipe
from asr.errors import ConfigError
from asr.model import Bundle, load_bundle

FREE = {"model.dropout", "model.weight_dropout", "model.layer_drop"}
"""Settings that only training uses: here they may differ."""


def load_initial(recipe: Recipe) -> Bundle | None:
    """What `training.initial_model` names, or None.

    Raises:
        BundleError: it cannot be read.
        ConfigError: it hears otherwise, or is another network than the recipe says; names every setting.
    """
    folder = recipe.training.initial_model
    if folder is None:
        return None
    bundle = load_bundle(folder)
    different = [
        f"{table}.{key} = {json.dumps(has)}, not {json.dumps(wanted)}"
        for table, ours, theirs in (
            ("features", recipe.features, bundle.features),
            ("model", recipe.model, bundle.architecture),
        )
        for (key, wanted), has in zip(
            ours.model_dump(mode="json").items(), theirs.model_dump(mode="json").values(), strict=True
        )
        if wanted != has and f"{table}.{key}" not in FREE
    ]
    if different:
        raise ConfigError(f"{folder}: this model has {', '.join(different)}; to begin with it, set the recipe alike")
    return bundle
