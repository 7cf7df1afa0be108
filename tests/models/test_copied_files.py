"""Architecture files that were copied from an earlier version import what they did then."""

from __future__ import annotations

import importlib

import pytest

NAMES = {
    "inklings.layers.attention": "KeyValueCache Piece attend caches_of empty_caches place",
    "inklings.layers.dropout": "Dropout dropout",
    "inklings.layers.softmax_attention": "plain_attention softmax_attention",
    "inklings.models.contract": "ModelConfig Output SequenceModel State Traits require",
    "inklings.models.from_noise": "Critic SampleModel",
    "inklings.models.gpt2": "GPT2 GPT2Config",
    "inklings.models.textgan": "TextGAN",
    "inklings.models.textgan_critic": "PerceptronCritic",
    "inklings.models.varda": "Varda VardaConfig",
    "inklings.models.wavenet": "WaveNet WaveNetConfig WaveNetStack",
    "inklings.models.wavenet_on_cpu": "EPSILON layers_on_cpu",
}


@pytest.mark.parametrize("module", NAMES)
def test_what_copied_files_import_is_there(module: str) -> None:
    home = importlib.import_module(module)
    assert not [name for name in NAMES[module].split() if not hasattr(home, name)]
