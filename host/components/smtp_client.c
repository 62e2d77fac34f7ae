/* The client's machine: commands, mail data, BDAT chunks, and where it has to wait. */
#include "smtp_session.h"

#include <string.h>
#include <strings.h>

#define FIRST_CAPACITY_MIN (4u << 10)
#define DOT_LINE           3    /* bytes: ".\r\n" */
#define GUESSED            0xff /* for at_hole: the mail may be a chunk, without a dot */
#define WHOLE_MAIL         64   /* bytes: DATA, a mail, MAIL, RCPT and DATA again have more */
#define FIRST_CAPACITY_MAX (256u << 10) /* an announced size is only a claim */

static void begin_mail(struct mr_smtp_session *s, const struct mr_smtp_host *host, bool bdat,
                       uint64_t announced)
{
    uint64_t capacity = announced ? announced + 1024 : host->typical_mail_bytes;
    uint32_t limit = host->mail_bytes ? host->mail_bytes : s->limits->mail_bytes;

    if (capacity < FIRST_CAPACITY_MIN)
        capacity = FIRST_CAPACITY_MIN;
    if (capacity > FIRST_CAPACITY_MAX)
        capacity = FIRST_CAPACITY_MAX;
    if (capacity > limit)
        capacity = limit;
    s->at_hole = 0;
    smtp_certain(s, host);
    mr_smtp_body_begin(&s->body, limit, (uint32_t)capacity);
    s->raised &= ~(((uint64_t)1 << (MR_SMTP_ANOMALY_MAIL_TRUNCATED + 1)) - 1);
    s->body.holed = bdat && s->chunks_lost;
    s->mail_open = true;
    s->mail_bdat = bdat;
    s->mode = bdat ? SMTP_CHUNK : SMTP_BODY;
}

void smtp_client_end_mail(struct mr_smtp_session *s, const struct mr_smtp_host *host, bool complete)
{
    struct mr_smtp_body *body = &s->body;
    struct mr_smtp_mail mail = {.bytes = body->bytes};

    if (!complete || body->holed)
        mail.flags |= MR_SMTP_MAIL_INCOMPLETE;
    if (body->truncated)
        mail.flags |= MR_SMTP_MAIL_TRUNCATED;
    if (s->mail_bdat)
        mail.flags |= MR_SMTP_MAIL_BDAT;
    if (body->no_memory)
        smtp_count(host, MR_SMTP_COUNT_NO_MEMORY, 1);
    for (unsigned i = 0; i < MR_SMTP_N_ODDITIES; i++)
        if (body->oddities >> i & 1)
            smtp_raise(s, host, (enum mr_smtp_anomaly)i);
    if (body->truncated)
        smtp_raise(s, host, MR_SMTP_ANOMALY_MAIL_TRUNCATED);
    mail.number = s->number;
    mail.note = host->mail(host->user, &mail, body->buffer, body->reader);
    s->number++;
    s->begun = false;
    body->buffer = NULL;
    body->reader = NULL;
    s->mail_open = false;
    s->chunks_lost |= body->holed; /* was that its end, or one in what came behind the hole? */
    s->mode = SMTP_COMMANDS;
    if (s->mail_queued) {
        struct smtp_record *record = smtp_queue_at(s, s->mail_record);
        if (record->has_mail) /* one that the command aborted, for want of memory */
            host->memory.put(host->memory.user, record->mail.note);
        record->has_mail = true;
        record->mail = mail;
        s->mail_queued = false;
    } else if (s->tx.answered) {
        smtp_transaction_mail(s, host, &mail);
    } else {
        if (s->has_aborted)
            host->memory.put(host->memory.user, s->aborted.note);
        s->has_aborted = true;
        s->aborted = mail;
    }
}

static void end_chunk(struct mr_smtp_session *s, const struct mr_smtp_host *host)
{
    s->mode = SMTP_COMMANDS;
    if (s->chunk_last)
        smtp_client_end_mail(s, host, true);
}

/* The chunk of the last BDAT. */
static void begin_chunk(struct mr_smtp_session *s, const struct mr_smtp_host *host, bool queued)
{
    if (!s->mail_open)
        begin_mail(s, host, true, s->chunk_last ? s->chunk_left : s->announced);
    s->mode = SMTP_CHUNK;
    if (s->chunk_last && queued) {
        s->mail_record = s->queue.tail;
        s->mail_queued = true;
    }
    if (!s->chunk_left)
        end_chunk(s, host);
}

