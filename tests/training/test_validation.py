"""Scores on dev, of readings that are given."""

import math
from types import SimpleNamespace

import pytest
import torch

from asr.training.speech import SpeechTask
from asr.training.validation import validate


def test_rate_and_standard_error_are_those_of_what_was_read(recipe, monkeypatch):
    task = SpeechTask(recipe)
    batches = list(task.inputs.load_dev())
    texts = [text for batch in batches for text in batch.texts]
    errors = [0, 0, 1, 0, 2, 0, 0, 1]
    assert [len(text.split()) for text in texts] == [1] * len(errors)
    read = iter([" ".join([text, *["more"] * count]) for text, count in zip(texts, errors, strict=True)])
    monkeypatch.setattr(
        "asr.training.validation.greedy", lambda log_probs, *_: [SimpleNamespace(text=next(read)) for _ in log_probs]
    )
    found = validate(task.build().eval(), batches, task.inputs.tokenizer, torch.device("cpu"))
    assert found.wer == 0.5
    assert found.standard_error == pytest.approx(math.sqrt(sum((count - 0.5) ** 2 for count in errors)) / 8)
