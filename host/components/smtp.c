/* The component "smtp": f_processSMTPSegment(stream, flow) -> string.
 *
 * One string for each mail when its data ends, also for one that stays incomplete; an event `smtp`
 * for each transaction when its final reply is known; anomalies. The parser is smtp_parser.h.
 */
#include "smtp_mail.h"
#include "smtp_over.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#define LOOK_AHEAD 8 /* rows */
#define ASKED_BITS 5 /* 1 << so many sessions are remembered as asked for */

/* What a flow keeps: the session is in pool memory, since most flows have none. */
struct slot {
    struct mr_smtp_session *session;
    uint64_t next[2]; /* offset of the byte that is due in each direction */
    bool refused;     /* there was no memory: the flow is not inspected */
};

/* What a worker keeps: only capacities of buffers depend on it, never a result. */
struct worker {
    uint32_t typical_mail_bytes;
    struct mr_mime_decoder *decoder;
};

enum counter {
    MAILS,
    MAIL_BYTES,
    INCOMPLETE,
    TRUNCATED,
    TRANSACTIONS,
    COMMANDS, /* from here as enum mr_smtp_count */
    REPLIES,
    GAPS,
    NO_MEMORY,
    UNKNOWN_COMMANDS, /* ... to here */
    MIME_WORK,
    NOT_KEPT,
    NOT_STORED
};

static const char *const counters[] = {"mails",
                                       "mail_bytes",
                                       "mails_incomplete",
                                       "mails_truncated",
                                       "transactions",
                                       "commands",
                                       "replies",
                                       "gaps",
                                       "no_memory",
                                       "unknown_commands",
                                       "mime_work", /* bytes looked at, decoded and hashed */
                                       "mail_bytes_not_kept", /* over --max-mail, or no memory */
                                       "files_not_kept",      /* that --extract would write */
                                       NULL};

static const struct mr_smtp_limits limits = MR_SMTP_DEFAULT_LIMITS;

/* A row being worked on. */
struct row {
    struct mr_call *call;
    uint32_t number;
    const struct mr_flow *flow;
    struct worker *worker;
    struct mr_smtp_memory memory;
    uint64_t counts[MR_SMTP_N_COUNTS]; /* told to the runtime when the call ends */
};

static struct mr_buffer *get(void *user, size_t capacity)
{
    return mr_buffer_get(user, capacity);
}

static void put(void *user, struct mr_buffer *buffer)
{
    mr_buffer_put(user, buffer);
}

static void on_certain(void *user)
{
    const struct row *row = user;
    mr_flow_speaks(row->call, row->number, "smtp");
}

static void on_tls(void *user)
{
    const struct row *row = user;
    mr_flow_speaks(row->call, row->number, "tls");
}

static void on_anomaly(void *user, enum mr_smtp_anomaly anomaly)
{
    struct row *row = user;
    mr_anomaly(row->call, row->number, "applayer", mr_smtp_anomaly_text(anomaly));
}

static void on_count(void *user, enum mr_smtp_count what, uint64_t n)
{
    struct row *row = user;
    row->counts[what] += n;
}

static void on_over(void *user, struct mr_smtp_body *body, const uint8_t *bytes, size_t len)
{
    struct row *row = user;
    mr_smtp_over(row->call, row->worker ? row->worker->decoder : NULL, body, bytes, len);
}

static void write_recipients(struct mr_event *event, const char *key, bool wanted,
                             const struct mr_smtp_transaction *transaction)
{
    struct mr_smtp_text path;
    uint32_t cursor = 0;
    bool any = false, accepted;

    while (mr_smtp_next_recipient(transaction, &cursor, &path, &accepted)) {
        if (accepted != wanted)
            continue;
        if (!any)
            mr_event_array(event, key);
        any = true;
        mr_event_string(event, NULL, path.ptr, path.len);
    }
    if (any)
        mr_event_end(event);
}

