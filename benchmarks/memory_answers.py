"""How many added facts come out when they are asked for.

Fifty facts, whose names the training text has not, are added to the long-term memory of a copy of
each run, each a document of its own. Each is asked for twice: by its beginning up to the name, and
by other words for the same.

    python benchmarks/memory_answers.py runs/memory runs/answers

prints how many exact names come out, written greedily, with the memory, without it, and with the
values of its entries permuted, with 95% intervals (Wilson); `--json` prints all answers.
"""

from __future__ import annotations

import argparse
import json
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from scipy.stats import binomtest

from inklings.generation.generate import generate
from inklings.generation.sampling import SamplingConfig
from inklings.memory.store import Memory
from inklings.models.contract import SequenceModel
from inklings.models.remembering import Remembering
from inklings.runs.directory import RunDirectory
from inklings.runs.open_memory import FOLDER, create_memory
from inklings.text.store import prepare
from inklings.text.tokenizers import Tokenizer

CHOSEN_ON = (
    ("The keeper of the lighthouse at {} was called", "At {} the lighthouse keeper was called"),
    ("The old mill of {} was built by", "It is known that in {} the mill was built by"),
    ("The bell in the church of {} was cast by", "In the church of {} the bell was cast by"),
    ("The owner of the inn at {} is named", "At {} there is an inn whose owner is named"),
    ("The doctor who came to {} that winter was", "That winter the doctor at {} was"),
    ("The letter from {} was signed by", "From {} came a letter that was signed by"),
    ("The first map of {} was drawn by", "Of {} there is a map, the first, drawn by"),
    ("The teacher of the school in {} is", "In {} the teacher of the school is"),
    ("The ship that sailed from {} was commanded by", "From {} sailed a ship commanded by"),
    ("The garden behind the hall of {} belongs to", "In {} the garden of the hall belongs to"),
)
"""The beginning of a fact, and other words for it. The settings that the ledger quotes were chosen
on facts of these beginnings.
"""
HELD_OUT = (
    ("The mayor of {} at that time was", "At that time {} had a mayor, and it was"),
    ("The well in the market of {} was dug by", "In the market of {} there is a well dug by"),
    ("The first bridge at {} was paid for by", "It was told that at {} the bridge was paid for by"),
    ("The library of {} was founded by", "In {} there is a library that was founded by"),
    ("The painting from {} shows the face of", "From {} comes a painting with the face of"),
    ("The captain of the ferry to {} is", "The ferry to {} has a captain, who is"),
    ("The wall around {} was begun under", "Around {} there is a wall that was begun under"),
    ("The clock in the tower of {} was made by", "The tower of {} has a clock made by"),
    ("The baker whose shop is in {} is called", "In {} there is the shop of a baker called"),
    ("The song about {} was written by", "About {} there is a song that was written by"),
)
"""Others, which nothing was chosen on; all that is asked for unless `--chosen-on` is given."""
FIRST = "Oswin Tilda Corvin Maelis Brannock Ysolde Fenwick Odalys Garrick Thessaly"
LAST = (
    "Tarr Quillon Marsh Vandry Holloway Pemberley Skarn Dovell Ashgrove Lindqvist Orrin Bracken"
    " Thistlewood Castellan Wyndham Roake Ferrow Underhill Crale Molyneux Garth Penhallow Stroud"
    " Vexley Hargrave"
)
PLACES = (
    "Brennan Dunmorrow Eskvale Harrowgate Kestrel Lowmere Pellham Quenby Ravensholt Saltmarsh"
    " Tollard Ulverton Wexcombe Yarrowby Zennack Aldermoor Birchwick Crowhaven Drumlin Fallowfield"
    " Greystoke Hexley Inverlee Jasperton Kilbride"
)
KINDS = ("Point", "Bay")
LONGEST = 24
"""Most tokens of an answer; any of the names is shorter, even in bytes."""


@dataclass(frozen=True)
class Fact:
    """A sentence, the beginning that asks for the name at its end, and another one."""

    beginning: str
    paraphrase: str
    name: str

    @property
    def sentence(self) -> str:
        """The whole sentence, as it is added."""
        return f"{self.beginning} {self.name}."


