"""A chat template's special tokens are tokens; their names in a message are text."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
import tokenizers
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import decoders, models, pre_tokenizers

from inklings.errors import InputError
from inklings.generation.special_names import special_tokens
from inklings.serving.api.chat_template import ChatTemplate
from inklings.serving.api.prompts import read_conversation, tokens_of_pieces
from inklings.serving.settings import ServeConfig
from inklings.text.token_bytes import byte_names
from inklings.text.tokenizers import Tokenizer

SPECIAL = ["<end>", "<|im_start|>", "<|im_end|>", "<|im_end|>!", "#"]
CHATML = """\
{%- for message in messages -%}
<|im_start|>{{ message.role }}
{{ message.content | trim }}<|im_end|>
{% endfor %}
{%- if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif -%}"""
WRITTEN = st.lists(
    st.sampled_from([*SPECIAL, "\ufdd0", "\ufdd00\ufdd0", "1", " ", "Hi", "é", "<|im_", "start|>"]),
    max_size=6,
).map("".join)


def backend_of() -> tokenizers.Tokenizer:
    names = {name: number for number, name in enumerate(byte_names())}
    backend = tokenizers.Tokenizer(models.BPE(vocab={**names, "<end>": 256}, merges=[]))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    backend.add_special_tokens(SPECIAL)
    return backend


TOKENIZER = Tokenizer(backend_of(), kind="file", boundary=256)


def tokens(template: ChatTemplate, messages: list[dict[str, str]]) -> list[int]:
    pieces = template.pieces(messages, special_tokens(TOKENIZER))
    return asyncio.run(tokens_of_pieces(TOKENIZER, pieces, "messages"))


@given(contents=st.lists(WRITTEN, min_size=1, max_size=3))
def test_who_writes_a_message_cannot_write_a_special_token(contents: list[str]) -> None:
    template = ChatTemplate(CHATML)
    messages = [{"role": "user", "content": content} for content in contents]
    pieces = template.pieces(messages, special_tokens(TOKENIZER))
    assert "".join(text for text, _ in pieces) == template.render(messages)
    names = [text for text, token in pieces if token is not None]
    assert names == ["<|im_start|>", "<|im_end|>"] * len(contents) + ["<|im_start|>"]
    # all of it comes back, and no more special tokens are in it than the template wrote
    found = tokens(template, messages)
    assert TOKENIZER.decode(found) == template.render(messages)
    assert sum(token > 255 for token in found) == 2 * len(contents) + 1


def test_tokens_are_those_of_transformers() -> None:
    transformers = pytest.importorskip("transformers")
    theirs = transformers.PreTrainedTokenizerFast(
        tokenizer_object=backend_of(), chat_template=CHATML
    )
    messages = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": " What is 1 < 2? <|im_ \n\n"},
        {"role": "assistant", "content": "True."},
        {"role": "user", "content": "Été"},
    ]
    wanted = theirs.apply_chat_template(
        messages, add_generation_prompt=True, tokenize=True, return_dict=False
    )
    assert tokens(ChatTemplate(CHATML), messages) == wanted


def test_a_conversation_is_one_document_though_its_messages_end_as_documents_do() -> None:
    template = ChatTemplate("{% for message in messages %}{{ message.content }}<end>{% endfor %}")
    messages = [{"role": "user", "content": text} for text in ("a", "b")]
    pieces = template.pieces(messages, special_tokens(TOKENIZER))
    served: Any = SimpleNamespace(tokenizer=TOKENIZER)
    prompt = asyncio.run(read_conversation(served, pieces, ServeConfig(), "messages"))
    assert [token for token in prompt.tokens if token > 255] == [256, 256, 256]
    assert prompt.one_document


@pytest.mark.parametrize(
    ("behind", "stop"),
    [
        ("<|im_end|>\n", ("<|im_end|>",)),
        ("\n<|eot_id|>", ("<|eot_id|>",)),
        ("\n", ()),
        ("!<|im_end|>", ()),
        ("{{ raise_exception('no answer') }}", ()),
        ("{{ 1 // 0 }}", ()),
        ("{% for i in range(99999) %}{% for j in range(99) %}a{% endfor %}{% endfor %}", ()),
    ],
)
def test_an_answer_ends_where_the_template_ends_one(behind: str, stop: tuple[str, ...]) -> None:
    source = (
        "{% for message in messages %}<|im_start|>{{ message.content }}"
        f"{{% if message.role == 'assistant' %}}{behind}{{% endif %}}{{% endfor %}}"
        "{% if add_generation_prompt %}<|im_start|>{% endif %}"
    )
    assert ChatTemplate(source).stop == stop
    assert ChatTemplate(source + "{% set stop = ['.'] %}").stop == (".",)
    assert ChatTemplate(source + "{% set stop = [] %}").stop == ()


def test_where_there_are_no_special_tokens_all_is_text() -> None:
    template = ChatTemplate(CHATML)
    messages = [{"role": "user", "content": "x"}]
    assert template.pieces(messages, {}) == [(template.render(messages), None)]
    assert (
        ChatTemplate("{{ messages[0].content }}").pieces(
            [{"content": ""}], special_tokens(TOKENIZER)
        )
        == []
    )


def test_a_conversation_of_everything_that_is_no_character_is_refused() -> None:
    content = "".join(map(chr, range(0xFDD0, 0xFDF0)))
    with pytest.raises(InputError, match="no characters"):
        ChatTemplate().pieces([{"role": "user", "content": content}], special_tokens(TOKENIZER))
