"""SMTP sessions as frames of a capture, for the tests that send mails of their own."""
import socket
import struct

import rewrite


def session(rng, mails, port):
    """Frames of one SMTP session: DATA and BDAT by turns, cut at random. (time in ns, bytes)"""
    time = 1_700_000_000 * 10**9 + port
    client, server = (socket.inet_aton("10.0.0.1"), port), (socket.inet_aton("10.0.0.2"), 25)
    sequence = {client: 1000, server: 5000}
    frames = []

    def packet(source, target, flags, data=b""):
        nonlocal time
        time += 10**6
        tcp = struct.pack("!HHIIBBHHH", source[1], target[1], sequence[source] & 0xffffffff,
                          sequence[target] if flags & 16 else 0, 0x50, flags, 65535, 0, 0) + data
        frames.append((time, b"\x02" * 6 + b"\x04" * 6 + b"\x08\x00" + rewrite.ip4(tcp, 6, source[0], target[0])))
        sequence[source] += len(data) + (1 if flags & 3 else 0)

    def say(source, target, data):
        at = 0
        while at < len(data):
            n = rng.randrange(1, 1400)
            packet(source, target, 24, data[at:at + n])
            at += n

    packet(client, server, 2)
    packet(server, client, 18)
    packet(client, server, 16)
    say(server, client, b"220 mx.example.org ESMTP\r\n")
    say(client, server, b"EHLO me\r\n")
    say(server, client, b"250-mx.example.org\r\n250 CHUNKING\r\n")
    for number, mail in enumerate(mails):
        for command in (b"MAIL FROM:<a@b>\r\n", b"RCPT TO:<c@d>\r\n"):
            say(client, server, command)
            say(server, client, b"250 ok\r\n")
        if number % 2:
            half = len(mail) // 2
            for part, last in ((mail[:half], b""), (mail[half:], b" LAST")):
                say(client, server, b"BDAT %d%s\r\n" % (len(part), last) + part)
                say(server, client, b"250 ok\r\n")
        else:
            say(client, server, b"DATA\r\n")
            say(server, client, b"354 go on\r\n")
            say(client, server, b"".join(b"." * line.startswith(b".") + line for line in mail.splitlines(True))
                + b".\r\n")
            say(server, client, b"250 ok\r\n")
    say(client, server, b"QUIT\r\n")
    packet(client, server, 17)
    packet(server, client, 17)
    return frames
