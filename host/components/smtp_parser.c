/* Input of an SMTP session: lines, what waits, who runs next; and what comes out of it. */
#include "smtp_session.h"

#include <string.h>

const char *mr_smtp_anomaly_text(enum mr_smtp_anomaly anomaly)
{
    static const char *const texts[] = {
#define X(name) #name,
        MR_SMTP_ANOMALY_LIST(X)
#undef X
    };
    return texts[anomaly];
}

const char *mr_smtp_status_text(enum mr_smtp_status status)
{
    static const char *const texts[] = {
#define X(name, text) text,
        MR_SMTP_STATUS_LIST(X)
#undef X
    };
    return texts[status];
}

/* ---- output ---- */

void smtp_raise(struct mr_smtp_session *s, const struct mr_smtp_host *host,
                enum mr_smtp_anomaly anomaly)
{
    uint64_t bit = (uint64_t)1 << anomaly;

    if (s->raised & bit)
        return;
    s->raised |= bit;
    if (s->certain)
        host->anomaly(host->user, anomaly);
    else
        s->pending |= bit;
}

void smtp_certain(struct mr_smtp_session *s, const struct mr_smtp_host *host)
{
    if (s->certain)
        return;
    s->certain = true;
    host->certain(host->user);
    for (unsigned i = 0; i < MR_SMTP_N_ANOMALIES; i++)
        if (s->pending >> i & 1)
            host->anomaly(host->user, (enum mr_smtp_anomaly)i);
    s->pending = 0;
}

void smtp_count(const struct mr_smtp_host *host, enum mr_smtp_count what, uint64_t n)
{
    host->count(host->user, what, n);
}

/* ---- lines ---- */

static void keep_part(struct mr_smtp_session *s, const struct mr_smtp_host *host,
                      struct smtp_input *in, uint32_t limit, const uint8_t *p, size_t n)
{
    size_t have = in->line ? in->line->len : 0, room = limit + 1 - have;

    in->started = true;
    if (n > room) {
        n = room;
        in->cut = true;
    }
    if (!n)
        return;
    if (!mr_smtp_room(&in->line, &host->memory, n, limit + 1)) {
        smtp_count(host, MR_SMTP_COUNT_NO_MEMORY, 1);
        in->cut = true;
        return;
    }
    memcpy(in->line->data + in->line->len, p, n);
    in->line->len += (uint32_t)n;
    (void)s;
}

size_t smtp_take_line(struct mr_smtp_session *s, const struct mr_smtp_host *host,
                      enum mr_direction direction, const uint8_t *p, size_t n,
                      struct mr_smtp_text *line, bool *cut)
{
    struct smtp_input *in = &s->in[direction];
    uint32_t limit =
        direction == MR_TO_SERVER ? s->limits->command_line_bytes : s->limits->reply_line_bytes;
    const uint8_t *lf = memchr(p, '\n', n);
    size_t used = lf ? (size_t)(lf - p) + 1 : n, content = lf ? used - 1 : n;

    *cut = false;
    if (!lf || in->started)
        keep_part(s, host, in, limit, p, content);
    if (!lf)
        return used;
    if (in->started) {
        line->ptr = in->line ? in->line->data : p;
        line->len = in->line ? in->line->len : 0;
        *cut = in->cut;
    } else {
        line->ptr = p;
        line->len = content > limit ? limit + 1 : (uint32_t)content;
        *cut = content > limit + 1;
    }
    if (!*cut && line->len && line->ptr[line->len - 1] == '\r')
        line->len--;
    if (line->len > limit) {
        line->len = limit;
        *cut = true;
    }
    return used;
}

void smtp_line_done(struct smtp_input *in, const struct mr_smtp_memory *memory)
{
    memory->put(memory->user, in->line);
    in->line = NULL;
    in->cut = false;
    in->started = false;
}

/* ---- what waits ---- */

#define LONGEST_GAP (UINT64_MAX >> 1)

static uint64_t held_head(const struct smtp_held *held, uint32_t at)
{
    uint64_t head;
    memcpy(&head, held->buffer->data + at, sizeof head);
    return head;
}

size_t smtp_peek(const struct smtp_held *held, uint8_t *to, size_t n)
{
    if (!held->buffer)
        return 0;
    uint64_t head = held_head(held, held->at);
    if (head & 1)
        return 0;
    size_t len = (size_t)(head >> 1) - held->used;
    if (len > n)
        len = n;
    memcpy(to, held->buffer->data + held->at + sizeof head + held->used, len);
    return len;
}

