/* One TCP flow through detector and SMTP processor as a program chains them, without an engine: the
 * services of millrace/component.h stand here, and what comes out is kept as text. For the tests of
 * these components: included by one file of a program.
 */
#ifndef MR_TESTS_FLOW_RIG_H
#define MR_TESTS_FLOW_RIG_H

#include "smtp_script.h"
#include "unshared.h"

extern const struct mr_component mr_component_detector;
extern const struct mr_component mr_component_smtp;

#define FLOW_RIG_ROWS 64

struct flow_rig {
    struct outcome memory; /* for its account only */
    struct mr_flow flow;
    uint8_t *slot[2]; /* of detector and SMTP processor */
    void *worker;
    uint64_t at[2]; /* the offset of a direction's next chunk: flow_rig_chunk() */
    struct text mails, events;
    uint64_t yields, counts[2][16];
    uint32_t anomalies;
    char last_answer[16]; /* of the detector, for bytes or not */
    char last_data_answer[16];
    struct mr_mail_settings settings;
    bool smtp_only; /* the rows go to the processor whatever the detector says */
    struct mr_buffer *kept[FLOW_RIG_ROWS];
    uint32_t n_kept;
};

/* ---- the services ---- */

static struct flow_rig *flow_rig_of(struct mr_call *call)
{
    return call->runtime;
}

void mr_yield(struct mr_call *call, uint32_t row, union mr_value value)
{
    struct flow_rig *rig = flow_rig_of(call);

    (void)row;
    rig->yields++;
    text_print(&rig->mails, "mail %u: ", value.b.len);
    text_escaped(&rig->mails, value.b.ptr, value.b.len);
    text_add(&rig->mails, "\n", 1);
}

void mr_yield_of(struct mr_call *call, uint32_t row, union mr_value value,
                 const struct mr_transaction *transaction)
{
    (void)transaction;
    mr_yield(call, row, value);
}

bool mr_transactions_wanted(const struct mr_call *call)
{
    (void)call;
    return true;
}

void *mr_alloc(struct mr_call *call, size_t bytes)
{
    (void)call;
    (void)bytes;
    return NULL;
}

bool mr_flow_bypass(struct mr_call *call, uint32_t row)
{
    struct mr_flow *flow = mr_flow_of(call, row);
    flow->bypass_asked = 1;
    return true;
}

void mr_flow_encrypted(struct mr_call *call, uint32_t row)
{
    mr_flow_bypass(call, row);
}

struct mr_flow *mr_flow_of(const struct mr_call *call, uint32_t row)
{
    (void)row;
    return &((struct flow_rig *)call->runtime)->flow;
}

void mr_flow_speaks(struct mr_call *call, uint32_t row, const char *name)
{
    mr_flow_of(call, row)->app_protocol = name;
}

void mr_count(struct mr_call *call, uint32_t index, uint64_t n)
{
    struct flow_rig *rig = flow_rig_of(call);
    if (index >= 16)
        abort();
    rig->counts[call->function == mr_component_smtp.functions][index] += n;
}

struct mr_buffer *mr_buffer_get(void *runtime, size_t capacity)
{
    return outcome_get(&((struct flow_rig *)runtime)->memory, capacity);
}

void mr_buffer_put(void *runtime, struct mr_buffer *buffer)
{
    outcome_put(&((struct flow_rig *)runtime)->memory, buffer);
}

/* Kept until the batch is over, as by a token. */
void mr_keep(struct mr_call *call, struct mr_buffer *buffer)
{
    struct flow_rig *rig = flow_rig_of(call);
    if (rig->n_kept == FLOW_RIG_ROWS) {
        outcome_put(&rig->memory, rig->kept[--rig->n_kept]);
    }
    rig->kept[rig->n_kept++] = buffer;
}

bool mr_event_wanted(const struct mr_call *call, const char *type)
{
    (void)call;
    (void)type;
    return true;
}

const struct mr_mail_settings *mr_mail_settings(const struct mr_call *call)
{
    return &((const struct flow_rig *)call->runtime)->settings;
}

bool mr_extract(struct mr_call *call, uint32_t row, const char *name,
                void (*write)(const void *what, mr_piece *piece, void *user), const void *what)
{
    (void)call, (void)row, (void)name, (void)write, (void)what;
    return false;
}

struct mr_event *mr_event_open(struct mr_call *call, uint32_t row, const char *type)
{
    struct flow_rig *rig = flow_rig_of(call);
    (void)row;
    text_print(&rig->events, "%s", type);
    return (struct mr_event *)(void *)rig;
}

static struct text *flow_rig_events(struct mr_event *event, const char *key)
{
    struct text *t = &((struct flow_rig *)(void *)event)->events;
    text_print(t, key ? " %s=" : " ", key);
    return t;
}

void mr_event_string(struct mr_event *event, const char *key, const void *bytes, size_t len)
{
    text_escaped(flow_rig_events(event, key), bytes, len);
}

void mr_event_int(struct mr_event *event, const char *key, int64_t value)
{
    text_print(flow_rig_events(event, key), "%lld", (long long)value);
}

void mr_event_bool(struct mr_event *event, const char *key, bool value)
{
    text_print(flow_rig_events(event, key), "%s", value ? "true" : "false");
}

void mr_event_object(struct mr_event *event, const char *key)
{
    text_print(flow_rig_events(event, key), "{");
}

void mr_event_array(struct mr_event *event, const char *key)
{
    text_print(flow_rig_events(event, key), "[");
}

