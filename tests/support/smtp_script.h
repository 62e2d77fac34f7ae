/* SMTP sessions written as readable text, run through the parser, and what came out as text again.
 * For the tests of host/components/smtp_*: included by each, so everything is static.
 *
 * A script is lines: "C: text" and "S: text" are what client and server say, with CRLF; "C! text"
 * and "S! text" without, with the escapes \r \n \0 \t \\ \xHH; "C~ 100" and "S~ 100" are lost
 * bytes; "C* 1000 text" repeats a raw text. Every line is a chunk of its own.
 */
#ifndef MR_TESTS_SMTP_SCRIPT_H
#define MR_TESTS_SMTP_SCRIPT_H

#include "components/smtp_parser.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define UNUSED __attribute__((unused))

/* ---- a host that writes down what it is told ---- */

struct text {
    char *p;
    size_t n, capacity;
};

static UNUSED void text_add(struct text *t, const void *bytes, size_t n)
{
    if (!t->p || t->n + n + 1 > t->capacity) {
        t->capacity = 2 * (t->n + n + 1);
        t->p = realloc(t->p, t->capacity);
        if (!t->p)
            abort();
    }
    if (n)
        memcpy(t->p + t->n, bytes, n);
    t->n += n;
    t->p[t->n] = 0;
}

static UNUSED void text_print(struct text *t, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
static UNUSED void text_print(struct text *t, const char *format, ...)
{
    char line[1024];
    va_list args;
    va_start(args, format);
    int n = vsnprintf(line, sizeof line, format, args);
    va_end(args);
    text_add(t, line, n < (int)sizeof line ? (size_t)n : sizeof line - 1);
}

static UNUSED void text_escaped(struct text *t, const uint8_t *p, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (p[i] == '\r')
            text_add(t, "\\r", 2);
        else if (p[i] == '\n')
            text_add(t, "\\n", 2);
        else if (p[i] < 32 || p[i] > 126)
            text_print(t, "\\x%02x", p[i]);
        else
            text_add(t, &p[i], 1);
    }
}

struct outcome {
    struct text mails, transactions;
    uint32_t anomalies[MR_SMTP_N_ANOMALIES];
    uint32_t n_mails, next_number;
    bool tls, certain;
    uint64_t counts[MR_SMTP_N_COUNTS];
    /* the memory it has */
    uint64_t in_use, peak, refuse_after; /* refuse_after: this many requests; 0: none refused */
    uint64_t requests;
    bool full_text; /* mails as they are, not cut */
    /* uint32_t each: numbers that mails had when their data ended, and those of transactions */
    struct text mail_numbers, numbers, numbers_with_mail;
    bool misnumbered; /* no transaction of its own for each of these */
    /* what was said of the transactions of the first mails when their data ended */
    struct mr_smtp_session *session; /* NULL: nothing */
    char *told[8];
};

static UNUSED struct mr_buffer *outcome_get(void *user, size_t capacity)
{
    struct outcome *o = user;

    if (capacity > 64u << 20)
        return NULL;
    o->requests++;
    if (o->refuse_after && o->requests >= o->refuse_after)
        return NULL;
    /* exactly what is asked for, so that a sanitizer sees the first byte too many */
    struct mr_buffer *b = malloc(sizeof *b);
    uint8_t *data = malloc(capacity ? capacity : 1);
    if (!b || !data)
        abort();
    memset(data, 0xa5, capacity);
    *b = (struct mr_buffer){.data = data, .capacity = (uint32_t)capacity};
    o->in_use += capacity;
    if (o->in_use > o->peak)
        o->peak = o->in_use;
    return b;
}

static UNUSED void outcome_put(void *user, struct mr_buffer *buffer)
{
    struct outcome *o = user;

    if (!buffer)
        return;
    o->in_use -= buffer->capacity;
    free(buffer->data);
    free(buffer);
}

static UNUSED void outcome_certain(void *user)
{
    ((struct outcome *)user)->certain = true;
}

/* Names, and recipients, " to=<a@x> " each; `all`: those that were refused too. */
static UNUSED char *outcome_envelope(const struct mr_smtp_transaction *tx, bool all)
{
    struct text t = {0};
    struct mr_smtp_text path;
    uint32_t cursor = 0;
    bool accepted;

    text_print(&t, "helo=");
    text_escaped(&t, tx->helo.ptr, tx->has_helo ? tx->helo.len : 0);
    text_print(&t, " from=");
    text_escaped(&t, tx->mail_from.ptr, tx->has_mail_from ? tx->mail_from.len : 0);
    while (mr_smtp_next_recipient(tx, &cursor, &path, &accepted)) {
        if (!accepted && !all)
            continue;
        text_print(&t, " to=");
        text_escaped(&t, path.ptr, path.len);
        text_print(&t, " ");
    }
    return t.p;
}

