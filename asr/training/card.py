"""The model card and the provenance that travel in the bundle."""

import json
from typing import Any

from asr import __version__
from asr.config import Recipe
from asr.text import Normalizer


def provenance(recipe: Recipe, data: dict[str, Any], outcome: dict[str, Any]) -> dict[str, Any]:
    """Where a model comes from: the recipe it was trained by, its data, and how the training went."""
    return {"recipe": recipe.model_dump(mode="json"), "data": data, "outcome": outcome, "asr_version": __version__}


def model_card(recipe: Recipe, data: dict[str, Any], outcome: dict[str, Any], parameters: int) -> str:
    """The model's README: what it is, what it was trained on, how good it is, and what to fill in before sharing it."""
    model = recipe.model
    direction = "bidirectional" if model.bidirectional else "unidirectional"
    wer = outcome.get("dev_wer")
    score = (
        f"{wer:.2%} ({data['dev_utterances']} utterances, greedy)" if wer is not None else "not measured, no dev set"
    )
    return f"""# Speech recognition model

{model.layers} {direction} {model.cell.upper()} layers of {model.units} units, subsampling x{model.subsampling}, CTC;
{parameters / 1e6:.2f} M parameters. Made by asr {__version__}.

| | |
|---|---|
| training data | {data["train_hours"]:.2f} h, {data["train_utterances"]} utterances: {", ".join(data["train"])} |
| WER on dev | {score} |
| epochs, optimizer steps | {outcome["epoch"]}, {outcome["step"]}{_averaged(outcome)} |
| training time | {outcome["seconds"] / 60:.1f} min in {outcome["precision"]} on {outcome["device"]} |
| seed | {recipe.seed} |
| text | {Normalizer(recipe.text).describe()} |

The dev set chose this checkpoint, so its WER is a little flattering: quote the WER of a test set
(`asr evaluate`). State the licence of the training data before you share the model.

## Recipe

```json
{json.dumps(recipe.model_dump(mode="json"), indent=2)}
```
"""


def _averaged(outcome: dict[str, Any]) -> str:
    epochs = outcome.get("averaged_epochs")
    return f"; weights are the mean of those after epochs {', '.join(map(str, epochs))}" if epochs else ""
