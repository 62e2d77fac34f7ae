"""The part `spam`: accuracy and rate of the spam scorer beside bogofilter, on the SpamAssassin corpus.

Accuracy: `millrace train spam --cross-validate 10` takes duplicates out, makes the folds (mails that are
nearly alike stay together) and tells the score of every mail when it was not learned from; bogofilter
learns from and judges the same mails of the same folds. Then with fewer header fields, and learned from
the older half of each kind and tested on the newer. Rate: mails of 6.6 KB, CPU seconds of the whole
process, one thread; the same mails through the engine, from a capture with whole SMTP sessions.
"""
import collections
import email.utils
import glob
import json
import os
import random
import re
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.append(os.path.join(ROOT, "tests", "support"))
import rewrite  # noqa: E402
import skew  # noqa: E402

PARTS = ("spam", "spam-accuracy", "spam-rates")  # the first does both
MILLRACE = os.path.join(ROOT, "build", "release", "millrace")
PROGRAM = os.path.join(ROOT, "pipelines", "smtp_spam.analog")
MODEL = os.path.join(ROOT, "pipelines", "spam", "spamassassin.model")
HAM, SPAM = ("easy_ham", "easy_ham_2", "hard_ham"), ("spam", "spam_2")
REPEAT = 4  # each mail of the sample is judged so often in a run
SHARES = (0, 0.001, 0.002, 0.003, 0.005, 0.01)


class Failed(Exception):
    """Something is missing, or a run failed."""