uint32_t smtp_client_number(struct mr_smtp_session *s, enum mr_smtp_verb verb)
{
    uint32_t before = s->number;

    switch (verb) {
    case MR_SMTP_MAIL:
        s->number += s->begun;
        s->begun = true;
        break;
    case MR_SMTP_RSET:
    case MR_SMTP_QUIT:
    case MR_SMTP_STARTTLS:
        s->number += s->begun;
        s->begun = false;
        return before;
    case MR_SMTP_RCPT:
    case MR_SMTP_DATA:
    case MR_SMTP_BDAT:
    case MR_SMTP_BDAT_LAST:
        s->begun = true;
        break;
    default:
        break;
    }
    return s->number;
}

static bool ends_chunks(enum mr_smtp_verb verb)
{
    return verb == MR_SMTP_RSET || verb == MR_SMTP_EHLO || verb == MR_SMTP_LHLO ||
           verb == MR_SMTP_MAIL || verb == MR_SMTP_QUIT || verb == MR_SMTP_STARTTLS ||
           verb == MR_SMTP_DATA;
}

static bool is_helo(enum mr_smtp_verb verb)
{
    return verb == MR_SMTP_EHLO || verb == MR_SMTP_LHLO;
}

/* The command is granted, or taken as granted. The mail between whose chunks it stands, if it does,
 * ends, and belongs to what was before it. */
static void end_chunks(struct mr_smtp_session *s, const struct mr_smtp_host *host,
                       struct smtp_record *record)
{
    if (!s->mail_open) {
        if (is_helo((enum mr_smtp_verb)record->verb))
            smtp_client_number(s, MR_SMTP_RSET);
        return;
    }
    smtp_client_end_mail(s, host, false);
    if (record->verb == MR_SMTP_MAIL || record->verb == MR_SMTP_DATA)
        record->number = smtp_client_number(s, (enum mr_smtp_verb)record->verb);
    s->chunks_lost = false;
    if (!s->has_aborted)
        return;
    if (record->has_mail)
        host->memory.put(host->memory.user, record->mail.note);
    record->has_mail = true;
    record->mail = s->aborted;
    s->has_aborted = false;
}

/* Puts a command into the queue, whatever it costs the ones before it. False: there is no memory;
 * it is done with, as if granted. */
static bool push(struct mr_smtp_session *s, const struct mr_smtp_host *host,
                 const struct mr_smtp_command *command)
{
    struct smtp_record record = {
        .verb = (uint8_t)command->verb, .utf8 = command->utf8, .has_mail = s->has_aborted};
    uint32_t most = s->limits->path_bytes;

    record.long_path = command->text.len > most;
    record.text_len = (uint16_t)(record.long_path ? most : command->text.len);
    /* where it may yet end a mail, it has the mail's number until it does */
    record.number = s->mail_open && ends_chunks(command->verb)
                        ? s->number
                        : smtp_client_number(s, command->verb);
    if (s->has_aborted)
        record.mail = s->aborted;
    s->has_aborted = false;
    if (smtp_queue_push(s, &host->memory, &record, command->text.ptr))
        return true;
    bool full = s->queue.count >= s->limits->outstanding;
    if (full)
        smtp_raise(s, host, MR_SMTP_ANOMALY_TOO_MANY_OUTSTANDING_COMMANDS);
    for (uint32_t n = full ? 1 : s->queue.count; s->queue.count; n = s->queue.count) {
        smtp_server_assume(s, host, n, true);
        if (smtp_queue_push(s, &host->memory, &record, command->text.ptr))
            return true;
    }
    smtp_count(host, MR_SMTP_COUNT_NO_MEMORY, 1);
    if (ends_chunks(command->verb))
        end_chunks(s, host, &record);
    if (record.verb == MR_SMTP_DATA || record.verb == MR_SMTP_BDAT_LAST)
        record.verb = MR_SMTP_OTHER;
    smtp_transact(s, host, &record, command->text.ptr, 0);
    s->owed++;
    return false;
}

