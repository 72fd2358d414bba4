"""What a recipe may hold and nothing else may: the password in a database's address."""

from __future__ import annotations

import re

SECRET = re.compile(r"(?<=://)([^/@:]*):(.*)@")  # user:password of an address; the password may hold / and @
_PARAMETER = re.compile(r"(?i)\b(password=)[^&\s]*")


def without_password(text: str) -> str:
    """A text in which addresses have lost their passwords, for messages, keys and reports."""
    return SECRET.sub(r"\1:***@", _PARAMETER.sub(r"\1***", text))