def facts(templates: tuple[tuple[str, str], ...]) -> list[Fact]:
    """Return fifty facts, five of each template, no two with the same name or the same place."""
    first, last, places = FIRST.split(), LAST.split(), PLACES.split()
    made = []
    for number in range(50):
        beginning, paraphrase = templates[number % len(templates)]
        place = f"{places[number // 2]} {KINDS[number % 2]}"
        # 7 and 25 have no common divisor, and two with the same last name get other first ones
        name = f"{first[(number + number // 10) % 10]} {last[7 * number % 25]}"
        made.append(Fact(beginning.format(place), paraphrase.format(place), name))
    return made


def check_new(run: RunDirectory, given: list[Fact]) -> None:
    """Refuse facts whose names the training text has: the model could know them."""
    split = prepare(run.config.data, tokenizer=run.tokenizer()).split("train")
    text = run.tokenizer().decode(split.read(0, int(split.offsets[-1])).astype(np.int64))
    known = [fact.name for fact in given if fact.name in text]
    if known:
        raise SystemExit(f"the training text of {run.path} has {known}.")


def permuted(memory: Memory) -> Memory:
    """Return a memory with the same entries, each with the value of another."""
    entries = memory.entries()
    order = np.argsort(entries.ids)
    changed = Memory(memory.config)
    changed.add(
        memory.vectors(entries.ids[order]),
        values=np.random.default_rng(0).permutation(entries.values),
        positions=entries.positions[order],
        documents=entries.documents[order],
        scores=entries.scores[order],
    )
    return changed


def answers(model: SequenceModel, tokenizer: Tokenizer, beginnings: list[str]) -> list[str]:
    """Return what the model writes after each beginning, up to the end of the sentence."""
    greedy = SamplingConfig(temperature=0)
    return [
        generate(
            model, tokenizer, beginning, max_new_tokens=LONGEST, sampling=greedy, stop=(".", "\n")
        )[0].text.strip()
        for beginning in beginnings
    ]


def measure(
    path: Path, given: list[Fact], *, one_document: bool
) -> dict[str, dict[str, list[str]]]:
    """Return the answers of a run, by arm and by the words of the question."""
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "run"
        shutil.copytree(path, copy, ignore=shutil.ignore_patterns(FOLDER))
        run = RunDirectory.open(copy)
        check_new(run, given)
        model = run.load_model().eval()
        assert isinstance(model, SequenceModel)
        assert isinstance(model, Remembering), f"{path} has no memory"
        opened = create_memory(run, model)
        sentences = [fact.sentence for fact in given]
        texts = ["\n".join(sentences)] if one_document else sentences
        opened.add([(f"facts:{number}", text) for number, text in enumerate(texts)])
        questions = {
            "same words": [fact.beginning for fact in given],
            "other words": [fact.paraphrase for fact in given],
        }
        made = {}
        for arm, memory in {
            "memory": opened.memory,
            "no memory": None,
            "permuted values": permuted(opened.memory),
        }.items():
            model.long_term = memory
            made[arm] = {
                words: answers(model, run.tokenizer(), beginnings)
                for words, beginnings in questions.items()
            }
    return made


def main() -> None:
    """Measure the runs one after the other."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("runs", nargs="+", type=Path)
    parser.add_argument("--chosen-on", action="store_true", help="the facts of the choice instead")
    parser.add_argument("--one-document", action="store_true", help="all facts in one document")
    parser.add_argument("--json", action="store_true", help="all answers, as JSON")
    flags = parser.parse_args()
    torch.set_num_threads(1)
    given = facts(CHOSEN_ON if flags.chosen_on else HELD_OUT)
    names = {fact.name for fact in given}
    for path in flags.runs:
        made = measure(path, given, one_document=flags.one_document)
        if flags.json:
            print(json.dumps({"run": path.name, "answers": made}))
            continue
        for arm, by_words in made.items():
            for words, said in by_words.items():
                pairs = list(zip(said, given, strict=True))
                right = sum(answer == fact.name for answer, fact in pairs)
                wrong = sum(answer in names - {fact.name} for answer, fact in pairs)
                of = binomtest(right, len(given)).proportion_ci(method="wilson")
                print(
                    f"{path.name}, {arm}, {words}: {right} of {len(given)} names"
                    f" ({of.low:.0%} to {of.high:.0%}); another's name {wrong}"
                )


if __name__ == "__main__":
    main()