/* Does `text` have the names, and all recipients of `envelope`? */
static UNUSED bool outcome_covers(const char *text, char *envelope)
{
    char *to = strstr(envelope, " to=");
    bool covers = !strncmp(text, envelope, to ? (size_t)(to - envelope) : strlen(envelope));

    while (to && covers) {
        char *next = strstr(to + 1, " to=");
        if (next)
            *next = 0;
        covers = strstr(text, to) != NULL;
        if (next)
            *next = ' ';
        to = next;
    }
    return covers;
}

static UNUSED void outcome_tell(struct outcome *o, const struct mr_smtp_mail *mail)
{
    struct mr_smtp_transaction tx;
    struct mr_buffer envelope;

    if (!o->session || o->n_mails > sizeof o->told / sizeof *o->told)
        return;
    size_t n = mr_smtp_transaction_of(o->session, mail, &tx, &envelope, NULL);
    uint8_t *exact = malloc(n ? n : 1);
    if (!exact || mr_smtp_transaction_of(o->session, mail, &tx, &envelope, exact) != n)
        abort();
    o->told[o->n_mails - 1] = outcome_envelope(&tx, false);
    free(exact);
}

/* Was the same told when the data ended, but for recipients that were refused later? */
static UNUSED bool outcome_was_told(const struct outcome *o, uint32_t mail,
                                    const struct mr_smtp_transaction *tx)
{
    char *told = mail && mail <= sizeof o->told / sizeof *o->told ? o->told[mail - 1] : NULL;
    char *accepted = outcome_envelope(tx, false), *all = outcome_envelope(tx, true);
    bool same = !told || (outcome_covers(told, accepted) && outcome_covers(all, told));

    free(accepted);
    free(all);
    return same;
}

static UNUSED struct mr_buffer *outcome_mail(void *user, const struct mr_smtp_mail *mail,
                                             struct mr_buffer *bytes, void *reader)
{
    struct outcome *o = user;
    (void)reader;
    uint32_t n = bytes ? bytes->len : 0;

    o->n_mails++;
    text_add(&o->mail_numbers, &mail->number, sizeof mail->number);
    outcome_tell(o, mail);
    text_print(&o->mails, "mail%s%s%s %llu: ", mail->flags & MR_SMTP_MAIL_BDAT ? " bdat" : "",
               mail->flags & MR_SMTP_MAIL_INCOMPLETE ? " incomplete" : "",
               mail->flags & MR_SMTP_MAIL_TRUNCATED ? " truncated" : "",
               (unsigned long long)mail->bytes);
    text_escaped(&o->mails, bytes ? bytes->data : NULL, o->full_text || n < 200 ? n : 200);
    text_add(&o->mails, "\n", 1);
    outcome_put(o, bytes);
    struct mr_buffer *note = outcome_get(o, 8);
    if (note) {
        memcpy(note->data, &o->n_mails, sizeof o->n_mails);
        memcpy(note->data + sizeof o->n_mails, &mail->number, sizeof mail->number);
    }
    return note;
}

static UNUSED void outcome_transaction(void *user, const struct mr_smtp_transaction *tx)
{
    struct outcome *o = user;
    struct text *t = &o->transactions;
    struct mr_smtp_text path;
    uint32_t cursor = 0, of;
    bool accepted;

    text_add(&o->numbers, &tx->number, sizeof tx->number);
    if (tx->has_mail)
        text_add(&o->numbers_with_mail, &tx->number, sizeof tx->number);
    text_print(t, "tx %u %s", tx->number, mr_smtp_status_text(tx->status));
    if (tx->number < o->next_number)
        text_print(t, ", of which one was told");
    o->next_number = tx->number + 1;
    if (tx->has_helo) {
        text_add(t, " helo=", 6);
        text_escaped(t, tx->helo.ptr, tx->helo.len);
    }
    if (tx->has_mail_from) {
        text_add(t, " from=", 6);
        text_escaped(t, tx->mail_from.ptr, tx->mail_from.len);
    }
    while (mr_smtp_next_recipient(tx, &cursor, &path, &accepted)) {
        text_add(t, accepted ? " to=" : " no=", 4);
        text_escaped(t, path.ptr, path.len);
    }
    if (tx->utf8)
        text_add(t, " utf8", 5);
    if (tx->reply)
        text_print(t, " reply=%u", tx->reply);
    if (tx->has_mail)
        text_print(t, " bytes=%llu", (unsigned long long)tx->mail.bytes);
    if (tx->has_mail && tx->mail.note) {
        memcpy(&of, tx->mail.note->data, sizeof of);
        text_print(t, " mail=%u", of);
        if (!outcome_was_told(o, of, tx))
            text_print(t, ", of which \"%s\" was told", o->told[of - 1]);
        memcpy(&of, tx->mail.note->data + sizeof of, sizeof of);
        if (of != tx->number)
            text_print(t, ", which was told as of tx %u", of);
    }
    text_add(t, "\n", 1);
    if (tx->has_mail)
        outcome_put(o, tx->mail.note);
}

