"""Messages for people, in Russian and English: the English text is the key, the catalogs are the `.po` files here.

Leans on gettext for look-up and on Babel to read the catalogs at run time, so that nothing needs compiling. Never
holds a language of its own: whoever speaks is given a Translator. Log lines and wire errors are not translated.
"""

from __future__ import annotations

import gettext
import re
from functools import cached_property
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po

if TYPE_CHECKING:
    from collections.abc import Mapping

LANGUAGES = ("en", "ru")
LANGUAGE_VARIABLES = ("RELAY_LANG", "LC_ALL", "LC_MESSAGES", "LANG")
FINISHED_TEXTS = "error"
LOCALE_FOLDER = Path(__file__).parent / "locale"
_DOMAIN = "relay"
_PLACEHOLDER = re.compile(r"\{(\w+)\}")


class Translator:
    """Says messages in one language."""

    def __init__(self, language: str) -> None:
        self.language = language
        self._texts = _load(language)

    def __call__(self, message: str, /, **values: object) -> str:
        """The message in this language, its `{name}` placeholders filled in."""
        text = self._texts.gettext(message) if message else ""
        return text.format(**values) if values else text

    def finished(self, text: str) -> str:
        """Translate a text that comes with its values filled in, as an error's description does.

        It is found by the message of context `error` whose placeholders fit; line by line, and with what follows
        a colon looked up too. A text that none fits stays as it is.
        """
        return "\n".join(self._finished_line(line) for line in text.split("\n"))

    def _finished_line(self, line: str) -> str:
        for pattern, message in self._patterns:
            if fit := pattern.fullmatch(line):
                values = {name: self._inner(value) for name, value in fit.groupdict().items()}
                return self._texts.pgettext(FINISHED_TEXTS, message).format(**values)
        return line

    def _inner(self, value: str) -> str:
        return self._finished_line(value) if " " in value else value

    @cached_property
    def _patterns(self) -> list[tuple[re.Pattern[str], str]]:
        """Messages that errors are found by, those with the most fixed text first."""
        messages = finished_messages(self.language)
        messages.sort(key=lambda message: len(_PLACEHOLDER.sub("", message)), reverse=True)
        return [(_pattern(message), message) for message in messages]


def pick_language(environment: Mapping[str, str]) -> str:
    """Russian if the first language variable that is set says so, else English."""
    chosen = next((environment[name] for name in LANGUAGE_VARIABLES if environment.get(name)), "")
    return "ru" if chosen.lower().startswith("ru") else "en"


def catalog_path(language: str) -> Path:
    """Where a language's messages are."""
    return LOCALE_FOLDER / language / "LC_MESSAGES" / f"{_DOMAIN}.po"


def placeholders(message: str) -> set[str]:
    """The names a message wants filled in."""
    return set(_PLACEHOLDER.findall(message))


def finished_messages(language: str) -> list[str]:
    """The patterns by which finished texts are found in this language's catalog."""
    path = catalog_path(language)
    if not path.exists():
        return []
    with path.open("rb") as file:
        catalog = read_po(file, locale=language, domain=_DOMAIN)
    return [str(message.id) for message in catalog if message.id and message.context == FINISHED_TEXTS]


def _load(language: str) -> gettext.NullTranslations:
    path = catalog_path(language)
    if not path.exists():
        return gettext.NullTranslations()
    with path.open("rb") as file:
        catalog = read_po(file, locale=language, domain=_DOMAIN)
    compiled = BytesIO()
    write_mo(compiled, catalog)
    compiled.seek(0)
    return gettext.GNUTranslations(compiled)


def _pattern(message: str) -> re.Pattern[str]:
    """Each placeholder stands for some text; the same name twice for the same text."""
    seen: set[str] = set()
    parts = []
    for index, part in enumerate(_PLACEHOLDER.split(message)):
        if index % 2 == 0:
            parts.append(re.escape(part))
        elif part in seen:
            parts.append(f"(?P={part})")
        else:
            seen.add(part)
            parts.append(f"(?P<{part}>.+?)")
    return re.compile("".join(parts), re.DOTALL)
