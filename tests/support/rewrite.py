"""The same traffic in other clothes: capture files read, their packets cut, shuffled, fragmented,
wrapped into tunnels, and written in every file format the engine reads.

A packet is (time in ns, bytes from the Ethernet header). Only TCP over IPv4 without IP options is
changed; what is anything else passes unchanged.
"""
import random
import struct


def read_pcap(path):
    with open(path, "rb") as file:
        data = file.read()
    order = "<" if data[:1] in b"\xd4\x4d" else ">"
    scale = 1 if data[:4] in (b"\x4d\x3c\xb2\xa1", b"\xa1\xb2\x3c\x4d") else 1000
    link = struct.unpack_from(order + "I", data, 20)[0] & 0xffff
    packets, at = [], 24
    while at + 16 <= len(data):
        seconds, fraction, length, _ = struct.unpack_from(order + "IIII", data, at)
        frame = as_ethernet(data[at + 16:at + 16 + length], link)
        packets.append((seconds * 10**9 + fraction * scale, frame))
        at += 16 + length
    return packets


def as_ethernet(frame, link):
    """The frame with an Ethernet header; of link types, those that the test captures have."""
    if link == 1:
        return frame
    ip = frame[4:] if link == 0 else frame
    if link not in (0, 12, 101) or not ip:
        raise ValueError(f"link type {link}")
    return bytes(12) + (b"\x86\xdd" if ip[0] >> 4 == 6 else b"\x08\x00") + ip


# ---- file formats ----

