#!/usr/bin/env python3
"""The mails in a capture, found without the engine: an oracle for its tests.

Knows only what scripts/record writes (Ethernet, IP without fragments, no loss, plain SMTP), and is
as simple as that allows. With a truth.tsv as second argument it checks that the capture holds
exactly those mails and that the truth about the word is true.

usage: reference.py CAPTURE [TRUTH.tsv [WORD]]
"""
import collections
import hashlib
import struct
import sys


def packets(path):
    """(source, destination, flags, seq, payload) of every TCP packet."""
    with open(path, "rb") as file:
        head = file.read(24)
        order = "<" if head[:1] in b"\xd4\x4d" else ">"
        while record := file.read(16):
            frame = file.read(struct.unpack(order + "IIII", record)[2])
            kind = frame[12:14]
            if kind == b"\x08\x00" and frame[23] == 6:
                l4 = 14 + (frame[14] & 15) * 4
                end = 14 + struct.unpack_from(">H", frame, 16)[0]
                source, target = frame[26:30], frame[30:34]
            elif kind == b"\x86\xdd" and frame[20] == 6:
                l4 = 54
                end = l4 + struct.unpack_from(">H", frame, 18)[0]
                source, target = frame[22:38], frame[38:54]
            else:
                continue
            sport, dport, seq, _, off, flags = struct.unpack_from(">HHIIBB", frame, l4)
            yield (source, sport), (target, dport), flags, seq, frame[l4 + (off >> 4) * 4:end]


def streams(path):
    """What the client of each connection sent, in the order the connections ended."""
    live = {}

    def bytes_of(segments):
        out, at = bytearray(), None
        for seq, payload in sorted(segments.items()):
            if at is not None and seq < at:
                payload, seq = payload[at - seq:], at
            out += payload
            at = seq + len(payload)
        return bytes(out)

    for source, target, flags, seq, payload in packets(path):
        if flags & 0x12 == 2:  # SYN: a new connection, maybe on a port used before
            if source in live:
                yield bytes_of(live.pop(source)[1])
            live[source] = (seq + 1, {})
        elif target[1] == 25 and source in live and payload:
            first, segments = live[source]
            relative = (seq - first) & 0xffffffff
            if len(payload) > len(segments.get(relative, b"")):
                segments[relative] = payload
    for _, segments in live.values():
        yield bytes_of(segments)


def mails(path):
    """(message, sender) of every mail, dots undoubled."""
    for stream in streams(path):
        at = 0
        while (start := stream.find(b"\r\nDATA\r\n", at)) >= 0:
            command = stream.rfind(b"MAIL FROM:<", at, start) + 11
            sender = stream[command:stream.find(b">", command)].decode()
            end = stream.find(b"\r\n.\r\n", start + 6)
            if end < 0:
                break
            mail = stream[start + 8:end + 2]
            at = end + 3
            yield (b"\r\n" + mail).replace(b"\r\n.", b"\r\n")[2:], sender


def main():
    if len(sys.argv) < 2:
        raise SystemExit(__doc__)
    found = [(hashlib.sha256(mail).hexdigest(), len(mail), sender, mail) for mail, sender in mails(sys.argv[1])]
    if len(sys.argv) == 2:
        for digest, size, sender, _ in found:
            print(digest, size, sender, sep="\t")
        return
    word = (sys.argv[3] if len(sys.argv) > 3 else "hello").encode()
    expected = collections.Counter()
    with open(sys.argv[2], encoding="utf-8") as file:
        next(file)
        for line in file:
            _, wanted, copies, size, digest, sender = line.rstrip("\n").split("\t")[:6]
            expected[(digest, int(size), sender, wanted == "1")] += int(copies)
    got = collections.Counter((digest, size, sender, word in mail) for digest, size, sender, mail in found)
    for text, difference in ("missing from the capture:", expected - got), ("not in the truth:", got - expected):
        for mail in list(difference)[:10]:
            print(text, *mail)
    if got != expected:
        raise SystemExit(2)
    print(f"{len(found)} mails, {sum(n for mail, n in got.items() if mail[3])} with the word: as the truth says")


if __name__ == "__main__":
    main()
