"""The codes of mangled C++ names. Source: Itanium C++ ABI, section 5.1."""

from __future__ import annotations

BUILTINS = {
    "v": "void", "w": "wchar_t", "b": "bool", "c": "char", "a": "signed char", "h": "unsigned char",
    "s": "short", "t": "unsigned short", "i": "int", "j": "unsigned int", "l": "long", "m": "unsigned long",
    "x": "long long", "y": "unsigned long long", "n": "__int128", "o": "unsigned __int128", "f": "float",
    "d": "double", "e": "long double", "g": "__float128", "z": "...",
}  # fmt: skip

BUILTINS_OF_D = {
    "Dn": "decltype(nullptr)", "Di": "char32_t", "Ds": "char16_t", "Du": "char8_t", "Dh": "half", "Da": "auto",
    "Dc": "decltype(auto)",
}  # fmt: skip

LITERALS = {"i": "", "j": "u", "l": "l", "m": "ul", "x": "ll", "y": "ull"}

_CHARS = "char, std::char_traits<char>"
STANDARD = {
    "a": ("std::allocator", "std::allocator"),
    "b": ("std::basic_string", "std::basic_string"),
    "s": ("std::string", f"std::basic_string<{_CHARS}, std::allocator<char> >"),
    "i": ("std::istream", f"std::basic_istream<{_CHARS} >"),
    "o": ("std::ostream", f"std::basic_ostream<{_CHARS} >"),
    "d": ("std::iostream", f"std::basic_iostream<{_CHARS} >"),
}
"""Short and whole spelling; the whole one before the name of a constructor or destructor."""

OPERATORS = {
    "nw": " new", "na": " new[]", "dl": " delete", "da": " delete[]", "ps": "+", "ng": "-", "ad": "&", "de": "*",
    "co": "~", "pl": "+", "mi": "-", "ml": "*", "dv": "/", "rm": "%", "an": "&", "or": "|", "eo": "^", "aS": "=",
    "pL": "+=", "mI": "-=", "mL": "*=", "dV": "/=", "rM": "%=", "aN": "&=", "oR": "|=", "eO": "^=", "ls": "<<",
    "rs": ">>", "lS": "<<=", "rS": ">>=", "eq": "==", "ne": "!=", "lt": "<", "gt": ">", "le": "<=", "ge": ">=",
    "ss": "<=>", "nt": "!", "aa": "&&", "oo": "||", "pp": "++", "mm": "--", "cm": ",", "pm": "->*", "pt": "->",
    "cl": "()", "ix": "[]", "qu": "?",
}  # fmt: skip