def pcap(packets, *, order="<", nano=False, link=1):
    magic = 0xa1b23c4d if nano else 0xa1b2c3d4
    out = [struct.pack(order + "IHHiIII", magic, 2, 4, 0, 0, 262144, link)]
    for time, frame in packets:
        fraction = time % 10**9 // (1 if nano else 1000)
        out.append(struct.pack(order + "IIII", time // 10**9, fraction, len(frame), len(frame)) + frame)
    return b"".join(out)


def pcapng(packets, *, order="<", nano=False, link=1):
    def block(kind, body):
        body += bytes(-len(body) % 4)
        return struct.pack(order + "II", kind, len(body) + 12) + body \
            + struct.pack(order + "I", len(body) + 12)

    def option(code, value):
        return struct.pack(order + "HH", code, len(value)) + value + bytes(-len(value) % 4)

    section = struct.pack(order + "IHHq", 0x1a2b3c4d, 1, 0, -1) + option(4, b"made by a test") + option(0, b"")
    interface = struct.pack(order + "HHI", link, 0, 0) + option(9, b"\x09" if nano else b"\x06") + option(0, b"")
    out = [block(0x0a0d0d0a, section), block(1, interface), block(0x0bad, b"unknown blocks are skipped")]
    for time, frame in packets:
        stamp = time // (1 if nano else 1000)
        out.append(block(6, struct.pack(order + "IIIII", 0, stamp >> 32, stamp & 0xffffffff, len(frame),
                                        len(frame)) + frame))
    return b"".join(out)


# ---- link types: what stands before the IP packet ----

def relink(packets, link):
    def head(frame):
        kind = frame[12:14]
        if link == 101:
            return b""
        if link == 113:
            return b"\x00\x00\x00\x01\x00\x06" + frame[6:12] + b"\x00\x00" + kind
        if link == 276:
            return kind + b"\x00\x00\x00\x00\x00\x01\x00\x01\x00\x06" + frame[6:12] + b"\x00\x00"
        return struct.pack("<I", 2 if kind == b"\x08\x00" else 10)  # null

    return [(time, head(frame) + frame[14:]) for time, frame in packets
            if frame[12:14] in (b"\x08\x00", b"\x86\xdd")]


# ---- encapsulations ----

def checksum(data):
    total = sum(struct.unpack(f">{(len(data) + 1) // 2}H", data + bytes(len(data) % 2)))
    while total >> 16:
        total = (total & 0xffff) + (total >> 16)
    return ~total & 0xffff


def ip4(payload, proto, source, target, ident=0, offset=0):
    head = struct.pack(">BBHHHBBH4s4s", 0x45, 0, 20 + len(payload), ident & 0xffff, offset, 64, proto,
                       0, source, target)
    return head[:10] + struct.pack(">H", checksum(head)) + head[12:] + payload


def wrap(packets, how):
    outer = b"\xc0\x00\x02\x01", b"\xc0\x00\x02\x02"

    def one(frame):
        mac, kind, rest = frame[:12], frame[12:14], frame[14:]
        if how == "vlan":
            return mac + b"\x81\x00\x00\x07" + kind + rest
        if how == "qinq":
            return mac + b"\x88\xa8\x00\x07\x81\x00\x00\x09" + kind + rest
        if how == "mpls":
            return mac + b"\x88\x47" + struct.pack(">II", 17 << 12 | 64, 18 << 12 | 0x100 | 64) + rest
        if how == "gre":
            return mac + b"\x08\x00" + ip4(b"\x00\x00" + kind + rest, 47, *outer)
        udp = struct.pack(">HHHH", 50000, 4789, 16 + len(frame), 0) + b"\x08\0\0\0\0\0\x2a\0" + frame
        return mac + b"\x08\x00" + ip4(udp, 17, *outer)  # vxlan

    return [(time, one(frame)) for time, frame in packets if frame[12:14] in (b"\x08\x00", b"\x86\xdd")]


# ---- IP ----

def is_tcp4(frame):
    return frame[12:14] == b"\x08\x00" and frame[14] == 0x45 and frame[23] == 6


def fragment4(packets, size, rng=None):
    """Every IPv4 packet with more than `size` bytes in fragments, in random order if rng is given."""
    out = []
    for number, (time, frame) in enumerate(packets):
        total = struct.unpack_from(">H", frame, 16)[0] if is_tcp4(frame) else 0
        if total - 20 <= size:
            out.append((time, frame))
            continue
        payload, step = frame[34:14 + total], size // 8 * 8
        pieces = []
        for at in range(0, len(payload), step):
            more = 0x2000 if at + step < len(payload) else 0
            pieces.append((time, frame[:14] + ip4(payload[at:at + step], 6, frame[26:30], frame[30:34],
                                                  number + 1, more | at // 8)))
        if rng:
            rng.shuffle(pieces)
        out += pieces
    return out


def to_ipv6(packets, fragment=None):
    """The same TCP segments over IPv6, those over `fragment` bytes in fragments."""
    out = []
    for number, (time, frame) in enumerate(packets):
        if not is_tcp4(frame):
            continue
        total = struct.unpack_from(">H", frame, 16)[0]
        source, target = (b"\xfd\x77" + bytes(10) + frame[at:at + 4] for at in (26, 30))
        tcp = frame[34:50] + b"\0\0" + frame[52:14 + total]
        pseudo = source + target + struct.pack(">II", len(tcp), 6)
        tcp = tcp[:16] + struct.pack(">H", checksum(pseudo + tcp)) + tcp[18:]
        head = frame[:12] + b"\x86\xdd"

        def ip6(next_header, payload, ends=(source, target), head=head):
            return head + struct.pack(">IHBB", 6 << 28, len(payload), next_header, 64) + ends[0] + ends[1] + payload

        if not fragment or len(tcp) <= fragment:
            out.append((time, ip6(6, tcp)))
            continue
        step = fragment // 8 * 8
        for at in range(0, len(tcp), step):
            more = 1 if at + step < len(tcp) else 0
            out.append((time, ip6(44, struct.pack(">BBHI", 6, 0, at | more, number + 1) + tcp[at:at + step])))
    return out


# ---- TCP: what must make no difference (invariant I4) ----

class Segment:
    def __init__(self, time, frame):
        self.time, self.frame = time, frame
        self.total = struct.unpack_from(">H", frame, 16)[0]
        self.start = 34 + (frame[46] >> 4) * 4
        self.data = frame[self.start:14 + self.total]
        self.seq = struct.unpack_from(">I", frame, 38)[0]
        self.flags = frame[47]
        self.key = frame[26:38]

    def piece(self, start, end):
        """This segment with the bytes start..end of its data only; FIN and PSH stay with the last."""
        last = end == len(self.data)
        flags = self.flags if last else self.flags & ~9
        head = self.frame[34:38] + struct.pack(">I", (self.seq + start) & 0xffffffff) + self.frame[42:47] \
            + bytes([flags]) + self.frame[48:50] + b"\0\0" + self.frame[52:self.start]
        tcp = head + self.data[start:end]
        pseudo = self.frame[26:34] + struct.pack(">HH", 6, len(tcp))
        tcp = tcp[:16] + struct.pack(">H", checksum(pseudo + tcp)) + tcp[18:]
        ident = struct.unpack_from(">H", self.frame, 18)[0]
        return self.time, self.frame[:14] + ip4(tcp, 6, self.frame[26:30], self.frame[30:34], ident)


def recut(packets, seed, *, most=700, duplicate=0.05, overlap=0.05, shuffle=True):
    """Data cut at random places, some of it sent twice or with bytes that were sent before; segments
    of one direction that no packet of the other separates in random order."""
    rng = random.Random(seed)
    out, runs, directions = [], {}, {}

    def flush(flow):
        run = runs.pop(flow, [])
        times = [time for time, _ in run]
        if shuffle:
            rng.shuffle(run)
        # packets change places, the clock does not
        out.extend((time, frame) for time, (_, frame) in zip(times, run))

    for time, frame in packets:
        if not is_tcp4(frame):
            out.append((time, frame))
            continue
        segment = Segment(time, frame)
        flow = frozenset((segment.key[:4] + segment.key[8:10], segment.key[4:8] + segment.key[10:12]))
        if directions.get(flow) != segment.key:
            flush(flow)
        if not segment.data or segment.flags & 7:  # SYN, FIN, RST and pure ACK keep their place
            flush(flow)
            out.append((time, frame))
            continue
        directions[flow] = segment.key
        at, run = 0, runs.setdefault(flow, [])
        while at < len(segment.data):
            end = min(len(segment.data), at + rng.randint(1, most))
            start = max(0, at - rng.randint(1, 100)) if rng.random() < overlap else at
            run.append(segment.piece(start, end))
            if rng.random() < duplicate:
                run.append(segment.piece(start, end))
            at = end
    for flow in list(runs):
        flush(flow)
    return sorted(out, key=lambda packet: packet[0])
