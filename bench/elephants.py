"""The part `skew`: do other flows keep their latency beside an elephant?

Mail sessions alone, the same beside one flow with nine tenths of the bytes (a download, or mails over
one connection), and the elephant cut by --depth; runs in turn, medians. What counts is how long a
tuple waits in a usual lane of the context-ordered stage; what waits in the elephant's own lane stands
beside it. Captures are read at full speed.
"""
import json
import os
import statistics
import subprocess
import sys
import tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.append(os.path.join(ROOT, "tests", "support"))
import rewrite  # noqa: E402
import skew  # noqa: E402

PROGRAM = os.path.join(ROOT, "pipelines", "smtp_regex.analog")
MILLRACE = os.path.join(ROOT, "build", "release", "millrace")
SESSIONS = 3000
PARTS = ("skew",)


class Failed(Exception):
    """A run failed, or missed a mail."""


def captures(folder):
    """(name, file, wanted mails, options) of each contestant."""
    out = []
    for name, more in (("mails alone", {"share": 0}), ("beside a download", {"kind": "http"}),
                       ("beside mails of one flow", {"kind": "smtp"})):
        path = os.path.join(folder, name.replace(" ", "_") + ".pcap")
        packets, wanted, _ = skew.elephant(SESSIONS, **more)
        with open(path, "wb") as file:
            file.write(rewrite.pcap(packets))
        out.append((name, path, wanted, []))
        if more.get("kind") == "http":
            out.append(("the same, --depth 100k", path, wanted, ["--depth", "100k"]))
    return out


def run(contestant, workers, folder):
    name, path, wanted, options = contestant
    summary = os.path.join(folder, "summary.json")
    command = [MILLRACE, "run", "-p", PROGRAM, "-r", path, "-l", folder, "--events", "program", "--quiet",
               "--workers", str(workers), "--json-summary", summary, *options]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode:
        raise Failed(f"{name}: exit code {done.returncode}: {done.stderr[-300:]}")
    with open(summary, encoding="utf-8") as file:
        said = json.load(file)
    if said["counters"]["results"] != wanted:
        raise Failed(f"{name}: {said['counters']['results']} mails of {wanted}")
    stage = next(stage for stage in said["stages"] if stage["kind"] == "context")
    usual, hot = stage["queueing"], stage["queueing_hot_lanes"]
    return {"mbit": said["mbit_per_second"], "cpu_seconds": said["cpu_seconds"],
            "waits_p50_us": usual.get("p50_ns", 0) / 1e3, "waits_p99_us": usual.get("p99_ns", 0) / 1e3,
            "hot_p50_us": hot.get("p50_ns", 0) / 1e3, "hot_p99_us": hot.get("p99_ns", 0) / 1e3}


def measure(_part, args):
    """(lines of a table, numbers)."""
    lines = [f"{SESSIONS} mail sessions; times in microseconds", "",
             "| | workers | Mbit/s | CPU s | waits p50 | p99 | in the elephant's lane p50 | p99 |",
             "|---|---|---|---|---|---|---|---|"]
    numbers = []
    with tempfile.TemporaryDirectory() as folder:
        contestants = [(c, workers) for workers in args.workers for c in captures(folder)]
        runs = [[] for _ in contestants]
        for measured in range(args.rounds + 1):
            for several, (contestant, workers) in zip(runs, contestants):
                figures = run(contestant, workers, folder)
                if measured:
                    several.append(figures)
    for several, (contestant, workers) in zip(runs, contestants):
        m = {key: statistics.median(r[key] for r in several) for key in several[0]}
        numbers.append({"name": contestant[0], "workers": workers, **m})
        lines.append(f"| {contestant[0]} | {workers} | {m['mbit']:.0f} | {m['cpu_seconds']:.3f} "
                     f"| {m['waits_p50_us']:.1f} | {m['waits_p99_us']:.1f} | {m['hot_p50_us']:.1f} "
                     f"| {m['hot_p99_us']:.1f} |")
    return lines, numbers