/* Where the mail came from and went to, as the envelope has it. */
static void write_envelope(struct mr_event *event, const struct mr_smtp_transaction *transaction)
{
    if (transaction->has_helo)
        mr_event_string(event, "helo", transaction->helo.ptr, transaction->helo.len);
    if (transaction->has_mail_from)
        mr_event_string(event, "mail_from", transaction->mail_from.ptr, transaction->mail_from.len);
    write_recipients(event, "rcpt_to", true, transaction);
}

/* What alerts about a mail tell of it: a copy, since the session goes on. */
struct told {
    struct mr_transaction transaction;
    struct mr_smtp_transaction of;
    struct mr_buffer envelope;
    union mr_value bytes; /* of the mail */
    bool incomplete;      /* ... as mr_smtp_mail_note() has it */
    /* what the mail says: read for the first alert, unless others want it of every mail; NULL: not
     * yet */
    _Atomic(struct mr_buffer *) note;
};

/* A copy of a note that lives as long as the transaction; NULL: no note, or no memory. */
static struct mr_buffer *note_to_stay(struct mr_call *call, const struct mr_buffer *note)
{
    struct mr_buffer *copy = note ? mr_alloc(call, sizeof *copy + note->len) : NULL;

    if (!copy)
        return NULL;
    *copy = (struct mr_buffer){.data = (uint8_t *)(copy + 1), .len = note->len};
    memcpy(copy->data, note->data, note->len);
    return copy;
}

/* Whoever reads it at the same time comes to the same. */
static struct mr_buffer *note_of(struct told *told, struct mr_call *call)
{
    struct mr_buffer *note = atomic_load_explicit(&told->note, memory_order_acquire);
    const struct worker *worker = call->thread;

    if (note || !worker)
        return note;
    struct mr_smtp_memory memory = {.user = call->runtime, .get = get, .put = put};
    struct mr_smtp_reading reading = {
        .call = call, .decoder = worker->decoder, .memory = &memory, .quiet = true};
    struct mr_buffer *fresh =
        mr_smtp_mail_note(&reading, told->bytes.b.ptr, told->bytes.b.len, told->incomplete);
    note = note_to_stay(call, fresh);
    put(call->runtime, fresh);
    if (note)
        atomic_store_explicit(&told->note, note, memory_order_release);
    return note;
}

static void write_told(const struct mr_transaction *transaction, struct mr_call *call,
                       struct mr_event *event, const char *but)
{
    struct told *told = (struct told *)(uintptr_t)transaction;

    if (!but || strcmp(but, "smtp")) {
        mr_event_object(event, "smtp");
        write_envelope(event, &told->of);
        mr_event_end(event);
    }
    if (but && !strcmp(but, "email"))
        return;
    struct mr_smtp_mail mail = told->of.mail;
    mail.note = note_of(told, call);
    mr_smtp_mail_write(event, &mail, false);
}

/* NULL: there was no memory, counted there. */
static const struct mr_transaction *transaction_of(const struct row *row,
                                                   const struct mr_smtp_mail *mail,
                                                   const struct mr_buffer *note,
                                                   union mr_value bytes, bool incomplete)
{
    struct slot *slot = mr_context(row->call, row->number);
    struct told sizes;
    size_t more = mr_smtp_transaction_of(slot->session, mail, &sizes.of, &sizes.envelope, NULL);
    struct told *told = mr_alloc(row->call, sizeof *told + more);

    if (!told)
        return NULL;
    mr_smtp_transaction_of(slot->session, mail, &told->of, &told->envelope, (uint8_t *)(told + 1));
    told->bytes = bytes;
    told->incomplete = incomplete;
    atomic_init(&told->note, note_to_stay(row->call, note));
    told->transaction = (struct mr_transaction){told->of.number, row->call->function, write_told};
    return &told->transaction;
}