static void on_command(struct mr_smtp_session *s, const struct mr_smtp_host *host,
                       const struct mr_smtp_text *line)
{
    struct mr_smtp_command command;

    mr_smtp_parse_command(line->ptr, line->len, &command);
    if (s->unsure && !command.well_formed)
        return;
    /* Who pipelines waits at the end of each mail: nothing is outstanding. */
    if (command.verb == MR_SMTP_MAIL && !s->queue.count && !s->owed && !s->reply_pending &&
        !s->unsynced)
        s->adrift = false;
    if (s->refused_data && command.verb == MR_SMTP_UNKNOWN)
        smtp_raise(s, host, MR_SMTP_ANOMALY_INVALID_PIPELINED_SEQUENCE);
    s->unsure = false;
    s->refused_data = false;
    if (mr_smtp_is_evidence(&command))
        smtp_certain(s, host);
    smtp_count(host, MR_SMTP_COUNT_COMMANDS, s->certain);
    smtp_count(host, MR_SMTP_COUNT_UNKNOWN_COMMANDS, s->certain && command.verb == MR_SMTP_UNKNOWN);
    if (command.verb == MR_SMTP_BDAT_BAD)
        smtp_raise(s, host,
                   command.huge ? MR_SMTP_ANOMALY_BDAT_CHUNK_LEN_EXCEEDED
                                : MR_SMTP_ANOMALY_INVALID_BDAT);
    if (s->mail_open && command.verb == MR_SMTP_DATA)
        smtp_raise(s, host, MR_SMTP_ANOMALY_UNPARSABLE_CONTENT);
    if (!s->mail_open && ends_chunks(command.verb))
        s->chunks_lost = false;
    bool ends = s->mail_open ? ends_chunks(command.verb) : s->begun && is_helo(command.verb);
    bool queued = push(s, host, &command);
    if (queued && ends)
        s->wait = SMTP_WAIT_RESET;
    switch (command.verb) {
    case MR_SMTP_MAIL:
        s->announced = command.size;
        break;
    case MR_SMTP_DATA:
        if (queued)
            s->wait = SMTP_WAIT_DATA;
        else
            begin_mail(s, host, false, s->announced);
        break;
    case MR_SMTP_STARTTLS:
        s->wait = queued ? SMTP_WAIT_STARTTLS : SMTP_NO_WAIT;
        break;
    case MR_SMTP_AUTH:
        s->wait = queued ? SMTP_WAIT_AUTH : SMTP_NO_WAIT;
        break;
    case MR_SMTP_BDAT:
    case MR_SMTP_BDAT_LAST:
        s->chunk_last = command.verb == MR_SMTP_BDAT_LAST;
        s->chunk_left = command.size;
        if (queued && (command.odd || (!s->chunking && !s->doubt)))
            s->wait = SMTP_WAIT_CHUNK;
        else
            begin_chunk(s, host, queued);
        break;
    default:
        break;
    }
}

static size_t commands(struct mr_smtp_session *s, const struct mr_smtp_host *host, const uint8_t *p,
                       size_t n)
{
    struct mr_smtp_text line = {NULL, 0};
    bool cut;
    size_t used = smtp_take_line(s, host, MR_TO_SERVER, p, n, &line, &cut);

    if (!line.ptr)
        return used;
    if (cut)
        smtp_raise(s, host, MR_SMTP_ANOMALY_TRUNCATED_LINE);
    on_command(s, host, &line);
    smtp_line_done(&s->in[MR_TO_SERVER], &host->memory);
    if (!s->in[MR_TO_CLIENT].seen) /* no command: the rest of a line of the mail perhaps */
        smtp_client_look_for_data(s);
    return used;
}

/* A line of credentials: passed over, never kept. */
static size_t auth_line(struct mr_smtp_session *s, const uint8_t *p, size_t n)
{
    const uint8_t *lf = memchr(p, '\n', n);

    if (!lf)
        return n;
    s->mode = SMTP_COMMANDS;
    s->wait = SMTP_WAIT_AUTH;
    return (size_t)(lf - p) + 1;
}

/* Data of a mail. Where its end may be lost, since its reply is there, or none is seen, and what
 * stands right behind a hole may be what is left of the dot's line, the next line is looked at
 * before it is taken as data. No other: mails may speak of commands. But of what is a mail by a
 * guess only, and may have no dot, MAIL ends it anywhere. */
