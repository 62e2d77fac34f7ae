"""Live capture, measured over a virtual cable in a network namespace: `latency` of packets under light and
heavy load, what an `idle` engine takes of a core, and a tenfold `overload`, second by second.

Recorded mails are sent at a steady rate into one end; the engine listens at the other. The saturating rate
is the highest at which the engine and the kernel lose less than one in a thousand, found by halving.
"""
import datetime
import json
import os
import signal
import statistics
import subprocess
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
RELEASE = os.path.join(ROOT, "build", "release")
PROGRAM = os.path.join(ROOT, "pipelines", "smtp_regex.analog")
LIGHT_MBIT, LIGHT_SECONDS, PROBE_SECONDS, HEAVY_SECONDS = 5, 10, 3, 5
MOST_MBIT, STEPS = 16000, 8
TOLERATED = 0.001  # of the packets: what a machine loses when something else runs for a moment
PORT = "bench1,framesz=2048"  # no frame is longer here: the ring holds 32,768 of them
UNWOKEN = "net_ring0"  # no device wakes who waits for it
IDLE_SECONDS = 10
SLOW = os.path.join(ROOT, "tests", "live", "slow.analog")  # so slow that the sender can do ten times as much
CALM_SECONDS, FLOOD_SECONDS, LIGHT_SHARE = 4, 6, 0.05
CABLE = ("sysctl -qw net.ipv6.conf.all.disable_ipv6=1 net.ipv6.conf.default.disable_ipv6=1;"
         "ip link add bench0 type veth peer name bench1 && ip link set bench0 up && ip link set bench1 up &&"
         "for i in bench0 bench1; do ethtool -K $i tx off gso off gro off tso off >/dev/null; done; exec ")


class Failed(Exception):
    pass


class Cable:
    """A network namespace with bench0 = bench1, for as long as the object lives."""

    def __enter__(self):
        enter = ["unshare", "--net"] if os.getuid() == 0 else \
            ["unshare", "--user", "--map-user=1000", "--map-group=1000", "--keep-caps", "--net"]
        # pylint: disable=consider-using-with
        self.holder = subprocess.Popen([*enter, "bash", "-c", CABLE + "sleep infinity"], stderr=subprocess.PIPE)
        for _ in range(200):
            if subprocess.run([*self.inside(), "ip", "link", "show", "bench1", "up"], check=False,
                              capture_output=True).stdout.count(b"LOWER_UP"):
                return self
            time.sleep(0.02)
        self.holder.kill()
        raise Failed("network namespaces are not permitted here, or ip or ethtool is missing")

    def __exit__(self, *_):
        self.holder.kill()
        self.holder.wait()

    def inside(self):
        user = [] if os.getuid() == 0 else ["--user", "--preserve-credentials"]
        return ["nsenter", "--target", str(self.holder.pid), *user, "--net"]


class Engine:
    """millrace run -i bench1, or another port."""

    def __init__(self, cable, work, *options, program=PROGRAM, port=PORT):
        self.summary = os.path.join(work, "summary.json")
        command = [*cable.inside(), os.path.join(RELEASE, "millrace"), "run", "-p", program, "-i", port, "-l", work,
                   "--quiet", "--json-summary", self.summary, *map(str, options)]
        # pylint: disable=consider-using-with
        self.process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        line = self.process.stderr.readline()
        if "capture thread" not in line:
            raise Failed(line + self.process.stderr.read())

    def cpu_seconds(self):
        with open(f"/proc/{self.process.pid}/stat", encoding="utf-8") as file:
            fields = file.read().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def stop(self):
        self.process.send_signal(signal.SIGINT)
        _, errors = self.process.communicate(timeout=60)
        if self.process.returncode:
            raise Failed(errors[-600:])
        with open(self.summary, encoding="utf-8") as file:
            return json.load(file)


def pace(cable, capture, mbit, seconds):
    """What the sender managed."""
    done = subprocess.run([*cable.inside(), os.path.join(RELEASE, "pace"), "bench0", capture, str(mbit),
                           str(seconds)], check=False, capture_output=True, text=True)
    if done.returncode:
        raise Failed(done.stderr)
    return json.loads(done.stdout)


