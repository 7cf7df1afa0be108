"""Flags in messages, help texts and pages are flags of the verb at hand."""

from __future__ import annotations

import ast
import dataclasses
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import inklings
from inklings.cli.main import VERBS
from inklings.config import DataConfig, TrainingConfig
from inklings.models.contract import model_fields
from inklings.models.registry import ARCHITECTURES, load_class

from .surface import FLAGS

SOURCE = Path(inklings.__file__).parent
ROOT = Path(__file__).parents[2]
PAGES = sorted(
    [ROOT / "README.md", *(ROOT / "docs").rglob("*.md"), *(ROOT / "configs").rglob("*.toml")]
)
VALUE = "\N{HORIZONTAL ELLIPSIS}"
"""Stands for what an f-string fills in."""
FLAG = re.compile(rf"(?<![\w-])--([a-z][\w.{VALUE}-]*)")
COMMAND = re.compile(rf"`?inklings ({'|'.join(VERBS)})\b((?:(?!\s{{3}}|inklings )[^`\n;])*)")
"""A command of ours, to the end of its line or of its quotation."""

GLOBAL = {"help", "version"}
PYTEST = {"inklings-audit", "inklings-data"}
HARNESS = {
    *("model", "model_args", "tasks", "include_path", "batch_size", "device", "limit"),
    *("num_fewshot", "output_path", "log_samples", "use_cache"),
}
THEIRS = {
    "cli/completion.py": {"tyro-print-completion"},
    "cli/pytest_plugin.py": PYTEST,
    "interop/lm_eval.py": HARNESS,
    "lab/execution/ray_cluster.py": {"head"},
    "models/adapters/hub_models.py": {"local-dir"},
    "text/formats/decoding.py": {"long"},
    "training/joining.py": {"master-port", "standalone"},
}
"""Flags of another program, which a message tells to call."""
OTHERS = {
    "README.md": {"find-links"},
    "docs/ledger.md": {"threads", "size", "only"},
    "CHANGELOG.md": HARNESS,
    "docs/how-to/cluster.md": {
        *("nproc-per-node", "max-restarts", "nnodes", "standalone", "master-port"),
        "array",
    },
    "docs/how-to/docker.md": {"volume", "user"},
    "docs/how-to/export.md": {"local-dir"},
    "docs/how-to/gpu.md": {"only"},
    "docs/how-to/llama-cpp.md": {"ctx-size"},
    "docs/how-to/lm-eval.md": HARNESS,
    "docs/how-to/serving.md": {"batch_size"},
    "docs/reference/audit-of-others.md": PYTEST,
}
"""Flags of pip, of our own scripts, of torchrun, of Docker, of a harness, and of pytest."""

TRAINING = ("train", "sweep", "compare")
AT_HAND: dict[str, tuple[str, ...]] = {
    "auditing/": ("audit",),
    "cli/": (),
    "cli/arguments.py": ("train", "resume", "compare", "sweep"),
    "cli/audited.py": ("audit",),
    "cli/launched.py": ("train",),
    "cli/log_to.py": ("train", "resume", "compare", "sweep"),
    "cli/machine_plan.py": ("train",),
    "cli/main.py": tuple(VERBS),
    "cli/new_architecture.py": ("new",),
    "cli/origins.py": ("generate",),
    "cli/outcome.py": ("evaluate",),
    "cli/plan.py": ("train",),
    "cli/proof.py": ("audit",),
    "cli/run_arguments.py": TRAINING,
    "cli/shards.py": ("compare",),
    "cli/sample_report.py": ("evaluate",),
    "config.py": TRAINING,
    "device.py": TRAINING,
    "evaluation/": ("evaluate",),
    "generation/engine/": ("serve",),
    "interop/to_gguf/": ("export",),
    "interop/trackers/": ("train", "resume", "compare", "sweep"),
    "lab/": ("compare",),
    "lab/sweep/": ("sweep",),
    "optimizers.py": TRAINING,
    "runs/": TRAINING,
    "serving/": ("serve",),
    "text/": (*TRAINING, "prepare"),
    "text/extension.py": ("train",),
    "training/": TRAINING,
    "training/inheritance.py": ("train",),
    "runs/open_memory.py": ("memory",),
    "runs/directory.py": ("train", "import"),
    "runs/memory.py": ("memory",),
    "training/setup.py": ("train",),
    "runs/user_code.py": ("audit", "evaluate", "generate", "memory", "resume", "serve", "train"),
}
"""Beginnings of paths, and the verbs under which what stands there is read; the longest beginning
counts.
"""


def known() -> dict[str, set[str]]:
    """The flags of every verb.

    As its real parser has them (`test_surface` holds the file to it).
    """
    flags: dict[str, set[str]] = {verb: set(GLOBAL) for verb in VERBS}
    for line in FLAGS.read_text(encoding="utf-8").splitlines():
        verb = line.partition(" ")[0]
        flags[verb] |= {match[1] for match in FLAG.finditer(line)}
    flags["sweep"] |= {flag for flag in flags["train"] if flag.startswith("model.")}
    return flags


