"""What can go wrong, said in one line that names the place and the remedy.

    AsrError
    |-- ConfigError        a recipe or setting: unknown key, impossible value
    |-- CorpusError        a corpus that cannot be found, downloaded or verified
    |-- ManifestError      a manifest line: broken JSON, missing field, impossible time
    |-- AudioError         an audio file: missing, empty, truncated, not audio
    |-- TextError          a transcript: characters outside the vocabulary
    |-- LanguageModelError a language model: broken ARPA line, missing file, too little text
    |-- BundleError        a model bundle: file missing, newer version
    |-- TrainingError      a training that cannot start or go on
    `-- DependencyError    an optional package that is not installed

Every message is one line: `where: what; remedy`. The command line prints it on stderr and exits with status 1.
"""


class AsrError(Exception):
    """Base of every error this package raises on purpose."""


class ConfigError(AsrError):
    """A recipe or a setting is wrong."""


class CorpusError(AsrError):
    """A corpus cannot be found, downloaded or verified."""


class ManifestError(AsrError):
    """A manifest, or one of its lines, is wrong."""


class AudioError(AsrError):
    """An audio file cannot be read as asked."""


class TextError(AsrError):
    """A text cannot be written in the tokens of the vocabulary."""


class LanguageModelError(AsrError):
    """A language model cannot be read, written, or trained on this text."""


class BundleError(AsrError):
    """A model bundle is incomplete, or made by a newer version."""


class TrainingError(AsrError):
    """A training cannot start or go on."""


class DependencyError(AsrError):
    """An optional package is needed and not installed; the message names the command that installs it."""
