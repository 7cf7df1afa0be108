"""`inklings generate RUN [PROMPT]`: write text with a run."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Annotated, Literal

import tyro

from inklings.cli.arguments import Json, RunName, called, parse
from inklings.cli.origins import origins_of, show_origins
from inklings.cli.reference import open_run
from inklings.cli.terminal import Terminal, open_terminal, written
from inklings.device import choose_device, threads_of
from inklings.errors import ConfigError
from inklings.generation.decoder import Decoder, choose_decoder
from inklings.generation.from_noise import write
from inklings.generation.generate import ROWS, check_request, generate, stream
from inklings.generation.provenance import refuse_without_memory
from inklings.generation.sampling import READ_AT, SamplingConfig
from inklings.generation.session import Session
from inklings.models.contract import SequenceModel
from inklings.models.from_noise import SampleModel
from inklings.models.objectives import makes_texts, predictor
from inklings.runs.open_memory import attach
from inklings.text.tokenizers import Tokenizer

ONLY_PREDICTED = ("stop", "across_documents", "interactive", "provenance")
"""Flags beside the sampling parameters that only a model that predicts tokens can use."""
SAMPLING = SamplingConfig(temperature=READ_AT)
"""What is taken where no flag says otherwise."""


@dataclass(frozen=True)
class Generate:
    """Flags of the verb `generate`."""

    run: tyro.conf.Positional[RunName]
    """A run's directory, or builtin:reference."""
    prompt: tyro.conf.Positional[Annotated[str, called("[PROMPT]")]] = ""
    """What the text begins with; `-` reads it from stdin, but for one newline at its end."""
    max_new_tokens: int = 200
    sampling: Annotated[SamplingConfig, tyro.conf.arg(name="")] = SAMPLING
    stop: tuple[str, ...] = ()
    """End the text before any of these strings."""
    style_seed: int | None = None
    """For a generator that makes texts out of noise: fix the noise that is global to a text, so
    that all samples share it.
    """
    samples: int = 1
    """How many texts; each depends on the seed and its number alone."""
    across_documents: bool = False
    """Go on after the end of a document instead of stopping there."""
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """Precision of the weights; `auto` measures both if the model is large. The same seed gives the
    same text at the same precision.
    """
    device: str = "cpu"
    """Where the model computes: cpu, cuda, cuda:N, mps, or auto for a GPU where there is one."""
    interactive: bool = False
    """Read prompts line by line; each goes on from what was written before."""
    provenance: bool = False
    """For a model with a memory: list, for each new token, the entries that its prediction took
    something of.
    """
    weights: Literal["best", "last"] = "best"
    memory: bool = True
    """Whether the run's long-term memory is read, if it has one."""
    trust_code: bool = False
    """Allow the run's own copy of an architecture file to be executed though another machine made
    it.
    """
    json: Json = False


def main(arguments: Sequence[str]) -> int:
    """Run the verb with these arguments; return the exit code."""
    flags = parse(Generate, arguments, verb="generate", description="Write text with a run.")
    terminal = open_terminal(flags.json)
    run = open_run(flags.run)
    place, _ = choose_device(flags.device)
    loaded = run.load_model(flags.weights, trust_code=flags.trust_code).to(place)
    tokenizer = run.tokenizer()
    if makes_texts(loaded):
        return write_from_noise(loaded, tokenizer, flags, terminal)
    if flags.style_seed is not None:
        raise ConfigError(
            f"--style-seed fixes the global noise of a text GAN; {flags.run} predicts token by"
            " token and has none."
        )
    model = predictor(loaded, "going on from a prompt")
    prompt = read_prompt() if flags.prompt == "-" else flags.prompt
    _refuse_contradictions(flags)
    check_request(
        tokenizer,
        prompt,
        max_new_tokens=flags.max_new_tokens,
        samples=flags.samples,
        stop=flags.stop,
    )
    if flags.provenance:
        refuse_without_memory(model)
    memory = attach(run, model, weights=flags.weights) if flags.memory else None
    if memory is not None:
        print(f"inklings: reading a long-term memory of {len(memory):,} entries", file=sys.stderr)
    rows = 1 if flags.interactive else max(1, min(flags.samples, ROWS))
    decoder = choose_decoder(model, rows=rows, precision=flags.precision)
    for reason in decoder.runtime.reasons:
        terminal.say(reason, style="dim")
    with threads_of(decoder.runtime):
        if flags.interactive:
            return _interact(decoder.model, tokenizer, flags)
        names = (
            {}
            if memory is None or not flags.provenance
            else {made.number: made.name for made in memory.documents()}
        )
        return _write(decoder, tokenizer, prompt, flags, names, terminal)


def _refuse_contradictions(flags: Generate) -> None:
    if flags.interactive and flags.provenance:
        raise ConfigError(
            "--interactive writes as it goes and --provenance tells of a text that is done; give"
            " one of them."
        )
    if flags.interactive and flags.json:
        raise ConfigError(
            "--interactive writes as it goes and --json one document at the end; give one of them."
        )


def read_prompt() -> str:
    """Return the prompt on stdin, without the newline that `echo` and editors put at the end.

    Raises:
        ConfigError: it is not UTF-8.
    """
    try:
        text = sys.stdin.buffer.read().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ConfigError(
            f"the prompt on standard input is not UTF-8: byte {error.start:,}"
            f" (0x{error.object[error.start]:02x}) cannot be decoded."
        ) from None
    return text.replace("\r\n", "\n").removesuffix("\n")