/* What was used up goes, of an open item too, when that is half of all: linear in what passes. */
static void compact(struct smtp_held *held)
{
    struct mr_buffer *b = held->buffer;
    uint32_t gone = held->at + held->used;

    if (!b || !gone || gone < b->len / 2)
        return;
    uint64_t head = held_head(held, held->at) - ((uint64_t)held->used << 1);
    memcpy(b->data + held->at + held->used, &head, sizeof head);
    memmove(b->data, b->data + gone, b->len - gone);
    b->len -= gone;
    if (held->last != UINT32_MAX)
        held->last = held->last > held->at ? held->last - gone : 0;
    held->at = held->used = 0;
}

/* Adds bytes, or, with p NULL, a gap of n, to what is held. False: no memory. */
static bool add(struct mr_smtp_session *s, const struct mr_smtp_host *host, struct smtp_held *held,
                const uint8_t *p, uint64_t n)
{
    uint64_t head = n << 1 | (p == NULL);
    bool same = p && held->buffer && held->last != UINT32_MAX;
    size_t bytes = p ? (size_t)n : 0;

    compact(held);
    if (!mr_smtp_room(&held->buffer, &host->memory, bytes + sizeof head,
                      4 * (size_t)s->limits->held_bytes + (128u << 10))) {
        smtp_count(host, MR_SMTP_COUNT_NO_MEMORY, 1);
        return false;
    }
    struct mr_buffer *b = held->buffer;
    if (same) {
        head = held_head(held, held->last) + (n << 1);
    } else {
        held->last = b->len;
        b->len += (uint32_t)sizeof head;
    }
    memcpy(b->data + held->last, &head, sizeof head);
    if (bytes)
        memcpy(b->data + b->len, p, bytes);
    b->len += (uint32_t)bytes;
    held->bytes += (uint32_t)bytes;
    if (!p) {
        held->last = UINT32_MAX;
        held->gaps++;
    }
    return true;
}

static uint64_t lost_of(const struct smtp_held *held)
{
    return held->lost < UINT32_MAX ? held->lost : LONGEST_GAP;
}

/* Holds bytes, or, with p NULL, a gap of n. Where there is no memory that becomes a hole, told when
 * what stands before it was used up. False: nothing does. */
static bool hold(struct mr_smtp_session *s, const struct mr_smtp_host *host, struct smtp_held *held,
                 const uint8_t *p, uint64_t n)
{
    if (held->lost && add(s, host, held, NULL, lost_of(held)))
        held->lost = 0;
    if (!held->lost && add(s, host, held, p, n))
        return true;
    if (!held->buffer)
        return false;
    held->lost = n < UINT32_MAX - held->lost ? held->lost + (uint32_t)n : UINT32_MAX;
    return true;
}

static void drop_held(struct smtp_held *held, const struct mr_smtp_memory *memory)
{
    /* What waits behind AUTH may be a password. */
    if (held->buffer)
        explicit_bzero(held->buffer->data, held->buffer->len);
    memory->put(memory->user, held->buffer);
    *held = (struct smtp_held){.last = UINT32_MAX};
}

static size_t run(struct mr_smtp_session *s, const struct mr_smtp_host *host,
                  enum mr_direction direction, const uint8_t *p, size_t n)
{
    return direction == MR_TO_SERVER ? smtp_client_run(s, host, p, n)
                                     : smtp_server_run(s, host, p, n);
}

static void gap(struct mr_smtp_session *s, const struct mr_smtp_host *host,
                enum mr_direction direction, uint64_t n)
{
    if (direction == MR_TO_SERVER)
        smtp_client_gap(s, host, n);
    else
        smtp_server_gap(s, host, n);
}

/* Can the direction go on? */
static bool waits(const struct mr_smtp_session *s, enum mr_direction direction)
{
    return direction == MR_TO_SERVER ? s->wait != SMTP_NO_WAIT : s->reply_pending;
}

/* One step of what is held of a direction. False: there is none. */
static bool step(struct mr_smtp_session *s, const struct mr_smtp_host *host,
                 enum mr_direction direction)
{
    struct smtp_held *held = &s->in[direction].held;