static size_t body(struct mr_smtp_session *s, const struct mr_smtp_host *host, const uint8_t *p,
                   size_t n)
{
    size_t rest = n < s->at_hole || s->at_hole == GUESSED ? n : s->at_hole;
    bool doubtful = s->tx.answered || !s->in[MR_TO_CLIENT].seen, ended;
    const uint8_t *lf = doubtful && rest ? memchr(p, '\n', rest) : NULL;
    size_t used =
        mr_smtp_body_data(&s->body, &host->memory, p, lf ? (size_t)(lf - p) + 1 : n, &ended);

    if (s->at_hole != GUESSED)
        s->at_hole = lf ? 0 : (uint8_t)(s->at_hole - rest);
    if (ended)
        smtp_client_end_mail(s, host, true);
    else if (lf)
        s->wait = SMTP_WAIT_LINE;
    return used;
}

size_t smtp_client_run(struct mr_smtp_session *s, const struct mr_smtp_host *host, const uint8_t *p,
                       size_t n)
{
    size_t used = 0;
    bool told = false; /* something that the server's machine may be waiting for */

    while (used < n && s->wait == SMTP_NO_WAIT && !s->over && !(told && s->reply_pending)) {
        size_t left = n - used;
        switch (s->mode) {
        case SMTP_BODY:
            used += body(s, host, p + used, left);
            break;
        case SMTP_CHUNK:
            if (left > s->chunk_left)
                left = (size_t)s->chunk_left;
            mr_smtp_body_chunk(&s->body, &host->memory, p + used, left);
            s->chunk_left -= left;
            used += left;
            if (!s->chunk_left)
                end_chunk(s, host);
            break;
        case SMTP_AUTH_LINE:
            used += auth_line(s, p + used, left);
            told = s->wait != SMTP_NO_WAIT;
            break;
        default:
            used += commands(s, host, p + used, left);
            told = true;
            break;
        }
    }
    return used;
}

void smtp_client_gap(struct mr_smtp_session *s, const struct mr_smtp_host *host, uint64_t gap)
{
    if (s->wait == SMTP_WAIT_CHUNK || s->wait == SMTP_WAIT_RESET) /* no memory to hold what comes */
        smtp_client_assume(s, host);
    if (s->mode == SMTP_BODY) {
        mr_smtp_body_gap(&s->body, gap);
        s->at_hole = s->at_hole == GUESSED ? GUESSED : DOT_LINE;
        if (gap >= MR_GAP_REST >> 1) /* no end of the mail will be seen, nor what comes behind */
            s->unsynced = s->doubt = true;
        if (s->tx.answered || !s->in[MR_TO_CLIENT].seen)
            s->wait = SMTP_WAIT_LINE;
        return;
    }
    if (s->mode == SMTP_CHUNK) {
        uint64_t of_chunk = gap < s->chunk_left ? gap : s->chunk_left;
        mr_smtp_body_gap(&s->body, of_chunk);
        s->chunk_left -= of_chunk;
        gap -= of_chunk;
        if (!s->chunk_left)
            end_chunk(s, host);
    }
    if (!gap)
        return;
    if (s->mail_open) /* between chunks: one may be in it */
        mr_smtp_body_gap(&s->body, gap);
    smtp_line_done(&s->in[MR_TO_SERVER], &host->memory);
    s->mode = SMTP_COMMANDS;
    s->unsure = s->chunks_lost = true;
    s->unsynced = true;
    s->adrift |= s->deaf || gap >= WHOLE_MAIL;
    s->doubt = true;
    if (!s->in[MR_TO_CLIENT].seen)
        smtp_client_look_for_data(s);
}

/* A mail that the command aborted belongs to what was before the command. */
static void hand_on_aborted(struct mr_smtp_session *s, const struct mr_smtp_host *host,
                            struct smtp_record *record)
{
    struct smtp_record before = {
        .verb = MR_SMTP_OTHER, .has_mail = record->has_mail, .mail = record->mail};

    record->has_mail = false;
    record->mail = (struct mr_smtp_mail){0};
    smtp_transact(s, host, &before, NULL, 0);
}

