"""What the tests of the command line share: running millrace, reading its events, counting results.

MILLRACE names the program (build/dev/millrace); MR_SHARED_DATA the folder of real captures.
"""
import collections
import fcntl
import json
import os
import re
import signal
import struct
import subprocess
import sys
import tempfile
import termios
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
MILLRACE = os.environ.get("MILLRACE", os.path.join(ROOT, "build", "dev", "millrace"))
SHARED_DATA = os.environ.get("MR_SHARED_DATA")
PROGRAM = os.path.join(ROOT, "pipelines", "smtp_regex.analog")
CAPTURES = os.path.join(ROOT, "tests", "golden", "captures")
DEMO = os.path.join(CAPTURES, "smtp_demo.pcap")


class Suite:
    """Counts; main() of every suite ends with done()."""

    def __init__(self, name):
        self.name, self.passed, self.failed, self.skipped = name, 0, 0, 0

    def ok(self, what, good, why=""):
        if good:
            self.passed += 1
        else:
            self.failed += 1
            print(f"FAILED: {self.name}: {what}" + (f": {why}" if why else ""), flush=True)
        return good

    def skip(self, what, why):
        self.skipped += 1
        print(f"SKIP: {self.name}: {what}: {why}", flush=True)

    def trials(self, attempt, most=3):
        """attempt(trial) is made anew where a check of `trial` failed: those of the last one count. What is wrong
        fails each time, a machine that stood still goes on."""
        for left in reversed(range(most)):
            trial = Trial()
            attempt(trial)
            bad = [what for what, good, _ in trial.checks if not good]
            if not left or not bad:
                break
            print(f"{self.name}: {', '.join(bad)}: tried anew", flush=True)
        self.take(trial)

    def take(self, trial):
        for what, good, why in trial.checks:
            self.ok(what, good, why)
        for what, why in trial.skips:
            self.skip(what, why)

    def done(self):
        print(f"{self.name}: {self.passed} passed, {self.failed} failed, {self.skipped} skipped")
        sys.exit(1 if self.failed else 0)


class Trial(Suite):
    """Checks that hold only where the machine does not stand still meanwhile: told by who takes them."""

    def __init__(self):
        super().__init__("")
        self.checks, self.skips = [], []

    def ok(self, what, good, why=""):
        self.checks.append((what, good, why))
        return good

    def skip(self, what, why):
        self.skips.append((what, why))


class Result:
    def __init__(self, code, out, err, events, summary):
        self.code, self.out, self.err, self.events, self.summary = code, out, err, events, summary

    def complaint(self):
        """Why this run is no good, whatever it was about; None if there is nothing."""
        for sign in ("AddressSanitizer", "ThreadSanitizer", "LeakSanitizer", "runtime error:"):
            if sign in self.err:
                return self.err[self.err.index(sign):][:2000]
        if self.code < 0 or self.code > 6:
            return f"ended with {self.code}: {self.err[-500:]}"
        return None


def invoke(arguments, *, stdin=None, timeout=300, env=None, cwd=None):
    """Any command line: exit code and what was printed."""
    done = subprocess.run([MILLRACE, *arguments], input=stdin, capture_output=True, timeout=timeout,
                          check=False, cwd=cwd, env={**os.environ, **(env or {})})
    return Result(done.returncode, done.stdout.decode(errors="replace"),
                  done.stderr.decode(errors="replace"), None, None)


def run(captures, *options, program=PROGRAM, stdin=None, timeout=300):
    """millrace run on one or several captures: its events as Python objects, and its summary."""
    if isinstance(captures, str):
        captures = [captures]
    with tempfile.TemporaryDirectory() as folder:
        summary = os.path.join(folder, "summary.json")
        arguments = ["run", "-p", program, "-l", folder, "--quiet", "--json-summary", summary]
        for capture in captures:
            arguments += ["-r", capture]
        result = invoke([*arguments, *map(str, options)], stdin=stdin, timeout=timeout)
        result.events = []
        path = os.path.join(folder, "eve.json")
        if os.path.exists(path):
            with open(path, encoding="utf-8") as file:
                result.events = [json.loads(line) for line in file]
        if os.path.exists(summary):
            with open(summary, encoding="utf-8") as file:
                result.summary = json.load(file)
    return result


