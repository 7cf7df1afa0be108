"""A drawing says what the model is: its parts, its sizes, and what its settings change."""

from __future__ import annotations

import re
from pathlib import Path
from xml.etree import ElementTree

import pytest
import torch
from torch import nn

from inklings.config import RunConfig
from inklings.models.contract import Architecture
from inklings.models.drawings.drawing import Drawing
from inklings.models.drawings.svg import WIDTH, svg
from inklings.models.registry import build
from inklings.models.textgan.model import TextGAN
from inklings.models.varda.model import Varda
from inklings.runs.arms import parse_arm
from tests.commands import Command

ROOT = Path(__file__).parents[2]
PICTURES = ROOT / "docs" / "images" / "architectures"
ARMS = [
    "wavegpt",
    "wavegpt:fusion=leaky_broadcast",
    "wavegpt:fusion=previous_segment,gate=channel,n_embd=64,wave_cycles=2",
    "wavegpt:fusion=closed_blocks,mix=probabilities,gate=input,wave_layers=1",
    "wavegpt:wave_layers=12,mix=logits,n_layer=1,n_head=12,n_embd=768,context_length=1024",
    "textgan",
    "textgan:preset=described,n_output_layer=0,n_layer=2",
    "textgan:n_embd=16,n_mapping=3,feedback=through,n_critic_layer=4,n_critic_input_layer=2",
    "textgan:critic=transformer,style_noise=full,word_input=fixed_token,n_critic_input_layer=3",
    "varda",
    "varda:reader=attention,write=surprisal,backbone=[recurrent:n_hidden=48]",
    "varda:reader=attention,write=learned,memory_dim=32,delete_within=0.5",
    "varda:reader=concat,write=random,index_type=hnsw,freeze_backbone=true",
    "varda:reader=concat,memory_dim=16,write=learned,delete_within=0.5,forgetfulness_factor=0.001",
]
PUBLISHED = {
    "wavegpt": "wavegpt",
    "wavegpt-as-published": "wavegpt:fusion=leaky_broadcast",
    "textgan": "textgan",
    "textgan-as-described": "textgan:preset=described",
    "varda": "varda",
    "varda-as-published": "varda:reader=concat,write=learned,num_search_results=5",
}
"""The pictures of the documentation, and what each is of."""
BOLD, PLAIN = 7.0, 6.1
"""Pixels of a character, on average, in a title and in a line of a box."""


def model_of(arm: str) -> Architecture:
    config = parse_arm(arm, base=RunConfig()).config
    assert config is not None
    return build(config.architecture, config.model, vocab_size=27, boundary_token=0)


def drawing_of(model: Architecture) -> Drawing:
    drawing = model.drawing()
    assert drawing is not None
    return drawing


def parameters(model: Architecture) -> dict[str, nn.Parameter]:
    """Those of a model, and of the critic that it would learn against."""
    found = dict(model.named_parameters())
    if isinstance(model, TextGAN):
        found |= {f"critic.{name}": one for name, one in model.make_critic().named_parameters()}
    return found


@pytest.mark.parametrize("arm", ARMS)
def test_every_parameter_belongs_to_a_box(arm: str) -> None:
    model = model_of(arm)
    parts = [part for box in drawing_of(model).boxes for part in box.parts]
    lost = [name for name in parameters(model) if not name.startswith(tuple(parts))]
    assert not lost


@pytest.mark.parametrize("arm", ARMS)
def test_the_sizes_of_a_box_are_those_of_its_weights(arm: str) -> None:
    """What is mapped to what is a side of a weight of the box; of one without, of any weight."""
    model = model_of(arm)
    named = parameters(model)
    for box in drawing_of(model).boxes:
        told = re.findall(r"\d+(?: [→x] \d+)+", "; ".join(box.lines).replace(",", ""))
        sides = {int(number) for pair in told for number in re.findall(r"\d+", pair)}
        own = [one for name, one in named.items() if name.startswith(box.parts or ("",))]
        memory = {model.config.memory_size} if isinstance(model, Varda) else set()
        assert sides <= {side for weight in own for side in weight.shape} | memory, box


