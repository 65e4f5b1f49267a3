"""Would the native parts load? Judged by the files alone, where nothing can be imported."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pytest_trtcheck.model.components import BY_KEY, STACK_DISTRIBUTIONS, title_of
from pytest_trtcheck.model.finding import Severity
from pytest_trtcheck.model.report import Reason
from pytest_trtcheck.probe.providers import provider_of_library, provider_of_node
from pytest_trtcheck.verdict import spans
from pytest_trtcheck.verdict.base import join
from pytest_trtcheck.verdict.families.libraries import PART_OF, told_missing, what_is_there
from pytest_trtcheck.verdict.remedies import for_missing_library

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from pytest_trtcheck.model.finding import Finding
    from pytest_trtcheck.verdict.base import Context, Unasked, Words

    Module = Mapping[str, Any]
    _Judge = Callable[[Context, str, Sequence[Module]], Finding]

KEY = "loading"
_NAMED = 3
"""So many of what is missing are named; the fact in report.json has more."""


def loading(context: Context) -> Iterator[Finding | Unasked]:
    """Judge every package whose native parts were looked at."""
    fact = context.fact(KEY)
    if not fact.is_found:
        return
    by_component: dict[str, list[Module]] = {}
    for module in fact.details.get("modules", ()):
        by_component.setdefault(str(module["component"]), []).append(module)
    for key, modules in by_component.items():
        yield from _package(context, key, modules)
    yield from _copies(context, fact.details.get("copies", ()))


def _package(context: Context, key: str, modules: Sequence[Module]) -> Iterator[Finding | Unasked]:
    foreign = [module for module in modules if _is_for_another_python(module)]
    if any("python" in module for module in modules):
        yield _python(context, key, modules, foreign)
    opened = [module for module in modules if module not in foreign]
    if not opened:
        return
    yield _found(context, key, opened)
    # With a library missing it is not known what that would have defined.
    whole = [module for module in opened if not module.get("missing")]
    for check, what, judge in (("TRC-ELF-002", "nodes", _nodes), ("TRC-ELF-003", "undefined", _undefined)):
        clear = [module for module in whole if what == "nodes" or not module.get("nodes")]
        if clear:
            yield _judged(context, check, key, clear, what, judge)
        else:
            why = "no file was left to look at: each lacks a library" + (" or a version" if whole else "")
            yield context.unasked(check, key, Reason.NOT_APPLICABLE, why)


def _found(context: Context, key: str, modules: Sequence[Module]) -> Finding | Unasked:
    """Judge what is missing, unless checks that look at the component's own files have told all of it."""
    told = told_missing(context, key)
    lost = {str(one["library"]) for module in modules for one in module.get("missing", ())}
    if lost and lost <= set(told):
        why = f"{_some(sorted(lost))} not found: see {join(sorted({told[name] for name in lost}))}"
        return context.unasked("TRC-ELF-001", key, Reason.NOT_APPLICABLE, why)
    rest = [
        {**module, "missing": [one for one in module.get("missing", ()) if one["library"] not in told]}
        for module in modules
    ]
    return _judged(context, "TRC-ELF-001", key, rest, "missing", _missing)


def _judged(
    context: Context, check: str, key: str, modules: Sequence[Module], what: str, judge: Callable[..., Words]
) -> Finding:
    expected = {
        "missing": "every library that is asked for", "nodes": "every version that is asked for",
        "undefined": "every symbol that is used",
    }[what]  # fmt: skip
    failing = [module for module in modules if module.get(what)]
    essential = [module for module in failing if module["essential"]]
    if not failing:
        files = "1 file" if len(modules) == 1 else f"{len(modules)} files"
        assumed = join(dict.fromkeys(str(name) for module in modules for name in module.get("assumed", ())[:_NAMED]))
        words = f"taken as given, since not in here: {assumed}" if assumed and what == "missing" else ""
        return context.compatible(
            check, key, facts=(key, KEY), expected=expected, found=f"all, for {files}", detail=words
        )
    told = judge(context, key, essential or failing)
    told = {"facts": (key, KEY), "expected": expected, **told}
    if essential and all(one.get("is_open") for module in essential for one in module[what]):
        return context.unknown(check, key, told)
    if essential:
        return context.incompatible(check, key, told)
    names = join(dict.fromkeys(_name(module["path"]) for module in failing))
    detail = f"only {names} cannot be opened, which {title_of(key)} does not need for all it does"
    told["detail"] = "; ".join(filter(None, (told.get("detail", ""), detail)))
    return context.compatible(check, key, told, severity=Severity.WARNING)