# What differs from run to run by intent: the flow id is drawn with a secret, statistics tell times.
VOLATILE = {"flow_id"}


def canonical(event):
    return json.dumps({key: value for key, value in event.items() if key not in VOLATILE},
                      sort_keys=True)


def multiset(events):
    return collections.Counter(canonical(event) for event in events
                               if event.get("event_type") != "stats")


def per_flow(events):
    """The sequence of every flow's events, by community id."""
    flows = collections.defaultdict(list)
    for event in events:
        if "community_id" in event:
            flows[event["community_id"]].append(canonical(event))
    return flows


def difference(expected, got, most=2):
    lines = [f"  - {line[:300]}" for line in list((expected - got).elements())[:most]]
    lines += [f"  + {line[:300]}" for line in list((got - expected).elements())[:most]]
    return f"{sum((expected - got).values())} missing, {sum((got - expected).values())} too many\n" \
        + "\n".join(lines)


MAIL_ID = re.compile(r"<((?:mail|demo)-\d+)@mails\.example>")


def until(what, process, patience=600):
    """Waits for what will come unless something is wrong; false: the process has ended, or nothing came of it."""
    end = time.monotonic() + patience
    while not what():
        if process.poll() is not None or time.monotonic() > end:
            return False
        time.sleep(0.01)
    return True


def listens(path):
    """An engine has made its control socket: from then on it can be connected to."""
    return os.path.exists(path)


def catches(process, number, pipe=None):
    """The process has a handler for a signal, and reads the pipe that it was given to the end."""
    with open(f"/proc/{process.pid}/status", encoding="utf-8") as file:
        caught = next(int(line.split()[1], 16) for line in file if line.startswith("SigCgt"))
    unread = struct.unpack("i", fcntl.ioctl(pipe or process.stdin, termios.FIONREAD, bytes(4)))[0]
    return caught >> number - 1 & 1 and not unread


def members(group):
    """The processes of a group that live."""
    found = []
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{name}/stat", encoding="utf-8", errors="replace") as file:
                state, _, of = file.read().rpartition(")")[2].split()[:3]
        except OSError:
            continue
        if int(of) == group and state != "Z":
            found.append(int(name))
    return found


KNOWN_TYPES = {"alert", "anomaly", "fileinfo", "flow", "smtp", "stats"}


def program_results(events):
    """The tuples that left the last component: events named after their predicate."""
    return [event for event in events if event["event_type"] not in KNOWN_TYPES]


def matched_mails(events):
    """How often each of our mails (scripts/make-mails) left smtp_regex as a match."""
    found = collections.Counter()
    for event in program_results(events):
        ids = set(MAIL_ID.findall(json.dumps(event)))
        found.update(ids if ids else ["without an id"])
    return found


def wanted_mails(truth):
    """What truth.tsv says ought to be reported."""
    wanted = collections.Counter()
    with open(truth, encoding="utf-8") as file:
        next(file)
        for line in file:
            ident, carries, copies = line.split("\t")[:3]
            if carries == "1":
                wanted[ident] += int(copies)
    return wanted


def frames_of(path):
    """The frames of a pcap file."""
    with open(path, "rb") as file:
        data = file.read()
    frames, at = [], 24
    while at < len(data):
        length = struct.unpack_from("<I", data, at + 8)[0]
        frames.append(data[at + 16:at + 16 + length])
        at += 16 + length
    return frames


def no_options(text):
    """For suites that take none: --help prints `text`, anything else is refused."""
    given = sys.argv[1:]
    if "-h" in given or "--help" in given:
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # who reads no further ends this silently
        print(text.strip())
        sys.exit(0)
    if given:
        sys.exit(f"{os.path.basename(sys.argv[0])}: no option or argument is known but --help: {given[0]}")


def need_millrace():
    if not os.access(MILLRACE, os.X_OK):
        sys.exit(f"{MILLRACE} is not there; scripts/build builds it")
