"""Reads Prometheus' text format 0.0.4 as strictly as its grammar: every fault raises ValueError."""
import re

NAME = r"[a-zA-Z_:][a-zA-Z0-9_:]*"
LABEL = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\["\\n])*)"')
SAMPLE = re.compile(rf"({NAME})(?:\{{(.*)\}})? (\S+)(?: -?\d+)?")
SUFFIXES = {"summary": ("", "_sum", "_count"), "histogram": ("_bucket", "_sum", "_count")}


def labels_of(text):
    out, at = {}, 0
    while at < len(text):
        found = LABEL.match(text, at)
        if not found or found.group(1) in out:
            raise ValueError(f"labels {text!r}")
        out[found.group(1)] = re.sub(r"\\(.)", lambda m: "\n" if m.group(1) == "n" else m.group(1), found.group(2))
        at = found.end()
        if at < len(text):
            if text[at] != ",":
                raise ValueError(f"labels {text!r}")
            at += 1
    return out


def parse(text):
    """{(name, (label, value)...): number}, and {family: type}."""
    samples, types, helps, current = {}, {}, set(), None
    if not text.endswith("\n"):
        raise ValueError("the last line does not end")
    for line in text[:-1].split("\n"):
        comment = re.fullmatch(rf"# (HELP|TYPE) ({NAME}) (.*)", line)
        if comment:
            kind, name, rest = comment.groups()
            if kind == "HELP":
                if name in helps or re.search(r"\\(?![\\n])", rest):
                    raise ValueError(f"HELP {line!r}")
                helps.add(name)
            else:
                if name in types or rest not in ("counter", "gauge", "summary", "histogram", "untyped"):
                    raise ValueError(f"TYPE {line!r}")
                types[name] = rest
                current = name
            continue
        found = SAMPLE.fullmatch(line)
        if not found:
            raise ValueError(f"line {line!r}")
        name, labels, value = found.groups()
        allowed = SUFFIXES.get(types.get(current), ("",))
        if current is None or name not in [current + suffix for suffix in allowed]:
            raise ValueError(f"{name} stands behind the family {current}")
        key = (name, *sorted(labels_of(labels or "").items()))
        if key in samples:
            raise ValueError(f"twice: {key}")
        samples[key] = float(value)  # raises ValueError
    return samples, types
