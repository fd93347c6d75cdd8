"""A model bundle: the folder that is everything needed to transcribe, and holds no pickle.

model.safetensors   the weights
config.json         format version, settings of features, text and model, provenance
tokenizer.json      the vocabulary (tokenizer.model for BPE)
README.md           the model card
calibration.json    what makes its confidences mean something, once that has been fitted on dev
"""

import json
import os
import shutil
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from asr import __version__
from asr.config import FeatureConfig, ModelConfig, TextConfig
from asr.errors import AsrError, BundleError
from asr.model.ctc import Model
from asr.settings import Positive, Settings, parse_settings
from asr.text.tokenizer import Tokenizer, load_tokenizer
from asr.whole import replace_folder

FORMAT_VERSION = 1
TRAINING_ONLY = ("label_prior",)
"""Of a model's state, what inference has no use for and a bundle does not hold."""
CALIBRATION_FILE = "calibration.json"


class Calibration(Settings):
    """The softmax temperatures of word confidences (Guo et al. 2017): one for the words that greedy decoding finds,
    one for those of beam search. At 1 a confidence is what the model says.
    """

    greedy: Positive = 1.0
    beam: Positive = 1.0


UNCALIBRATED = Calibration()


@dataclass(frozen=True)
class Bundle:
    """A model with what it needs to read audio and to write text."""

    model: Model
    tokenizer: Tokenizer
    text: TextConfig
    features: FeatureConfig
    architecture: ModelConfig
    provenance: dict[str, Any] = field(default_factory=dict)
    """Where the model comes from: data, seed, dev WER, training time. JSON values only."""
    card: str = ""
    """The model card, Markdown."""
    calibration: Calibration = UNCALIBRATED


class _BundleConfig(Settings):
    format_version: int
    asr_version: str
    features: FeatureConfig
    text: TextConfig
    model: ModelConfig
    provenance: dict[str, Any]


def save_bundle(folder: Path | str, bundle: Bundle) -> None:
    """Write a bundle. It is written beside its place and then renamed, so a half-written bundle cannot exist."""
    folder = Path(folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    config = _BundleConfig(
        format_version=FORMAT_VERSION,
        asr_version=__version__,
        features=bundle.features,
        text=bundle.text,
        model=bundle.architecture,
        provenance=bundle.provenance,
    )
    fresh = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        fresh.chmod(0o755)
        state = bundle.model.state_dict()
        weights = {name: state[name].detach().cpu().contiguous() for name in state if name not in TRAINING_ONLY}
        save_file(weights, fresh / "model.safetensors")
        (fresh / "config.json").write_text(json.dumps(config.model_dump(), indent=2) + "\n", encoding="utf-8")
        bundle.tokenizer.save(fresh)
        (fresh / "README.md").write_text(bundle.card, encoding="utf-8")
        if bundle.calibration != UNCALIBRATED:
            store_calibration(fresh, bundle.calibration)
        replace_folder(fresh, folder)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)


def load_bundle(folder: Path | str) -> Bundle:
    """Read a bundle; the model is in eval mode, on the CPU.

    Raises:
        BundleError: no such folder, a file missing or damaged, or a bundle made by a newer version.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise BundleError(f"{folder}: no such model bundle; give the folder that training wrote, e.g. runs/an4/model")
    config = _read_config(folder)
    weights = _present(folder / "model.safetensors")
    try:
        tokenizer = load_tokenizer(folder)
        model = Model(config.features, config.model, tokenizer.size)
        model.load_state_dict(load_file(weights) | {name: model.state_dict()[name] for name in TRAINING_ONLY})
    except AsrError as error:
        raise BundleError(f"{folder}: {error}") from None
    except (SafetensorError, RuntimeError) as error:
        reason = " ".join(str(error).split())[:200]
        raise BundleError(
            f"{weights}: damaged, or not the weights of this config.json ({reason}); copy it again"
        ) from None
    model.eval()
    card = folder / "README.md"
    return Bundle(
        model=model,
        tokenizer=tokenizer,
        text=config.text,
        features=config.features,
        architecture=config.model,
        provenance=config.provenance,
        card=card.read_text(encoding="utf-8") if card.exists() else "",
        calibration=_read_calibration(folder / CALIBRATION_FILE),
    )


def store_calibration(folder: Path, calibration: Calibration) -> None:
    """Write the calibration of a bundle into its folder, complete or not at all."""
    path = folder / CALIBRATION_FILE
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        fresh.write_text(json.dumps(calibration.model_dump(), indent=2) + "\n", encoding="utf-8")
        fresh.replace(path)
    finally:
        fresh.unlink(missing_ok=True)


def _read_calibration(path: Path) -> Calibration:
    if not path.is_file():  # no bundle has one before it is tuned
        return UNCALIBRATED
    try:
        return parse_settings(Calibration, json.loads(path.read_text(encoding="utf-8")), str(path))
    except (ValueError, AsrError) as error:
        reason = " ".join(str(error).split())
        raise BundleError(f"{path}: not a calibration ({reason}); delete it, and run `asr tune` again") from None


def _read_config(folder: Path) -> _BundleConfig:
    path = _present(folder / "config.json")
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        version = values["format_version"]
    except (ValueError, KeyError, TypeError, UnicodeDecodeError):
        raise BundleError(f"{path}: not the configuration of a model bundle; copy the bundle again") from None
    if version != FORMAT_VERSION:
        raise BundleError(
            f"{path}: bundle format {version}, made by asr {values.get('asr_version', 'unknown')}; this is asr "
            f"{__version__}, which reads format {FORMAT_VERSION}; install a newer asr"
        )
    try:
        return parse_settings(_BundleConfig, values, str(path))
    except AsrError as error:
        raise BundleError(str(error)) from None


def _present(path: Path) -> Path:
    if not path.is_file():
        raise BundleError(f"{path}: missing from the model bundle; copy the whole folder again")
    return path
