#include "detector_probes.h"

#include "smtp_command.h"

#include <assert.h>
#include <string.h>

/* ---- parts of probes ---- */

static uint8_t upper(uint8_t c)
{
    return c >= 'a' && c <= 'z' ? (uint8_t)(c - 32) : c;
}

/* Do the bytes begin with `word` (upper case, matched in any case)? */
static enum mr_answer begins(const uint8_t *p, uint32_t n, const char *word)
{
    for (uint32_t i = 0; word[i]; i++) {
        if (i == n)
            return MR_UNSURE;
        if (upper(p[i]) != (uint8_t)word[i])
            return MR_NO;
    }
    return MR_YES;
}

/* The best answer for any of the words of a NULL-terminated list. */
static enum mr_answer begins_any(const uint8_t *p, uint32_t n, const char *const *words)
{
    enum mr_answer best = MR_NO;
    for (; *words && best != MR_YES; words++) {
        enum mr_answer answer = begins(p, n, *words);
        if (answer > best)
            best = answer;
    }
    return best;
}

/* Binary: bytes[i] & mask[i] are as wanted. */
static enum mr_answer begins_bytes(const uint8_t *p, uint32_t n, const char *bytes,
                                   const char *mask, uint32_t len)
{
    for (uint32_t i = 0; i < len; i++) {
        if (i == n)
            return MR_UNSURE;
        if ((p[i] & (uint8_t)mask[i]) != (uint8_t)bytes[i])
            return MR_NO;
    }
    return MR_YES;
}
#define BYTES(p, n, bytes, mask) begins_bytes(p, n, bytes, mask, sizeof(bytes) - 1)

/* How much of the bytes is the first line; *whole: its end is there. */
static uint32_t first_line(const uint8_t *p, uint32_t n, bool *whole)
{
    const uint8_t *lf = memchr(p, '\n', n);
    *whole = lf != NULL;
    return lf ? (uint32_t)(lf - p) : n;
}

/* Is `word` (upper case) among the bytes, in any case? */
static bool has(const uint8_t *p, uint32_t n, const char *word)
{
    for (uint32_t i = 0; i < n; i++)
        if (!((p[i] ^ (uint8_t)*word) & ~0x20) && begins(p + i, n - i, word) == MR_YES)
            return true;
    return false;
}

/* Is it in the first line? Unsure while the line has no end. */
static enum mr_answer line_has(const uint8_t *p, uint32_t n, const char *word)
{
    bool whole;
    uint32_t len = first_line(p, n, &whole);
    if (has(p, len, word))
        return MR_YES;
    return whole ? MR_NO : MR_UNSURE;
}

/* Is `word` in a greeting "220-...", "220 ...", in any of its lines? Never no. */
static enum mr_answer greeting_has(const uint8_t *p, uint32_t n, const char *word)
{
    bool whole = true;
    uint32_t at = 0;

    while (whole && at < n && begins(p + at, n - at, "220") == MR_YES) {
        uint32_t len = first_line(p + at, n - at, &whole);
        if (has(p + at, len, word))
            return MR_YES;
        if (len < 4 || p[at + 3] != '-')
            break;
        at += len + 1;
    }
    return MR_UNSURE;
}

/* What is yes becomes unsure. */
static enum mr_answer hint(enum mr_answer answer)
{
    return answer == MR_YES ? MR_UNSURE : answer;
}

static enum mr_answer never(const uint8_t *p, uint32_t n)
{
    (void)p;
    return n ? MR_NO : MR_UNSURE;
}

/* Three digits, the first from 1 to 5, then a blank, a dash or the end of the line. */
static enum mr_answer reply_code(const uint8_t *p, uint32_t n)
{
    for (uint32_t i = 0; i < 4; i++) {
        if (i == n)
            return MR_UNSURE;
        if (i == 3 ? p[i] != ' ' && p[i] != '-' && p[i] != '\r' && p[i] != '\n'
                   : p[i] < '0' || p[i] > '9' || (i == 0 && (p[i] == '0' || p[i] > '5')))
            return MR_NO;
    }
    return MR_YES;
}

