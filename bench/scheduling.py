"""The parts of scripts/bench that measure the runtime alone: schedule, scale, simulate.

bench/README.md says what is compared. Not run by itself: scripts/bench calls measure().
"""
import json
import os
import statistics
import subprocess

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
RELEASE = os.path.join(ROOT, "build", "release")
BURSTS = (1, 8, 32, 256)
TUPLES = 1_000_000
WORK = 2000       # rounds of the loop that a CPU-heavy tuple burns: some microseconds
WORK_TUPLES = 300_000


class Failed(Exception):
    pass


def run(name, *options):
    """One run of a program of build/release that prints one line of JSON."""
    command = [os.path.join(RELEASE, name), *map(str, options)]
    try:
        done = subprocess.run(command, check=False, capture_output=True, text=True)
    except FileNotFoundError:
        raise Failed(f"{command[0]} is not built (libtbb-dev is missing?)") from None
    if done.returncode:
        raise Failed(f"{' '.join(command)} exited with {done.returncode}: {done.stderr[-400:]}")
    return json.loads(done.stdout)


def interleaved(contestants, rounds):
    """{name: [numbers of each measured round]}; one unmeasured round first."""
    runs = {name: [] for name in contestants}
    for turn in range(rounds + 1):
        for name, command in contestants.items():
            numbers = run(*command)
            if turn:
                runs[name].append(numbers)
    return runs


def median(runs, key):
    return statistics.median(numbers[key] for numbers in runs)


def schedule(args):
    """The cost of a tuple in an empty program, beside oneTBB."""
    contestants = {}
    for workers in args.workers:
        for burst in BURSTS:
            size = ("--workers", workers, "--burst", burst, "--packets", TUPLES)
            contestants[("one", workers, burst)] = ("schedule", *size, "--keys", 1)
            contestants[("many", workers, burst)] = ("schedule", *size, "--keys", 1024)
            contestants[("tbb", workers, burst)] = ("tbb_pipeline", *size)
    runs = interleaved(contestants, args.rounds)

    def cost(*name): # CPU nanoseconds a tuple: what other processes take does not count
        return median(runs[name], "cpu_seconds") / TUPLES * 1e9

    lines = ["CPU ns a tuple; ratio to oneTBB with one token a tuple (what Scalanytics did), and to",
             "oneTBB with one token a burst. \"one\": all tuples of a burst have one key; \"many\": 1,024",
             "keys in turn, so that every tuple of a burst goes to a lane of its own.", "",
             "| workers | burst | keys | millrace | TBB, token a tuple | ratio | TBB, token a burst | ratio | aim |",
             "|---|---|---|---|---|---|---|---|---|"]
    rows = []
    for workers in args.workers:
        for burst in BURSTS:
            for keys in ("one", "many"):
                own, tuple_, burst_ = (cost(keys, workers, burst), cost("tbb", workers, 1),
                                       cost("tbb", workers, burst))
                aim = 1.0 if burst == 1 else 1 / 3 if burst >= 32 else None
                met = "" if aim is None else f"{aim:.2f} {'met' if own / tuple_ <= aim else 'missed'}"
                lines.append(f"| {workers} | {burst} | {keys} | {own:.0f} | {tuple_:.0f} | "
                             f"{own / tuple_:.2f} | {burst_:.1f} | {own / burst_:.1f} | {met} |")
                rows.append({"workers": workers, "burst": burst, "keys": keys, "ns": own,
                             "tbb_token_a_tuple_ns": tuple_, "tbb_token_a_burst_ns": burst_})
    return lines, {"rows": rows, "runs": {" ".join(map(str, name)): r for name, r in runs.items()}}


def scale(args):
    """Speedup of a program that only burns time, with workers that have a core each."""
    cores = len(os.sched_getaffinity(0))
    contestants = {}
    for burst in (1, 32):
        for workers in range(1, cores + 1):
            contestants[(burst, workers)] = ("schedule", "--workers", workers, "--burst", burst,
                                             "--packets", WORK_TUPLES, "--work", WORK)
    runs = interleaved(contestants, args.rounds)
    lines = [f"{WORK_TUPLES:,} tuples of {WORK:,} rounds each; 1,024 keys; wall seconds, medians.", "",
             "| burst | workers | seconds | speedup | efficiency |", "|---|---|---|---|---|"]
    for (burst, workers), numbers in runs.items():
        wall = median(numbers, "seconds")
        speedup = median(runs[(burst, 1)], "seconds") / wall
        lines.append(f"| {burst} | {workers} | {wall:.3f} | {speedup:.2f} | {speedup / workers:.2f} |")
    return lines, {"runs": {" ".join(map(str, name)): r for name, r in runs.items()}}


PARTS = {"schedule": schedule, "scale": scale}


def measure(part, args):
    """(lines of Markdown, what goes into the JSON file). Raises Failed."""
    return PARTS[part](args)
