"""The `packet` part of scripts/bench: 64-byte packets of a million flows through decoding, flow lookup and
counting (packet_path.c says how they are made), stage by stage; beside them what testpmd's macswap does on
the same machine (packets without a look at them) and ndpiReader on the same flows.

A packet of each flow comes first, which makes its context; what that costs is told apart from what a packet
costs whose flow is there. CPU time, so that others count less.
"""
import json
import os
import re
import resource
import shutil
import signal
import statistics
import subprocess
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
PATH = os.path.join(ROOT, "build", "release", "packet_path")
STAGES = ("source", "decode", "runtime", "key", "lookup", "count")
FLOWS, PACKETS = 1_000_000, 15_000_000
CAPTURED = 1_000_000  # packets of the same flows in a file
TESTPMD = ["dpdk-testpmd", "--no-huge", "-m", "512", "--no-pci", "--no-telemetry", "--vdev", "net_null0,size=64",
           "-l", "0,1", "--", "--forward-mode=macswap", "--total-num-mbufs=8192", "--stats-period", "1", "--auto-start"]
TESTPMD_SECONDS = 5
AIM_MPPS = 8


class Failed(Exception):
    pass


def path(packets, stage):
    done = subprocess.run([PATH, "-f", str(FLOWS), "-n", str(packets), stage], check=False, capture_output=True,
                          text=True)
    if done.returncode:
        raise Failed(f"{PATH} exited with {done.returncode}: {done.stderr[-400:]}")
    return json.loads(done.stdout)


def cost(stage, first_packets):
    """CPU ns of a packet whose flow is there; what a flow's first one costs goes to first_packets."""
    result = path(PACKETS, stage)
    first_packets.setdefault(f"millrace, {stage}", []).append(result["cpu_ns_per_first_packet"])
    return result["cpu_ns_per_packet"]


def testpmd():
    """CPU ns of a packet: one core takes them in, swaps the addresses and sends them out."""
    with subprocess.Popen(TESTPMD, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        time.sleep(TESTPMD_SECONDS)
        process.send_signal(signal.SIGINT)
        out, _ = process.communicate(timeout=30)
    rates = [int(n) for n in re.findall(r"Rx-pps:\s+(\d+)", out) if int(n)]
    if not rates:
        raise Failed("testpmd received nothing: " + out[-400:])
    return 1e9 / statistics.median(rates)


def ndpi():
    """CPU ns of a packet of the same flows, all of them new: read from a file and inspected."""
    with tempfile.TemporaryDirectory() as work:
        capture = os.path.join(work, "flows.pcap")
        subprocess.run([PATH, "-c", capture, "-n", str(CAPTURED), "-f", str(FLOWS)], check=True)
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        done = subprocess.run(["ndpiReader", "-q", "-i", capture], check=False, stdout=subprocess.DEVNULL,
                              stderr=subprocess.PIPE)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        raise Failed(f"ndpiReader exited with {done.returncode}: {done.stderr[-400:]}")
    return (after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime) / CAPTURED * 1e9


def measure(_part, args):
    """(lines of Markdown, what goes into the JSON file). Raises Failed."""
    first = {}
    contestants = {f"millrace, {stage}": (lambda stage=stage: cost(stage, first)) for stage in STAGES}
    for tool, name, run in (("dpdk-testpmd", "testpmd macswap (looks at nothing)", testpmd),
                            ("ndpiReader", "ndpiReader (all flows new)", ndpi)):
        if shutil.which(tool):
            contestants[name] = run
        else:
            print(f"bench: {tool} is not installed: it is left out", flush=True)
    runs = {name: [] for name in contestants}
    for _ in range(args.rounds):
        for name, run in contestants.items():
            runs[name].append(run())
    lines = ["| | CPU ns a packet (least) | million packets a second and core | CPU ns of a flow's first packet |",
             "|---|---|---|---|"]
    for name, numbers in runs.items():
        ns = statistics.median(numbers)
        made = f"{statistics.median(first[name]):.1f}" if name in first else ""
        lines.append(f"| {name} | {ns:.1f} ({min(numbers):.1f}) | {1000 / ns:.2f} | {made} |")
    rate = 1000 / statistics.median(runs["millrace, count"])
    lines += ["", f"Each line of millrace is all before it and one more; {FLOWS:,} flows that are there, at random. "
              f"Source: making the packets, which no engine does. Aim: {AIM_MPPS} million packets a second and worker "
              "through `count`: "
              + ("met." if rate >= AIM_MPPS else f"missed ({rate:.1f}).")]
    return lines, runs | {f"{name}, first packets": numbers for name, numbers in first.items()}


PARTS = {"packet": measure}