/* ---- SMTP ---- */

/* The first line that only SMTP has, in text. The processor takes the same lines as evidence, so
 * that what it told before is never denied here. */
static enum mr_answer smtp_client(const uint8_t *p, uint32_t n)
{
    static const char *const sure[] = {"EHLO ", "HELO ", "LHLO ", "MAIL FROM:", "RCPT TO:", NULL};

    for (uint32_t at = 0; at < n;) {
        struct mr_smtp_command command;
        bool whole;
        uint32_t len = first_line(p + at, n - at, &whole);
        if (begins_any(p + at, len, sure) == MR_YES)
            return MR_YES;
        if (whole) {
            mr_smtp_parse_command(p + at, len, &command);
            if (mr_smtp_is_evidence(&command))
                return MR_YES;
        }
        for (uint32_t i = at; i < at + len; i++)
            if (p[i] < '\t' || (p[i] > '\r' && p[i] < ' ') || p[i] == 0x7f)
                return MR_NO;
        at += len + 1;
    }
    return MR_UNSURE;
}

/* "250 2.1.0 ": the code of RFC 3463 behind the reply code. */
static enum mr_answer enhanced_code(const uint8_t *p, uint32_t n)
{
    uint32_t i = 4, part = 0, digits = 0;

    if (n > 4 && (p[4] != p[0] || p[0] < '2' || p[3] == '\r' || p[3] == '\n'))
        return MR_NO;
    for (; i < n && i < 12; i++) {
        if (p[i] >= '0' && p[i] <= '9') {
            if (++digits > 3)
                return MR_NO;
        } else if (p[i] == '.' && digits && part < 2) {
            part++;
            digits = 0;
        } else {
            return part == 2 && digits && (p[i] == ' ' || p[i] == '\r') ? MR_YES : MR_NO;
        }
    }
    return i < 12 ? MR_UNSURE : MR_NO;
}

static enum mr_answer smtp_server(const uint8_t *p, uint32_t n)
{
    enum mr_answer code = reply_code(p, n);

    if (code != MR_YES)
        return code;
    if (enhanced_code(p, n) == MR_YES)
        return MR_YES;
    return greeting_has(p, n, "SMTP") == MR_YES ? MR_YES : greeting_has(p, n, "LMTP");
}

/* ---- other mail and file protocols ---- */

static enum mr_answer ftp_client(const uint8_t *p, uint32_t n)
{
    static const char *const likely[] = {"USER ",    "PASS ",  "FEAT\r", "SYST\r", "AUTH TLS",
                                         "AUTH SSL", "QUIT\r", "PASV\r", "EPSV\r", "TYPE ",
                                         "CWD ",     "PORT ",  "HOST ",  "OPTS ",  NULL};
    return hint(begins_any(p, n, likely));
}

static enum mr_answer ftp_server(const uint8_t *p, uint32_t n)
{
    enum mr_answer code = reply_code(p, n);

    return code == MR_YES ? greeting_has(p, n, "FTP") : code;
}

/* A greeting as SMTP has it too, and a client that says what only FTP has behind such a one. */
static enum mr_answer ftp_both(const struct mr_prefix side[2])
{
    static const char *const words[] = {"USER ", "FEAT\r", "SYST\r", "AUTH TLS", "AUTH SSL", NULL};
    const struct mr_prefix *c = &side[MR_TO_SERVER], *s = &side[MR_TO_CLIENT];

    return begins(s->p, s->n, "220") == MR_YES && begins_any(c->p, c->n, words) == MR_YES
               ? MR_YES
               : MR_UNSURE;
}

