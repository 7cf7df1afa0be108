"""The chat template: it turns a conversation into one text for a model that continues texts."""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import jinja2
from jinja2.sandbox import ImmutableSandboxedEnvironment

from inklings.errors import ConfigError, InputError
from inklings.generation.special_names import NAME

LONGEST = 4_000_000
"""Most characters that a template may make of one conversation."""
_NEVER_TEXT = [chr(number) for number in range(0xFDD0, 0xFDF0)]
"""Code points that Unicode keeps for programs' own use."""
HELLO = {"role": "user", "content": "Hello"}
"""The message that a template is tried with."""
_ANSWER = "Hello to you"

PLAIN = """\
{%- set stop = ["\\nUser:", "\\nSystem:"] -%}
{%- for message in messages -%}
{%- set name = {"system": "System", "user": "User", "assistant": "Assistant"}[message.role] -%}
{{ name }}: {{ message.content }}
{% endfor -%}
Assistant:"""
"""The default template: `User: ...`, a line each, and `Assistant:` at the end; the answer ends
where the model would write another speaker's line.
"""


@dataclass(frozen=True)
class ChatTemplate:
    """A Jinja template that writes the prompt from `messages`.

    Each has `role`, `content` and perhaps `name`.

    It may set `stop`, a list of strings that end the answer; where it sets none, the special token
    that it writes behind an answer does. It runs in Jinja's sandbox, so it reads nothing but the
    messages. The templates of Hugging Face's tokenizers work:
    `add_generation_prompt` is true, and the names of special tokens are empty.

    Raises:
        ConfigError: it is not Jinja, fails at a plain conversation, or its `stop` is no list of
            strings.
    """

    source: str = PLAIN

    def __post_init__(self) -> None:
        try:
            self.render([HELLO])
            stop = self.stop
        except (
            jinja2.TemplateError,
            InputError,
            TypeError,
            ValueError,
            ArithmeticError,
            LookupError,
        ) as error:
            raise ConfigError(
                f"the chat template cannot be used: {error}. It is a Jinja template that gets"
                " `messages`, each with role and content."
            ) from None
        if not all(isinstance(text, str) and text for text in stop):
            raise ConfigError(
                "the chat template sets `stop` to something else than a list of strings that are"
                " not empty."
            )

    @classmethod
    def load(cls, path: Path) -> ChatTemplate:
        """Read a template from a file.

        Raises:
            ConfigError: the file cannot be read, or the template cannot be used.
        """
        try:
            return cls(path.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"the chat template {path} cannot be read: {error}.") from None

    @functools.cached_property
    def stop(self) -> tuple[str, ...]:
        """Strings that end an answer."""
        module = self._template.make_module({"messages": [HELLO], **_GIVEN})
        found = getattr(module, "stop", None)
        if found is None:
            return self._behind_an_answer()
        if isinstance(found, str) or not isinstance(found, Sequence):
            raise ConfigError(
                "the chat template sets `stop` to something else than a list of strings."
            )
        return tuple(found)

    def _behind_an_answer(self) -> tuple[str, ...]:
        """Return the name of the special token that ends an answer, if there is one."""
        said = [HELLO, {"role": "assistant", "content": _ANSWER}]
        try:
            text = self.render(said, to_answer=False)
        except InputError:
            return ()  # it takes no conversation that ends so
        name = NAME.match(text.rpartition(_ANSWER)[2].lstrip())
        return () if name is None else (name[0],)

    def render(self, messages: Sequence[Mapping[str, Any]], *, to_answer: bool = True) -> str:
        """Write the prompt for a conversation.

        Args:
            messages: the conversation.
            to_answer: whether it ends where an answer begins.

        Raises:
            InputError: the template refuses it, fails at it, or makes too long a text of it.
        """
        pieces, length = [], 0
        try:
            for piece in self._template.generate(
                {
                    **_GIVEN,
                    "messages": [dict(message) for message in messages],
                    "add_generation_prompt": to_answer,
                }
            ):
                length += len(piece)
                if length > LONGEST:
                    raise InputError(
                        f"the chat template makes more than {LONGEST:,} characters of this"
                        " conversation. Send a shorter one."
                    )
                pieces.append(piece)
        except (jinja2.TemplateError, TypeError, ValueError, ArithmeticError, LookupError) as error:
            if isinstance(error, InputError):
                raise
            raise InputError(f"the chat template refuses this conversation: {error}.") from None
        return "".join(pieces)

    def pieces(
        self, messages: Sequence[Mapping[str, Any]], special: Mapping[str, int]
    ) -> list[tuple[str, int | None]]:
        """Write the prompt, cut at the names that the template itself wrote.

        Who writes a message cannot end it: a name in its text is text.

        Args:
            messages: the conversation.
            special: tokens by their names.

        Returns:
            The pieces in their order, none of them empty; of a name its token, of text None.

        Raises:
            InputError: as `render`.
        """
        if not special:
            return [(text, None) for text in [self.render(messages)] if text]
        ordered = sorted(special, key=len, reverse=True)  # the longest that fits is meant
        pattern = re.compile("|".join(map(re.escape, ordered)))
        said = "".join(text for message in messages for text in message.values())
        mark = next((sign for sign in _NEVER_TEXT if sign not in said), None)
        if mark is None:
            raise InputError("the conversation holds code points that are no characters.")
        hidden = {name: f"{mark}{number}{mark}" for number, name in enumerate(ordered)}
        text = self.render(
            [
                {key: pattern.sub(lambda name: hidden[name[0]], text) for key, text in each.items()}
                for each in messages
            ]
        )
        shown = re.compile(f"{mark}(\\d+){mark}")

        def plain(part: str) -> tuple[str, None]:
            return shown.sub(lambda found: ordered[int(found[1])], part), None

        pieces: list[tuple[str, int | None]] = []
        end = 0
        for name in pattern.finditer(text):
            pieces += [plain(text[end : name.start()]), (name[0], special[name[0]])]
            end = name.end()
        return [piece for piece in (*pieces, plain(text[end:])) if piece[0]]

    @functools.cached_property
    def _template(self) -> jinja2.Template:
        environment = ImmutableSandboxedEnvironment(
            trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols"]
        )
        return environment.from_string(self.source)


def _refuse(message: str) -> NoReturn:
    raise InputError(message)


_GIVEN: dict[str, Any] = {
    "add_generation_prompt": True,
    "bos_token": "",
    "eos_token": "",
    "raise_exception": _refuse,
}
"""Variables that templates of other tools ask for beside the messages."""
