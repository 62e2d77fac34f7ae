"""Captures of skewed traffic, made and not recorded: one flow with most of the bytes among many mail
sessions, flows that all fall on one lane, one protocol with most of the bytes.

A packet is (time in ns, bytes from the Ethernet header), as in rewrite.py.
"""
import random
import struct

import rewrite

FIN, SYN, PSH, ACK = 1, 2, 8, 16
MSS = 1448
STEP_NS = 20_000


def address(text):
    return bytes(int(part) for part in text.split("."))


def tcp_frame(source, target, seq, ack, flags, payload, partial=0):
    """`partial`: the payload's sum, where many segments carry the same bytes."""
    (src, sport), (dst, dport) = source, target
    head = struct.pack(">HHIIBBHHH", sport, dport, seq & 0xffffffff, ack & 0xffffffff, 5 << 4, flags, 65535, 0, 0)
    pseudo = src + dst + struct.pack(">HH", 6, len(head) + len(payload))
    total = partial or sum_of(payload)
    total += sum_of(pseudo) + sum_of(head)
    while total >> 16:
        total = (total & 0xffff) + (total >> 16)
    head = head[:16] + struct.pack(">H", ~total & 0xffff) + head[18:]
    return bytes(5) + b"\1" + bytes(5) + b"\2\x08\x00" + rewrite.ip4(head + payload, 6, src, dst, seq & 0xffff)


def sum_of(data):
    if len(data) & 1:
        data += b"\0"
    return sum(struct.unpack(f">{len(data) // 2}H", data))


STOCK = [bytes(random.Random(line).choices(b"abcdfgijkmnpqrstuvwxyz ", k=70)) for line in range(500)]


class Conversation:
    """One TCP flow: every call appends its frames; the receiver acknowledges each second segment."""

    def __init__(self, client, server, rng):
        self.ends = (client, server)
        self.seq = [rng.getrandbits(32), rng.getrandbits(32)]
        self.frames = []
        self.put(0, SYN)
        self.put(1, SYN | ACK)
        self.put(0, ACK)

    def put(self, side, flags, payload=b"", partial=0):
        ack = 0 if flags == SYN else self.seq[1 - side]
        self.frames.append(tcp_frame(self.ends[side], self.ends[1 - side], self.seq[side], ack, flags, payload,
                                     partial))
        self.seq[side] = (self.seq[side] + len(payload) + bool(flags & (SYN | FIN))) & 0xffffffff

    def send(self, side, data):
        for n, at in enumerate(range(0, len(data), MSS)):
            self.put(side, ACK | PSH, data[at:at + MSS])
            if n & 1:
                self.put(1 - side, ACK)
        self.put(1 - side, ACK)

    def send_same(self, side, block, times):
        """`times` segments of the same bytes, cheap to make."""
        partial = sum_of(block)
        for n in range(times):
            self.put(side, ACK, block, partial)
            if n & 1:
                self.put(1 - side, ACK)

    def close(self):
        self.put(0, FIN | ACK)
        self.put(1, FIN | ACK)
        self.put(0, ACK)
        return self.frames


