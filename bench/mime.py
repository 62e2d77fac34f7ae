"""The part `mime` of scripts/bench: how many mails a second and core the MIME decoder reads, beside GMime
on the same mails: SpamAssassin's corpus (MR_SHARED_DATA), or what scripts/make-mails makes.

Not run by itself: scripts/bench calls measure().
"""
import glob
import os
import statistics
import subprocess
import tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
PARTS = ("mime",)


class Failed(Exception):
    pass


def output(*command):
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode:
        raise Failed(f"{command[0]} exited with {done.returncode}: {done.stderr[-400:]}")
    return done.stdout


def measure(_part, args):
    data = os.environ.get("MR_SHARED_DATA")
    paths = sorted(glob.glob(os.path.join(data, "spam/spamassassin/*/*.eml"))) if data else []
    with tempfile.TemporaryDirectory() as folder:
        what = "mails of SpamAssassin's corpus"
        if not paths:
            output(os.path.join(ROOT, "scripts", "make-mails"), folder, "--mails", "2000")
            paths = sorted(path for path in glob.glob(os.path.join(folder, "**"), recursive=True)
                           if os.path.isfile(path) and not path.endswith(".tsv"))
            what = "mails of scripts/make-mails"
        size = sum(os.path.getsize(path) for path in paths) / len(paths)
        lines = output(os.path.join(ROOT, "build", "release", "mime_rate"), str(args.rounds), *paths)
    rounds = [list(map(int, line.split())) for line in lines.splitlines()]
    ours, hashed, gmime = (statistics.median(column) for column in zip(*rounds))
    numbers = {"mails": len(paths), "mean_bytes": round(size), "ns_a_mail": ours, "ns_a_mail_with_sha256": hashed,
               "ns_a_mail_gmime": gmime}
    text = [f"{len(paths):,} {what}, {size / 1000:.1f} KB each; CPU time of one core.", "",
            "| | us a mail | mails a second |", "|---|---:|---:|",
            f"| fields, parts, text of HTML, links | {ours / 1000:.1f} | {1e9 / ours:,.0f} |",
            f"| and SHA-256 of every file | {hashed / 1000:.1f} | {1e9 / hashed:,.0f} |"]
    if gmime:
        text += [f"| GMime: subject, text parts as they are | {gmime / 1000:.1f} | {1e9 / gmime:,.0f} |", "",
                 f"GMime takes {gmime / ours:.1f} times as long (median of rounds: "
                 f"{statistics.median(row[2] / row[0] for row in rounds):.1f})."]
    else:
        text += ["", "GMime: libgmime-3.0-dev was missing."]
    return text, numbers
