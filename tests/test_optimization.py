"""The running average of weights, step by step."""

import pytest
import torch
from torch import nn

from hf_unet.training.optimization import build_average


def test_the_average_begins_with_a_short_memory_and_ends_with_the_one_asked_for() -> None:
    model = nn.Linear(1, 1, bias=False)
    average = build_average(model, decay=0.5)
    assert average is not None
    expected, value = 0.0, 0.0
    for step in range(14):
        value = float(step + 1)
        with torch.no_grad():
            model.weight.fill_(value)
        average.update_parameters(model)
        # The first update takes the weights as they are; then (1 + n) / (10 + n), at most 0.5.
        decay = 0.0 if step == 0 else min(0.5, (1 + step) / (10 + step))
        expected = decay * expected + (1 - decay) * value
        assert average.module.weight.item() == pytest.approx(expected, rel=1e-6)
    assert (1 + 8) / (10 + 8) == 0.5  # from step 8 on it is the decay that was asked for


def test_a_short_run_ends_with_what_it_learnt() -> None:
    model = nn.Linear(1, 1, bias=False)
    average = build_average(model, decay=0.998)
    assert average is not None
    with torch.no_grad():
        model.weight.fill_(0.0)
    average.update_parameters(model)
    with torch.no_grad():
        model.weight.fill_(1.0)
    for _ in range(60):
        average.update_parameters(model)
    assert average.module.weight.item() > 0.99


def test_no_decay_is_no_average() -> None:
    assert build_average(nn.Linear(1, 1), decay=0.0) is None
