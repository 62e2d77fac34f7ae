/* f_processTCP: the TCP assembler of host/stream as a function of programs. */
#include "millrace/component.h"
#include "stream/tcp.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SECOND_NS      1000000000ull
#define MAX_TIMEOUT_S  86400u
#define MAX_HELD_BYTES (64u << 20)
#define MAX_SEGMENTS   65536u
#define PROTOCOL_TCP   6
#define CHUNKS         16u

/* ---- options: "policy=linux, midstream=no, timeout=60" ---- */

enum option {
    OPTION_POLICY,
    OPTION_MIDSTREAM,
    OPTION_TIMEOUT,
    OPTION_TIMEOUT_NEW,
    OPTION_TIMEOUT_CLOSED,
    OPTION_HELD,
    OPTION_SEGMENTS,
    OPTION_URGENT,
    OPTION_DEPTH,
    N_OPTIONS
};

static const struct {
    const char *name, *values;
} options[N_OPTIONS] = {
    [OPTION_POLICY] = {"policy", "first, last, bsd, linux, windows or solaris"},
    [OPTION_MIDSTREAM] = {"midstream", "yes or no"},
    [OPTION_TIMEOUT] = {"timeout", "1 to 86400 seconds"},
    [OPTION_TIMEOUT_NEW] = {"timeout-new", "1 to 86400 seconds"},
    [OPTION_TIMEOUT_CLOSED] = {"timeout-closed", "1 to 86400 seconds"},
    [OPTION_HELD] = {"held", "4k to 64m bytes"},
    [OPTION_SEGMENTS] = {"segments", "16 to 65536"},
    [OPTION_URGENT] = {"urgent", "inline or oob"},
    [OPTION_DEPTH] = {"depth", "1 to 4095m bytes"},
};

/* A number with k or m behind it, within bounds; false: none. */
static bool number(const char *text, uint32_t low, uint32_t high, uint32_t *out)
{
    uint64_t v = 0;
    const char *at = text;

    for (; *at >= '0' && *at <= '9' && v <= UINT32_MAX; at++)
        v = v * 10 + (uint64_t)(*at - '0');
    if (at == text)
        return false;
    if (*at == 'k' || *at == 'm')
        v <<= *at++ == 'k' ? 10 : 20;
    *out = (uint32_t)v;
    return !*at && v >= low && v <= high;
}

static bool seconds(const char *text, uint64_t *ns)
{
    uint32_t v;
    if (!number(text, 1, MAX_TIMEOUT_S, &v))
        return false;
    *ns = v * SECOND_NS;
    return true;
}

static bool one_of(const char *text, const char *yes, const char *no, bool *out)
{
    *out = !strcmp(text, yes);
    return *out || !strcmp(text, no);
}

static bool set_option(struct mr_tcp_config *config, enum option option, const char *value)
{
    switch (option) {
    case OPTION_POLICY:
        return mr_overlap_policy_parse(value, &config->policy);
    case OPTION_MIDSTREAM:
        return one_of(value, "yes", "no", &config->midstream);
    case OPTION_TIMEOUT:
        return seconds(value, &config->timeout_established_ns);
    case OPTION_TIMEOUT_NEW:
        return seconds(value, &config->timeout_new_ns);
    case OPTION_TIMEOUT_CLOSED:
        return seconds(value, &config->timeout_closed_ns);
    case OPTION_HELD:
        return number(value, 4096, MAX_HELD_BYTES, &config->max_held_bytes);
    case OPTION_SEGMENTS:
        return number(value, 16, MAX_SEGMENTS, &config->max_held_segments);
    case OPTION_DEPTH: {
        uint32_t bytes;
        if (!number(value, 1, UINT32_MAX, &bytes))
            return false;
        config->depth = bytes;
        return true;
    }
    case OPTION_URGENT:
        return one_of(value, "inline", "oob", &config->urgent_inline);
    case N_OPTIONS:
        break;
    }
    return false;
}

static enum mr_status refuse(struct mr_bind_error *error, size_t offset, const char *format,
                             const char *a, const char *b)
{
    error->offset = (int32_t)offset;
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
    snprintf(error->text, sizeof error->text, format, a, b);
#pragma GCC diagnostic pop
    return MR_ERR_PROGRAM;
}

static void names_of_options(char *to, size_t room)
{
    size_t used = 0;
    for (int i = 0; i < N_OPTIONS; i++)
        used += (size_t)snprintf(to + used, room - used, "%s%s", i ? ", " : "", options[i].name);
}