static enum mr_answer pop3_client(const uint8_t *p, uint32_t n)
{
    static const char *const sure[] = {"CAPA\r", "APOP ", "STLS\r", NULL};
    static const char *const likely[] = {"USER ",  "AUTH\r", "AUTH ", "PASS ",  "QUIT\r", "STAT\r",
                                         "LIST\r", "LIST ",  "RETR ", "UIDL\r", NULL};
    enum mr_answer a = begins_any(p, n, sure);
    return a != MR_NO ? a : hint(begins_any(p, n, likely));
}

/* Redis says "+OK\r\n" as well, and nothing behind it. */
static enum mr_answer pop3_server(const uint8_t *p, uint32_t n)
{
    enum mr_answer a = begins(p, n, "+OK ");
    return a != MR_NO ? a : hint(begins(p, n, "+OK\r"));
}

/* A tag, and a command that a session can begin with. */
static enum mr_answer imap_client(const uint8_t *p, uint32_t n)
{
    static const char *const commands[] = {
        "CAPABILITY\r", "LOGIN ", "AUTHENTICATE ", "STARTTLS\r",  "SELECT ",    "EXAMINE ",
        "ID (",         "ID NIL", "LOGOUT\r",      "NAMESPACE\r", "UID FETCH ", NULL};
    uint32_t i = 0;

    while (
        i < n && i < 16 &&
        ((upper(p[i]) >= 'A' && upper(p[i]) <= 'Z') || (p[i] >= '0' && p[i] <= '9') || p[i] == '.'))
        i++;
    if (i == n && i < 16)
        return MR_UNSURE;
    if (i == 0 || i == 16 || p[i] != ' ')
        return MR_NO;
    return begins_any(p + i + 1, n - i - 1, commands);
}

static enum mr_answer imap_server(const uint8_t *p, uint32_t n)
{
    static const char *const sure[] = {"* OK", "* PREAUTH", "* BYE", "* CAPABILITY ", NULL};
    return begins_any(p, n, sure);
}

static enum mr_answer nntp_client(const uint8_t *p, uint32_t n)
{
    static const char *const sure[] = {"MODE READER", "CAPABILITIES\r", "AUTHINFO ", "GROUP ",
                                       "XOVER ",      "IHAVE ",         "CHECK <",   NULL};
    return begins_any(p, n, sure);
}

static enum mr_answer nntp_server(const uint8_t *p, uint32_t n)
{
    enum mr_answer a = begins(p, n, "200 "), b = begins(p, n, "201 ");
    if (a == MR_YES || b == MR_YES)
        return line_has(p, n, "NNTP") == MR_YES ? MR_YES : MR_UNSURE;
    return a > b ? a : b;
}

/* ---- request and status lines ---- */

static enum mr_answer http_client(const uint8_t *p, uint32_t n)
{
    static const char *const sure[] = {"GET ",      "POST ",    "HEAD ",        "PUT ",
                                       "DELETE ",   "CONNECT ", "PATCH ",       "TRACE ",
                                       "PROPFIND ", "REPORT ",  "PRI * HTTP/2", NULL};
    enum mr_answer a = begins_any(p, n, sure), b = begins(p, n, "OPTIONS ");
    if (b == MR_YES)
        return line_has(p, n, " HTTP/1.");
    return a > b ? a : b;
}

static enum mr_answer http_server(const uint8_t *p, uint32_t n)
{
    return begins(p, n, "HTTP/1.");
}

static enum mr_answer sip_either(const uint8_t *p, uint32_t n)
{
    static const char *const sure[] = {"SIP/2.0 ", NULL};
    static const char *const methods[] = {"INVITE ", "REGISTER ", "ACK ",     "BYE ",
                                          "CANCEL ", "OPTIONS ",  "MESSAGE ", "SUBSCRIBE ",
                                          "NOTIFY ", "INFO ",     "UPDATE ",  "PRACK ",
                                          "REFER ",  "PUBLISH ",  NULL};
    enum mr_answer a = begins_any(p, n, sure), b = begins_any(p, n, methods);
    if (b == MR_YES)
        return line_has(p, n, " SIP/2.0");
    return a > b ? a : b;
}