KNOWN = known()


def has(verb: str, flag: str) -> bool:
    """Whether a verb has a flag.

    Of one whose end is filled in, whether there is any with that beginning.
    """
    begins, filled, _ = flag.rstrip(".").partition(VALUE)
    return any(name.startswith(begins) for name in KNOWN[verb]) if filled else begins in KNOWN[verb]


def wrong(text: str, at_hand: tuple[str, ...]) -> list[str]:
    """The flags in a text that the verb of their command.

    Or one of those at hand, does not have.
    """
    found = []
    for command in COMMAND.finditer(text):
        found += [
            f"{command[1]} --{flag[1]}"
            for flag in FLAG.finditer(command[2])
            if not has(command[1], flag[1])
        ]
    for flag in FLAG.finditer(COMMAND.sub("", text)):
        found += [f"{verb} --{flag[1]}" for verb in at_hand if not has(verb, flag[1])]
    return found


def messages(path: Path) -> Iterator[tuple[int, str]]:
    """Every text in a file, those that an f-string puts together as one."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    inside: set[ast.AST] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            inside.update(ast.walk(node))
            parts = [
                part.value if isinstance(part, ast.Constant) else VALUE for part in node.values
            ]
            yield node.lineno, " ".join("".join(map(str, parts)).split())
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and node not in inside:
            yield node.lineno, " ".join(node.value.split())


def at_hand(path: str) -> tuple[str, ...]:
    place = max((place for place in AT_HAND if path.startswith(place)), key=len, default="")
    if place == "cli/":
        verb = {"import_model": "import"}.get(Path(path).stem, Path(path).stem)
        return (verb,) if verb in VERBS else ()
    return AT_HAND.get(place, ())


MODULES = [
    path for path in sorted(SOURCE.rglob("*.py")) if "--" in path.read_text(encoding="utf-8")
]


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_messages_name_flags_that_the_verb_at_hand_has(path: Path) -> None:
    name = str(path.relative_to(SOURCE))
    verbs, theirs = at_hand(name), THEIRS.get(name, set())
    for line, text in messages(path):
        bare = (
            {match[1].rstrip(".") for match in FLAG.finditer(COMMAND.sub("", text))}
            - theirs
            - GLOBAL
        )
        assert verbs or not bare, (
            f"{name}:{line} names {bare}: under which verbs is it read? Say so in AT_HAND"
        )
        found = [
            flag for flag in wrong(text, verbs) if flag.partition("--")[2] not in theirs | GLOBAL
        ]
        assert not found, f"{name}:{line}: {text!r}"


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_pages_name_flags_that_there_are(path: Path) -> None:
    text = re.sub(r"\\\n\s*", " ", path.read_text(encoding="utf-8"))
    found = wrong(text, ())
    anywhere = set().union(*KNOWN.values(), OTHERS.get(str(path.relative_to(ROOT)), set()))
    ours = re.findall(
        r"`(--[a-z][\w.-]*)", COMMAND.sub("", text)
    )  # in prose a flag is quoted alone
    found += [flag for flag in ours if flag.removeprefix("--") not in anywhere]
    assert not found


SETTING = re.compile(r"(?<![\w./-])(data|training|model)\.([a-z]\w*)(?![\w(])")
"""A field of a run's settings, as messages name them."""


def settings() -> set[str]:
    fields = {
        f"{section}.{f.name}"
        for section, kind in (("data", DataConfig), ("training", TrainingConfig))
        for f in dataclasses.fields(kind)
    }
    return fields | {
        f"model.{name}" for name in ARCHITECTURES for name in model_fields(load_class(name).Config)
    }


def test_messages_name_settings_that_there_are() -> None:
    there = settings()
    shorts = {
        "model.py",
        "model.safetensors",
        "model.onnx",
        "model.NAME",
        "training.NAME",
        "training.lr",
    }
    shorts.add("training.objectives")  # a package
    found = [
        f"{path.relative_to(SOURCE)}:{line}: {match[0]}"
        for path in sorted(SOURCE.rglob("*.py"))
        for line, text in messages(path)
        for match in SETTING.finditer(text)
        if match[0] not in there | shorts
    ]
    assert not found


def test_a_wrong_flag_is_seen() -> None:
    assert wrong("Try --layout documents.", ("train",)) == ["train --layout"]
    assert wrong("`inklings resume RUN --budget 3-steps --from X` and --nonsense", ("train",)) == [
        "resume --from",
        "train --nonsense",
    ]
    assert (
        wrong(f"Set it with --training.{VALUE}.", ("sweep",))
        == []
        != wrong(f"--trainin.{VALUE}", ("sweep",))
    )