static UNUSED void outcome_anomaly(void *user, enum mr_smtp_anomaly anomaly)
{
    ((struct outcome *)user)->anomalies[anomaly]++;
}

static UNUSED void outcome_tls(void *user)
{
    ((struct outcome *)user)->tls = true;
}

static UNUSED void outcome_count(void *user, enum mr_smtp_count what, uint64_t n)
{
    ((struct outcome *)user)->counts[what] += n;
}

static UNUSED struct mr_smtp_host outcome_host(struct outcome *o)
{
    return (struct mr_smtp_host){
        .memory = {.user = o, .get = outcome_get, .put = outcome_put},
        .user = o,
        .typical_mail_bytes = 0,
        .certain = outcome_certain,
        .mail = outcome_mail,
        .transaction = outcome_transaction,
        .anomaly = outcome_anomaly,
        .tls = outcome_tls,
        .count = outcome_count,
    };
}

static UNUSED int outcome_order(const void *a, const void *b)
{
    uint32_t x, y;

    memcpy(&x, a, sizeof x);
    memcpy(&y, b, sizeof y);
    return (x > y) - (x < y);
}

/* In order; says which of them stand there twice. */
static UNUSED void outcome_sort(struct text *numbers, const char *what, struct text *t)
{
    size_t n = numbers->n / sizeof(uint32_t);
    uint32_t two[2];

    if (n)
        qsort(numbers->p, n, sizeof(uint32_t), outcome_order);
    for (size_t i = 1; i < n; i++) {
        memcpy(two, numbers->p + (i - 1) * sizeof *two, sizeof two);
        if (two[0] == two[1])
            text_print(t, "%s %u twice\n", what, two[0]);
    }
}

/* No two transactions have one number, and the number of each mail is that of one with a mail: what
 * an alert about the mail names is there. Else says so. */
static UNUSED void outcome_numbers(struct outcome *o, struct text *t)
{
    size_t before = t->n;

    outcome_sort(&o->numbers, "told: tx", t);
    outcome_sort(&o->numbers_with_mail, "told with a mail: tx", t);
    outcome_sort(&o->mail_numbers, "a mail of tx", t);
    if (o->mail_numbers.n != o->numbers_with_mail.n ||
        (o->mail_numbers.n && memcmp(o->mail_numbers.p, o->numbers_with_mail.p, o->mail_numbers.n)))
        text_print(t, "mails are of others than the transactions told with one\n");
    o->misnumbered = t->n != before;
    free(o->mail_numbers.p);
    free(o->numbers.p);
    free(o->numbers_with_mail.p);
}

/* Everything as one text; the caller frees it. */
static UNUSED char *outcome_text(struct outcome *o)
{
    struct text t = {0};

    text_add(&t, o->mails.p, o->mails.n);
    text_add(&t, o->transactions.p, o->transactions.n);
    for (unsigned i = 0; i < MR_SMTP_N_ANOMALIES; i++)
        for (uint32_t k = 0; k < o->anomalies[i]; k++)
            text_print(&t, "anomaly %s\n", mr_smtp_anomaly_text((enum mr_smtp_anomaly)i));
    if (o->tls)
        text_add(&t, "tls\n", 4);
    outcome_numbers(o, &t);
    free(o->mails.p);
    free(o->transactions.p);
    for (size_t i = 0; i < sizeof o->told / sizeof *o->told; i++)
        free(o->told[i]);
    return t.p;
}

/* ---- scripts ---- */