def _missing(context: Context, key: str, modules: Sequence[Module]) -> Words:
    lost: dict[str, Module] = {}
    for module in modules:
        for one in module["missing"]:
            lost.setdefault(str(one["library"]), one)
    first = next(iter(lost.values()))
    providers = [provider_of_library(name) for name in lost]
    known = tuple(dict.fromkeys(name for name in providers if name))
    there = join(what_is_there(context, name) for name in known if _is_library(name) and name != key)
    remedy = for_missing_library(context, str(first["library"]), providers[0])
    if first["reason"]:
        # It is there, and no use: a name of its own and the reason say more than who asks for it.
        broken = f"{_name(first['library'])} cannot be used"
        remedy = f"Install again what brings {_name(first['library'])}."
        return {"components": (key,), "found": broken, "detail": str(first["reason"]), "remedy": remedy}
    return {
        "components": tuple(dict.fromkeys(PART_OF.get(name, name) for name in (*known, key))),
        "found": f"{_some(list(lost))} not found" + (f"; there is {there}" if there else ""),
        "detail": f"{first['needed_by']} needs {first['library']}",
        "remedy": remedy,
    }


def _is_library(key: str) -> bool:
    return key in BY_KEY and bool(BY_KEY[key].libraries)


def _nodes(context: Context, key: str, modules: Sequence[Module]) -> Words:
    lost: dict[str, Module] = {}
    for module in modules:
        for one in module["nodes"]:
            lost.setdefault(str(one["node"]), one)
    first = next(iter(lost.values()))
    provider = provider_of_node(str(first["node"]), str(first["library"]))
    newest = max(lost, key=lambda node: spans.dotted(node.rpartition("_")[2]) or spans.parsed("0"))
    return {
        "components": tuple(dict.fromkeys(filter(None, (provider, key)))),
        "found": f"{_name(first['library'])} has no {_some(list(lost))}",
        "detail": f"{first['needed_by']} asks it of {first['library']}{_where_node_is(context, newest)}",
        "remedy": f"Use a newer {title_of(provider) if provider else _name(first['library'])}, or a build of "
        f"{title_of(key)} for this system.",
    }


def _where_node_is(context: Context, node: str) -> str:
    """Say which systems of the matrix have a version node of glibc or libstdc++; nothing where no row tells."""
    family, _, number = node.partition("_")
    cell, want = {"GLIBC": "glibc", "GLIBCXX": "glibcxx"}.get(family), spans.dotted(number)
    if cell is None or want is None:
        return ""
    rows = (row for row in context.matrix.rows("os") if row.version.startswith(("Ubuntu", "Debian", "RHEL")))
    having = [row.version for row in rows if (have := spans.dotted(row.value(cell))) and have >= want]
    compilers = [f"gcc {row.version}" for row in context.matrix.rows("libstdcxx")
                 if cell == "glibcxx" and (have := spans.dotted(row.value(cell))) and have >= want]  # fmt: skip
    named = having[:_NAMED] or compilers[:1]
    return f"; {join(named)} {'have' if len(named) > 1 else 'has'} it" if named else ""


def _undefined(context: Context, key: str, modules: Sequence[Module]) -> Words:
    lost: dict[str, Module] = {}
    for module in modules:
        for one in module["undefined"]:
            lost.setdefault(str(one["symbol"]), one)
    count = max(int(module.get("undefined_count", 0)) for module in modules)
    first = next(iter(lost.values()))
    provider = str(first.get("provider", ""))
    more = f" and {count - 1} more" if count > 1 else ""
    return {
        "components": tuple(dict.fromkeys(filter(None, (provider, key)))),
        "found": f"nobody defines {_shortened(str(first['name']))}{more}, used by {first['needed_by']}",
        "detail": "; ".join(_about(context, key, provider, first)),
        "remedy": _together(context, key, provider, first),
    }


def _about(context: Context, key: str, provider: str, one: Module) -> Iterator[str]:
    searched = one.get("searched", ())
    if provider and searched:
        version = context.stack.value(provider) or ""
        yield f"it should be in {title_of(provider)} {version}".rstrip() + f" ({join(map(_name, searched[:_NAMED]))})"
    if one.get("like"):
        yield f"which has {_shortened(str(one['like']))}"
    if one.get("old_strings") and context.value("torch_cxx11_abi") in {"true", "1"} and provider == "torch":
        yield f"{title_of(key)} was built with std::string as before C++11, this torch with that of C++11"
    wanted = _wanted(context, key, provider)
    if wanted:
        yield f"{title_of(key)} {context.stack.value(key) or ''}".rstrip() + f" is built for {wanted}"
    if one.get("elsewhere"):
        words = "defines it" if len(one["elsewhere"]) == 1 else "define it"
        why = "which may be opened first" if one.get("is_open") else "which the loader does not take"
        yield f"{join(one['elsewhere'][:_NAMED])} {words}, {why}"


