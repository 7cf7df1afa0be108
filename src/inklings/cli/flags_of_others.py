"""What flags of nanoGPT, makemore, WaveGPT, VardaGPT and GAN_TextGen are called here.

Whoever comes from one of them types its flags first. Where a verb has no such flag, the message
names ours, or says why there is none. Both spellings are known (with underscores and with dashes).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from inklings.errors import ConfigError

TRAIN = ("train",)
SETTINGS = ("train", "sweep", "compare")
"""The verbs that take the settings of a training."""
FIELD = "model."
"""Beginning of the flags that set a field of the architecture."""


@dataclass(frozen=True)
class Hint:
    """Flags of others that mean one thing, and what it is called here."""

    theirs: str
    """Their names, apart by blanks."""
    ours: str = ""
    """Our flags by the names of their settings, apart by blanks; empty where there is none."""
    note: str = ""
    """What else there is to say; why there is none where there is none."""
    verbs: tuple[str, ...] = TRAIN
    """Where this holds."""

    def format_advice(self, flag: str, verb: str) -> str:
        """Return the sentence for a flag as it was typed, without a full stop."""
        if not self.ours:
            return f"{flag} has no flag here: {self.note}"
        if verb == "compare" and self.ours.startswith(FIELD):
            name = self.ours.split()[0].removeprefix(FIELD)
            return f"{flag} is {name} here, a field of an ARM (as in gpt:{name}=...)"
        called = " and ".join(f"--{name.replace('_', '-')}" for name in self.ours.split())
        return f"{flag} is {called} here{f': {self.note}' if self.note else ''}"


METRICS = "every figure of a run is in its metrics.jsonl and its report.html"
KEPT = "all that belongs to a run is in its folder, under fixed names"
FIRST = "the run is the first word, as in `inklings generate runs/mine`"
MEMORY = "of the architecture `varda`"
GAN = "of the architecture `textgan`"
WAVE = "of the architecture `wavegpt`, whose layers look back 1, 2, 4, ... tokens"

HINTS = (
    # what nearly all of them have
    Hint("batch_size", "training.batch_size", "rows of a step", SETTINGS),
    Hint("learning_rate lr", "training.learning_rate", "Muon's moves with it", SETTINGS),
    Hint("weight_decay", "training.weight_decay", verbs=SETTINGS),
    Hint("device", "training.device", "auto, cpu, cuda, cuda:1 or mps", SETTINGS),
    Hint("use_gpu", "training.device", "a GPU is taken where there is one", SETTINGS),
    Hint("epochs", "budget", "such as 5-epochs", SETTINGS),
    Hint("max_iters max_steps", "budget", "such as 5000-steps", SETTINGS),
    Hint("seed", "training.seed", verbs=("train", "sweep")),
    Hint("n_layer n_layers B_gen", "model.n_layer", verbs=SETTINGS),
    Hint("n_head n_heads num_heads", "model.n_head", verbs=SETTINGS),
    Hint("n_embd embedding_size_gen", "model.n_embd", verbs=SETTINGS),
    Hint("dropout", "model.dropout", verbs=SETTINGS),
    Hint(
        "block_size sequence_length context_length",
        "model.context_length",
        "the rows of training are as long, or 64 tokens",
        SETTINGS,
    ),
    # nanoGPT: train.py
    Hint("out_dir work_dir saveDir", "run"),
    Hint("dataset input_file", "data", "a file, a folder, or the name of a text", SETTINGS),
    Hint("eval_interval", "training.evaluations", "how often over the whole run", SETTINGS),
    Hint("saveSteps", "training.evaluations", "a checkpoint is kept at each", SETTINGS),
    Hint("eval_iters", note="every evaluation scores the whole validation part", verbs=SETTINGS),
    Hint("eval_only", note="`inklings evaluate RUN` scores a run"),
    Hint("log_interval", note=METRICS, verbs=SETTINGS),
    Hint("wandb_log wandb_project wandb_run_name", note=METRICS, verbs=SETTINGS),
    Hint("always_save_checkpoint", "training.keep_checkpoints", "the best is kept beside the last"),
    Hint(
        "init_from",
        "from",
        "a RUN to fine-tune; `inklings resume RUN` goes on, and `inklings import NAME --run"
        " RUN` makes a run of GPT-2's weights",
    ),
    Hint(
        "gradient_accumulation_steps",
        "training.accumulate",
        "the batch size is that of all parts together",
        SETTINGS,
    ),
    Hint("bias", note="`gpt2` has biases, `gpt` has none", verbs=SETTINGS),
    Hint("beta1 beta2", "training.betas", "two numbers, of AdamW", SETTINGS),
    Hint("grad_clip", "training.clip", verbs=SETTINGS),
    Hint("decay_lr", "training.schedule", "constant never decays", SETTINGS),
    Hint("warmup_iters", "training.warmup", "a share of the steps, or their number", SETTINGS),
    Hint(
        "lr_decay_iters",
        "training.decay_from",
        "the share of the steps after which wsd decays; every schedule ends with the budget",
        SETTINGS,
    ),
    Hint("min_lr", "training.final_rate", "as a share of the peak", SETTINGS),
    Hint("dtype", "training.precision", "auto, float32 or bfloat16", SETTINGS),
    Hint("compile", "training.compile", "auto, on or off", SETTINGS),
    Hint("backend", note="processes that torchrun starts talk by gloo, and GPUs by NCCL"),
    # nanoGPT: sample.py
    Hint("out_dir init_from work_dir", note=FIRST, verbs=("generate", "evaluate")),
    Hint("start prompt", note="the prompt is the word after the run", verbs=("generate",)),
    Hint("num_samples batch_size", "samples", verbs=("generate",)),
    Hint("dtype", "precision", "auto, float32 or bfloat16", ("generate",)),
    Hint("compile", note="it is chosen by itself", verbs=("generate",)),
    # makemore.py
    Hint("resume", note="`inklings resume RUN` goes on with a run"),
    Hint("sample_only", note="`inklings generate RUN` writes with a run"),
    Hint("num_workers", note="batches are read from the token store, by one process"),
    Hint("top_k", note="it belongs to writing: `inklings generate RUN --top-k 5`"),
    Hint("type", note="the architecture is the first word, as in `inklings train recurrent`"),
    Hint("n_embd2", note="it is n_hidden, as in `inklings train mlp:n_hidden=64`"),
    # WaveGPT
    Hint("wavenet_layers reshape_factor", "model.wave_layers", WAVE, SETTINGS),
    Hint("warmup_epochs", "training.warmup", "a share of the steps, or their number", SETTINGS),
    Hint("eval_step", "training.evaluations", "how often over the whole run", SETTINGS),
    # VardaGPT
    Hint("memory_size", "model.memory_size", MEMORY, SETTINGS),
    Hint("memory_dim", "model.memory_dim", MEMORY, SETTINGS),
    Hint("index_type", "model.index_type", MEMORY, SETTINGS),
    Hint("num_clusters", "model.num_clusters", MEMORY, SETTINGS),
    Hint("num_search_results", "model.num_search_results", MEMORY, SETTINGS),
    Hint("forgetfulness_factor", "model.forgetfulness_factor", MEMORY, SETTINGS),
    Hint("memory_size", "capacity", verbs=("memory",)),
    Hint("index_type", "backend", verbs=("memory",)),
    Hint("num_search_results", "k", verbs=("memory",)),
    Hint("use_gpu", "device", "cuda, with a FAISS that is built for GPUs", ("memory",)),
    Hint("forgetfulness_factor", "factor", verbs=("memory",)),
    # GAN_TextGen: train, generate, and the scripts that make its files
    Hint("vocab_file", "tokenizer", "word:2000 learns the vocabulary from the text", SETTINGS),
    Hint("limit", "tokenizer", "word:2000 keeps as many words", ("prepare",)),
    Hint("maxSentSize", "data.max_length", verbs=("prepare",)),
    Hint("minLength", "data.min_length", verbs=("prepare",)),
    Hint("minProp", "data.min_known", verbs=("prepare",)),
    Hint("num_to_load", note="all of the text is read; give a shorter file"),
    Hint("saveDefFile genSaveFile genSaveDefFile discSaveFile", note=KEPT),
    Hint("trainGraphFile", note="the curves are in the run's report.html"),
    Hint(
        "loadPreTrained loadDir loadDefFile genLoadFile discLoadFile",
        "from",
        "a RUN to fine-tune; `inklings resume RUN` goes on with one",
    ),
    Hint("loadDir loadDefFile loadFile", note=FIRST, verbs=("generate",)),
    Hint("M_gen", "model.n_mapping", GAN, SETTINGS),
    Hint("O_gen", "model.n_output_layer", GAN, SETTINGS),
    Hint("B_disc", "model.n_critic_layer", GAN, SETTINGS),
    Hint("O_disc", "model.n_critic_output_layer", GAN, SETTINGS),
    Hint("T_disc", note="a layer of the critic is one block", verbs=SETTINGS),
    Hint("embedding_size_disc", "model.n_embd", "the critic's is the generator's", SETTINGS),
    Hint("hiddenSize", "model.n_hidden model.n_critic_hidden", GAN, SETTINGS),
    Hint("noiseDist", "model.noise_distribution", GAN, SETTINGS),
    Hint("pooling costSlope", note="its critic has none", verbs=SETTINGS),
    Hint(
        "alpha",
        "model.generator_rate model.critic_rate",
        f"{GAN}; WaveGPT's is learned, with gate=scalar",
        SETTINGS,
    ),
    Hint("n_D", "model.critic_steps", GAN, SETTINGS),
    Hint("dynamic_n Lambda_n", note="the steps of the critic are a fixed number", verbs=SETTINGS),
    Hint("Lambda", "model.penalty", GAN, SETTINGS),
    Hint("HideAfterEnd", "model.mask", GAN, SETTINGS),
    Hint("loadInEpoch delWhenLoaded", note="a text is read from disk, never held whole"),
)


def plain(flag: str) -> str:
    """Return a flag's name as it is compared: without dashes, underscores and capitals."""
    return flag.replace("-", "").replace("_", "").lower()


def hints_of(verb: str) -> Iterator[tuple[str, Hint]]:
    """Return the flags of others that a verb has a hint for, as they are compared."""
    for hint in HINTS:
        if verb in hint.verbs:
            yield from ((plain(name), hint) for name in hint.theirs.split())


def refuse_flags_of_others(verb: str, arguments: Sequence[str]) -> None:
    """Say what flags of other projects are called here, if there are any.

    Args:
        verb: the verb at hand.
        arguments: the words after it.

    Raises:
        ConfigError: some are, and the message has a sentence for each.
    """
    known = dict(hints_of(verb))
    typed = [word.partition("=")[0] for word in arguments if word.startswith("--")]
    advice = [
        known[plain(flag)].format_advice(flag, verb)
        for flag in dict.fromkeys(typed)
        if plain(flag) in known
    ]
    if advice:
        raise ConfigError("".join(f"{line}.\n" for line in advice).rstrip())
