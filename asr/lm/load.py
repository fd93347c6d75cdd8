"""Opening a language model, whatever its form."""

from pathlib import Path

from asr.errors import LanguageModelError
from asr.lm.arpa import read_arpa
from asr.lm.ngram import MAGIC, NgramModel, map_model

MODEL_FILE = "ngram.bin"
"""The n-gram model in a folder."""
RNN_FILE = "rnn.safetensors"
"""The weights of a recurrent model in a folder; `asr.lm.rnn` reads them."""


def load(path: Path | str) -> NgramModel:
    """Open an n-gram model: an ARPA file, plain or gzip, a file of `NgramModel.save`, or a folder with its `ngram.bin`.

    The content decides, not the name. Our own file is mapped, not read; an ARPA file takes seconds for a million
    n-grams, so save it once.

    Raises:
        LanguageModelError: there is no such model, or it is damaged; names file, line and remedy.
    """
    path = Path(path)
    if path.is_dir():
        folder, path = path, path / MODEL_FILE
        if not path.is_file():
            if recurrent_folder(folder):
                raise LanguageModelError(
                    f"{folder}: a recurrent language model, which beam search cannot use; rescore with it (--rescore)"
                )
            raise LanguageModelError(
                f"{path}: no such file; give the folder that `asr lm train` wrote, or an ARPA file"
            )
    try:
        with path.open("rb") as file:
            is_ours = file.read(len(MAGIC)) == MAGIC
    except FileNotFoundError:
        raise LanguageModelError(f"{path}: no such language model; check the path") from None
    except OSError as error:
        raise LanguageModelError(f"{path}: cannot be read ({error.strerror}); give a file") from None
    return map_model(path) if is_ours else read_arpa(path)


def recurrent_folder(path: Path | str) -> Path | None:
    """The folder of a recurrent model: the one given, or where a training there has put it; None if there is none."""
    places = Path(path), Path(path) / "model"
    return next((place for place in places if (place / RNN_FILE).is_file()), None)