void smtp_client_granted(struct mr_smtp_session *s, const struct mr_smtp_host *host)
{
    uint8_t wait = s->wait;

    s->wait = SMTP_NO_WAIT;
    if (wait == SMTP_WAIT_CHUNK) {
        s->chunking = true;
        begin_chunk(s, host, true);
        return;
    }
    struct smtp_record *record = smtp_queue_at(s, s->queue.tail);
    if (ends_chunks(record->verb))
        end_chunks(s, host, record);
    if (wait == SMTP_WAIT_RESET)
        return;
    hand_on_aborted(s, host, record);
    if (wait == SMTP_WAIT_AUTH) {
        s->mode = SMTP_AUTH_LINE;
    } else if (wait == SMTP_WAIT_DATA) {
        record->verb = MR_SMTP_FINAL;
        s->mail_record = s->queue.tail;
        s->mail_queued = true;
        begin_mail(s, host, false, s->announced);
    } else if (wait == SMTP_WAIT_STARTTLS) {
        smtp_transaction_tls(s, host);
        s->tls = true;
        s->over = true;
        host->tls(host->user);
    }
}

void smtp_client_refused(struct mr_smtp_session *s)
{
    s->refused_data = s->wait == SMTP_WAIT_DATA;
    /* another command's reply perhaps: the mail between whose chunks it stands may have ended */
    s->body.holed |= s->wait == SMTP_WAIT_RESET && s->doubt;
    s->wait = SMTP_NO_WAIT;
}

bool smtp_client_guessed(const struct mr_smtp_session *s)
{
    return s->at_hole == GUESSED;
}

void smtp_client_look_for_data(struct mr_smtp_session *s)
{
    if (s->unsure && s->mode == SMTP_COMMANDS && s->wait == SMTP_NO_WAIT && !s->mail_open &&
        !s->in[MR_TO_SERVER].started && (s->certain || s->usual_port))
        s->wait = SMTP_WAIT_LINE;
}

/* DATA is lost, and what comes now is the mail, perhaps without its beginning. A 354 is pending, or
 * no reply is seen. */
static void begin_behind_lost_data(struct mr_smtp_session *s, const struct mr_smtp_host *host)
{
    smtp_server_assume(s, host, s->queue.count, false);
    if (s->has_aborted) {
        struct smtp_record before = {.verb = MR_SMTP_OTHER, .has_mail = true, .mail = s->aborted};
        s->has_aborted = false;
        smtp_transact(s, host, &before, NULL, 0);
    }
    struct smtp_record record = {.verb = MR_SMTP_FINAL,
                                 .number = smtp_client_number(s, MR_SMTP_DATA)};
    s->mail_queued = smtp_queue_push(s, &host->memory, &record, NULL);
    s->mail_record = s->queue.tail;
    s->owed += !s->mail_queued;
    smtp_count(host, MR_SMTP_COUNT_NO_MEMORY, !s->mail_queued);
    begin_mail(s, host, false, s->announced);
    s->body.holed = true;
    s->at_hole = GUESSED;
    if (s->reply_pending) /* the 354 */
        smtp_server_matched(s, host);
}

/* "Subject:" of a mail, where only the client is seen. */
static bool is_field(const struct mr_smtp_session *s, const uint8_t *p, size_t n)
{
    const uint8_t *colon = s->in[MR_TO_CLIENT].seen ? NULL : memchr(p, ':', n);

    for (const uint8_t *q = p; colon && q < colon; q++) {
        uint8_t low = *q | 0x20;
        if ((low < 'a' || low > 'z') && *q != '-' && (*q < '0' || *q > '9'))
            return false;
    }
    /* FROM:<a@x> is the end of a command */
    return colon && colon - p > 1 && colon + 1 < p + n && (colon[1] == ' ' || colon[1] == '\t');
}

/* Where no reply tells whether the client's next line is a command. `refused`: one says that it
 * is, but may be another command's. */
static bool looks_like_command(const uint8_t *p, size_t n, bool refused)
{
    const uint8_t *lf = memchr(p, '\n', n);
    struct mr_smtp_command command;

    if (lf)
        n = (size_t)(lf - p);
    if (n && p[n - 1] == '\r')
        n--;
    mr_smtp_parse_command(p, (uint32_t)n, &command);
    if (refused)
        return command.verb != MR_SMTP_UNKNOWN;
    if (command.verb == MR_SMTP_MAIL || command.verb == MR_SMTP_RCPT)
        return command.text.len && *command.text.ptr == '<';
    return command.well_formed && command.verb != MR_SMTP_OTHER;
}