static struct mr_buffer *on_mail(void *user, const struct mr_smtp_mail *mail,
                                 struct mr_buffer *bytes, void *reader)
{
    struct row *row = user;
    uint32_t len = bytes ? bytes->len : 0;

    mr_count(row->call, MAILS, 1);
    mr_count(row->call, MAIL_BYTES, mail->bytes);
    if (mail->bytes > len)
        mr_count(row->call, NOT_KEPT, mail->bytes - len);
    mr_count(row->call, INCOMPLETE, mail->flags & MR_SMTP_MAIL_INCOMPLETE ? 1 : 0);
    mr_count(row->call, TRUNCATED, mail->flags & MR_SMTP_MAIL_TRUNCATED ? 1 : 0);
    if (row->worker) {
        /* Towards the larger ones: growing costs a copy, room to spare costs nothing yet. */
        uint32_t old = row->worker->typical_mail_bytes, aim = len + len / 4;
        row->worker->typical_mail_bytes = aim > old ? aim : old - (old - aim) / 16;
    }
    struct mr_buffer *note = NULL;
    const struct mr_transaction *told = NULL;
    union mr_value value = mr_value_bytes(len ? bytes->data : (const uint8_t *)"", len);
    if (len)
        mr_share(row->call, value);
    const struct mr_mime *read = NULL;
    if (reader && row->worker)
        read = mr_smtp_over_end(row->call, row->worker->decoder, reader, value);
    uint8_t lacks = MR_SMTP_MAIL_INCOMPLETE | (read ? 0 : MR_SMTP_MAIL_TRUNCATED);
    bool alerts = len && mr_transactions_wanted(row->call);
    if (mr_smtp_mail_wanted(row->call) ||
        (alerts && read)) { /* what was read goes with the token */
        struct mr_smtp_reading reading = {.call = row->call,
                                          .row = row->number,
                                          .decoder = row->worker ? row->worker->decoder : NULL,
                                          .memory = &row->memory,
                                          .whole = read};
        note = mr_smtp_mail_note(&reading, value.b.ptr, len, mail->flags & lacks);
        mr_count(row->call, MIME_WORK, reading.work);
        mr_count(row->call, NOT_STORED, reading.not_stored);
    }
    if (alerts)
        told = transaction_of(row, mail, note, value, mail->flags & lacks);
    if (len) {
        mr_yield_of(row->call, row->number, value, told);
        mr_keep(row->call, bytes);
    } else {
        put(row->memory.user, bytes);
    }
    return note;
}

static void write_transaction(struct mr_event *event, const struct mr_smtp_transaction *transaction)
{
    const char *status = mr_smtp_status_text(transaction->status);

    mr_event_int(event, "tx_id", transaction->number);
    mr_event_object(event, "smtp");
    write_envelope(event, transaction);
    write_recipients(event, "rcpt_rejected", false, transaction);
    mr_event_string(event, "status", status, strlen(status));
    if (transaction->reply)
        mr_event_int(event, "reply", transaction->reply);
    if (transaction->utf8)
        mr_event_bool(event, "smtputf8", true);
    if (transaction->has_mail) {
        const struct mr_smtp_mail *mail = &transaction->mail;
        mr_event_int(event, "bytes", (int64_t)mail->bytes);
        if (mail->flags & MR_SMTP_MAIL_BDAT)
            mr_event_bool(event, "bdat", true);
        if (mail->flags & MR_SMTP_MAIL_INCOMPLETE)
            mr_event_bool(event, "incomplete", true);
        if (mail->flags & MR_SMTP_MAIL_TRUNCATED)
            mr_event_bool(event, "truncated", true);
    }
    mr_event_end(event);
    if (transaction->has_mail)
        mr_smtp_mail_write(event, &transaction->mail, true);
}