/* One setting at text[at..end); `at` counts from the argument's first byte. */
static enum mr_status parse_option(struct mr_tcp_config *config, const char *text, size_t at,
                                   size_t end, struct mr_bind_error *error)
{
    char name[32], value[32], known[160];
    const char *equals = memchr(text + at, '=', end - at);
    size_t name_len = equals ? (size_t)(equals - text) - at : end - at;
    size_t value_at = at + name_len + 1;

    snprintf(name, sizeof name, "%.*s", (int)(name_len < 31 ? name_len : 31), text + at);
    int i = 0;
    while (i < N_OPTIONS && strcmp(name, options[i].name))
        i++;
    if (i == N_OPTIONS) {
        names_of_options(known, sizeof known);
        return refuse(error, at, "there is no setting \"%s\"; there are %s", name, known);
    }
    if (!equals || value_at == end)
        return refuse(error, equals ? value_at : end, "\"%s\" wants a value: %s", name,
                      options[i].values);
    snprintf(value, sizeof value, "%.*s", (int)(end - value_at < 31 ? end - value_at : 31),
             text + value_at);
    if (!set_option(config, (enum option)i, value))
        return refuse(error, value_at, "\"%s\" wants %s", name, options[i].values);
    return MR_OK;
}

static enum mr_status parse_options(struct mr_tcp_config *config, const char *text, size_t len,
                                    struct mr_bind_error *error)
{
    enum mr_status status = MR_OK;
    size_t at = 0;

    while (status == MR_OK && at < len) {
        const char *comma = memchr(text + at, ',', len - at);
        size_t next = comma ? (size_t)(comma - text) : len;
        size_t end = next;
        while (at < end && text[at] == ' ')
            at++;
        while (end > at && text[end - 1] == ' ')
            end--;
        if (at < end)
            status = parse_option(config, text, at, end, error);
        at = next + 1;
    }
    return status;
}

static enum mr_status bind(const struct mr_constant *constants, uint32_t n_constants, void **out,
                           struct mr_bind_error *error)
{
    struct mr_tcp_config *config = malloc(sizeof *config);
    enum mr_status status = MR_OK;

    if (!config)
        return MR_ERR_MEMORY;
    mr_tcp_config_default(config);
    if (n_constants && constants[0].is_file)
        status = refuse(error, 0, "settings are written in the program, as in %s%s",
                        "\"policy=linux,midstream=no\"", "");
    else if (n_constants)
        status = parse_options(config, constants[0].value.b.ptr, constants[0].value.b.len, error);
    if (status != MR_OK)
        free(config);
    else
        *out = config;
    return status;
}

/* ---- the sink: what the assembler tells becomes results of the call ---- */

enum { COUNT_DATA_BYTES, COUNT_GAPS, COUNT_GAP_BYTES, COUNT_HELD, COUNT_NO_BUFFER, COUNT_LOST };

static const char *const counters[] = {"bytes delivered in order",
                                       "gaps",
                                       "bytes lost in gaps",
                                       "buffers held for segments",
                                       "segments that found no buffer",
                                       "chunks lost for lack of token memory",
                                       NULL};

struct sink {
    struct mr_call *call;
    uint32_t row;
    uint64_t bytes;          /* delivered, counted when the call ends */
    struct mr_chunk *chunks; /* room for the next ones */
    uint32_t n_chunks;
};

/* Memory for a chunk that lives as long as results: taken a few at a time. */
static inline struct mr_chunk *new_chunk(struct sink *s)
{
    if (!s->n_chunks) {
        uint32_t left = s->call->n - s->row; /* mostly one for each row, if any */
        s->n_chunks = left < CHUNKS ? left : CHUNKS;
        s->chunks = mr_alloc(s->call, s->n_chunks * sizeof *s->chunks);
        if (!s->chunks)
            s->n_chunks = 0;
    }
    if (!s->n_chunks)
        return mr_alloc(s->call, sizeof *s->chunks);
    s->n_chunks--;
    return s->chunks++;
}

static void on_chunk(void *user, const struct mr_chunk *chunk, struct mr_buffer *buffer)
{
    struct sink *s = user;
    struct mr_chunk *copy = new_chunk(s);

    if (buffer)
        mr_keep(s->call, buffer);
    if (!copy) {
        mr_count(s->call, COUNT_LOST, 1);
        return;
    }
    *copy = *chunk;
    copy->midstream = chunk->flow->midstream;
    if (chunk->kind == MR_CHUNK_DATA) {
        s->bytes += chunk->len;
    } else if (chunk->kind == MR_CHUNK_GAP && chunk->gap != MR_GAP_REST) {
        mr_count(s->call, COUNT_GAPS, 1);
        mr_count(s->call, COUNT_GAP_BYTES, chunk->gap);
    }
    mr_yield(s->call, s->row, mr_value_bytes(copy, sizeof *copy));
}

static struct mr_tcp *on_renew(void *user, struct mr_flow **flow)
{
    struct sink *s = user;
    struct mr_tcp *old = mr_context(s->call, s->row);