    if (direction == MR_TO_CLIENT && s->reply_pending && smtp_server_match(s, host))
        return true;
    if (waits(s, direction) || !held->buffer)
        return false;
    uint64_t head = held_head(held, held->at);
    uint64_t n = head >> 1;
    if (head & 1) {
        held->at += (uint32_t)sizeof head;
        held->gaps--;
        gap(s, host, direction, n);
    } else {
        const uint8_t *p = held->buffer->data + held->at + sizeof head;
        size_t used = run(s, host, direction, p + held->used, (size_t)n - held->used);
        held->used += (uint32_t)used;
        held->bytes -= (uint32_t)used;
        if (held->used == n) {
            held->at += (uint32_t)(sizeof head + n);
            held->used = 0;
        }
    }
    if (held->at == held->buffer->len) {
        uint64_t lost = lost_of(held);
        drop_held(held, &host->memory);
        if (lost)
            gap(s, host, direction, lost);
    }
    return true;
}

/* Runs what is held as far as it goes. The server's machine first, and the client's only one
 * command at a time: so the order is the same as if every byte had come alone. */
static void pump(struct mr_smtp_session *s, const struct mr_smtp_host *host)
{
    while (!s->over)
        if (!step(s, host, MR_TO_CLIENT) && !step(s, host, MR_TO_SERVER))
            break;
}

/* A server without requests, or one that said far too much unasked. */
static void drop_replies(struct mr_smtp_session *s, const struct mr_smtp_host *host)
{
    if (s->in[MR_TO_SERVER].seen && !s->doubt)
        smtp_raise(s, host, MR_SMTP_ANOMALY_UNABLE_TO_MATCH_REPLY_WITH_REQUEST);
    drop_held(&s->in[MR_TO_CLIENT].held, &host->memory);
    s->reply = 0;
    s->reply_pending = false;
    s->lost = true;
    s->doubt = s->deaf = s->adrift = true;
    s->unsynced = true;
}

/* True when a direction has waited for long enough. */
static bool tired(const struct mr_smtp_session *s, enum mr_direction direction)
{
    const struct smtp_held *held = &s->in[direction].held;
    uint8_t next[SMTP_LOOK_BYTES];

    if (!held->buffer)
        return false;
    if (held->bytes > s->limits->held_bytes || held->gaps > s->limits->held_bytes / 64)
        return true;
    if (direction == MR_TO_CLIENT || s->wait == SMTP_NO_WAIT ||
        !(s->client_only || s->lost || (s->adrift && s->deaf) || s->wait == SMTP_WAIT_LINE))
        return false;
    size_t wanted = smtp_client_look_at(s), n = smtp_peek(held, next, wanted);
    uint64_t head = held_head(held, held->at);
    bool ends = held->lost || held->at + sizeof head + (head >> 1) < held->buffer->len;
    return n == wanted || memchr(next, '\n', n) || head & 1 || ends; /* at a hole: no more comes */
}

static void settle(struct mr_smtp_session *s, const struct mr_smtp_host *host)
{
    if (!s->reply_pending && !s->in[0].held.buffer && !s->in[1].held.buffer)
        return; /* nothing waits */
    pump(s, host);
    while (!s->over) {
        if (tired(s, MR_TO_SERVER)) {
            s->client_only |= !s->in[MR_TO_CLIENT].seen;
            smtp_client_assume(s, host);
        } else if (tired(s, MR_TO_CLIENT)) {
            drop_replies(s, host);
        } else {
            break;
        }
        pump(s, host);
    }
}

/* ---- the four entries ---- */

/* Behind STARTTLS: the client's first byte tells whether it is TLS. */
static void behind_tls(struct mr_smtp_session *s, const struct mr_smtp_host *host, const uint8_t *p,
                       size_t n)
{
    if (!s->over || !s->tls || !p || !n)
        return;
    s->tls = false;
    if (p[0] != 0x16 && (p[0] & 0x80) == 0)
        smtp_raise(s, host, MR_SMTP_ANOMALY_STARTTLS_INJECTION);
}

/* STARTTLS was granted just now: what is held of the client stands behind it. */
static void end_of_text(struct mr_smtp_session *s, const struct mr_smtp_host *host)
{
    uint8_t first;

    behind_tls(s, host, &first, smtp_peek(&s->in[MR_TO_SERVER].held, &first, 1));
    drop_held(&s->in[MR_TO_SERVER].held, &host->memory);
    drop_held(&s->in[MR_TO_CLIENT].held, &host->memory);
}

void mr_smtp_data(struct mr_smtp_session *s, const struct mr_smtp_host *host,
                  enum mr_direction direction, const uint8_t *p, size_t n)
{
    struct smtp_input *in = &s->in[direction];