static void write_files(const struct row *row, const struct mr_smtp_transaction *transaction)
{
    const struct mr_mail_settings *settings = mr_mail_settings(row->call);
    struct mr_smtp_file file;
    struct mr_smtp_text name;
    uint32_t cursor = 0;

    if (!transaction->mail.note || !mr_event_wanted(row->call, "fileinfo"))
        return;
    while (mr_smtp_mail_next_file(transaction->mail.note, &cursor, &file, &name)) {
        struct mr_event *event = mr_event_open(row->call, row->number, "fileinfo");
        mr_event_object(event, "smtp");
        write_envelope(event, transaction);
        mr_event_end(event);
        mr_smtp_mail_write(event, &transaction->mail, false);
        mr_smtp_mail_write_file(event, settings, &file, name, transaction->number);
        mr_event_close(event);
    }
}

static void on_transaction(void *user, const struct mr_smtp_transaction *transaction)
{
    struct row *row = user;
    struct mr_event *event = mr_event_open(row->call, row->number, "smtp");

    mr_count(row->call, TRANSACTIONS, 1);
    if (event) {
        write_transaction(event, transaction);
        mr_event_close(event);
    }
    if (transaction->has_mail) {
        write_files(row, transaction);
        put(row->memory.user, transaction->mail.note);
    }
}

static bool usual_port(uint16_t port)
{
    return port == 25 || port == 465 || port == 587 || port == 2525;
}

static struct mr_smtp_session *open_session(struct slot *slot, const struct row *row,
                                            const struct mr_chunk *chunk)
{
    unsigned flags = 0;

    if (slot->session || slot->refused)
        return slot->session;
    if (chunk->midstream)
        flags |= MR_SMTP_MIDSTREAM;
    if (row->flow && usual_port(row->flow->server.port))
        flags |= MR_SMTP_USUAL_PORT;
    slot->session = mr_smtp_open(&row->memory, &limits, flags);
    slot->refused = !slot->session;
    mr_count(row->call, NO_MEMORY, slot->refused ? 1 : 0);
    return slot->session;
}

/* How many bytes in front of the chunk, of `bytes` bytes, never came: chunks that a token had no
 * memory for, or from before the program that calls. */
static uint64_t missing(struct slot *slot, const struct mr_chunk *chunk, uint64_t bytes)
{
    uint64_t *next = &slot->next[chunk->direction & 1];
    uint64_t before = chunk->offset > *next ? chunk->offset - *next : 0;
    uint64_t end = bytes < UINT64_MAX - chunk->offset ? chunk->offset + bytes : UINT64_MAX;

    *next = end > *next ? end : *next;
    return before;
}

static void process(struct row *row, const struct mr_smtp_host *host, struct slot *slot,
                    const struct mr_chunk *chunk)
{
    enum mr_direction direction = (enum mr_direction)(chunk->direction & 1);
    struct mr_smtp_session *session;

    switch (chunk->kind) {
    case MR_CHUNK_DATA:
        if (!chunk->len || !(session = open_session(slot, row, chunk)))
            break;
        mr_smtp_gap(session, host, direction, missing(slot, chunk, chunk->len));
        mr_smtp_data(session, host, direction, chunk->data, chunk->len);
        break;
    case MR_CHUNK_GAP:
        if (!chunk->gap || !(session = open_session(slot, row, chunk)))
            break;
        mr_smtp_gap(session, host, direction, missing(slot, chunk, chunk->gap));
        mr_smtp_gap(session, host, direction, chunk->gap);
        break;
    default:
        if (slot->session)
            mr_smtp_end(slot->session, host);
        break;
    }
}

/* Another worker had the session before, or nobody for long: asks the memory for it, once for rows
 * that lie close. */
static inline void look_ahead(const struct mr_call *call, const struct slot **asked, uint32_t i)
{
    const struct slot *slot = i < call->n ? mr_context(call, i) : NULL;

    if (!slot || !slot->session)
        return;
    const struct slot **last = &asked[(uintptr_t)slot * 0x9e3779b97f4a7c15u >> (64 - ASKED_BITS)];
    if (*last == slot)
        return;
    *last = slot;
    mr_smtp_prefetch(slot->session);
}