static enum mr_answer rtsp_either(const uint8_t *p, uint32_t n)
{
    static const char *const methods[] = {"OPTIONS ", "DESCRIBE ", "SETUP ",
                                          "PLAY ",    "ANNOUNCE ", NULL};
    enum mr_answer a = begins(p, n, "RTSP/1.0 "), b = begins_any(p, n, methods);
    if (b == MR_YES)
        return line_has(p, n, " RTSP/1.");
    return a > b ? a : b;
}

static enum mr_answer ssh_either(const uint8_t *p, uint32_t n)
{
    static const char *const sure[] = {"SSH-2.", "SSH-1.", NULL};
    return begins_any(p, n, sure);
}

static enum mr_answer irc_client(const uint8_t *p, uint32_t n)
{
    static const char *const sure[] = {"NICK ", "CAP LS", "CAP REQ", "JOIN #", "PRIVMSG ", NULL};
    static const char *const likely[] = {"USER ", "PASS ", NULL};
    enum mr_answer a = begins_any(p, n, sure), b = hint(begins_any(p, n, likely));
    return a > b ? a : b;
}

static enum mr_answer irc_server(const uint8_t *p, uint32_t n)
{
    static const char *const sure[] = {"NOTICE AUTH", "NOTICE * ", "ERROR :", NULL};
    enum mr_answer a = begins_any(p, n, sure);
    if (n && p[0] == ':')
        return line_has(p, n, " NOTICE ");
    return a;
}

static enum mr_answer vnc_either(const uint8_t *p, uint32_t n)
{
    return begins(p, n, "RFB 00");
}

static enum mr_answer xmpp_either(const uint8_t *p, uint32_t n)
{
    static const char *const sure[] = {"<STREAM:STREAM", NULL};
    enum mr_answer a = begins_any(p, n, sure), b = begins(p, n, "<?XML ");
    for (uint32_t i = 0; b == MR_YES && i < n; i++)
        if (begins(p + i, n - i, "<STREAM:STREAM") == MR_YES)
            return MR_YES;
    return a > b ? a : hint(b);
}

static enum mr_answer redis_client(const uint8_t *p, uint32_t n)
{
    uint32_t i = 1;

    if (n && p[0] != '*')
        return MR_NO;
    while (i < n && i < 8 && p[i] >= '0' && p[i] <= '9')
        i++;
    if (i >= n)
        return MR_UNSURE;
    return i == 1 ? MR_NO : begins(p + i, n - i, "\r\n$");
}

static enum mr_answer redis_server(const uint8_t *p, uint32_t n)
{
    static const char *const likely[] = {"+OK\r", "+PONG\r", "-ERR ", "-NOAUTH ",
                                         "$",     ":",       "*",     NULL};
    return hint(begins_any(p, n, likely));
}

/* ---- binary ones ---- */

static enum mr_answer tls_client(const uint8_t *p, uint32_t n)
{
    enum mr_answer a = BYTES(p, n, "\x16\x03\x00\x00\x00\x01", "\xff\xff\xf8\x00\x00\xff");
    return a == MR_YES && p[2] > 4 ? MR_NO : a;
}

static enum mr_answer tls_server(const uint8_t *p, uint32_t n)
{
    enum mr_answer a = BYTES(p, n, "\x16\x03\x00\x00\x00\x02", "\xff\xff\xf8\x00\x00\xff");
    return a == MR_YES && p[2] > 4 ? MR_NO : a;
}

static enum mr_answer smb_either(const uint8_t *p, uint32_t n)
{
    enum mr_answer a = BYTES(p, n, "\0\0\0\0\xffSMB", "\xff\0\0\0\xff\xff\xff\xff");
    enum mr_answer b = BYTES(p, n, "\0\0\0\0\xfeSMB", "\xff\0\0\0\xff\xff\xff\xff");
    return a > b ? a : b;
}

