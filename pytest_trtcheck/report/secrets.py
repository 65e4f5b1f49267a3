"""What looks like a secret in a text: credentials by the name beside them, their place in a URL, or their form."""

from __future__ import annotations

import re

# Names after which a value is a secret whatever it looks like.
_NAMES = (
    r"[A-Za-z0-9]*password|passwd|passphrase|pwd|secret(?:[_-]?key)?|credentials?|api[_-]?key|apikey|access[_-]?key(?:[_-]?id)?"
    r"|private[_-]?key|signing[_-]?key|auth[_-]?(?:key|token)|session[_-]?token|access[_-]?token|refresh[_-]?token"
    r"|bearer[_-]?token|id[_-]?token|client[_-]?secret|authorization"
)
_BEFORE = r"(?<![A-Za-z0-9])(?:[A-Za-z0-9]+[_.-])*"
_SECRET_NAME = re.compile(rf"(?:^|[_.-])(?:{_NAMES}|token)$", re.IGNORECASE)
# What a tokenizer calls a token is none of these.
_TOKENIZER_NAME = re.compile(
    r"(?:pad|eos|bos|unk|cls|sep|mask|special|stop|start|end|next|first|last|per|max|num|image)[_-]token$",
    re.IGNORECASE,
)
_SEPARATOR = r"(?P<between>['\"]?\s*(?:[:=]|=>)\s*)"
_VALUE = r"(?:(?P<quote>['\"])(?:(?!(?P=quote))[^\n<]){1,4000}(?P=quote)|(?!['\"<\s])[^\s'\"<>,;&)}\]]+)"
_ASSIGNED = re.compile(rf"(?P<name>{_BEFORE}(?:{_NAMES})){_SEPARATOR}(?:(?:Bearer|Basic)\s+)?{_VALUE}", re.IGNORECASE)
# A bare "token" is more often one of a language model's: the value has to look like a credential, or the name like
# an environment variable.
_TOKEN = re.compile(
    rf"(?P<name>{_BEFORE}token){_SEPARATOR}(?P<quote>['\"]?)(?=[\w./+~-]*\d)(?=[\w./+~-]*[A-Za-z])[\w./+~=-]{{16,}}",
    re.IGNORECASE,
)
_VARIABLE = re.compile(rf"(?P<name>(?<![A-Za-z0-9])[A-Z0-9_]*TOKEN){_SEPARATOR}{_VALUE}")
_OPTION = re.compile(rf"(--(?:[a-z0-9]+-)*(?:{_NAMES}|token))(\s+|=)(?![-<])\S+", re.IGNORECASE)
_BEARER = re.compile(r"\b(Bearer)\s+(?=[^\s<]*\d)[A-Za-z0-9._~+/=-]{8,}", re.IGNORECASE)
_CREDENTIALS_IN_URL = re.compile(r"\b([A-Za-z][A-Za-z0-9+.-]*://)[^\s/'\"<>@]*(?:@[^\s/'\"<>@]*)*@")
_SIGNED_QUERY = re.compile(r"([?&](?:[\w.-]*(?:token|sig|signature|credential|key))=)[^&\s'\"<>]+", re.IGNORECASE)
_PRIVATE_KEY = re.compile(
    r"-----BEGIN [A-Z0-9 ]*PRIVATE KEY-----.*?(?:-----END [A-Z0-9 ]*PRIVATE KEY-----|\Z)", re.DOTALL
)

_FORMS = {
    "gh": r"\bgh[pousr]_[A-Za-z0-9]{20,}",
    "github_pat_": r"\bgithub_pat_\w{20,}",
    "gl": r"\bgl(?:pat|dt|rt|cbt|ptt)-[\w-]{16,}",
    "hf_": r"\bhf_[A-Za-z0-9]{16,}",
    "nvapi-": r"\bnvapi-[\w-]{16,}",
    "sk-": r"\bsk-[\w-]{20,}",
    "xox": r"\bxox[abprs]-[\w-]{10,}",
    "AKIA": r"\b(?:AKIA)[0-9A-Z]{16}\b",
    "ASIA": r"\b(?:ASIA)[0-9A-Z]{16}\b",
    "AIza": r"\bAIza[\w-]{30,}",
    "pypi-": r"\bpypi-[\w-]{30,}",
    "npm_": r"\bnpm_[A-Za-z0-9]{30,}",
    "eyJ": r"\beyJ[\w-]{8,}\.eyJ[\w-]{8,}\.[\w-]*",
}
"""Credentials known by how they begin: the beginning, looked for first because that is fast, and the whole."""
_BY_FORM = {start: re.compile(pattern) for start, pattern in _FORMS.items()}
_ASSIGNING_WORDS = re.compile(r"pass|pwd|secret|credential|key|auth|token|bearer", re.IGNORECASE)


def is_secret_name(name: str) -> bool:
    """Tell whether a variable or a field of this name holds a secret."""
    return bool(_SECRET_NAME.search(name)) and not _TOKENIZER_NAME.search(name)


def mask_secrets(text: str, mask: str) -> str:
    """Return the text with the mask in place of each secret; names, schemes and quotes around it stay."""
    if "://" in text:
        text = _CREDENTIALS_IN_URL.sub(rf"\g<1>{mask}@", text)
        text = _SIGNED_QUERY.sub(rf"\g<1>{mask}", text)
    if "PRIVATE KEY" in text:
        text = _PRIVATE_KEY.sub(mask, text)
    for start, pattern in _BY_FORM.items():
        if start in text:
            text = pattern.sub(mask, text)
    if _ASSIGNING_WORDS.search(text):
        text = _OPTION.sub(rf"\g<1>\g<2>{mask}", text)
        for pattern in (_ASSIGNED, _VARIABLE, _TOKEN):
            text = pattern.sub(lambda match: _assigned(match, mask), text)
        text = _BEARER.sub(rf"\g<1> {mask}", text)
    return text


def _assigned(match: re.Match[str], mask: str) -> str:
    if _TOKENIZER_NAME.search(match["name"]):
        return match[0]
    quote = match["quote"] or ""
    # The quote of a token's value is closed by what follows the match.
    closing = quote if quote and match[0].endswith(quote) else ""
    return f"{match['name']}{match['between']}{quote}{mask}{closing}"