    if (s->over) {
        if (direction == MR_TO_SERVER)
            behind_tls(s, host, p, n);
        return;
    }
    in->seen |= n > 0;
    if (direction == MR_TO_CLIENT)
        s->client_only = false;
    while (n && !s->over) {
        if (!in->held.buffer && !waits(s, direction)) {
            size_t used = run(s, host, direction, p, n);
            p += used;
            n -= used;
            settle(s, host);
            continue;
        }
        /* exactly as much as it takes to get tired, so that it does not matter how it comes */
        size_t part = s->limits->held_bytes + 1 - in->held.bytes;
        if (part > n)
            part = n;
        if (!hold(s, host, &in->held, p, part))
            gap(s, host, direction, part);
        p += part;
        n -= part;
        settle(s, host);
    }
    if (s->over)
        end_of_text(s, host);
    if (direction == MR_TO_SERVER)
        behind_tls(s, host, p, n);
}

void mr_smtp_gap(struct mr_smtp_session *s, const struct mr_smtp_host *host,
                 enum mr_direction direction, uint64_t n)
{
    struct smtp_input *in = &s->in[direction];

    if (s->over || !n)
        return;
    smtp_count(host, MR_SMTP_COUNT_GAPS, 1);
    if (n > LONGEST_GAP)
        n = LONGEST_GAP;
    if (in->held.buffer || waits(s, direction)) {
        if (!hold(s, host, &in->held, NULL, n))
            gap(s, host, direction, n);
    } else {
        gap(s, host, direction, n);
    }
    settle(s, host);
    if (s->over)
        end_of_text(s, host);
}

void mr_smtp_end(struct mr_smtp_session *s, const struct mr_smtp_host *host)
{
    while (!s->over && s->wait != SMTP_NO_WAIT) {
        smtp_client_assume(s, host);
        settle(s, host);
    }
    if (s->over)
        return;
    if (s->mail_open)
        smtp_client_end_mail(s, host, false);
    if (s->has_aborted) {
        struct smtp_record record = {.verb = MR_SMTP_OTHER, .has_mail = true, .mail = s->aborted};
        s->has_aborted = false;
        smtp_server_assume(s, host, s->queue.count, false);
        smtp_transact(s, host, &record, NULL, 0);
    }
    smtp_server_assume(s, host, s->queue.count, false);
    if (s->reply_pending && s->reply != 421 && s->in[MR_TO_SERVER].seen && !s->doubt)
        smtp_raise(s, host, MR_SMTP_ANOMALY_UNABLE_TO_MATCH_REPLY_WITH_REQUEST);
    if (s->certain)
        smtp_transaction_end(s, host);
    s->over = true;
}

struct mr_smtp_session *mr_smtp_open(const struct mr_smtp_memory *memory,
                                     const struct mr_smtp_limits *limits, unsigned flags)
{
    struct mr_buffer *self = memory->get(memory->user, sizeof(struct mr_smtp_session));

    if (!self)
        return NULL;
    struct mr_smtp_session *s = (struct mr_smtp_session *)(void *)self->data;
    bool midstream = flags & MR_SMTP_MIDSTREAM;
    memset(s, 0, offsetof(struct mr_smtp_session, short_queue));
    s->self = self;
    s->limits = limits;
    s->midstream = s->unsure = s->unsynced = s->doubt = s->chunks_lost = midstream;
    s->usual_port = flags & MR_SMTP_USUAL_PORT;
    s->in[0].held.last = s->in[1].held.last = UINT32_MAX;
    return s;
}

void mr_smtp_prefetch(const struct mr_smtp_session *session)
{
    if (!session)
        return;
    __builtin_prefetch((const uint8_t *)session - 64, 1); /* what the pool keeps lies before it */
    for (size_t at = 0; at < offsetof(struct mr_smtp_session, short_queue); at += 64)
        __builtin_prefetch((const uint8_t *)session + at, 1);
}

void mr_smtp_close(struct mr_smtp_session *s, const struct mr_smtp_memory *memory)
{
    for (int i = 0; i < 2; i++) {
        drop_held(&s->in[i].held, memory);
        memory->put(memory->user, s->in[i].line);
    }
    while (s->queue.count) {
        memory->put(memory->user, smtp_queue_at(s, s->queue.head)->mail.note);
        smtp_queue_pop(s, memory);
    }
    memory->put(memory->user, s->body.buffer);
    if (s->body.reader)
        memory->drop(memory->user, s->body.reader);
    if (s->has_aborted)
        memory->put(memory->user, s->aborted.note);
    if (s->tx.has_mail)
        memory->put(memory->user, s->tx.mail.note);
    memory->put(memory->user, s->tx.envelope);
    memory->put(memory->user, s->self);
}