/* A length, a header with one question and a well-formed name in class IN, CH or ANY. */
static enum mr_answer dns_either(const uint8_t *p, uint32_t n)
{
    uint32_t i = 14, labels = 0;

    /* opcode 0 to 7, the reserved bit 0, one question */
    enum mr_answer a = BYTES(p, n, "\0\0\0\0\0\0\0\x01", "\xc0\0\0\0\x40\x40\xff\xff");
    if (a != MR_YES)
        return a;
    if ((uint32_t)(p[0] << 8 | p[1]) < 17)
        return MR_NO;
    while (i < n && p[i]) {
        if (p[i] > 63 || ++labels > 127)
            return MR_NO;
        i += p[i] + 1u;
    }
    if (i + 4 >= n)
        return MR_UNSURE;
    return p[i + 3] == 0 && (p[i + 4] == 1 || p[i + 4] == 3 || p[i + 4] == 255) ? MR_YES : MR_NO;
}

static enum mr_answer rdp_client(const uint8_t *p, uint32_t n)
{
    return BYTES(p, n, "\x03\0\0\0\0\xe0", "\xff\xff\xff\0\0\xff");
}

static enum mr_answer rdp_server(const uint8_t *p, uint32_t n)
{
    return BYTES(p, n, "\x03\0\0\0\0\xd0", "\xff\xff\xff\0\0\xff");
}

static enum mr_answer mqtt_client(const uint8_t *p, uint32_t n)
{
    uint32_t i = 1;

    if (n && p[0] != 0x10)
        return MR_NO;
    while (i < n && i < 5 && p[i] & 0x80)
        i++;
    if (i == 5)
        return MR_NO;
    if (i >= n)
        return MR_UNSURE;
    enum mr_answer a = BYTES(p + i + 1, n - i - 1, "\0\x04MQTT", "\xff\xff\xff\xff\xff\xff");
    enum mr_answer b =
        BYTES(p + i + 1, n - i - 1, "\0\x06MQIsdp", "\xff\xff\xff\xff\xff\xff\xff\xff");
    return a > b ? a : b;
}

static enum mr_answer mysql_server(const uint8_t *p, uint32_t n)
{
    enum mr_answer a = BYTES(p, n, "\0\0\0\0\x0a\x30\x00", "\0\xff\xff\xff\xff\xf0\0");
    return a == MR_YES && (p[5] > '9' || (p[6] != '.' && (p[6] < '0' || p[6] > '9'))) ? MR_NO : a;
}

static enum mr_answer postgresql_client(const uint8_t *p, uint32_t n)
{
    enum mr_answer a =
        BYTES(p, n, "\0\0\0\x08\x04\xd2\x16\x2f", "\xff\xff\xff\xff\xff\xff\xff\xff");
    enum mr_answer b =
        BYTES(p, n, "\0\0\0\0\0\x03\0\0user", "\xff\xff\0\0\xff\xff\xff\xff\xff\xff\xff\xff");
    return a > b ? a : b;
}

static enum mr_answer ldap_client(const uint8_t *p, uint32_t n)
{
    return BYTES(p, n, "\x30\0\x02\x01\0\x60\0\x02\x01\x03",
                 "\xff\x80\xff\xff\0\xff\x80\xff\xff\xff");
}

static enum mr_answer bittorrent_either(const uint8_t *p, uint32_t n)
{
    return BYTES(
        p, n,
        "\x13"
        "BitTorrent protocol",
        "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff");
}

/* Two negotiations in a row. */
static enum mr_answer telnet_either(const uint8_t *p, uint32_t n)
{
    enum mr_answer a = BYTES(p, n, "\xff\xf8\0\xff\xf8\0", "\xff\xf8\0\xff\xf8\0");
    return a;
}