def load(cable, capture, mbit, seconds, options):
    """What the sender managed, and the engine's summary."""
    with tempfile.TemporaryDirectory() as work:
        engine = Engine(cable, work, *options)
        try:
            sent = pace(cable, capture, mbit, seconds)
        finally:
            summary = engine.stop()
    return sent, summary


def lost(summary):
    return sum(summary["drops"][name] for name in ("nic_missed", "no_token", "ring_full", "no_buffer"))


def saturation(cable, capture, options):
    """The highest rate without a loss, in Mbit/s as sent."""
    low, high, tried = 0.0, float(MOST_MBIT), []
    for _ in range(STEPS):
        wish = (low + high) / 2
        sent, summary = load(cable, capture, wish, PROBE_SECONDS, options)
        tried.append({"wish_mbit": wish, "sent_mbit": sent["mbit"], "lost": lost(summary)})
        if lost(summary) > TOLERATED * sent["packets"]:
            high = wish
        elif sent["mbit"] < 0.97 * wish:  # the sender does no more: both are at their limit
            return sent["mbit"], tried
        else:
            low = wish
    if not low:
        raise Failed(f"packets are lost even at {high:.0f} Mbit/s: this machine is too busy to measure that")
    return low, tried


def row(name, rounds):
    """Medians of the rounds; the longest, and all that was lost."""
    times = {key: statistics.median(one["latency"][key + "_ns"] for one in rounds) / 1000 for key in ("p50", "p90", "p99", "p999")}
    longest = max(one["latency"]["max_ns"] for one in rounds) / 1000
    mbit = statistics.median(one["sent"]["mbit"] for one in rounds)
    rate = statistics.median(one["sent"]["packets"] / one["sent"]["seconds"] for one in rounds)
    return (f"| {name} | {mbit:.0f} | {rate:.0f} | {times['p50']:.0f} | {times['p90']:.0f} | {times['p99']:.0f} | "
            f"{times['p999']:.0f} | {longest:.0f} | {sum(one['lost'] for one in rounds)} |")


def capture_of(args):
    capture = args.capture[0] if args.capture else os.path.join(ROOT, "build", "bench", "mails_small.pcap")
    if not os.path.exists(capture):
        raise Failed(f"{capture} is missing: scripts/bench (part mails) records it, or name one with --capture")
    return capture


def latency(args):
    capture = capture_of(args)
    lines = ["| load | Mbit/s | packets/s | p50 us | p90 us | p99 us | p99.9 us | max us of all | lost in all |",
             "|---|---|---|---|---|---|---|---|---|"]
    with Cable() as cable:
        rate, tried = saturation(cable, capture, args.engine)
        numbers = {"saturation": {"mbit": rate, "tried": tried}, "light": [], "heavy": []}
        for _ in range(args.rounds):
            for name, mbit, seconds in ("light", LIGHT_MBIT, LIGHT_SECONDS), ("heavy", 0.9 * rate, HEAVY_SECONDS):
                sent, summary = load(cable, capture, mbit, seconds, args.engine)
                numbers[name].append({"sent": sent, "latency": summary["latency"], "lost": lost(summary)})
    lines += [row("light", numbers["light"]), row("0.9 of the saturating rate", numbers["heavy"])]
    lines += ["", f"Saturating rate: {rate:.0f} Mbit/s. From the capture thread's reading a packet until its token's "
              "results are written. Aims: light p50 under 100 us, p99 under 1,000; heavy p99 under 5,000."]
    return lines, numbers


def idle(args):
    lines, numbers = ["| port | queues | threads | CPU s in 10 s | % of a core |", "|---|---|---|---|---|"], []
    with Cable() as cable, tempfile.TemporaryDirectory() as work:
        for port, queues in (PORT, 1), (PORT, 2), (UNWOKEN, 1), (UNWOKEN, 8):
            engine = Engine(cable, work, "--queues", queues, *args.engine, port=port)
            time.sleep(2)
            threads = len(os.listdir(f"/proc/{engine.process.pid}/task"))
            before = engine.cpu_seconds()
            time.sleep(IDLE_SECONDS)
            spent = engine.cpu_seconds() - before
            engine.stop()
            numbers.append({"port": port, "queues": queues, "threads": threads, "cpu_seconds": spent})
            lines.append(f"| {port} | {queues} | {threads} | {spent:.2f} | {100 * spent / IDLE_SECONDS:.1f} |")
    lines += ["", "Aim: under 2 %."]
    return lines, numbers


