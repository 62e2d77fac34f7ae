#include "smtp_command.h"

#include <string.h>

struct cursor {
    const uint8_t *p, *end;
};

static bool is_blank(uint8_t c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

/* Some servers pass over it, others do not. */
static bool is_odd(uint8_t c)
{
    return c == 0 || (c >= '\v' && c <= '\r');
}

static uint8_t upper(uint8_t c)
{
    return c >= 'a' && c <= 'z' ? (uint8_t)(c - 32) : c;
}

static void skip_blanks(struct cursor *at)
{
    while (at->p < at->end && is_blank(*at->p))
        at->p++;
}

/* Steps over `word` (upper case) if it stands here, in any case. */
static bool take(struct cursor *at, const char *word)
{
    size_t len = strlen(word);
    if ((size_t)(at->end - at->p) < len)
        return false;
    for (size_t i = 0; i < len; i++)
        if (upper(at->p[i]) != (uint8_t)word[i])
            return false;
    at->p += len;
    return true;
}

static struct mr_smtp_text token(struct cursor *at)
{
    const uint8_t *begin = at->p;
    while (at->p < at->end && !is_blank(*at->p))
        at->p++;
    return (struct mr_smtp_text){begin, (uint32_t)(at->p - begin)};
}

/* A path with its brackets, in which quotes may hide brackets and blanks; or a word. */
static struct mr_smtp_text path(struct cursor *at)
{
    const uint8_t *begin = at->p;
    bool quoted = false;

    if (at->p == at->end || *at->p != '<')
        return token(at);
    const uint8_t *close = memchr(begin, '>', (size_t)(at->end - begin));
    if (close && !memchr(begin, '"', (size_t)(close - begin))) {
        at->p = close + 1;
        return (struct mr_smtp_text){begin, (uint32_t)(at->p - begin)};
    }
    for (; at->p < at->end; at->p++) {
        if (quoted && *at->p == '\\' && at->end - at->p > 1)
            at->p++;
        else if (*at->p == '"')
            quoted = !quoted;
        else if (!quoted && *at->p == '>') {
            at->p++;
            return (struct mr_smtp_text){begin, (uint32_t)(at->p - begin)};
        }
    }
    at->p = begin; /* never closed: as a word */
    return token(at);
}

/* Digits as a number; false: none, or over 2^64. */
static bool number(struct cursor *at, uint64_t *value)
{
    const uint8_t *begin = at->p;

    *value = 0;
    for (; at->p < at->end && *at->p >= '0' && *at->p <= '9'; at->p++)
        if (__builtin_mul_overflow(*value, 10u, value) ||
            __builtin_add_overflow(*value, (uint64_t)(*at->p - '0'), value))
            return false;
    return at->p > begin;
}

/* "FROM:<path> SIZE=1 BODY=8BITMIME SMTPUTF8", or "TO:<path> ...". */
static void mail_or_rcpt(struct cursor *at, const char *word, struct mr_smtp_command *command)
{
    skip_blanks(at);
    if (!take(at, word))
        return;
    skip_blanks(at);
    if (!take(at, ":"))
        return;
    command->well_formed = true;
    skip_blanks(at);
    command->text = path(at);
    while (skip_blanks(at), at->p < at->end) {
        struct mr_smtp_text parameter = token(at);
        struct cursor inner = {parameter.ptr, parameter.ptr + parameter.len};
        uint64_t size;
        if (take(&inner, "SIZE=")) {
            if (number(&inner, &size))
                command->size = size;
        } else if (take(&inner, "SMTPUTF8") && inner.p == inner.end) {
            command->utf8 = true;
        }
    }
}

/* "86 LAST". */
static void bdat(struct cursor *at, struct mr_smtp_command *command)
{
    uint64_t size;
    bool last = false;

    command->verb = MR_SMTP_BDAT_BAD;
    skip_blanks(at);
    bool in_range = number(at, &size);
    if (at->p < at->end && !is_blank(*at->p))
        return;
    skip_blanks(at);
    if (at->p < at->end) {
        last = take(at, "LAST");
        skip_blanks(at);
        if (!last || at->p < at->end)
            return;
    }
    if (!in_range || size > (uint64_t)1 << 40) {
        command->huge = in_range;
        return;
    }
    command->size = size;
    command->verb = last ? MR_SMTP_BDAT_LAST : MR_SMTP_BDAT;
    command->well_formed = true;
}

/* The frequent ones first; none is shorter than four letters. */
static const struct {
    char word[10];
    uint8_t verb;
    bool alone; /* well formed only without arguments */
} verbs[] = {
    {"MAIL", MR_SMTP_MAIL, false},     {"RCPT", MR_SMTP_RCPT, false},
    {"DATA", MR_SMTP_DATA, true},      {"EHLO", MR_SMTP_EHLO, false},
    {"HELO", MR_SMTP_EHLO, false},     {"QUIT", MR_SMTP_QUIT, true},
    {"RSET", MR_SMTP_RSET, true},      {"LHLO", MR_SMTP_LHLO, false},
    {"BDAT", MR_SMTP_BDAT, false},     {"AUTH", MR_SMTP_AUTH, false},
    {"NOOP", MR_SMTP_OTHER, true},     {"STARTTLS", MR_SMTP_STARTTLS, true},
    {"VRFY", MR_SMTP_OTHER, false},    {"EXPN", MR_SMTP_OTHER, false},
    {"HELP", MR_SMTP_OTHER, true},     {"ETRN", MR_SMTP_OTHER, false},
    {"TURN", MR_SMTP_OTHER, true},     {"ATRN", MR_SMTP_OTHER, false},
    {"SEND", MR_SMTP_OTHER, false},    {"SOML", MR_SMTP_OTHER, false},
    {"SAML", MR_SMTP_OTHER, false},    {"BURL", MR_SMTP_OTHER, false},
    {"XCLIENT", MR_SMTP_OTHER, false}, {"XFORWARD", MR_SMTP_OTHER, false},
};

/* Four bytes with letters in upper case; no other byte becomes a letter. */
static uint32_t upper_four(const uint8_t *p)
{
    const uint32_t each = 0x01010101, top = 0x80808080;
    uint32_t four;

    memcpy(&four, p, sizeof four);
    uint32_t low = four & ~top; /* so that sums stay within their bytes */
    uint32_t from_a = low + each * (0x80 - 'a'), behind_z = low + each * (0x7f - 'z');
    return four - ((from_a & ~behind_z & ~four & top) >> 2);
}

void mr_smtp_parse_command(const uint8_t *line, uint32_t len, struct mr_smtp_command *command)
{
    struct cursor at = {line, line + len};

    *command = (struct mr_smtp_command){.verb = MR_SMTP_UNKNOWN};
    for (uint32_t i = 0; i < len && !command->odd; i++)
        command->odd = is_odd(line[i]);
    if (command->odd) {
        while (at.p < at.end && (*at.p == 0 || is_blank(*at.p)))
            at.p++;
        /* A server in C reads no further than a NUL. */
        const uint8_t *nul = memchr(at.p, 0, (size_t)(at.end - at.p));
        at.end = nul ? nul : at.end;
    }
    while (at.end > at.p && is_blank(at.end[-1]))
        at.end--;
    skip_blanks(&at);
    uint32_t four = at.end - at.p >= 4 ? upper_four(at.p) : 0;
    for (size_t i = 0; four && i < sizeof verbs / sizeof *verbs; i++) {
        struct cursor behind = {at.p + 4, at.end};
        if (memcmp(&four, verbs[i].word, 4) != 0 || !take(&behind, verbs[i].word + 4))
            continue;
        if (behind.p < behind.end && !is_blank(*behind.p))
            continue;
        command->verb = verbs[i].verb;
        at = behind;
        skip_blanks(&at);
        command->well_formed = verbs[i].alone == (at.p == at.end);
        break;
    }
    switch (command->verb) {
    case MR_SMTP_EHLO:
    case MR_SMTP_LHLO:
        command->text = token(&at);
        command->well_formed = true;
        break;
    case MR_SMTP_MAIL:
        command->well_formed = false;
        mail_or_rcpt(&at, "FROM", command);
        break;
    case MR_SMTP_RCPT:
        command->well_formed = false;
        mail_or_rcpt(&at, "TO", command);
        break;
    case MR_SMTP_BDAT:
        command->well_formed = false;
        bdat(&at, command);
        break;
    default:
        break;
    }
}

bool mr_smtp_is_evidence(const struct mr_smtp_command *command)
{
    switch (command->verb) {
    case MR_SMTP_EHLO:
    case MR_SMTP_LHLO:
    case MR_SMTP_MAIL:
    case MR_SMTP_RCPT:
    case MR_SMTP_DATA:
    case MR_SMTP_BDAT:
    case MR_SMTP_BDAT_LAST:
        return command->well_formed;
    default:
        return false;
    }
}

int mr_smtp_parse_reply(const uint8_t *line, uint32_t len, bool *more)
{
    int code = 0;

    *more = false;
    if (len < 3)
        return -1;
    for (int i = 0; i < 3; i++) {
        if (line[i] < '0' || line[i] > '9')
            return -1;
        code = code * 10 + (line[i] - '0');
    }
    if (code < 200 || code > 599 || (len > 3 && line[3] != ' ' && line[3] != '-'))
        return -1;
    *more = len > 3 && line[3] == '-';
    return code;
}

bool mr_smtp_known_code(int code)
{
    /* the frequent ones first */
    static const uint16_t known[] = {250, 354, 220, 221, 211, 214, 235, 251, 252, 334, 401, 402,
                                     421, 422, 430, 432, 435, 450, 451, 452, 453, 454, 455, 458,
                                     459, 500, 501, 502, 503, 504, 521, 523, 525, 530, 534, 535,
                                     538, 541, 543, 550, 551, 552, 553, 554, 555, 556, 557};
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (known[i] == code)
            return true;
    return false;
}