def _write(
    decoder: Decoder,
    tokenizer: Tokenizer,
    prompt: str,
    flags: Generate,
    names: dict[int, str],
    terminal: Terminal,
) -> int:
    """Print one text as it comes, or several when they are done.

    `names` are those of the documents of a long-term memory.
    """
    _warn_unknown(tokenizer, prompt)
    if flags.samples == 1 and not flags.json and not flags.provenance:
        sys.stdout.write(prompt)
        pieces = stream(
            decoder.model,
            tokenizer,
            prompt,
            max_new_tokens=flags.max_new_tokens,
            sampling=flags.sampling,
            stop=flags.stop,
            stop_at_boundary=not flags.across_documents,
        )
        for piece in pieces:
            sys.stdout.write(written(piece))
            sys.stdout.flush()
        sys.stdout.write("\n")
        return 0
    results = generate(
        decoder.model,
        tokenizer,
        prompt,
        max_new_tokens=flags.max_new_tokens,
        sampling=flags.sampling,
        samples=flags.samples,
        stop=flags.stop,
        stop_at_boundary=not flags.across_documents,
    )
    found = (
        [origins_of(decoder.model, tokenizer, prompt, result, names) for result in results]
        if flags.provenance
        else []
    )
    for number, result in enumerate(results, start=1):
        terminal.say(f"--- sample {number}", style="dim")
        terminal.say(prompt + result.text, as_is=True)
        if found:
            show_origins(found[number - 1], terminal)
    decoding = {"precision": decoder.runtime.precision, "threads": decoder.runtime.threads}
    terminal.result(
        {
            "prompt": prompt,
            "decoding": decoding,
            "samples": [
                {
                    "text": r.text,
                    "tokens": len(r.tokens),
                    "finished": r.finished,
                    **({"provenance": found[number]} if found else {}),
                }
                for number, r in enumerate(results)
            ],
        }
    )
    return 0


def _warn_unknown(tokenizer: Tokenizer, prompt: str) -> None:
    """Say which characters of a prompt the tokenizer cannot keep (where its policy is to go on)."""
    unknown = tokenizer.unknown_characters(prompt)
    if unknown and tokenizer.unknown != "error":
        what = "skipped" if tokenizer.unknown == "skip" else "replaced by the unknown token"
        print(
            f"inklings: {what}, since the training text had none of them: {' '.join(unknown)}",
            file=sys.stderr,
        )


def _interact(model: SequenceModel, tokenizer: Tokenizer, flags: Generate) -> int:
    """Turn by turn until end of input (Ctrl-D) or Ctrl-C."""
    session = Session(
        model,
        tokenizer,
        sampling=flags.sampling,
        max_new_tokens=flags.max_new_tokens,
        stop=flags.stop,
        stop_at_boundary=not flags.across_documents,
    )
    print(
        "Each line goes on from the text so far. An empty line only continues; /new begins anew;"
        " Ctrl-D ends.",
        file=sys.stderr,
    )
    while True:
        try:
            line = input("> ")
        except (EOFError, KeyboardInterrupt):
            print(file=sys.stderr)
            return 0
        except UnicodeDecodeError as error:
            raise ConfigError(
                f"the line is not {error.encoding}: {error.reason} at byte {error.start:,}."
            ) from None
        if line == "/new":
            session.restart()
            continue
        _warn_unknown(tokenizer, line)
        for piece in session.say(line):
            sys.stdout.write(written(piece))
            sys.stdout.flush()
        sys.stdout.write("\n")


def write_from_noise(
    model: SampleModel, tokenizer: Tokenizer, flags: Generate, terminal: Terminal
) -> int:
    """Print texts of a generator that makes them whole; refuse flags that it cannot use.

    Args:
        model: the generator.
        tokenizer: its own.
        flags: of the verb.
        terminal: where they are printed.
    """
    if flags.prompt:
        raise ConfigError(
            f"{flags.run} makes whole texts out of noise and cannot go on from a prompt, but"
            f" {flags.prompt!r} was given. Leave it out; --seed and --style-seed choose the text."
        )
    plain = Generate(run=flags.run)
    given = [
        f"--{f.name.replace('_', '-')}"
        for f in fields(SamplingConfig)
        if f.name != "seed" and getattr(flags.sampling, f.name) != getattr(SAMPLING, f.name)
    ]
    given += [
        f"--{name.replace('_', '-')}"
        for name in ONLY_PREDICTED
        if getattr(flags, name) != getattr(plain, name)
    ]
    if given:
        raise ConfigError(
            f"{', '.join(given)}: {flags.run} makes whole texts out of noise; a word is not drawn"
            " from probabilities that could be changed. Leave that out."
        )
    length = min(flags.max_new_tokens, model.config.context_length)
    seed = flags.sampling.seed
    made = write(
        model, tokenizer, flags.samples, seed=seed, style_seed=flags.style_seed, length=length
    )
    for generation in made if not flags.json else []:
        print(written(generation.text))
    texts = [{"text": generation.text, "finished": generation.finished} for generation in made]
    terminal.result({"samples": texts, "seed": seed, "style_seed": flags.style_seed})
    return 0