def mail_session(client, server, rng, ident, size, wanted, mails=1):
    """A session with mails of about `size` bytes; the line `hello` in the wanted ones."""
    c = Conversation(client, server, rng)
    c.send(1, b"220 mx.example ESMTP\r\n")
    c.send(0, b"EHLO client.example\r\n")
    c.send(1, b"250 mx.example\r\n")
    for number in range(mails):
        c.send(0, b"MAIL FROM:<ada@client.example>\r\n")
        c.send(1, b"250 ok\r\n")
        c.send(0, b"RCPT TO:<bruno@mx.example>\r\n")
        c.send(1, b"250 ok\r\n")
        c.send(0, b"DATA\r\n")
        c.send(1, b"354 go on\r\n")
        lines = [f"Message-ID: <mail-{ident + number}@mails.example>".encode(), b"Subject: rota", b""]
        lines += [STOCK[rng.randrange(len(STOCK))] for _ in range(size // 72)]
        if wanted:
            lines.append(b"hello")
        c.send(0, b"\r\n".join(lines) + b"\r\n.\r\n")
        c.send(1, b"250 queued\r\n")
    c.send(0, b"QUIT\r\n")
    c.send(1, b"221 bye\r\n")
    return c.close()


def tls_session(client, server, rng, size):
    """One flow of about `size` bytes of TLS: hellos, then application data only."""
    def record(kind, data):
        return struct.pack(">BHH", kind, 0x303, len(data)) + data
    c = Conversation(client, server, rng)
    c.send(0, record(22, b"\1\0\1\xfc\3\3" + rng.randbytes(506)))
    c.send(1, record(22, b"\2\0\0\x76\3\3" + rng.randbytes(116)) + record(20, b"\1"))
    c.send(0, record(20, b"\1") + record(23, rng.randbytes(80)))
    c.send_same(1, record(23, rng.randbytes(MSS - 5)), max(1, size // MSS))
    return c.close()


def download(client, server, rng, size):
    """One flow of about `size` bytes of HTTP."""
    c = Conversation(client, server, rng)
    c.send(0, b"GET /image HTTP/1.1\r\nHost: files.example\r\n\r\n")
    times = max(1, size // MSS)
    c.send(1, b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (times * MSS))
    c.send_same(1, rng.randbytes(MSS), times)
    return c.close()


def mingle(flows, rng, together=32):
    """The flows' packets in one order of time, `together` of them under way at once; the first flow
    (the elephant) is spread over all of the others."""
    elephant, others = flows[0], [list(reversed(flow)) for flow in flows[1:]]
    rng.shuffle(others)
    total, told, out, at = sum(map(len, others)), 0, [], 0
    waiting, active = others, []
    time_ns = 1_700_000_000 * 10**9

    def emit(frame):
        nonlocal time_ns
        time_ns += STEP_NS
        out.append((time_ns, frame))

    while waiting or active:
        while waiting and len(active) < together:
            active.append(waiting.pop())
        index = rng.randrange(len(active))
        emit(active[index].pop())
        if not active[index]:
            active.pop(index)
        told += 1
        while at * total < told * len(elephant):
            emit(elephant[at])
            at += 1
    for frame in elephant[at:]:
        emit(frame)
    return out


def mail_flows(rng, sessions, size=4000, every=5, ports=None):
    """Sessions with one mail each; every `every`th is wanted. `ports`: clients' (address, port)."""
    server = (address("10.1.0.1"), 25)
    flows, wanted = [], 0
    for i in range(sessions):
        client = ports[i] if ports else (address(f"10.2.{i >> 8 & 255}.{i & 255}"), 20000 + i % 40000)
        flows.append(mail_session(client, server, rng, i, size, i % every == 0))
        wanted += i % every == 0
    return flows, wanted


def elephant(sessions, share=0.9, seed=1, size=4000, kind="http"):
    """(packets, wanted mails, bytes of the elephant's frames): one flow with `share` of the bytes, of
    `kind` "http", "tls" or "smtp" (mails of 100 kB)."""
    rng = random.Random(seed)
    flows, wanted = mail_flows(rng, sessions, size)
    others = sum(len(frame) for flow in flows for frame in flow)
    large = int(others * share / (1 - share)) if share else 0
    end = (address("10.3.0.1"), 30000)
    if not large:
        first = []
    elif kind == "smtp":
        n = max(1, large // 100_000)
        first = mail_session(end, (address("10.1.0.1"), 25), rng, 1_000_000, large // n, True, n)
        wanted += n
    elif kind == "tls":
        first = tls_session(end, (address("10.1.0.9"), 443), rng, large)
    else:
        first = download(end, (address("10.1.0.9"), 80), rng, large)
    return mingle([first, *flows], rng), wanted, sum(map(len, first))


def hot_lane(ports, seed=1, size=4000):
    """(packets, wanted mails): all flows from the given clients, which share a lane."""
    rng = random.Random(seed)
    flows, wanted = mail_flows(rng, len(ports), size, ports=ports)
    return mingle([[], *flows], rng), wanted


def one_protocol(sessions, share=0.9, seed=1):
    """(packets, wanted mails): many downloads with `share` of the bytes among mail sessions."""
    rng = random.Random(seed)
    flows, wanted = mail_flows(rng, sessions)
    large = int(sum(len(frame) for flow in flows for frame in flow) * share / (1 - share))
    for i in range(sessions):
        end = (address(f"10.3.{i >> 8 & 255}.{i & 255}"), 30000 + i)
        flows.append(download(end, (address("10.1.0.9"), 80), rng, large // sessions))
    return mingle([[], *flows], rng), wanted
