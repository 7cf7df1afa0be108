"""Which special tokens of a chat template a tokenizer reads as text."""

from __future__ import annotations

import pytest
import tokenizers
from tokenizers import decoders, models, pre_tokenizers

from inklings.generation.special_names import spelled_names
from inklings.text.token_bytes import byte_names
from inklings.text.tokenizers import Tokenizer

CHATML = """\
{# as <|comments|> say #}
{%- for message in messages -%}
<|im_start|>{{ message.role }}
{{ message.content }}<|im_end|>
{% endfor %}
{%- if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif -%}"""


def bytes_and(*, tokens: list[str], special: list[str]) -> Tokenizer:
    names = {name: number for number, name in enumerate(byte_names())}
    backend = tokenizers.Tokenizer(models.BPE(vocab={**names, "<end>": 256}, merges=[]))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    backend.add_tokens(tokens)
    backend.add_special_tokens(["<end>", *special])
    return Tokenizer(backend, kind="file", boundary=256)


@pytest.mark.parametrize(
    ("tokens", "special", "spelled"),
    [
        ([], [], ["<|im_start|>", "<|im_end|>"]),
        (["<|im_end|>"], [], ["<|im_start|>"]),
        (["<|im_start|>", "<|im_end|>"], [], []),
        (["<|im_start|>"], ["<|im_end|>"], []),
        ([], ["<|im_end|>"], ["<|im_start|>"]),
    ],
)
def test_a_name_that_is_no_token_of_its_own_is_named_once(
    tokens: list[str], special: list[str], spelled: list[str]
) -> None:
    tokenizer = bytes_and(tokens=tokens, special=special)
    assert spelled_names(CHATML, tokenizer) == spelled
    # the name of a special token in a text is text: nobody who writes a message can end it
    assert len(tokenizer.encode("".join(special))) == len("".join(special))


@pytest.mark.parametrize(
    "name",
    ["<\uff5cUser\uff5c>", "<s>", "</s>", "<bos>", "<start_of_turn>", "[INST]", "[/INST]"],
)
def test_names_have_the_forms_of_models_in_use(name: str) -> None:
    assert spelled_names(f"{{{{ '{name}' }}}}x", bytes_and(tokens=[], special=[])) == [name]


def test_a_template_without_such_names_has_none() -> None:
    template = "{% if messages[0].role != 'user' %}{{ A }} [x] <b>{% endif %}User: {{ x[ID] }} <|"
    assert spelled_names(template, bytes_and(tokens=[], special=[])) == []


def test_the_token_for_what_is_unknown_is_none_of_its_own() -> None:
    backend = tokenizers.Tokenizer(
        models.WordLevel({"<end>": 0, "<unk>": 1, "user": 2}, unk_token="<unk>")
    )
    backend.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    backend.add_special_tokens(["<end>", "<unk>"])
    tokenizer = Tokenizer(backend, kind="file", boundary=0, unknown="replace", unknown_token=1)
    assert spelled_names("<|im_start|> user", tokenizer) == ["<|im_start|>"]
