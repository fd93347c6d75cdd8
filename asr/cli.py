"""The command line: parse, call one function, print.

Results go to stdout; progress, notes and errors go to stderr, so that results can be piped. An `AsrError` is one line
and exit status 1, Ctrl-C is exit status 130, and anything else is a bug and keeps its traceback. What does the work is
imported inside the commands, so that `asr --help` answers at once.
"""

import math
import os
from json import dumps
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from asr import compare_cli, inspect_cli, label_cli, lm_cli, options, runs, transcribe_cli, tune_cli
from asr.console import flatten, note, progress, show
from asr.errors import AsrError, ConfigError, TextError
from asr.options import register

if TYPE_CHECKING:
    from asr.config import StatedConfig
    from asr.dataset import Manifest
    from asr.decoding import DecodingOptions
    from asr.evaluation import Evaluation


class _Commands(TyperGroup):
    """Turns what a command raises into one line and an exit status."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except AsrError as error:
            note(f"asr: {error}")
            raise typer.Exit(1) from None
        except KeyboardInterrupt as interruption:
            note(f"\nasr: {str(interruption) or 'stopped'}")
            raise typer.Exit(130) from None


app = typer.Typer(
    cls=_Commands,
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="Speech recognition that anyone can train, trust and run.",
    epilog="\b\nExample:\n  asr transcribe runs/synthetic/model talk.wav",
    context_settings={"help_option_names": ["-h", "--help"]},
)


def main() -> None:
    """Run the command line; never returns."""
    # OpenMP's threads, while they wait for one another, are to leave their cores to whoever else wants them: beside a
    # busy program they made each other up to eight times slower. To be said before PyTorch is loaded.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    app(prog_name="asr")


@register(app, "asr check data/an4/train.jsonl data/an4/dev.jsonl --recipe recipes/an4/default.toml")
def check(
    manifests: Annotated[list[Path], typer.Argument(metavar="MANIFEST", help="JSON Lines files.")],
    recipe: options.Recipe = None,
) -> None:
    """Verify manifests and the recordings they name; of several, say what they have in common."""
    from asr import config
    from asr.dataset.check import CheckReport, Subwords, check, render, render_common
    from asr.text import Normalizer

    anything = {"data": {"train": "any"}}
    settings = config.load_recipe(recipe) if recipe else config.Recipe.model_validate(anything)
    normalizer, data = Normalizer(settings.text), settings.data
    known = Subwords() if settings.tokenizer.kind == "bpe" else settings.tokenizer.characters or None
    features, subsampling = settings.features, settings.model.subsampling
    limits = (data.min_seconds, data.max_seconds) if recipe else (0.0, math.inf)
    failed, reports = False, list[CheckReport]()
    for path in manifests:
        try:
            with progress(f"checking {path}") as done:
                report = check(path, normalizer, known, features, subsampling, limits, done)
            reports.append(report)
            show(render(report))
            problems = report.problems
        except AsrError as error:
            problems = (str(error),)
        for problem in problems:
            failed = True
            note(f"asr: {problem}")
    if len(reports) > 1:
        show(render_common(reports))
    if failed:
        raise typer.Exit(1)


@register(app, "asr train recipes/an4/default.toml --set training.epochs=10")
def train(
    recipe: Annotated[Path, typer.Argument(metavar="RECIPE.toml", help="The experiment, a TOML file.")],
    run: Annotated[Path | None, typer.Option(help="Folder to train in.", show_default="runs/RECIPE")] = None,
    initial_model: Annotated[
        Path | None,
        typer.Option("--from", metavar="MODEL", help="Begin with this model.", show_default="a new one"),
    ] = None,
    resume: options.Resume = False,
    overwrite: options.Overwrite = False,
    verify: Annotated[
        bool, typer.Option("--verify", help="Fail if the error rate is not within the recipe's stated.wer.")
    ] = False,
    changes: options.Changes = None,
) -> None:
    """Train a recogniser, and score it on the test set."""
    from asr.config import load_recipe
    from asr.dataset import Manifest
    from asr.dataset.overlap import complaints
    from asr.evaluation import render, write_json
    from asr.training import load_initial, train

    begin = [f"training.initial_model={dumps(str(initial_model))}"] if initial_model else []
    settings = load_recipe(recipe, [*(changes or ()), *begin])
    data, run = settings.data, run or runs.folder(recipe)
    if verify and settings.stated is None:
        raise ConfigError(f"{recipe}: states no error rate to verify; add a table [stated] with wer = [LEAST, MOST]")
    # Mistakes show before anything is begun or replaced.
    for noise in settings.augment.noise:
        Manifest(noise)
    scored = {name: Manifest(name) for name in (data.dev, data.test) if name}
    for complaint in complaints(Manifest(*data.train), scored):
        note(complaint)
    load_initial(settings)
    if (beginning := settings.training.initial_model) and Path(beginning).resolve().is_relative_to(run.resolve()):
        raise ConfigError(f"{beginning}: training in {run} would replace the model to begin with; give another --run")
    try:
        train(settings, run, resume=runs.goes_on(run, resume, overwrite))
    except KeyboardInterrupt as stop:
        raise KeyboardInterrupt(f"{str(stop) or 'stopped'}; the same command with --resume goes on") from None
    note(f"model: {run / 'model'}")
    if data.test is not None:
        test = Manifest(data.test)
        evaluation = _evaluate(run / "model", test)
        show(render(evaluation))  # first, lest what took so long be lost with a full disk
        write_json(run / "evaluation.json", evaluation)
        recording = min(os.path.relpath(test[0].audio_filepath), str(test[0].audio_filepath), key=len)
        note(f"\nTry it: asr transcribe {run / 'model'} {recording}")
        if verify and settings.stated is not None:
            _verify(evaluation.rates.wer, settings.stated, recipe)


@register(app, "asr evaluate runs/an4/model data/an4/test.jsonl --json evaluation.json")
def evaluate(
    model: options.Model,
    manifest: Annotated[Path, typer.Argument(help="What was said: JSON Lines, or a recipe, for its test set.")],
    json: Annotated[Path | None, typer.Option(help="Write the rates here, as JSON.")] = None,
    hypotheses: Annotated[Path | None, typer.Option(help="Write each utterance here, as JSON Lines.")] = None,
    beam: options.Beam = 0,
    lm: options.Lm = None,
    lm_weight: options.LmWeight = None,
    word_bonus: options.WordBonus = None,
    lexicon: options.Lexicon = None,
    hotwords: options.Hotwords = None,
    hotword: options.Hotword = None,
    rescore: options.Rescore = None,
    phrases: options.Phrases = None,
    nbest: Annotated[int, typer.Option(min=1, help="Find so many readings, and what the best of them reach.")] = 1,
    batch_seconds: options.BatchSeconds = 60.0,
    device: options.Device = None,
    precision: options.Precision = options.Arithmetic.FP32,
) -> None:
    """Score a model on a manifest: error rates, speed, and whether its confidences can be trusted."""
    from asr.dataset import Manifest
    from asr.evaluation import render, write_hypotheses, write_json

    decoding = options.decoding_options(
        beam, lm, lm_weight, word_bonus, lexicon, hotwords, hotword, rescore, nbest, phrases
    )
    scored = Manifest(runs.scored(manifest))
    read = [manifest, scored.path, *filter(None, [lm, lexicon, hotwords, rescore, phrases])]
    if json is not None:
        options.output("--json", json, *read)
    if hypotheses is not None:
        options.output("--hypotheses", hypotheses, *read, *filter(None, [json]))
    evaluation = _evaluate(model, scored, batch_seconds, device, decoding, precision)
    show(render(evaluation))
    if json is not None:
        write_json(json, evaluation)
    if hypotheses is not None:
        write_hypotheses(hypotheses, evaluation)


@register(app, "asr info runs/an4/model")
def info(model: options.Model) -> None:
    """Say what a model is and where it comes from."""
    from asr.decoding.decoder import LM_FOLDER, read_weights
    from asr.model import load_bundle
    from asr.text import Normalizer

    bundle, tuned = load_bundle(model), read_weights(model / LM_FOLDER)
    settings = {"features": bundle.features, "text": bundle.text, "model": bundle.architecture}
    facts = {
        "parameters": f"{sum(weight.numel() for weight in bundle.model.parameters()):,}",
        "vocabulary": f"the blank and {' '.join(map(repr, bundle.tokenizer.tokens[1:]))}",
        "normalisation": Normalizer(bundle.text).describe(),
        **{name: table.model_dump() for name, table in settings.items()},
        "language_model": tuned.model_dump() if tuned else "none",
        "calibration": bundle.calibration.model_dump(),
        "provenance": bundle.provenance,
    }
    rows = list(flatten("", facts))
    width = max(len(name) for name, _ in rows)
    show("\n".join(f"{name:{width}}  {value or repr(value)}" for name, value in rows))


register(app, "asr transcribe runs/an4/model talk.wav answer.mp3 --format srt --output subtitles")(
    transcribe_cli.transcribe
)
register(app, "asr label runs/an4/model talk.mp3 more.jsonl --out labelled.jsonl")(label_cli.label)
app.add_typer(lm_cli.app, name="lm")
app.add_typer(inspect_cli.app, name="inspect")
register(app, "asr compare greedy.jsonl beam.jsonl")(compare_cli.compare)
register(app, "asr tune runs/an4/model data/an4/dev.jsonl --lm lm")(tune_cli.tune)


def _verify(wer: float, stated: "StatedConfig", recipe: Path) -> None:
    """Compare what came out with what the recipe states.

    Raises:
        AsrError: it is outside.
    """
    least, most = stated.wer
    found = f"WER {wer:.2%}, and the recipe states {least:.2%} to {most:.2%}"
    if not least <= wer <= most:
        raise AsrError(
            f"{recipe}: {found}; look for what changed since its RESULTS.md was written, or state what holds now"
        )
    note(f"verified: {found}")


def _evaluate(
    model: Path,
    manifest: "Manifest",
    batch_seconds: float = 60.0,
    device: str | None = None,
    decoding: "DecodingOptions | None" = None,
    precision: options.Arithmetic = options.Arithmetic.FP32,
) -> "Evaluation":
    from asr.text import check_coverage
    from asr.transcription import Recognizer, evaluate

    recognizer = Recognizer.load(model, device, decoding, precision.value)
    with progress("evaluating") as done:
        evaluation = evaluate(recognizer, manifest, batch_seconds, done)
    scored = evaluation.rates.utterances
    try:
        check_coverage(recognizer.tokenizer, (each.reference for each in scored), [each.id for each in scored], True)
    except TextError as error:
        note(f"{manifest.path}: all these are counted as errors: {error}")
    return evaluation
