"""SMTP sessions as frames of a capture, for the tests that send mails of their own."""
import socket
import struct

import rewrite


class Connection:
    """Frames of one SMTP connection, what is said cut at random: (time in ns, bytes). `unheard`: the side that
    whoever records does not see."""

    def __init__(self, rng, port, unheard=None):
        self.rng, self.frames, self.unheard = rng, [], unheard
        self.time = 1_700_000_000 * 10**9 + port
        self.client, self.server = (socket.inet_aton("10.0.0.1"), port), (socket.inet_aton("10.0.0.2"), 25)
        self.sequence = {self.client: 1000, self.server: 5000}
        self.packet(self.client, 2)
        self.packet(self.server, 18)
        self.packet(self.client, 16)

    def packet(self, source, flags, data=b""):
        target = self.server if source == self.client else self.client
        self.time += 10**6
        tcp = struct.pack("!HHIIBBHHH", source[1], target[1], self.sequence[source] & 0xffffffff,
                          self.sequence[target] if flags & 16 else 0, 0x50, flags, 65535, 0, 0) + data
        if self.unheard != ("client" if source == self.client else "server"):
            self.frames.append((self.time, b"\x02" * 6 + b"\x04" * 6 + b"\x08\x00"
                                + rewrite.ip4(tcp, 6, source[0], target[0])))
        self.sequence[source] += len(data) + (1 if flags & 3 else 0)

    def say(self, source, data):
        at = 0
        while at < len(data):
            n = self.rng.randrange(1, 1400)
            self.packet(source, 24, data[at:at + n])
            at += n

    def close(self):
        self.packet(self.client, 17)
        self.packet(self.server, 17)
        return self.frames


def stuffed(mail):
    """As it stands behind DATA."""
    return b"".join(b"." * line.startswith(b".") + line for line in mail.splitlines(True)) + b".\r\n"


def session(rng, mails, port):
    """Frames of one SMTP session: DATA and BDAT by turns."""
    wire = Connection(rng, port)

    def client(data):
        wire.say(wire.client, data)

    def server(data):
        wire.say(wire.server, data)

    server(b"220 mx.example.org ESMTP\r\n")
    client(b"EHLO me\r\n")
    server(b"250-mx.example.org\r\n250 CHUNKING\r\n")
    for number, mail in enumerate(mails):
        for command in (b"MAIL FROM:<a@b>\r\n", b"RCPT TO:<c@d>\r\n"):
            client(command)
            server(b"250 ok\r\n")
        if number % 2:
            half = len(mail) // 2
            for part, last in ((mail[:half], b""), (mail[half:], b" LAST")):
                client(b"BDAT %d%s\r\n" % (len(part), last) + part)
                server(b"250 ok\r\n")
        else:
            client(b"DATA\r\n")
            server(b"354 go on\r\n")
            client(stuffed(mail))
            server(b"250 ok\r\n")
    client(b"QUIT\r\n")
    return wire.close()
