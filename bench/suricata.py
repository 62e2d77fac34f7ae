"""The part `suricata` of scripts/bench: the whole job of `pipelines/smtp_regex.analog` with all events beside
Suricata on the same captures: flows, mails, the SHA-256 of files in them, oddities, one pattern.

Suricata is whatever `suricata` in the PATH is (Debian 12 has none, Debian 13 has 7.0). Its configuration is
written here: outputs and limits as the engine has them, nothing dropped, no depth limit, no checksums. From its
time is taken what it needs for the first packet alone, which is start-up and its waiting at the end. Who finds
other mails than carry the line ends the part.

Not run by itself: scripts/bench calls measure().
"""
import json
import os
import re
import resource
import shutil
import statistics
import struct
import subprocess
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
MILLRACE = os.path.join(ROOT, "build", "release", "millrace")
PROGRAM = os.path.join(ROOT, "pipelines", "smtp_regex.analog")
PARTS = ("suricata",)
RULE = 'alert tcp any any -> any 25 (msg:"hello"; flow:to_server; content:"hello"; sid:1; rev:1;)\n'
CONFIGURATION = """%YAML 1.1
---
vars: {address-groups: {HOME_NET: any, EXTERNAL_NET: any}}
stats: {enabled: no}
outputs:
  - eve-log:
      enabled: yes
      filetype: regular
      filename: eve.json
      community-id: true
      types:
        - alert
        - anomaly
        - files: {force-magic: no, force-hash: [sha256]}
        - smtp: {extended: [reply-to, subject, x-mailer, user-agent, message-id]}
        - flow
app-layer:
  protocols:
    smtp:
      enabled: yes
      mime: {decode-mime: yes, decode-base64: yes, decode-quoted-printable: yes, extract-urls: yes, body-md5: no}
stream: {memcap: 4gb, checksum-validation: no, reassembly: {memcap: 4gb, depth: 0}}
flow: {memcap: 1gb, hash-size: 65536, prealloc: 10000}
logging: {default-log-level: warning, outputs: [{console: {enabled: yes}}]}
"""


class Failed(Exception):
    pass


def timed(command):
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    wall, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        raise Failed(f"{' '.join(command)} exited with {done.returncode}: {done.stderr[-400:]}")
    return {"wall": wall, "cpu": after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime}


class Millrace:
    def __init__(self, workers):
        self.name = f"millrace, {workers} worker{'s' if workers > 1 else ''}, all events"
        self.command = [MILLRACE, "run", "-q", "-p", PROGRAM, "--workers", str(workers), "-k", "none"]

    def run(self, capture, folder):
        timed([*self.command, "-r", capture, "-l", folder, "--json-summary", os.path.join(folder, "summary")])
        with open(os.path.join(folder, "summary"), encoding="utf-8") as file:
            said = json.load(file)
        return {"wall": said["seconds"], "cpu": said["cpu_seconds"]}


class Suricata:
    def __init__(self, name, runmode, settings):
        self.name, self.command = name, ["suricata", "--runmode", runmode, "-k", "none", "-c",
                                         os.path.join(settings, "suricata.yaml"), "-S", os.path.join(settings, "rules")]
        self.one = os.path.join(settings, "one.pcap")

    def run(self, capture, folder):
        start = timed([*self.command, "-r", self.one, "-l", folder])
        os.remove(os.path.join(folder, "eve.json"))
        whole = timed([*self.command, "-r", capture, "-l", folder])
        return {key: whole[key] - start[key] for key in whole} | {"start": start}


def first_packet(capture, path):
    with open(capture, "rb") as file:
        head = file.read(40)
        order = "<" if head[0] in (0xd4, 0x4d) else ">"
        packet = file.read(struct.unpack(order + "I", head[32:36])[0])
    with open(path, "wb") as file:
        file.write(head + packet)


def matches(folder):
    """The flows of which an alert tells: each mail of these captures has its own, ports come again."""
    flows = set()
    with open(os.path.join(folder, "eve.json"), encoding="utf-8") as file:
        for line in file:
            if re.search(r'"event_type": ?"(alert|positive_match)"', line):
                event = json.loads(line)
                flows.add((event["community_id"], event["flow_id"]))
    return sorted(name for name, _ in flows)


def measure_one(title, capture, contestants, rounds, settings):
    first_packet(capture, os.path.join(settings, "one.pcap"))
    runs, found = {one.name: [] for one in contestants}, None
    for turn in range(rounds + 1):
        for one in contestants:
            with tempfile.TemporaryDirectory() as folder:
                numbers = one.run(capture, folder)
                here = matches(folder)
            if turn:
                runs[one.name].append(numbers)
            if found is not None and here != found:
                raise Failed(f"{one.name} found {len(here)} mails, others {len(found)}")
            found = here
    size, base = os.path.getsize(capture), runs[contestants[0].name]
    text = [f"{title}: {size / 1e6:.0f} MB, all find the same {len(found):,} mails.", "",
            "| | wall s (least) | CPU s | MB/s | its wall / ours | its CPU / ours |", "|---|---:|---:|---:|---:|---:|"]
    for name, numbers in runs.items():
        wall, cpu = (statistics.median(run[key] for run in numbers) for key in ("wall", "cpu"))
        times = [statistics.median(run[key] / ours[key] for run, ours in zip(numbers, base)) for key in ("wall", "cpu")]
        text.append(f"| {name} | {wall:.3f} ({min(run['wall'] for run in numbers):.3f}) | {cpu:.3f} | {size / wall / 1e6:,.0f} | "
                    f"{times[0]:.1f} | {times[1]:.1f} |")
    return [*text, ""], {"name": title, "bytes": size, "matches": len(found), "runs": runs}


def measure(_part, args):
    if not shutil.which("suricata"):
        raise Failed("no suricata in the PATH: install it (Debian 13 has it), or put a script of that name there that calls it")
    said = subprocess.run(["suricata", "-V"], check=False, capture_output=True, text=True).stdout.strip()
    text, numbers = [f"Beside it: {said.removeprefix('This is ')}", ""], {"suricata": said, "captures": []}
    with tempfile.TemporaryDirectory() as settings:
        for name, content in ("suricata.yaml", CONFIGURATION), ("rules", RULE):
            with open(os.path.join(settings, name), "w", encoding="utf-8") as file:
                file.write(content)
        contestants = [Millrace(1), Suricata("Suricata, one thread", "single", settings), Millrace(2),
                       Suricata("Suricata, a thread for each core (autofp)", "autofp", settings)]
        for title, capture in args.captures():
            lines, record = measure_one(title, capture, contestants, args.rounds, settings)
            text += lines
            numbers["captures"].append(record)
    return text[:-1], numbers