static void call_function(struct mr_call *call)
{
    struct row row = {.call = call, .worker = call->thread};
    row.memory = (struct mr_smtp_memory){call->runtime, get, put, on_over, &row, mr_smtp_over_drop};
    struct mr_smtp_host host = {
        .memory = row.memory,
        .user = &row,
        .mail_bytes = mr_mail_settings(call)->most_bytes,
        .certain = on_certain,
        .mail = on_mail,
        .transaction = on_transaction,
        .anomaly = on_anomaly,
        .tls = on_tls,
        .count = on_count,
    };

    const struct slot *asked[1 << ASKED_BITS] = {NULL};
    for (uint32_t i = 0; i < LOOK_AHEAD; i++)
        look_ahead(call, asked, i);
    for (uint32_t i = 0; i < call->n; i++) {
        const struct mr_chunk *chunk = call->args[0][i].b.ptr;
        struct slot *slot = mr_context(call, i);
        look_ahead(call, asked, i + LOOK_AHEAD);
        row.number = i;
        row.flow = chunk && chunk->flow ? chunk->flow : mr_flow_of(call, i);
        host.typical_mail_bytes = row.worker ? row.worker->typical_mail_bytes : 0;
        /* A context that goes without an END chunk: the runtime's row has none. */
        bool goes = call->cause != MR_CAUSE_DATA &&
                    (!chunk || (chunk->kind == MR_CHUNK_GAP && !chunk->gap));
        if (goes && slot->session)
            mr_smtp_end(slot->session, &host);
        else if (chunk && !goes)
            process(&row, &host, slot, chunk);
    }
    for (uint32_t i = 0; i < MR_SMTP_N_COUNTS; i++)
        if (row.counts[i])
            mr_count(call, COMMANDS + i, row.counts[i]);
}

static enum mr_status thread_open(const void *config, void **thread)
{
    struct worker *worker = calloc(1, sizeof *worker);

    (void)config;
    if (!worker || !(worker->decoder = mr_mime_open(NULL))) {
        free(worker);
        return MR_ERR_MEMORY;
    }
    *thread = worker;
    return MR_OK;
}

static void thread_close(void *thread)
{
    struct worker *worker = thread;

    mr_mime_close(worker->decoder);
    free(worker);
}

static void context_close(void *slot_memory, void *runtime)
{
    struct slot *slot = slot_memory;
    struct mr_smtp_memory memory = {
        .user = runtime, .get = get, .put = put, .drop = mr_smtp_over_drop};

    if (slot->session)
        mr_smtp_close(slot->session, &memory);
    *slot = (struct slot){0};
}

static const struct mr_function functions[] = {{
    .name = "f_processSMTPSegment",
    .summary = "the mails of an SMTP stream, each when its data ends",
    .args = {MR_TYPE_STREAM, MR_TYPE_FLOW},
    .n_args = 2,
    .result = MR_TYPE_STRING,
    .order = MR_ORDER_CONTEXT,
    .flow_use = MR_FLOW_SPEAKS | MR_FLOW_TELLS,
    .of_transactions = true,
    .shape = MR_SHAPE_EXPAND,
    .context_key = MR_TYPE_FLOW,
    .context_bytes = sizeof(struct slot),
    .backends = "cpu",
    .counters = counters,
    .thread_open = thread_open,
    .thread_close = thread_close,
    .context_close = context_close,
    .call = call_function,
}};

extern const struct mr_component mr_component_smtp;
const struct mr_component mr_component_smtp = {
    .abi = MR_COMPONENT_ABI,
    .bytes = sizeof(struct mr_component),
    .name = "smtp",
    .summary = "mails, transactions and anomalies of SMTP sessions",
    .functions = functions,
    .n_functions = sizeof functions / sizeof *functions,
};
