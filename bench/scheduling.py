"""The parts of scripts/bench that measure the runtime alone: schedule, scale, simulate, timers.

bench/README.md says what is compared. Not run by itself: scripts/bench calls measure().
"""
import concurrent.futures
import json
import os
import statistics
import subprocess
import tempfile

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


KINDS = ("work", "intake", "output", "split", "access", "move", "lines", "idle_intake", "idle_output",
         "idle_order", "idle_other", "idle_end")
INTAKES = {"capture": "capture threads of their own (live)",
           "decode-outside": "read in turn, decoded by whoever has the burst",
           "ahead": "read by each, decoded in turn (a file)",
           "turn": "read and decoded in turn (a pipe)"}


# As 16 workers have them (mr_runtime_lanes(), usual_burst()): small batches cost more a packet.
LANES, BURST = 128, 512
ALONE = 1, 256
MOST_RECORDS = 25
SETTLED = 0.995  # of what it was: so little is left of what the machine's other work has added


def record_costs(capture, rounds, lanes, burst):
    """Costs of every packet in every stage, on one worker: of each the least of some runs, until three
    more runs take less than half a per cent off the sum. Also the sum after each run, in ns a packet."""
    folder = os.path.join(ROOT, "build", "bench")
    os.makedirs(folder, exist_ok=True)
    costs = os.path.join(folder, os.path.basename(capture).rsplit(".", 1)[0] + f"-{lanes}.costs")
    if os.path.exists(costs):
        os.remove(costs)
    sums = []
    with tempfile.TemporaryDirectory() as logs:
        while len(sums) < MOST_RECORDS and (len(sums) < rounds or sums[-1] < SETTLED * sums[-4]):
            command = [os.path.join(RELEASE, "millrace_recorded"), "run", "-p",
                       os.path.join(ROOT, "pipelines", "smtp_regex.analog"), "--workers", "1",
                       "--lanes", str(lanes), "--burst", str(burst), "-k", "none",
                       "--events", "program", "-r", capture, "-l", logs, "--quiet"]
            done = subprocess.run(command, check=False, capture_output=True, text=True,
                                  env={**os.environ, "MR_COSTS": costs})
            if done.returncode:
                raise Failed(f"{' '.join(command)} exited with {done.returncode}: {done.stderr[-400:]}")
            numbers = run("simulate", costs, "--workers", 1)
            sums.append(numbers["all_ns"] / numbers["packets"])
    return costs, sums


def curve(costs, workers, *options):
    """Simulated runs; efficiency is that of one virtual worker with the same options, per worker. As
    many at a time as there are cores: none is timed. Those that take longest begin first."""
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        under_way = {n: pool.submit(run, "simulate", costs, "--workers", n, *options)
                     for n in reversed(workers)}
        runs = [under_way[n].result() for n in workers]
    for numbers in runs:
        numbers["efficiency"] = runs[0]["ns"] / numbers["ns"] / numbers["workers"] * runs[0]["workers"]
    return runs


def simulate(args):
    """The scheduler on virtual workers over recorded costs of the SMTP program."""
    lines, record = [], {}
    for title, capture in args.captures():
        costs, sums = record_costs(capture, max(args.rounds, 5), LANES, BURST)
        alone = record_costs(capture, max(args.rounds, 5), *ALONE)[1]
        record[title] = {"sums": sums, "sums_alone": alone}
        lines += [f"### {title}: {len(sums)} recordings laid over each other", "",
                  f"All stages together, ns a packet, after each, with {LANES} lanes and bursts of "
                  f"{BURST}: " + ", ".join(f"{ns:.0f}" for ns in sums) + "; as one worker has it, "
                  f"with {ALONE[0]} and {ALONE[1]}: {alone[-1]:.0f}.", ""]
        for intake, text in INTAKES.items():
            # where most wait, once is enough
            runs = curve(costs, (1, 2, 4, 8, 16, 32, 64), "--repeat", 4 if intake == "capture" else 1,
                         "--burst", BURST, "--intake", intake)
            record[title][intake] = runs
            lines += [f"### {title}: {text}", "", "Shares of all workers' time in per cent.", "",
                      "| workers | speedup | efficiency | " + " | ".join(KINDS) + " |",
                      "|---" * (3 + len(KINDS)) + "|"]
            for numbers in runs:
                total = numbers["ns"] * numbers["workers"]
                lines.append(f"| {numbers['workers']} | {runs[0]['ns'] / numbers['ns']:.2f} | "
                             f"{numbers['efficiency']:.3f} | "
                             + " | ".join(f"{100 * numbers[kind] / total:.1f}" for kind in KINDS) + " |")
            one = runs[0]
            lines += ["", f"The longest flow alone is {one['longest_flow_ns'] / one['all_ns']:.2%} of one "
                      f"pass over the record; reading and decoding {one['intake'] / one['ns']:.0%} of "
                      "one worker's time.", ""]
        sweeps = {"lanes": (1, 16, 64, 256, 1024), "window": (1, 16, 64, 128, 1000),
                  "burst": (8, 32, 128, 256, 512, 1024), "miss": (35, 60, 90), "move": (0, 350, 600),
                  "packet": (0, 35, 70, 105), "copy": (0, 7, 14)}
        lines += [f"### {title}: what 16 workers make of other settings (capture threads)", ""]
        for option, values in sweeps.items():
            record[title][option] = {}
            cells = []
            for value in values:
                settings = ("--repeat", 2, "--burst", BURST, "--intake", "capture", f"--{option}", value)
                numbers = curve(costs, (1, 16), *settings)[1]
                record[title][option][value] = numbers
                cells.append(f"{value}: {numbers['efficiency']:.3f}")
            lines += [f"- efficiency by --{option}: {', '.join(cells)}"]
        lines += [""]
    return lines, record


