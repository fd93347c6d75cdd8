"""References and hypotheses in, error rates out. Sees only strings, so it can score any system."""

import sys
from typing import TYPE_CHECKING

from asr.rooms import Room

if TYPE_CHECKING:
    from asr.evaluation.calibration import Reliability as Reliability
    from asr.evaluation.calibration import reliability as reliability
    from asr.evaluation.rates import ErrorRates as ErrorRates
    from asr.evaluation.rates import UtteranceErrors as UtteranceErrors
    from asr.evaluation.rates import confusions as confusions
    from asr.evaluation.rates import oracle_wer as oracle_wer
    from asr.evaluation.rates import score as score
    from asr.evaluation.report import Evaluation as Evaluation
    from asr.evaluation.report import hypothesis_lines as hypothesis_lines
    from asr.evaluation.report import render as render
    from asr.evaluation.report import to_json as to_json
    from asr.evaluation.report import write_hypotheses as write_hypotheses
    from asr.evaluation.report import write_json as write_json
    from asr.evaluation.significance import Comparison as Comparison
    from asr.evaluation.significance import bootstrap_interval as bootstrap_interval
    from asr.evaluation.significance import compare as compare
    from asr.evaluation.significance import standard_error as standard_error
    from asr.evaluation.speed import Speed as Speed

_HOME = {
    "Comparison": "asr.evaluation.significance",
    "ErrorRates": "asr.evaluation.rates",
    "Evaluation": "asr.evaluation.report",
    "Reliability": "asr.evaluation.calibration",
    "Speed": "asr.evaluation.speed",
    "UtteranceErrors": "asr.evaluation.rates",
    "bootstrap_interval": "asr.evaluation.significance",
    "compare": "asr.evaluation.significance",
    "confusions": "asr.evaluation.rates",
    "hypothesis_lines": "asr.evaluation.report",
    "oracle_wer": "asr.evaluation.rates",
    "reliability": "asr.evaluation.calibration",
    "render": "asr.evaluation.report",
    "score": "asr.evaluation.rates",
    "standard_error": "asr.evaluation.significance",
    "to_json": "asr.evaluation.report",
    "write_hypotheses": "asr.evaluation.report",
    "write_json": "asr.evaluation.report",
}
__all__ = [
    "Comparison",
    "ErrorRates",
    "Evaluation",
    "Reliability",
    "Speed",
    "UtteranceErrors",
    "bootstrap_interval",
    "compare",
    "confusions",
    "hypothesis_lines",
    "oracle_wer",
    "reliability",
    "render",
    "score",
    "standard_error",
    "to_json",
    "write_hypotheses",
    "write_json",
]

sys.modules[__name__].__class__ = Room
