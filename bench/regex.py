"""The part `regex` of scripts/bench: what the regex stage costs on the CPU beside hs_scan() alone; and the
pattern sets and messages for that, which scripts/gpu-bundle takes as well.

With real data (MR_SHARED_DATA) patterns come from Snort's community rules and the set of ANMLZoo, and
messages are mails of SpamAssassin's corpus; what is missing, or all, is made by scripts/make-patterns and
scripts/make-mails. Not run by itself: scripts/bench calls measure().
"""
import glob
import json
import os
import re
import struct
import subprocess
import tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
RELEASE = os.path.join(ROOT, "build", "release")
SETS = (("pcre", 1), ("pcre", 150), ("pcre", 1200), ("literal", 150), ("literal", 5000))
MESSAGES_BYTES = 8_000_000
NAMES = {"pcre": "PCREs", "literal": "literals"}
AIM = 1.10


class Failed(Exception):
    pass


def output(*command):
    done = subprocess.run(command, check=False, capture_output=True)
    if done.returncode:
        raise Failed(f"{' '.join(command)} exited with {done.returncode}: {done.stderr.decode()[-400:]}")
    return done.stdout.decode("latin-1")


def script(name, *options):
    return output(os.path.join(ROOT, "scripts", name), *map(str, options))


# ---- patterns ----

def real_lines(kind):
    """Patterns of real rules, without their ids; none without the data."""
    data = os.environ.get("MR_SHARED_DATA")
    files = [] if not data else [
        os.path.join(data, "patterns/snort_community/snort3-community.rules"),
        os.path.join(data, "patterns/anmlzoo/Snort/regex/snort.1chip.regex")]
    files = [path for path in files if os.path.exists(path)]
    if not files:
        return []
    text = script("patterns-from-rules", "--pcre" if kind == "pcre" else "--content", *files)
    lines = [line.split(":", 1)[1] for line in text.splitlines()]
    return lines if kind == "pcre" else [line for line in lines if len(bytes_of(line)) >= 4]


def bytes_of(line):
    return re.sub(r"\\x..", "x", line[1:line.rindex("/")])


def accepted(lines, millrace):
    """Those that Hyperscan takes. The set is not compiled for devices: --check is not given."""
    with tempfile.NamedTemporaryFile("w", encoding="latin-1", suffix=".patterns") as file:
        file.writelines(f"{number}:{line}\n" for number, line in enumerate(lines, 1))
        file.flush()
        text = output(millrace, "patterns", "--skip-refused", file.name)
    refused = {int(found.group(1)) for found in re.finditer(r"^(\d+)\s+refused\b", text, re.M)}
    return [line for number, line in enumerate(lines, 1) if number not in refused]


def make_set(kind, n, path, millrace, shared=True):
    """Writes n patterns to path; how many of them are real."""
    lines = []
    if shared and n > 1:
        lines = accepted(real_lines(kind)[:n + n // 4], millrace)[:n] if real_lines(kind) else []
    real = len(lines)
    more = [line.split(":", 1)[1] for line in script("make-patterns", kind, n - real).splitlines()]
    with open(path, "w", encoding="latin-1") as file:
        file.writelines(f"{number}:{line}\n" for number, line in enumerate(lines + more, 1))
    return real


# ---- messages ----

def mails(shared, longest):
    data = os.environ.get("MR_SHARED_DATA") if shared else None
    paths = sorted(glob.glob(os.path.join(data, "spam/spamassassin/*/*"))) if data else []
    if paths:
        for path in paths:
            with open(path, "rb") as file:
                yield file.read()
        return
    with tempfile.TemporaryDirectory() as folder:
        script("make-mails", folder, "--mails", 1500, "--min-bytes", longest // 10, "--max-bytes", longest)
        for path in sorted(glob.glob(os.path.join(folder, "*.eml"))):
            with open(path, "rb") as file:
                yield file.read()


def make_messages(path, size, shared=True, longest=10000):
    """Records of bench/messages.h, about `size` bytes; how many."""
    n = got = 0
    with open(path, "wb") as file:
        while got < size:
            for mail in mails(shared, longest):
                file.write(struct.pack("<I", len(mail)) + mail)
                n, got = n + 1, got + len(mail)
                if got >= size:
                    break
    return n


# ---- the bench ----

def stage(args):
    """The stage beside hs_scan, one thread and all cores."""
    folder = os.path.join(ROOT, "build", "bench")
    os.makedirs(folder, exist_ok=True)
    millrace = os.path.join(RELEASE, "millrace")
    messages = os.path.join(folder, "messages.bin")
    make_messages(messages, MESSAGES_BYTES)
    lines = ["f_match's batch function beside hs_scan() with the same databases over the same mails in",
             "memory; CPU time of one thread; alerts switched off. Aim: at most 1.10.", "",
             "| patterns | of them real | matches | hs_scan Gbit/s a core | stage Gbit/s a core | stage / hs_scan "
             "| in batches of one | |", "|---|---|---|---|---|---|---|---|"]
    rows = []
    for kind, n in SETS:
        path = os.path.join(folder, f"{kind}-{n}.patterns")
        real = make_set(kind, n, path, millrace)
        said = json.loads(output(os.path.join(RELEASE, "regex_stage"), path, messages,
                                 str(max(args.rounds, 101 if n == 1 else 1))))
        worst = max(said["stage_over_raw"], said["stage_one_over_raw"])
        rows.append({"kind": kind, "real": real, "met": worst <= AIM, **said})
        lines.append(f"| {n:,} {NAMES[kind]} | {real:,} | {said['matches']:,} | {said['raw_gbit_per_core']:.3f} | "
                     f"{said['stage_gbit_per_core']:.3f} | {said['stage_over_raw']:.3f} | "
                     f"{said['stage_one_over_raw']:.3f} | {'met' if worst <= AIM else 'missed'} |")
    return lines, {"aim": AIM, "rows": rows}


PARTS = {"regex": stage}


def measure(part, args):
    """(lines of Markdown, what goes into the JSON file). Raises Failed."""
    return PARTS[part](args)