PHASES = {"filling": "flows begin", "living": "they are silent", "renewing": "a second packet each",
          "moving": "all timers ring and are set anew", "expiring": "all expire in one second"}
# Flows; those that begin a second (0: as many as workers can take); bytes of the record that each leaves; is
# the memory of all taken at the start (--preallocate)?
PACES = ((10_000_000, 500_000, 0, False), (10_000_000, 0, 0, False), (500_000, 0, 1150, False),
         (10_000_000, 500_000, 0, True), (10_000_000, 0, 0, True))


CONTROL_MIB = 2500    # of small pages, as much as ten million flows lie on at the most


def stops_line(runs):
    """What bench/stops.c said before and after, in a few sentences."""
    seconds = sum(r["threads"] * r["seconds"] for r in runs)
    stops, preempted, cpu = (sum(r[key] for r in runs) for key in ("stops", "preempted", "cpu_stops"))
    first, again = ({key: sum(r[kind][key] for r in runs) for key in ("tasks", "over_1ms", "cpu_seconds")}
                    for kind in ("first", "again"))
    longest = {kind: max(r[kind]["longest_us"] for r in runs) for kind in ("first", "again")}
    return (f"As many threads that only read clocks, {seconds} s of them before and after: stopped {stops} times "
            f"for over 1 ms ({preempted} times another thread had the core; longest "
            f"{max(r['longest_us'] for r in runs):.0f} us), {cpu} times so that it counts as CPU time (longest "
            f"{max(r['longest_cpu_us'] for r in runs):.0f} us). As many that only touch {runs[0]['task_pages']} small "
            f"pages at a time: {first['over_1ms']} of {first['tasks']} over 1 ms of CPU time (longest "
            f"{longest['first']:.0f} us; {first['cpu_seconds']:.1f} s in all); that change a byte in each line of these "
            f"pages again: {again['over_1ms']} of {again['tasks']} (longest {longest['again']:.0f} us; "
            f"{again['cpu_seconds']:.1f} s). The first touch of a small page took "
            f"{max(r['small_page_us'] for r in runs):.1f} us of CPU, of a large one "
            f"{max(r['large_page_us'] for r in runs):.0f} us.")


TIMERS_HEAD = [
    "A worker's own doing is the CPU time of its thread between two tasks: aim, none over 1 ms. A virtual machine's host "
    "may stop it, or be slow to give it memory (the first round touches what no process has had yet), and both "
    "count as CPU time. Therefore each task over 1 ms is looked at: *working*: its steps took long, or *calls*: the calls "
    "into the system for memory that it made did: both are the engine's, and one of them is enough to miss the aim. "
    "*Touching*: a few pages were touched first in it, as in thousands of others, or *stuck*: one step, some dozen rows "
    "or 16 ends, took nearly all of it: how often that is without the engine `bench/stops.c` says, before and after: "
    "*machine alone* is how many tasks over 1 ms it would have had, of as many pages first touched, in tasks of 24 (rate "
    "of its tasks that touch), and in as many seconds of CPU time without one (rate of its threads that read clocks or "
    "memory that is there). Where that is no less than what the engine had, the aim is met but for the machine; else but "
    "for stalls that are not explained. *Rows*: those and the ends of contexts in one task: of all at most, and of "
    "those over 1 ms. What was over 1 ms by the wall clock only is "
    "told apart: another thread had the core; the machine stopped the thread; it waited, for work or for a lock.", ""]