def _together(context: Context, key: str, provider: str, one: Module) -> str:
    if one.get("elsewhere"):
        return f"Make the loader take {one['elsewhere'][0]}: remove the other copy, or order LD_LIBRARY_PATH."
    wanted = _wanted(context, key, provider)
    if wanted:
        version = context.stack.value(provider) or ""
        return f"Install {wanted}, or a build of {title_of(key)} for {title_of(provider)} {version}".rstrip() + "."
    if provider in BY_KEY:
        return (
            f"Install the build of {title_of(key)} that is made for this {title_of(provider)}, or the other way round."
        )
    return ""


def _wanted(context: Context, key: str, provider: str) -> str:
    """Return what a package says it was built for: ``torch==2.8.0``; from its metadata, else from the matrix."""
    from packaging.requirements import InvalidRequirement, Requirement

    names = BY_KEY[provider].distributions if provider in BY_KEY else ()
    for dist in context.stack.distributions:
        if STACK_DISTRIBUTIONS.get(dist.name, dist.name) != key:
            continue
        for text in dist.requires:
            try:
                requirement = Requirement(text)
            except InvalidRequirement:
                continue
            exact = any(one.operator in {"==", "<", "<=", "~="} for one in requirement.specifier)
            if requirement.name in names and exact:
                return f"{requirement.name}{requirement.specifier}"
    version = context.stack.value(key)
    row = context.match(key, version) if version and key in context.matrix.products and provider == "torch" else None
    pin = row.value("pin_torch") if row is not None and "pin_torch" in set(row.names()) else None
    return f"torch{pin}" if pin else ""


def _is_for_another_python(module: Module) -> bool:
    built_for, interpreter = module.get("python"), module.get("interpreter")
    return bool(built_for and interpreter) and built_for not in {"abi3", interpreter}


def _python(context: Context, key: str, modules: Sequence[Module], foreign: Sequence[Module]) -> Finding:
    version = str(next((one["interpreter"] for one in modules if one.get("interpreter")), "") or "of unknown version")
    tags = sorted({str(module["python"]) for module in foreign or modules if "python" in module})
    words: Words = {
        "facts": ("python", key), "expected": f"modules for Python {version}",
        "found": f"modules for {join('the stable ABI' if tag == 'abi3' else f'Python {tag}' for tag in tags)}",
    }  # fmt: skip
    if not foreign:
        if version == "of unknown version" and tags != ["abi3"]:
            return context.unknown("TRC-ELF-004", key, words, severity=Severity.INFO, detail="no interpreter was found")
        return context.compatible("TRC-ELF-004", key, words)
    words["detail"] = join(_name(module["path"]) for module in foreign[:_NAMED])
    if any(module["essential"] for module in foreign):
        return context.incompatible("TRC-ELF-004", key, words, components=(key, "python"))
    return context.compatible("TRC-ELF-004", key, words, severity=Severity.WARNING)


def _copies(context: Context, copies: Sequence[Module]) -> Iterator[Finding]:
    by_component: dict[str, list[Module]] = {}
    for one in copies:
        by_component.setdefault(str(one["component"]), []).append(one)
    for key, several in by_component.items():
        first = several[0]
        taken = {str(one["taken"]).rpartition("/")[0] for one in several}
        mixed = len(taken) > 1 and len({_name(one["taken"]) for one in several}) < len(several)
        yield context.compatible(
            "TRC-ELF-005", key, facts=(key, KEY), expected=f"one copy of {title_of(key)} in reach",
            found=f"{first['taken']} wins (by {first['by']}) over {join(first['others'][:_NAMED])}",
            detail=f"different processes take different ones: {join(sorted(taken))}" if mixed else "",
            severity=Severity.WARNING if mixed else Severity.INFO,
        )  # fmt: skip


def _some(names: Sequence[str]) -> str:
    return join(names[:_NAMED]) + (f" and {len(names) - _NAMED} more" if len(names) > _NAMED else "")


def _name(path: object) -> str:
    return str(path).rpartition("/")[2]


def _shortened(text: str) -> str:
    return text if len(text) <= 160 else f"{text[:157]}..."