def run(command, **more):
    """Output and CPU seconds of the process."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(command, check=False, capture_output=True, **more)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    # bogofilter ends with 0 to 2 for spam, ham, unsure
    if done.returncode and not (command[0] == "bogofilter" and done.returncode < 3):
        raise Failed(f"{' '.join(command)[:200]}: exit code {done.returncode}: {done.stderr[-300:].decode()}")
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return done.stdout.decode(errors="replace"), cpu


def corpus(work):
    data = os.environ.get("MR_SHARED_DATA")
    if not data:
        data = os.path.join(work, "data")
        unpack = os.path.join(os.environ.get("MR_SHARED", os.path.join(ROOT, "..", "shared")), "data", "unpack")
        if not os.path.exists(unpack):
            raise Failed("the SpamAssassin corpus is missing: set MR_SHARED")
        run([unpack, data])
    return os.path.join(data, "spam", "spamassassin")


def train(folder, *options):
    command = [MILLRACE, "train", "spam", "--quiet", "--max-tokens", "49000", *options]
    for kind, names in ("--ham", HAM), ("--spam", SPAM):
        for name in names:
            command += [kind, os.path.join(folder, name)]
    return run(command)


# ---- accuracy ----

def curve(judged):
    """judged: (is spam, score). 1-AUC, and (ham called spam, spam missed) where so many ham may be lost."""
    ordered = sorted(judged, key=lambda one: (-one[1], one[0]))
    n_spam = sum(spam for spam, _ in ordered)
    n_ham, lost, ham = len(ordered) - n_spam, 0, 0
    for spam, _ in ordered:
        lost, ham = (lost + ham, ham) if spam else (lost, ham + 1)
    points = []
    for share in SHARES:
        allowed, ham, found = int(share * n_ham + 1e-9), 0, 0
        for spam, _ in ordered:
            if not spam and ham == allowed:
                break
            found, ham = (found + 1, ham) if spam else (found, ham + 1)
        points.append((ham, n_spam - found))
    return {"ham": n_ham, "spam": n_spam, "one_less_auc": lost / (n_ham * n_spam), "points": points}


def read_judged(path):
    with open(path, encoding="utf-8") as file:
        rows = [line.rstrip("\n").split(" ", 3) for line in file]
    return [(int(fold), kind == "spam", float(score), name) for fold, kind, score, name in rows]


def bogofilter_folds(rows):
    out = []
    for fold in sorted({row[0] for row in rows}):
        with tempfile.TemporaryDirectory(dir="/dev/shm" if os.path.isdir("/dev/shm") else None) as words:
            for flag, kind in ("-n", False), ("-s", True):
                names = "\n".join(row[3] for row in rows if row[0] != fold and row[1] == kind) + "\n"
                run(["bogofilter", "-C", "-d", words, flag, "-b"], input=names.encode())
            out += bogofilter_scores([row for row in rows if row[0] == fold], words)
    return out


def bogofilter_scores(rows, words):
    names = "\n".join(row[3] for row in rows) + "\n"
    text, _ = run(["bogofilter", "-C", "-d", words, "-TT", "-b"], input=names.encode())
    scores = [float(line.split()[-1]) for line in text.splitlines() if line.strip()]
    if len(scores) != len(rows):
        raise Failed(f"bogofilter judged {len(scores)} of {len(rows)} mails: {text[:200]}")
    return [(row[1], score) for row, score in zip(rows, scores)]


def dated(path):
    """When the mail was received, else when it says it was written; None: it does not say."""
    with open(path, "rb") as file:
        head = re.split(rb"\r?\n\r?\n", file.read(), maxsplit=1)[0].decode("latin-1")
    fields = re.sub(r"\r?\n[ \t]+", " ", head).splitlines()
    texts = [field.rsplit(";", 1)[1] for field in fields if field.lower().startswith("received:") and ";" in field]
    texts += [field[5:] for field in fields if field.lower().startswith("date:")]
    for text in texts:
        try:
            when = email.utils.parsedate_to_datetime(text.strip()).timestamp()
        except (ValueError, TypeError, IndexError):
            continue
        if 8e8 < when < 1.2e9:
            return when
    return None


def halves(rows, work, *options):
    """Learned from the older half of each kind, tested on the newer."""
    for kind in False, True:
        mine = sorted((when, row[3]) for row in rows if row[1] == kind and (when := dated(row[3])))
        for number, (_, name) in enumerate(mine):
            half = "new" if number >= len(mine) // 2 else "old"
            folder = os.path.join(work, half, "spam" if kind else "ham")
            os.makedirs(folder, exist_ok=True)
            shutil.copy(name, os.path.join(folder, f"{number:05}"))
    model = os.path.join(work, "half.model")
    run([MILLRACE, "train", "spam", "--quiet", "--cross-validate", "0", "-o", model, "--max-tokens", "49000",
         "--ham", os.path.join(work, "old", "ham"), "--spam", os.path.join(work, "old", "spam"), *options])
    judged = []
    for kind in "ham", "spam":
        text, _ = run([MILLRACE, "score", "-m", model, os.path.join(work, "new", kind)])
        judged += [(kind == "spam", float(line.split()[0])) for line in text.splitlines()]
    return judged


# ---- rate ----

def sample(rows, work):
    """A thousand mails of 6.6 KB on average, four times each: files, and a capture with a session for each."""
    sizes = {row[3]: os.path.getsize(row[3]) for row in rows}
    for middle in range(6600, 12000, 100):
        near = sorted(rows, key=lambda row: (abs(sizes[row[3]] - middle), row[3]))[:1000]
        if sum(sizes[row[3]] for row in near) >= 6600 * len(near):
            break
    folder = os.path.join(work, "near")
    os.mkdir(folder)
    flows, rng, size = [], random.Random(1), 0
    server = (skew.address("10.1.0.1"), 25)
    for number, row in enumerate(near * REPEAT):
        with open(row[3], "rb") as file:
            mail = file.read()
        mail = mail.split(b"\n", 1)[1] if mail.startswith(b"From ") else mail
        size += len(mail)
        with open(os.path.join(folder, f"{number:04}"), "wb") as file:
            file.write(mail)
        c = skew.Conversation((skew.address(f"10.2.{number >> 8}.{number & 255}"), 20000 + number), server, rng)
        for side, line in ((1, b"220 mx ESMTP\r\n"), (0, b"EHLO c\r\n"), (1, b"250 mx\r\n"), (0, b"MAIL FROM:<a@c>\r\n"),
                           (1, b"250 ok\r\n"), (0, b"RCPT TO:<b@mx>\r\n"), (1, b"250 ok\r\n"), (0, b"DATA\r\n"),
                           (1, b"354 go on\r\n")):
            c.send(side, line)
        lines = mail.replace(b"\r\n", b"\n").split(b"\n")
        c.send(0, b"\r\n".join(b"." + line if line.startswith(b".") else line for line in lines) + b"\r\n.\r\n")
        for side, line in (1, b"250 queued\r\n"), (0, b"QUIT\r\n"), (1, b"221 bye\r\n"):
            c.send(side, line)
        flows.append(c.close())
    capture = os.path.join(work, "near.pcap")
    with open(capture, "wb") as file:
        file.write(rewrite.pcap(skew.mingle([[], *flows], rng)))
    return folder, capture, size / len(flows)


def rates(rows, work, rounds):
    folder, capture, mean = sample(rows, work)
    words = os.path.join(work, "words")
    os.mkdir(words)
    for flag, kind in ("-n", False), ("-s", True):
        names = "\n".join(row[3] for row in rows if row[1] == kind) + "\n"
        run(["bogofilter", "-C", "-d", words, flag, "-b"], input=names.encode())
    files = sorted(glob.glob(os.path.join(folder, "*")))
    n, out = len(files), collections.defaultdict(list)
    names = ("\n".join(files) + "\n").encode()
    summary = os.path.join(work, "summary.json")
    for number in range(rounds + 1):
        _, bogo = run(["bogofilter", "-C", "-d", words, "-TT", "-b"], input=names)
        _, ours = run([MILLRACE, "score", "-m", MODEL, folder])
        _, start = run([MILLRACE, "score", "-m", MODEL, files[0]])
        run([MILLRACE, "run", "-p", PROGRAM, "--workers", "1", "--events", "program", "-k", "none", "--quiet",
             "--set", "threshold=-1.0", "-l", work, "--json-summary", summary, "-r", capture])
        with open(summary, encoding="utf-8") as file:
            told = json.load(file)
        if told["counters"]["results"] != n:
            raise Failed(f"the engine scored {told['counters']['results']} mails of {n}")
        if number:  # the first round warms up
            for name, seconds in (("bogofilter", bogo), ("millrace score", ours - start), ("millrace run", told["cpu_seconds"])):
                out[name].append(n / seconds)
    return mean, {name: statistics.median(values) for name, values in out.items()}


FIELDS = (("all fields", "all"), ("fields of the sender", "sender"), ("bodies only", "none"))


def accuracy(folder, work):
    """Figures of each way of judging, and what 10-fold said of each mail by the fields of the sender."""
    numbers, judged = {}, os.path.join(work, "judged")
    for name, fields in FIELDS:
        train(folder, "--fields", fields, "--judged", judged + fields)
        numbers[f"millrace, {name}"] = curve([row[1:3] for row in read_judged(judged + fields)])
    rows = read_judged(judged + "all")
    numbers["bogofilter, all fields"] = curve(bogofilter_folds(rows))
    for name, fields in FIELDS:
        with tempfile.TemporaryDirectory() as half:
            numbers[f"older half to newer, {name}"] = curve(halves(rows, half, "--fields", fields))
    return numbers, read_judged(judged + "sender")


def kinds(rows, share):
    """Where the mails come from that are misjudged where `share` of ham may be lost."""
    ham = sorted((score for _, spam, score, _ in rows if not spam), reverse=True)
    cut = ham[int(share * len(ham) + 1e-9)]
    wrong = collections.Counter((os.path.basename(os.path.dirname(name)), spam) for _, spam, score, name in rows
                                if (score > cut) != spam)
    return ", ".join(f"{n} of {folder}" for (folder, _), n in sorted(wrong.items(), key=lambda one: (one[0][1], -one[1])))


def accuracy_table(numbers, rate):
    first = numbers["millrace, all fields"]
    lines = [f"{first['ham']} ham, {first['spam']} spam, 10 folds; spam missed where so much ham may be called spam:",
             "", "| | 1-AUC | " + " | ".join(f"{100 * share:g} %" for share in SHARES) + " | mails/s a core |",
             "|---|---|" + "---|" * len(SHARES) + "---|"]
    for name, n in numbers.items():
        speed = {"bogofilter, all fields": "bogofilter", "millrace, fields of the sender": "millrace score"}.get(name)
        cells = [f"{100 * missed / n['spam']:.2f} %" for _, missed in n["points"]]
        lines.append(f"| {name} | {100 * n['one_less_auc']:.4f} % | " + " | ".join(cells)
                     + f" | {f'{rate[speed]:.0f}' if speed and rate else ''} |")
    return lines


def measure(part, args):
    if not shutil.which("bogofilter"):
        raise Failed("bogofilter is missing (scripts/install-deps --bench)")
    numbers, rate, mean, lines = {}, {}, 0, []
    with tempfile.TemporaryDirectory() as work:
        folder = corpus(work)
        if part != "spam-rates":
            numbers, rows = accuracy(folder, work)
            judged = f"Misjudged at 0.1 % (fields of the sender): {kinds(rows, 0.001)}; at 0.3 %: {kinds(rows, 0.003)}."
        else:
            train(folder, "--cross-validate", "2", "--judged", os.path.join(work, "judged"))
            rows = read_judged(os.path.join(work, "judged"))
        if part != "spam-accuracy":
            mean, rate = rates(rows, work, min(args.rounds, 5))
    if numbers:
        lines += [*accuracy_table(numbers, rate), "", judged]
    if rate:
        lines += ["", f"Rate: mails of {mean / 1000:.1f} KB on average, MIME included: bogofilter {rate['bogofilter']:.0f}, "
                  f"millrace score {rate['millrace score']:.0f} ({rate['millrace score'] / rate['bogofilter']:.1f} times), "
                  f"from packets through the engine {rate['millrace run']:.0f} a core "
                  f"({rate['millrace run'] / 4842:.1f} times the paper's 4,842 of 16 cores)."]
    return lines, {"accuracy": numbers, "mean_bytes": mean, "mails_per_cpu_second": rate}