def machine_alone(total, control):
    """How many tasks over 1 ms stops.c would have had, where the engine touched and where it did not."""
    pages = sum(r["first"]["tasks"] * r["task_pages"] for r in control)
    touching = total["page_faults"] * sum(r["first"]["over_1ms"] for r in control) / pages
    seconds = sum(r["threads"] * r["seconds"] + r["again"]["cpu_seconds"] for r in control)
    still = sum(r["cpu_stops"] + r["again"]["over_1ms"] for r in control) / seconds
    return touching, total["cpu_seconds"] * still


def verdict(total, alone):
    """Of the aim that no task takes over 1 ms of CPU time."""
    if not total["over_1ms_cpu"]:
        return "met"
    if total["working"] + total["calls"]:
        return "missed"
    return "met but for the machine" if total["over_1ms_cpu"] <= alone else "met but for stalls"


def timers_lines(pace, workers, runs, control):
    """What one setting has come to: sums over the rounds, and the longest."""
    flows, rate, record, ahead = pace
    text = f"{rate:,} flows begin a second" if rate else "as fast as it goes"
    text += f", each leaves a record of {record:,} bytes" if record else ""
    text += ", memory taken at the start (`--preallocate`)" if ahead else ""
    lines = [f"### {flows:,} flows, {text}; {workers} worker{'s' if workers > 1 else ''}; rounds: {len(runs)}", "",
             "| | tasks | mean, CPU us | longest, CPU us, of each round (pages first touched in it) | over 1 ms: working, "
             "calls | touching, stuck | machine alone | rounds without one | aim | most rows (over 1 ms) | most pages first "
             "touched in a task | longest, wall us | preempted | stopped | waited |", "|---" * 15 + "|"]
    for phase, text in PHASES.items():
        of = [r[phase] for r in runs]
        total = {key: sum(p[key] for p in of) for key in of[0]}
        free = sum(not p["over_1ms_cpu"] for p in of)
        longest = ", ".join(f"{p['longest_cpu_us']:.0f} ({p['longest_faults']})" for p in of)
        touching, still = machine_alone(total, control)
        mean = 1e6 * total["cpu_seconds"] / max(total["tasks"], 1)
        rows, rows_over = (max(p[key] for p in of) for key in ("most_work", "most_work_over_1ms"))
        lines.append(f"| {text} | {total['tasks']} | {mean:.0f} | {longest} | {total['working']}, {total['calls']} | "
                     f"{total['touching']}, {total['stuck']} | {touching:.1f}, {still:.1f} | {free} | "
                     f"{verdict(total, touching + still)} | {rows} ({rows_over}) | "
                     f"{max(p['most_faults'] for p in of)} | "
                     f"{max(p['longest_wall_us'] for p in of):.0f} | {total['preempted']} | {total['stopped']} | "
                     f"{total['waited']} |")
    return lines + ["", f"Begun in {median(runs, 'fill_seconds'):.1f} s, expired in "
                        f"{median(runs, 'expiry_seconds'):.2f} s (medians). {stops_line(control)}", ""]


def timers(args):
    """How long ten million flows hold a worker."""
    lines, record = [*TIMERS_HEAD], {}
    for pace in PACES:
        flows, rate, bytes_, ahead = pace
        for workers in args.workers:
            runs, control = [], [run("stops", "-t", workers, "-m", CONTROL_MIB)]
            for _ in range((args.rounds + 1) // 2 if rate else args.rounds): # at a rate it takes half a minute
                runs.append(run("timers", "-f", flows, "-w", workers, "-r", rate, "-e", bytes_, *["-p"] * ahead))
                control.append(run("stops", "-t", workers, "-m", CONTROL_MIB))
            record[f"{rate} {workers}{' records' if bytes_ else ''}{' preallocated' if ahead else ''}"] = {"runs": runs, "control": control}
            lines += timers_lines(pace, workers, runs, control)
    return lines, record


PARTS = {"schedule": schedule, "scale": scale, "simulate": simulate, "timers": timers}


def measure(part, args):
    """(lines of Markdown, what goes into the JSON file). Raises Failed."""
    return PARTS[part](args)