struct piece {
    uint8_t direction;
    uint64_t gap; /* not 0: lost bytes */
    uint8_t *bytes;
    size_t n;
};

struct script {
    struct piece *pieces;
    size_t n, capacity;
};

static UNUSED struct piece *script_add(struct script *s, uint8_t direction)
{
    if (s->n == s->capacity) {
        s->capacity = s->capacity ? 2 * s->capacity : 32;
        s->pieces = realloc(s->pieces, s->capacity * sizeof *s->pieces);
        if (!s->pieces)
            abort();
    }
    struct piece *piece = &s->pieces[s->n++];
    *piece = (struct piece){.direction = direction};
    return piece;
}

static UNUSED int script_hex(char c)
{
    return c <= '9' ? c - '0' : (c | 32) - 'a' + 10;
}

static UNUSED void script_raw(struct text *to, const char *p, const char *end, bool escapes)
{
    for (; p < end; p++) {
        char c = *p;
        if (escapes && c == '\\' && p + 1 < end) {
            p++;
            c = *p == 'r' ? '\r' : *p == 'n' ? '\n' : *p == 't' ? '\t' : *p == '0' ? 0 : *p;
            if (*p == 'x' && p + 2 < end) {
                c = (char)(script_hex(p[1]) << 4 | script_hex(p[2]));
                p += 2;
            }
        }
        text_add(to, &c, 1);
    }
}

static UNUSED struct script script_parse(const char *p)
{
    struct script s = {0};

    while (*p) {
        const char *end = strchr(p, '\n');
        if (!end)
            end = p + strlen(p);
        struct piece *piece = script_add(&s, *p == 'C' ? MR_TO_SERVER : MR_TO_CLIENT);
        const char *from = p + 2 < end ? p + 3 : end;
        struct text t = {0};
        unsigned long times = 1;
        if (p[1] == '~') {
            piece->gap = strtoull(from, NULL, 10);
        } else {
            if (p[1] == '*') {
                char *rest;
                times = strtoul(from, &rest, 10);
                from = rest + 1;
            }
            for (; times; times--)
                script_raw(&t, from, end, p[1] != ':');
            if (p[1] == ':')
                text_add(&t, "\r\n", 2);
            piece->bytes = (uint8_t *)t.p;
            piece->n = t.n;
        }
        p = *end ? end + 1 : end;
    }
    return s;
}

static UNUSED void script_free(struct script *s)
{
    for (size_t i = 0; i < s->n; i++)
        free(s->pieces[i].bytes);
    free(s->pieces);
}

/* A run: pieces go in one by one. */
struct run {
    struct outcome outcome;
    struct mr_smtp_limits limits;
    struct mr_smtp_session *session;
};

static UNUSED void run_open(struct run *run, const struct mr_smtp_limits *limits, unsigned flags)
{
    static const struct mr_smtp_limits defaults = MR_SMTP_DEFAULT_LIMITS;
    struct mr_smtp_memory memory = {.user = &run->outcome, .get = outcome_get, .put = outcome_put};

    run->limits = limits ? *limits : defaults;
    run->session = run->outcome.session = mr_smtp_open(&memory, &run->limits, flags);
}

/* Bytes from a block of their own size, so that a sanitizer sees the first byte too many. */
static UNUSED void run_bytes(struct run *run, uint8_t direction, const uint8_t *p, size_t n)
{
    struct mr_smtp_host host = outcome_host(&run->outcome);
    uint8_t *exact = malloc(n ? n : 1);

    if (!exact)
        abort();
    if (n)
        memcpy(exact, p, n);
    mr_smtp_data(run->session, &host, (enum mr_direction)direction, exact, n);
    free(exact);
}

static UNUSED void run_piece(struct run *run, const struct piece *piece)
{
    struct mr_smtp_host host = outcome_host(&run->outcome);

    if (piece->gap)
        mr_smtp_gap(run->session, &host, (enum mr_direction)piece->direction, piece->gap);
    else
        run_bytes(run, piece->direction, piece->bytes, piece->n);
}

/* Ends the session, gives its memory back and returns the outcome as text. */
static UNUSED char *run_close(struct run *run)
{
    struct mr_smtp_host host = outcome_host(&run->outcome);

    mr_smtp_end(run->session, &host);
    mr_smtp_close(run->session, &host.memory);
    if (run->outcome.in_use) {
        fprintf(stderr, "%llu bytes were not given back\n",
                (unsigned long long)run->outcome.in_use);
        abort();
    }
    return outcome_text(&run->outcome);
}

#endif