void mr_event_end(struct mr_event *event)
{
    text_print(&((struct flow_rig *)(void *)event)->events, " end");
}

void mr_event_close(struct mr_event *event)
{
    text_print(&((struct flow_rig *)(void *)event)->events, "\n");
}

void mr_anomaly(struct mr_call *call, uint32_t row, const char *type, const char *name)
{
    struct flow_rig *rig = flow_rig_of(call);
    (void)row;
    rig->anomalies++;
    text_print(&rig->events, "anomaly %s %s of %s\n", type, name, rig->flow.app_protocol);
}

/* ---- the rig ---- */

static UNUSED void flow_rig_open(struct flow_rig *rig, uint16_t server_port, bool midstream)
{
    const struct mr_function *smtp = mr_component_smtp.functions;

    *rig = (struct flow_rig){0};
    rig->flow.server.port = server_port;
    rig->flow.client.port = 40000;
    rig->flow.midstream = midstream;
    rig->slot[0] = calloc(1, mr_component_detector.functions->context_bytes);
    rig->slot[1] = calloc(1, smtp->context_bytes);
    if (!rig->slot[0] || !rig->slot[1] || smtp->thread_open(NULL, &rig->worker))
        abort();
}

/* What a worker has of the detector never changes: made once. */
static void *flow_rig_detector(void)
{
    static void *thread;
    if (!thread && mr_component_detector.functions->thread_open(NULL, &thread))
        abort();
    return thread;
}

/* A batch through both functions. */
static UNUSED void flow_rig_batch(struct flow_rig *rig, const struct mr_chunk *chunks, uint32_t n)
{
    static const struct mr_packet packet = {.data = (const uint8_t *)""};
    struct mr_chunk own[FLOW_RIG_ROWS];
    union mr_value stream[FLOW_RIG_ROWS], flow[FLOW_RIG_ROWS], out[FLOW_RIG_ROWS];
    const union mr_value *args[2] = {stream, flow};
    struct mr_packet *packets[FLOW_RIG_ROWS];
    uint8_t *contexts[FLOW_RIG_ROWS];
    struct mr_call call = {
        .n = n, .args = args, .out = out, .packets = packets, .contexts = contexts, .runtime = rig};

    for (uint32_t i = 0; i < n; i++) {
        own[i] = chunks[i];
        own[i].midstream = rig->flow.midstream;
        stream[i] = mr_value_bytes(&own[i], sizeof own[i]);
        flow[i] = mr_value_bytes(rig->flow.key, 0);
        packets[i] = (struct mr_packet *)(uintptr_t)&packet;
        contexts[i] = rig->slot[0];
    }
    call.function = mr_component_detector.functions;
    call.thread = flow_rig_detector();
    call.function->call(&call);
    uint32_t left = 0;
    for (uint32_t i = 0; i < n; i++) {
        snprintf(rig->last_answer, sizeof rig->last_answer, "%.*s", (int)out[i].b.len,
                 (const char *)out[i].b.ptr);
        if (chunks[i].kind == MR_CHUNK_DATA)
            memcpy(rig->last_data_answer, rig->last_answer, sizeof rig->last_answer);
        if (!rig->smtp_only && (out[i].b.len != 4 || memcmp(out[i].b.ptr, "SMTP", 4)))
            continue;
        stream[left] = stream[i];
        contexts[left++] = rig->slot[1];
    }
    call.function = mr_component_smtp.functions;
    call.n = left;
    call.thread = rig->worker;
    call.out = NULL;
    call.function->call(&call);
    while (rig->n_kept)
        outcome_put(&rig->memory, rig->kept[--rig->n_kept]);
}

/* One chunk; its bytes are gone when the call is over. */
static UNUSED void flow_rig_chunk(struct flow_rig *rig, enum mr_chunk_kind kind, uint8_t direction,
                                  const uint8_t *p, size_t n, uint64_t gap)
{
    uint8_t *exact = malloc(n ? n : 1);
    if (!exact)
        abort();
    if (n)
        memcpy(exact, p, n);
    struct mr_chunk chunk = {.data = exact,
                             .len = (uint32_t)n,
                             .kind = (uint8_t)kind,
                             .direction = direction,
                             .gap = gap,
                             .offset = kind == MR_CHUNK_END ? 0 : rig->at[direction],
                             .flow = &rig->flow};
    if (kind != MR_CHUNK_END)
        rig->at[direction] += n + gap;
    flow_rig_batch(rig, &chunk, 1);
    memset(exact, 0x5a, n);
    free(exact);
}

/* The end; gives back memory. Returns mails and events as one text; the caller frees it. */
static UNUSED char *flow_rig_close(struct flow_rig *rig, bool with_end)
{
    if (with_end)
        flow_rig_chunk(rig, MR_CHUNK_END, 0, NULL, 0, 0);
    mr_component_detector.functions->context_close(rig->slot[0], rig);
    mr_component_smtp.functions->context_close(rig->slot[1], rig);
    mr_component_smtp.functions->thread_close(rig->worker);
    free(rig->slot[0]);
    free(rig->slot[1]);
    if (rig->memory.in_use) {
        fprintf(stderr, "%llu bytes were not given back\n", (unsigned long long)rig->memory.in_use);
        abort();
    }
    text_add(&rig->mails, rig->events.p, rig->events.n);
    text_print(&rig->mails, "%s\n", rig->flow.app_protocol ? rig->flow.app_protocol : "-");
    free(rig->events.p);
    return rig->mails.p;
}

#endif