    mr_context_renew(s->call, s->row);
    struct mr_tcp *fresh = mr_context(s->call, s->row);
    *flow = mr_flow_of(s->call, s->row);
    return fresh == old ? NULL : fresh; /* the same: there was no room for a new context */
}

static void on_anomaly(void *user, const char *name)
{
    struct sink *s = user;
    mr_anomaly(s->call, s->row, "stream", name);
}

static struct mr_buffer *on_buffer_get(void *user, size_t capacity)
{
    struct sink *s = user;
    struct mr_buffer *buffer = mr_buffer_get(s->call->runtime, capacity);

    mr_count(s->call, buffer ? COUNT_HELD : COUNT_NO_BUFFER, 1);
    return buffer;
}

static void on_buffer_put(void *user, struct mr_buffer *buffer)
{
    struct sink *s = user;
    mr_buffer_put(s->call->runtime, buffer);
}

/* ---- the function ---- */

static enum mr_flow_end end_reason(enum mr_cause cause)
{
    switch (cause) {
    case MR_CAUSE_EVICT:
        return MR_FLOW_END_FORCED;
    case MR_CAUSE_SHUTDOWN:
        return MR_FLOW_END_SHUTDOWN;
    case MR_CAUSE_DATA:
    case MR_CAUSE_EXPIRE:
        break;
    }
    return MR_FLOW_END_TIMEOUT;
}

/* What the program says, and else the user. */
static struct mr_tcp_config config_of(const struct mr_call *call)
{
    struct mr_tcp_config config = *(const struct mr_tcp_config *)call->config;
    if (config.depth == UINT64_MAX)
        config.depth = mr_stream_depth(call);
    return config;
}

static void process_tcp(struct mr_call *call)
{
    const struct mr_tcp_config config = config_of(call);
    const union mr_value *packets = call->args[0];
    struct sink user = {.call = call};
    const struct mr_tcp_sink sink = {.user = &user,
                                     .chunk = on_chunk,
                                     .renew = on_renew,
                                     .anomaly = on_anomaly,
                                     .buffer_get = on_buffer_get,
                                     .buffer_put = on_buffer_put};

    for (uint32_t row = 0; row < call->n; row++) {
        struct mr_flow *flow = mr_flow_of(call, row);
        struct mr_tcp *tcp = mr_context(call, row);
        user.row = row;
        if (!flow)
            continue;
        if (call->cause != MR_CAUSE_DATA) {
            if (tcp->flags) { /* otherwise it was no TCP flow */
                mr_tcp_finish(tcp, flow, end_reason(call->cause), &config, &sink);
                mr_context_end(call, row);
            }
            continue;
        }
        const struct mr_packet *packet = packets[row].b.ptr;
        if (packet->src.protocol != PROTOCOL_TCP ||
            packet->flags & (MR_PACKET_FRAGMENT | MR_PACKET_TICK))
            continue;
        mr_context_deadline(call, row, mr_tcp_packet(tcp, flow, packet, &config, &sink));
    }
    if (user.bytes)
        mr_count(call, COUNT_DATA_BYTES, user.bytes);
}

static void put_buffer(void *runtime, struct mr_buffer *buffer)
{
    mr_buffer_put(runtime, buffer);
}

static void close_context(void *slot, void *runtime)
{
    const struct mr_tcp_sink sink = {.user = runtime, .buffer_put = put_buffer};
    mr_tcp_release(slot, &sink);
}

static const struct mr_function functions[] = {{
    .name = "f_processTCP",
    .summary = "assembles a TCP stream: what is in order now, gaps, the end of the flow; "
               "settings: \"policy=bsd,midstream=yes,timeout=600,timeout-new=30,"
               "timeout-closed=10,held=1m,segments=1024,urgent=inline,depth=1m\"",
    .args = {MR_TYPE_PACKET, MR_TYPE_STRING},
    .n_args = 2,
    .n_optional = 1,
    .n_constant = 1,
    .result = MR_TYPE_STREAM,
    .order = MR_ORDER_CONTEXT,
    .shape = MR_SHAPE_EXPAND,
    .context_key = MR_TYPE_FLOW,
    .context_bytes = sizeof(struct mr_tcp),
    .flow_use = MR_FLOW_RENEWS,
    .backends = "cpu",
    .counters = counters,
    .bind = bind,
    .unbind = free,
    .context_close = close_context,
    .call = process_tcp,
}};

extern const struct mr_component mr_component_tcp;
const struct mr_component mr_component_tcp = {
    .abi = MR_COMPONENT_ABI,
    .bytes = sizeof(struct mr_component),
    .name = "tcp",
    .summary = "TCP stream assembly",
    .functions = functions,
    .n_functions = sizeof functions / sizeof *functions,
};