def seconds_of(work):
    """Of each interval: when it ended (s since 1970), and its part of the stats event."""
    found = []
    with open(os.path.join(work, "eve.json"), encoding="utf-8") as file:
        for line in file:
            event = json.loads(line)
            if "interval" in event.get("stats", {}):
                end = datetime.datetime.fromisoformat(event["timestamp"]).timestamp()
                found.append((end, event["stats"]["interval"], event["stats"]["ports"][0]["waiting"]))
    return found


def overload(args):
    capture = capture_of(args)
    options = ["--workers", 1, "--tokens", 64, "--burst", 4, "--stats-interval", 1, "--events", "stats", *args.engine]
    with Cable() as cable:
        with tempfile.TemporaryDirectory() as work:
            engine = Engine(cable, work, *options, program=SLOW)
            sent = pace(cable, capture, MOST_MBIT, PROBE_SECONDS)
            engine.stop()
            can = max(interval["packets_processed_per_second"] for _, interval, _ in seconds_of(work))
        one = sent["bytes"] * 8 / sent["packets"] / 1e6 * can  # Mbit/s that is the saturating rate
        with tempfile.TemporaryDirectory() as work:
            engine = Engine(cable, work, *options, program=SLOW)
            marks = [time.time()]
            for rate, seconds in (LIGHT_SHARE, CALM_SECONDS), (10, FLOOD_SECONDS), (LIGHT_SHARE, CALM_SECONDS):
                sent = pace(cable, capture, rate * one, seconds)
                marks.append(time.time())
                if rate > 1:
                    factor = sent["packets"] / sent["seconds"] / can
            summary = engine.stop()
            intervals = seconds_of(work)
    lines = ["| s since the flood began | packets/s received | processed | dropped | waiting | p50 ms | p99 ms |",
             "|---|---|---|---|---|---|---|"]
    for end, interval, waiting in intervals:
        times = interval["latency"]
        lines.append(f"| {end - marks[1]:.1f} | {interval['packets_per_second']:.0f} | "
                     f"{interval['packets_processed_per_second']:.0f} | {interval['packets_dropped_per_second']:.0f} | "
                     f"{waiting} | {times['p50_ns'] / 1e6:.2f} | {times['p99_ns'] / 1e6:.2f} |")
    counters = summary["counters"]
    kept = counters["results"] == counters["packets_processed"]
    over = [interval["latency"]["p99_ns"] for end, interval, _ in intervals
            if end - interval["seconds"] >= marks[2] + 1 and end <= marks[3]]
    before = [interval["latency"]["p99_ns"] for end, interval, _ in intervals if end < marks[1]]
    lines += ["", f"A program that does {can:.0f} packets/s is offered {factor:.1f} times that, from 0 to "
              f"{marks[2] - marks[1]:.1f} s. Of {counters['packets_received']} packets "
              f"{counters['packets_processed']} were accepted, and {'all' if kept else 'NOT ALL'} of them worked off. "
              f"Highest latency {summary['latency']['max_ns'] / 1e6:.0f} ms; memory "
              f"{summary['peak_memory_kib'] / 1024:.0f} MiB of {summary['planned_memory_bytes'] / 1048576:.0f} planned. "
              f"p99 before {max(before) / 1e6:.2f} ms, from a second after the end on {max(over) / 1e6:.2f} ms."]
    return lines, {"can": can, "factor": factor, "intervals": intervals, "marks": marks, "summary": summary}


PARTS = {"latency": latency, "idle": idle, "overload": overload}


def measure(part, args):
    """(lines of Markdown, what goes into the JSON file). Raises Failed."""
    return PARTS[part](args)