const struct mr_protocol mr_protocols[] = {
    {"SMTP", "smtp", smtp_client, smtp_server, NULL, {25, 587, 465, 2525, 24}},
    {"HTTP", "http", http_client, http_server, NULL, {80, 8080, 8000, 3128, 81, 8008}},
    {"TLS", "tls", tls_client, tls_server, NULL, {443, 465, 993, 995, 8443, 853}},
    {"SSH", "ssh", ssh_either, ssh_either, NULL, {22}},
    {"FTP", "ftp", ftp_client, ftp_server, ftp_both, {21}},
    {"POP3", "pop3", pop3_client, pop3_server, NULL, {110}},
    {"IMAP", "imap", imap_client, imap_server, NULL, {143}},
    {"SIP", "sip", sip_either, sip_either, NULL, {5060}},
    {"RTSP", "rtsp", rtsp_either, rtsp_either, NULL, {554}},
    {"IRC", "irc", irc_client, irc_server, NULL, {6667, 6666, 6668, 6669, 7000}},
    {"SMB", "smb", smb_either, smb_either, NULL, {445, 139}},
    {"DNS", "dns", dns_either, dns_either, NULL, {53}},
    {"RDP", "rdp", rdp_client, rdp_server, NULL, {3389}},
    {"MQTT", "mqtt", mqtt_client, never, NULL, {1883}},
    {"REDIS", "redis", redis_client, redis_server, NULL, {6379}},
    {"NNTP", "nntp", nntp_client, nntp_server, NULL, {119}},
    {"MYSQL", "mysql", never, mysql_server, NULL, {3306}},
    {"POSTGRESQL", "pgsql", postgresql_client, never, NULL, {5432}},
    {"LDAP", "ldap", ldap_client, never, NULL, {389}},
    {"VNC", "rfb", vnc_either, vnc_either, NULL, {5900}},
    {"XMPP", "xmpp", xmpp_either, xmpp_either, NULL, {5222, 5269}},
    {"BITTORRENT", "bittorrent", bittorrent_either, bittorrent_either, NULL, {6881}},
    {"TELNET", "telnet", telnet_either, telnet_either, NULL, {23}},
};
const uint32_t mr_n_protocols = sizeof mr_protocols / sizeof *mr_protocols;
static_assert(sizeof mr_protocols / sizeof *mr_protocols <= MR_MAX_PROTOCOLS, "a bit for each");

void mr_first_bytes_ask(struct mr_first_bytes *first)
{
    for (uint32_t byte = 0; byte < 256; byte++) {
        uint8_t p = (uint8_t)byte;
        first->possible[MR_TO_SERVER][byte] = first->possible[MR_TO_CLIENT][byte] = 0;
        for (uint32_t i = 0; i < mr_n_protocols; i++) {
            if (mr_protocols[i].client(&p, 1) != MR_NO)
                first->possible[MR_TO_SERVER][byte] |= 1u << i;
            if (mr_protocols[i].server(&p, 1) != MR_NO)
                first->possible[MR_TO_CLIENT][byte] |= 1u << i;
        }
    }
}

uint32_t mr_protocols_possible(const struct mr_first_bytes *first, const struct mr_prefix side[2])
{
    uint32_t possible = 0;

    for (int d = 0; d < 2; d++)
        if (side[d].n)
            possible |= first->possible[d][side[d].p[0]];
    for (uint32_t i = 0; side[0].n && side[1].n && i < mr_n_protocols; i++)
        if (mr_protocols[i].both)
            possible |= 1u << i;
    return possible;
}

enum mr_answer mr_probe(const struct mr_protocol *protocol, const struct mr_prefix side[2])
{
    const struct mr_prefix *c = &side[MR_TO_SERVER], *s = &side[MR_TO_CLIENT];
    enum mr_answer client = c->n ? protocol->client(c->p, c->n) : MR_UNSURE;
    enum mr_answer server = s->n ? protocol->server(s->p, s->n) : MR_UNSURE;

    if (client == MR_YES || server == MR_YES)
        return MR_YES;
    if (protocol->both && c->n && s->n && protocol->both(side) == MR_YES)
        return MR_YES;
    return client == MR_NO && server == MR_NO ? MR_NO : MR_UNSURE;
}
