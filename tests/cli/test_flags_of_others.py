"""Flags of other projects get a hint that names ours, and never stand in the way of ours."""

from __future__ import annotations

import re

import pytest

from inklings.cli.flags_of_others import HINTS, hints_of, plain
from inklings.cli.main import VERBS
from tests.commands import Command
from tests.surface.test_advice import KNOWN


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str]) -> Command:
    return Command(capsys)


def test_every_flag_that_a_hint_names_is_one_of_its_verbs() -> None:
    """Fields of a model are flags of `train` and `sweep`; `compare` has them in its ARMs."""
    wrong = [
        f"{verb} --{name}"
        for hint in HINTS
        for verb in hint.verbs
        for name in hint.ours.replace("_", "-").split()
        if name not in KNOWN["train" if name.startswith("model.") else verb]
    ]
    assert not wrong


def test_no_hint_hides_a_flag_of_ours() -> None:
    """However it is spelled: the hint would be told where the flag itself would do."""
    wrong = [
        f"{verb} --{flag}"
        for verb in VERBS
        for flag in KNOWN[verb]
        if plain(flag) in dict(hints_of(verb))
    ]
    assert not wrong


def test_a_hint_names_a_flag_or_says_why_there_is_none() -> None:
    assert not [hint for hint in HINTS if not hint.ours and not hint.note]
    assert {verb for hint in HINTS for verb in hint.verbs} <= set(VERBS)


def test_a_flag_of_others_means_one_thing_to_a_verb() -> None:
    for verb in VERBS:
        names = [name for name, _ in hints_of(verb)]
        assert len(names) == len(set(names)), verb


@pytest.mark.parametrize("flag", ["--max_iters=5000", "--max-iters=5000", "--Max-Iters=5000"])
def test_both_spellings_get_the_hint(command: Command, flag: str) -> None:
    command.refuses("train", "gpt", flag, saying=f"{flag.partition('=')[0]} is --budget here")
    command.refuses("train", "gpt", *flag.split("="), saying="is --budget here")


def test_the_command_of_nanogpt_gets_a_hint_for_each_flag(command: Command) -> None:
    """That of its README, for a CPU; each flag once."""
    theirs = (
        "config/train_shakespeare_char.py --device=cpu --compile=False --eval_iters=20"
        " --log_interval=1 --block_size=64 --batch_size=12 --n_layer=4 --n_head=4 --n_embd=128"
        " --max_iters=2000 --lr_decay_iters=2000 --dropout=0.0"
    )
    said = command.refuses(
        "train", *theirs.split(), saying="--block_size is --model.context-length"
    )
    for flag in re.findall(r"--\w+", theirs):
        assert len(re.findall(rf"{flag} (?:is|has)\b", said)) == 1, flag


def test_the_commands_of_wavegpt_vardagpt_and_gan_textgen_get_hints(command: Command) -> None:
    command.refuses("train", "wavegpt", "--wavenet_layers=5", saying="is --model.wave-layers here")
    command.refuses("train", "wavegpt", "--alpha", "0.5", saying="WaveGPT's is learned")
    command.refuses("memory", "run", "add", "x", "--use_gpu", saying="--use_gpu is --device here")
    command.refuses("train", "varda", "--use_gpu", saying="--use_gpu is --training.device")
    command.refuses(
        "train", "varda", "--num_search_results", "5", saying="--model.num-search-results"
    )
    command.refuses("memory", "run", "search", "x", "--num_search_results=5", saying="is --k here")
    said = command.refuses("train", "textgan", "--n_D", "5", "--Lambda=10", saying="--n_D is")
    assert "--Lambda is --model.penalty" in said
    command.refuses("generate", "--loadDir", "x", saying="the run is the first word")


def test_a_comparison_has_fields_in_its_arms(command: Command) -> None:
    command.refuses("compare", "gpt", "--block_size", "64", saying="gpt:context_length=")


def test_a_hint_comes_as_json_when_asked(command: Command) -> None:
    code, said = command("train", "gpt", "--out_dir=x", "--json")
    assert code == 2
    assert '"exit_code": 2' in said
