"""What cached keys and one parallel pass save the text GAN.

Sampling, and a whole iteration of training.

    python benchmarks/textgan.py [sampling iteration] [--pairs 30] [--threads 1] [--public CHECKOUT]

`sampling` times the generator word by word, with the keys of earlier words, beside the same weights
computing the whole prefix anew for each word, which is what a generator that attends both ways and
redraws its noise must do; both make the same texts. `iteration` times 5 steps of the critic and 1
of the generator: the generator as described beside the mended one, with the same transformer
critic. Sizes are the defaults of the public code this was measured against: 12 blocks of 64
channels, 8 heads, 32 words, a batch of 16, a vocabulary of 5,000. With a checkout of that code
(GAN_TextGen), its generator is timed beside ours.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch

from inklings.models.textgan.config import TextGANConfig
from inklings.models.textgan.model import TextGAN
from inklings.training.objectives.adversarial import AdversarialObjective
from side_by_side import interleaved, ratio

PARTS = ("sampling", "iteration")
BATCH, LENGTH, VOCABULARY = 16, 32, 5000
SIZES = {
    "n_embd": 64,
    "n_head": 8,
    "n_hidden": 512,
    "n_mapping": 8,
    "n_layer": 6,
    "n_output_layer": 6,
}
CRITIC = {
    "critic": "transformer",
    "n_critic_layer": 12,
    "n_critic_output_layer": 6,
    "n_critic_hidden": 512,
}


@dataclass(frozen=True)
class RandomTexts:
    """Real texts for the critic: what they say does not change how long a step takes."""

    batch_size: int = BATCH
    length: int = LENGTH

    def batch(self, step: int) -> torch.Tensor:
        """The tokens of a step."""
        return torch.randint(
            VOCABULARY, (BATCH, LENGTH), generator=torch.Generator().manual_seed(step)
        )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "parts", nargs="*", help=f"which of {', '.join(PARTS)}; both if none is named"
    )
    parser.add_argument("--pairs", type=int, default=30)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument(
        "--public", type=Path, help="a checkout of GAN_TextGen, which is read and never written to"
    )
    options = parser.parse_args()
    unknown = set(options.parts) - set(PARTS)
    if unknown:
        parser.error(f"unknown part {', '.join(sorted(unknown))}; there are {', '.join(PARTS)}")
    torch.set_num_threads(options.threads)
    print(f"{options.threads} threads, torch {torch.__version__}")
    for part in options.parts or PARTS:
        if part == "sampling":
            sampling(options.pairs, options.public)
        else:
            iteration(options.pairs)


def make(preset: Literal["robust", "described"]) -> TextGAN:
    torch.manual_seed(0)
    config: dict[str, Any] = {"vocab_size": VOCABULARY, "context_length": LENGTH, **SIZES, **CRITIC}
    return TextGAN(TextGANConfig(preset=preset, **config))


@torch.no_grad()
def sampling(pairs: int, public: Path | None) -> None:
    model, described = make("robust").eval(), make("described").eval()
    noise = model.noise(BATCH, LENGTH)
    assert torch.equal(model.make(noise), model.recomputed(noise).tokens)
    rivals = {
        "cached": lambda: model.make(model.noise(BATCH, LENGTH)),
        "the same computed anew": lambda: model.recomputed(model.noise(BATCH, LENGTH)),
        "as described": lambda: described(described.noise(BATCH, LENGTH)),
    }
    if public is not None:
        theirs = public_generator(public)
        rivals["the public code"] = lambda: theirs.forward(False)
    times = interleaved(rivals, pairs)
    for name in list(rivals)[1:]:
        print(f"sampling, {name} over cached: {say(ratio(times[name], times['cached']))}")


def public_generator(checkout: Path) -> torch.nn.Module:
    sys.path.insert(0, str(checkout))
    from src.GANs.models.Generator import Generator  # type: ignore[import-not-found]

    words = {index: str(index) for index in range(VOCABULARY)}
    made = Generator(words, 8, 6, 6, "norm", 512, BATCH, 64, LENGTH, 8, torch.device("cpu"))
    assert isinstance(made, torch.nn.Module)
    return made


def iteration(pairs: int) -> None:
    steps = {}
    for preset in ("described", "robust"):
        objective = AdversarialObjective(make(preset), RandomTexts(), seed=0)  # type: ignore[arg-type]
        steps[preset] = lambda objective=objective: objective.step(0, 1e-6, measure=False)
    times = interleaved(steps, pairs)
    print(f"an iteration, described over robust: {say(ratio(times['described'], times['robust']))}")


def say(found: tuple[float, float, float]) -> str:
    return f"{found[0]:.2f} times ({found[1]:.2f} to {found[2]:.2f})"


if __name__ == "__main__":
    main()
