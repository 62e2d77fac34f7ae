"""What the live tests share: namespaces with virtual cables between Postfix's smtp-source and smtp-sink, an
engine that listens, mails and the truth about them.
"""
import atexit
import concurrent.futures
import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time

import mrtest

os.environ["PATH"] += ":/usr/sbin:/sbin"
SLOW = os.path.join(mrtest.ROOT, "tests", "live", "slow.analog")
FLOOD = os.path.join(os.path.dirname(mrtest.MILLRACE), "flood")
TOOLS = ["smtp-source", "smtp-sink", "ip", "ethtool", "unshare", "nsenter", "sysctl"]
PATIENCE = 300  # seconds until something that must happen counts as not happening, of a busy machine with a sanitizer


def sh(*words, **more):
    return subprocess.run([str(word) for word in words], check=True, capture_output=True, text=True, **more)


def wait_for(what, condition):
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until:
        if condition():
            return
        time.sleep(0.02)
    raise RuntimeError(f"{what}: not within {PATIENCE} s")


class StoodStill(Exception):
    """The engine was kept from its work for so long that packets were dropped, with a reason: nothing is known of
    the mails in them."""


def anew(suite, case, *arguments):
    """The case; once more where this machine stood still, which does not happen each time."""
    for left in 2, 1, 0:
        try:
            case(suite, *arguments)
            return
        except StoodStill as why:
            print(f"{suite.name}: {case.__name__}: {why}" + (": tried anew" if left else ""), flush=True)
            if not left:
                suite.ok(case.__name__, False, str(why))