@pytest.mark.parametrize("arm", ARMS)
def test_arrows_and_frames_name_boxes_and_text_fits(arm: str) -> None:
    for panel in drawing_of(model_of(arm)).panels:
        names = [box.name for box in panel.boxes]
        assert len(names) == len(set(names))
        ends = {end for arrow in panel.arrows for end in (arrow.source, arrow.target)}
        assert ends == set(names), "a box without an arrow, or an arrow without a box"
        assert {name for frame in panel.frames for name in frame.boxes} <= set(names)
        assert len({box.at for box in panel.boxes}) == len(names), "two boxes in one place"
        for box in panel.boxes:
            assert len(box.title) * BOLD <= WIDTH, box.title
            assert all(len(line) * PLAIN <= WIDTH for line in box.lines), box.lines


@pytest.mark.parametrize(
    ("arm", "change"),
    [
        (arm, change)
        for arm, changes in {
            "wavegpt": "n_layer=2 n_head=2 n_embd=64 context_length=32 wave_layers=3 kernel_size=3"
            " wave_cycles=2 fusion=closed_blocks mix=logits gate=sigmoid",
            "textgan": "context_length=16 n_embd=16 n_head=2 n_hidden=64 n_mapping=3 n_layer=2"
            " n_output_layer=2 n_critic_layer=3 n_critic_hidden=64 rows=soft feedback=argmax"
            " mapping=linear attention=both_ways noise=redrawn noise_scale=one norm=after"
            " critic=transformer minibatch_std=false mask=false loss=relativistic critic_steps=2"
            " penalty=3 n_critic_input_layer=2 noise_distribution=uniform style_noise=full"
            " word_input=last_token",
            "textgan:critic=transformer": "n_critic_output_layer=2",
            "varda": "backbone=gpt freeze_backbone=true reader=attention num_search_results=5"
            " sharpness=10 share=0.1 write=learned segment=32 memory_size=500 memory_dim=16"
            " index_type=flat forgetfulness_factor=0.1 delete_within=0.5 context_length=32",
            "varda:write=random": "write_budget=0.1",
        }.items()
        for change in changes.split()
    ],
)
def test_a_changed_setting_changes_the_drawing(arm: str, change: str) -> None:
    changed = f"{arm}{',' if ':' in arm else ':'}{change}"
    before, after = drawing_of(model_of(arm)), drawing_of(model_of(changed))
    assert before.panels != after.panels


@pytest.mark.parametrize("arm", ARMS)
def test_a_picture_is_whole_and_nothing_lies_outside(arm: str) -> None:
    drawing = drawing_of(model_of(arm))
    tree = ElementTree.fromstring(svg(drawing))
    _, _, width, height = map(float, tree.attrib["viewBox"].split())
    texts = [one.text for one in tree.iter() if one.tag.endswith("}text")]
    for box in drawing.boxes:
        assert {box.title or "+", *box.lines} <= set(texts)
    for one in tree.iter():
        if one.tag.endswith("}rect"):
            x, y, wide, high = (float(one.attrib[k]) for k in ("x", "y", "width", "height"))
            assert 0 <= x <= x + wide <= width and 0 <= y <= y + high <= height


def test_drawing_leaves_the_global_generator_as_it_was() -> None:
    model = model_of("textgan:preset=described")
    before = torch.random.get_rng_state()
    model.drawing()
    assert torch.equal(before, torch.random.get_rng_state())


@pytest.mark.parametrize("name", PUBLISHED)
def test_the_pictures_of_the_documentation_are_what_the_command_draws(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """`inklings models ARM --draw docs/images/architectures/NAME.svg` makes each anew."""
    picture = tmp_path / f"{name}.svg"
    code, said = Command(capsys)("models", PUBLISHED[name], "--draw", picture)
    assert code == 0, said
    assert picture.read_bytes() == (PICTURES / f"{name}.svg").read_bytes()


def test_what_has_no_drawing_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = Command(capsys)
    command.refuses("models", "mlp", "--draw", tmp_path / "x.svg", saying="has no drawing")
    command.refuses("models", "wavegpt", "--draw", tmp_path / "x.png", saying="x.svg")
    command.refuses("models", "--draw", tmp_path / "x.svg", saying="say of what")
    assert not list(tmp_path.iterdir())
