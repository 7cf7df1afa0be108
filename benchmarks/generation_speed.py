"""Tokens a second of generation at nanoGPT's 6-layer, 384-wide size.

Ours, beside nanoGPT's and `transformers`' GPT-2.

    python benchmarks/generation_speed.py [--nanogpt CHECKOUT] [--rows 1 16] [--tokens 256]
    [--rounds 3] [--memory]

256 new characters after one, temperature 0.8, top-k 200, room for 512; initial weights, since speed
does not depend on them. Ours is `generate` with what the package chooses by itself. nanoGPT keeps
no cache and reads the whole text for every token.
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch

import nanogpt
from inklings.config import DataConfig
from inklings.device import threads_of
from inklings.generation.decoder import choose_decoder
from inklings.generation.generate import generate
from inklings.generation.sampling import SamplingConfig
from inklings.models.contract import SequenceModel
from inklings.models.registry import build
from inklings.text.store import prepare
from inklings.text.tokenizers import Tokenizer
from side_by_side import in_own_process, interleaved, peak_mebibytes, show

SIZE = nanogpt.SIZES["large"]
ROOM = 512


def ours(architecture: str, tokenizer: Tokenizer, rows: int, tokens: int) -> Callable[[], None]:
    fields = {
        "n_layer": SIZE.n_layer,
        "n_head": SIZE.n_head,
        "n_embd": SIZE.n_embd,
        "context_length": ROOM,
    }
    model = build(
        architecture, fields, vocab_size=tokenizer.vocab_size, boundary_token=tokenizer.boundary
    )
    assert isinstance(model, SequenceModel)
    sampling = SamplingConfig(temperature=0.8, top_k=200, ban_boundary=True)
    decoder = choose_decoder(model.eval(), rows=rows)
    print(f"{architecture}: {'; '.join(decoder.runtime.reasons)}", flush=True)

    def run() -> None:
        with threads_of(decoder.runtime):
            generate(
                decoder.model,
                tokenizer,
                max_new_tokens=tokens,
                sampling=sampling,
                samples=rows,
                stop_at_boundary=False,
            )

    return run


def of_nanogpt(checkout: Path, vocab_size: int, rows: int, tokens: int) -> Callable[[], None]:
    model = nanogpt.make(checkout, SIZE, vocab_size=vocab_size, block_size=ROOM).eval()
    prompt = torch.zeros(rows, 1, dtype=torch.int64)

    def run() -> None:
        torch.set_num_threads(os.cpu_count() or 1)
        with torch.no_grad():
            model.generate(prompt, tokens, temperature=0.8, top_k=200)

    return run


def of_transformers(vocab_size: int, rows: int, tokens: int) -> Callable[[], None]:
    from transformers import GPT2Config, GPT2LMHeadModel
    from transformers.utils import logging

    logging.set_verbosity_error()
    config = GPT2Config(
        vocab_size=vocab_size,
        n_positions=ROOM,
        n_embd=SIZE.n_embd,
        n_layer=SIZE.n_layer,
        n_head=SIZE.n_head,
        bos_token_id=0,
        eos_token_id=None,
    )
    model = GPT2LMHeadModel(config).eval()
    prompt = torch.zeros(rows, 1, dtype=torch.int64)
    settings = {
        "max_new_tokens": tokens,
        "do_sample": True,
        "temperature": 0.8,
        "top_k": 200,
        "pad_token_id": 0,
    }

    def run() -> None:
        torch.set_num_threads(os.cpu_count() or 1)
        model.generate(prompt, attention_mask=torch.ones_like(prompt), **settings)

    return run


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--nanogpt", type=Path)
    parser.add_argument("--rows", type=int, nargs="+", default=[1, 16])
    parser.add_argument("--tokens", type=int, default=256)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--memory", action="store_true")
    parser.add_argument("--only", help=argparse.SUPPRESS)
    options = parser.parse_args()
    tokenizer = prepare(DataConfig(source="builtin:python-docs", tokenizer="char")).tokenizer
    for rows in options.rows:
        size, tokens = (tokenizer.vocab_size, rows, options.tokens), rows * options.tokens
        makers: dict[str, Callable[[], Callable[[], None]]] = {}
        if options.nanogpt:
            makers["nanoGPT"] = partial(of_nanogpt, options.nanogpt, *size)
        makers["transformers' GPT-2"] = partial(of_transformers, *size)
        for architecture in ("gpt", "gpt2"):
            makers[architecture] = partial(ours, architecture, tokenizer, rows, options.tokens)
        if options.only:
            makers[options.only]()()
            print(json.dumps({"peak": peak_mebibytes()}))
        elif options.memory:
            given = ["--nanogpt", str(options.nanogpt)] if options.nanogpt else []
            for name in makers:
                found = in_own_process(
                    [*given, "--rows", str(rows), "--tokens", str(options.tokens), "--only", name]
                )
                print(f"{rows:2} rows: {name:30} {found['peak']:8,.0f} MiB at most", flush=True)
        else:
            print(f"{rows} rows:")
            times = interleaved({name: maker() for name, maker in makers.items()}, options.rounds)
            show(times, base=next(iter(makers)), units=tokens, unit="tokens/s")


if __name__ == "__main__":
    main()