class Net:
    """Clients here, servers in a second namespace; a bridge between them floods all to tap0.

    client<i> = c<i> [bridge] s<i> = server<i>;  tap<i>0 [bridge] = tap<i>1, where the engine listens.
    """

    def __init__(self, cables, offloads, hosts):
        # pylint: disable=consider-using-with
        self.holder = subprocess.Popen(["unshare", "--net", "sleep", "infinity"])
        here = os.readlink("/proc/self/ns/net")
        wait_for("a namespace", lambda: os.readlink(f"/proc/{self.holder.pid}/ns/net") != here)
        self.sinks, self.cables = [], cables
        sh("sysctl", "-qw", "net.ipv6.conf.all.disable_ipv6=1", "net.ipv6.conf.default.disable_ipv6=1")
        self.inside("sysctl", "-qw", "net.ipv6.conf.all.disable_ipv6=1",
                    "net.ipv6.conf.default.disable_ipv6=1", "net.ipv4.ip_unprivileged_port_start=0")
        sh("ip", "link", "set", "lo", "up")
        for i in range(cables):
            self.lay(i, offloads, hosts)

    def inside(self, *words):
        return sh("nsenter", "--target", self.holder.pid, "--net", *words)

    def lay(self, i, offloads, hosts):
        bridge = f"bridge{i}"
        sh("ip", "link", "add", bridge, "type", "bridge", "ageing_time", "0", "mcast_snooping", "0")
        sh("ip", "link", "set", bridge, "up")
        sh("ip", "link", "add", f"client{i}", "type", "veth", "peer", "name", f"c{i}")
        sh("ip", "link", "add", f"server{i}", "netns", self.holder.pid, "type", "veth", "peer", "name", f"s{i}",
           "netns", os.getpid())
        sh("ip", "link", "add", f"tap{i}1", "type", "veth", "peer", "name", f"tap{i}0")
        for end in f"c{i}", f"s{i}", f"tap{i}0":
            sh("ip", "link", "set", end, "master", bridge, "up")
            sh("ip", "link", "set", end, "type", "bridge_slave", "learning", "off", "flood", "on")
        if not offloads:
            off = ["tx", "off", "rx", "off", "sg", "off", "tso", "off", "gso", "off", "gro", "off"]
            for end in f"client{i}", f"c{i}", f"s{i}", f"tap{i}0", f"tap{i}1":
                sh("ethtool", "-K", end, *off)
            self.inside("ethtool", "-K", f"server{i}", *off)
        sh("ip", "address", "add", f"10.77.{i}.1/24", "dev", f"client{i}")
        for host in range(2, 2 + hosts):
            self.inside("ip", "address", "add", f"10.77.{i}.{host}/24", "dev", f"server{i}")
        for end in f"client{i}", f"tap{i}1":
            sh("ip", "link", "set", end, "up")
        self.inside("ip", "link", "set", f"server{i}", "up")
        for host in range(2, 2 + hosts):
            self.serve(f"10.77.{i}.{host}")

    def serve(self, address):
        # pylint: disable=consider-using-with
        user = ["-u", "nobody"] if os.getuid() == 0 and not os.environ.get("MR_TAP_USER") else []
        self.sinks.append(subprocess.Popen(
            ["nsenter", "--target", str(self.holder.pid), "--net", "smtp-sink", *user, "-h", "sink.example",
             "-m", "1000", f"[{address}]:25", "200"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL))
        wait_for("smtp-sink", lambda: f"{address}:25" in self.inside("ss", "-Hltn", "sport = :25").stdout)

    def close(self):
        for process in [*self.sinks, self.holder]:
            process.kill()
            process.wait()
        for i in range(self.cables):
            for name in f"client{i}", f"s{i}", f"tap{i}1", f"bridge{i}":
                subprocess.run(["ip", "link", "delete", name], check=False, capture_output=True)


@contextlib.contextmanager
def net(cables=1, offloads=True, hosts=1):
    made = None
    try:
        made = Net(cables, offloads, hosts)
        yield made
    finally:
        if made:
            made.close()


class Engine:
    """millrace run -i ..., until stop(); its events go to `events`, by default a folder of its own."""

    def __init__(self, ports, *options, program=mrtest.PROGRAM, events=None):
        self.folder = tempfile.mkdtemp()
        os.chmod(self.folder, 0o755)
        self.summary_path = os.path.join(self.folder, "summary.json")
        self.eve = os.path.join(events or self.folder, "eve.json")
        self.errors = os.path.join(self.folder, "errors")
        words = [mrtest.MILLRACE, "run", "-p", program, "-l", events or self.folder, "--json-summary", self.summary_path]
        for port in ports:
            words += ["-i", port]
        # pylint: disable=consider-using-with
        with open(self.errors, "w", encoding="utf-8") as errors:
            self.process = subprocess.Popen([*words, *map(str, options)], stderr=errors)
        atexit.register(self.process.kill)  # where a case was given up
        wait_for("capture", lambda: self.said().count("capture thread") >= len(ports)
                 or self.process.poll() is not None)

    def said(self):
        with open(self.errors, encoding="utf-8") as file:
            return file.read()

    def peak_kib(self):
        with open(f"/proc/{self.process.pid}/status", encoding="utf-8") as file:
            return int(re.search(r"VmHWM:\s+(\d+)", file.read())[1])

    def events(self):
        with open(self.eve, encoding="utf-8") as file:
            return [json.loads(line) for line in file if line.endswith("\n")]

    def stop(self, sign=signal.SIGINT):
        if sign and self.process.poll() is None:
            self.process.send_signal(sign)
        code = self.process.wait(PATIENCE)
        summary = None
        if os.path.exists(self.summary_path):
            with open(self.summary_path, encoding="utf-8") as file:
                summary = json.load(file)
        events = self.events() if os.path.exists(self.eve) else []
        result = mrtest.Result(code, "", self.said(), events, summary)
        shutil.rmtree(self.folder)
        return result


class Mails:
    """Mails of our own making and the truth about them."""

    def __init__(self, folder, *options):
        sh(os.path.join(mrtest.ROOT, "scripts", "make-mails"), *options, folder)
        self.folder, self.truth = folder, os.path.join(folder, "truth.tsv")
        self.wanted = mrtest.wanted_mails(self.truth)
        with open(self.truth, encoding="utf-8") as file:
            self.lines = [line.rstrip("\n").split("\t") for line in file][1:]

    def send(self, cable=0, sessions=8, hosts=1, to=None):
        def one(number, line):
            ident, copies, sender, recipient, recipients = line[0], line[2], line[5], line[6], line[7]
            sh("smtp-source", "-d", "-m", copies, "-s", "1", "-r", recipients, "-M", "mailer.example", "-f", sender,
               "-t", recipient, "-F", os.path.join(self.folder, ident + ".eml"),
               f"[{to or f'10.77.{cable}.{2 + number % hosts}'}]:25")
        with concurrent.futures.ThreadPoolExecutor(sessions) as pool:
            list(pool.map(one, range(len(self.lines)), self.lines))


def balanced(suite, what, result):
    """Exit code, and received = processed + dropped, altogether and for each port and queue."""
    complaint = result.complaint() or (result.err[-600:] if result.code else None)
    if not suite.ok(what, complaint is None and result.summary, complaint):
        return False
    received = processed = 0
    for port in result.summary["ports"]:
        dropped = sum(port["drops"].values())
        suite.ok(f"{what}: account of {port['port']}.{port['queue']}",
                 port["received"] == port["processed"] + dropped, str(port))
        received += port["received"]
        processed += port["processed"]
    counters = result.summary["counters"]
    return suite.ok(f"{what}: account of all", received == counters["packets_received"]
                    and processed == counters["packets_processed"]
                    and received == processed + sum(result.summary["drops"].values()), str(counters))


OVERLOADED = "nic_missed", "nic_left", "no_token", "ring_full"  # drops of an engine that does not keep up


def exact(suite, what, result, want):
    if balanced(suite, what, result):
        got = mrtest.matched_mails(result.events)
        lost = {name: n for name, n in result.summary["drops"].items() if n and name != "not_ip"}
        if got != want and any(lost.get(name) for name in OVERLOADED):
            raise StoodStill(f"{what}: {lost}")
        suite.ok(f"mails, {what}", got == want, mrtest.difference(want, got) + f"drops {lost}")


def sent_by(interface):
    return json.loads(sh("ip", "-j", "-s", "link", "show", interface).stdout)[0]["stats64"]["tx"]["packets"]


def enter_namespace(suite):
    """Starts this script again in a network namespace, or says why not."""
    for tool in TOOLS:
        if not shutil.which(tool):
            suite.skip("everything", f"{tool} is not installed (scripts/install-deps --test)")
            suite.done()
    enter = ["unshare", "--net", "--mount"]
    if os.getuid():
        enter = ["unshare", "--user", "--map-user=1000", "--map-group=1000", "--keep-caps", "--net", "--mount"]
        os.environ["MR_TAP_USER"] = "1"
    if subprocess.run([*enter, "bash", "-c", "ip link add mrtry0 type bridge && unshare --net true"], check=False,
                      capture_output=True).returncode:
        suite.skip("everything", "network namespaces or bridges are not permitted here")
        suite.done()
    os.environ["MR_TAP_INSIDE"] = "1"
    os.execvp(enter[0], [*enter, *sys.argv])