static bool begins_mail(const uint8_t *p, size_t n)
{
    static const char mail[] = "MAIL FROM:<";
    return n >= sizeof mail - 1 && !strncasecmp((const char *)p, mail, sizeof mail - 1);
}

size_t smtp_client_look_at(const struct mr_smtp_session *s)
{
    bool field = s->wait == SMTP_WAIT_LINE && s->mode == SMTP_COMMANDS && !s->in[MR_TO_CLIENT].seen;

    return field ? SMTP_LOOK_BYTES : 16;
}

/* Behind the pending reply one waits that only DATA can have. */
static bool granted_later(const struct mr_smtp_session *s)
{
    uint8_t replies[256];
    const uint8_t *p = replies, *lf;
    size_t n = smtp_peek(&s->in[MR_TO_CLIENT].held, replies, sizeof replies);

    while ((lf = memchr(p, '\n', n)) && *p != '3') {
        n -= (size_t)(lf + 1 - p);
        p = lf + 1;
    }
    return lf;
}

void smtp_client_assume(struct mr_smtp_session *s, const struct mr_smtp_host *host)
{
    const struct smtp_held *held = &s->in[MR_TO_SERVER].held;
    uint8_t next[SMTP_LOOK_BYTES];
    size_t n = smtp_peek(held, next, smtp_client_look_at(s));
    bool refused = s->wait == SMTP_WAIT_DATA && s->reply_pending && s->reply >= 400;
    if (refused && granted_later(s)) {
        smtp_server_drop(s, host);
        return;
    }
    bool granted = !looks_like_command(next, n, refused), will_come = !s->lost && !s->adrift;

    if (s->wait == SMTP_WAIT_CHUNK || s->wait == SMTP_WAIT_RESET) {
        smtp_client_granted(s, host);
        return;
    }
    if (s->wait == SMTP_WAIT_LINE) {
        s->wait = SMTP_NO_WAIT;
        if (s->mode == SMTP_COMMANDS) {
            bool asked = s->reply_pending && s->reply == 354;
            s->unsure = s->unsure && !asked; /* this is decided now */
            if (granted && (asked ? n > 0 : is_field(s, next, n)))
                begin_behind_lost_data(s, host);
        } else if (!granted && (s->at_hole != GUESSED || begins_mail(next, n))) {
            smtp_client_end_mail(s, host, false);
        }
        return;
    }
    struct smtp_record *last = smtp_queue_at(s, s->queue.tail);
    if (ends_chunks(last->verb))
        end_chunks(s, host, last);
    if (s->wait == SMTP_WAIT_STARTTLS)
        granted = n > 0 && next[0] == 0x16;
    bool asked = s->reply_pending && s->reply < 400; /* not the DATA before or behind it, perhaps */
    smtp_server_assume(s, host, s->queue.count - 1, will_come);
    s->owed += will_come;
    /* Neither a 354 that may be another's nor a refusal that is none is certain. Commands may be
     * the mail that says so in its first line, to hide: they are read as one, until a reply comes
     * to what has not ended. */
    bool guessed = asked ? s->wait == SMTP_WAIT_DATA && !granted : refused && granted;
    granted |= guessed;
    if (granted && asked) { /* nothing else has such a reply */
        s->adrift = false;
        smtp_server_matched(s, host);
    } else if (!asked) {
        smtp_server_drop(s, host); /* a refusal */
    }
    if (granted && (asked || held->buffer)) {
        smtp_client_granted(s, host);
        s->at_hole = guessed ? GUESSED : s->at_hole;
        return;
    }
    struct smtp_record *record = smtp_queue_at(s, s->queue.head);
    hand_on_aborted(s, host, record);
    if (record->verb == MR_SMTP_DATA) {
        s->tx.open = true;
        s->tx.number = record->number;
    }
    s->tx.refused |= record->verb == MR_SMTP_DATA && held->buffer && !s->adrift;
    s->wait = SMTP_NO_WAIT;
    smtp_queue_pop(s, &host->memory);
}
