/* The services of millrace/component.h for one call site, on plain heap memory. */
#include "harness/internal.h"
#include "unshared.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void *get(size_t bytes)
{
    void *memory = calloc(1, bytes ? bytes : 1);
    CHECK(memory);
    return memory;
}

const struct mr_function *mr_harness_find(const struct mr_component *component, const char *name)
{
    for (uint32_t i = 0; i < component->n_functions; i++)
        if (!strcmp(component->functions[i].name, name))
            return &component->functions[i];
    fprintf(stderr, "harness: %s has no function %s\n", component->name, name);
    abort();
}

struct mr_harness *mr_harness_new(const struct mr_function *function,
                                  const struct mr_constant *constants, uint32_t n_constants)
{
    struct mr_harness *harness = get(sizeof *harness);
    struct mr_bind_error error = {0, -1, ""};

    harness->function = function;
    harness->token_bytes = (size_t)16 << 20;
    harness->mail =
        (struct mr_mail_settings){.subject_md5 = true, .body_md5 = true, .file_sha256 = true};
    harness->contexts = get(MAX_KEYS * sizeof *harness->contexts);
    harness->text = get(1);
    CHECK(mr_secret_draw(&harness->secret, 1) == MR_OK);
    CHECK(mr_buffers_new(&harness->buffers, (uint64_t)1 << 30) == MR_OK);
    if (function->bind && function->bind(constants, n_constants, &harness->config, &error)) {
        fprintf(stderr, "harness: %s: %s\n", function->name, error.text);
        abort();
    }
    if (function->thread_open)
        CHECK(function->thread_open(harness->config, &harness->thread) == MR_OK);
    return harness;
}

void mr_harness_token_bytes(struct mr_harness *harness, size_t bytes)
{
    harness->token_bytes = bytes;
}

void mr_harness_buffer_bytes(struct mr_harness *harness, uint64_t bytes)
{
    mr_buffers_free(harness->buffers);
    CHECK(mr_buffers_new(&harness->buffers, bytes) == MR_OK);
}

void mr_harness_no_events(struct mr_harness *harness, const char *type)
{
    harness->off_type = type;
    harness->all_off = !type;
}

/* ---- tokens and contexts ---- */

static void forget_token(struct mr_harness *harness)
{
    while (harness->blocks) {
        struct block *next = harness->blocks->next;
        free(harness->blocks);
        harness->blocks = next;
    }
    while (harness->kept) {
        struct mr_buffer *next = harness->kept->next;
        mr_buffers_put(harness->buffers, harness->kept);
        harness->kept = next;
    }
    harness->token_used = 0;
    harness->n_results = 0;
}

static void close_slot(struct mr_harness *harness, struct slot *slot)
{
    if (!slot)
        return;
    if (harness->function->context_close)
        harness->function->context_close(slot->bytes, harness);
    free(slot);
}

static struct slot *new_slot(const struct mr_harness *harness)
{
    return get(sizeof(struct slot) + harness->function->context_bytes);
}

static void close_ended(struct mr_harness *harness)
{
    while (harness->closing) {
        struct slot *next = harness->closing->next;
        close_slot(harness, harness->closing);
        harness->closing = next;
    }
    for (uint32_t key = 0; key < MAX_KEYS; key++) {
        struct context *context = &harness->contexts[key];
        if (!context->ended)
            continue;
        close_slot(harness, context->slot);
        *context = (struct context){.slot = NULL};
    }
}

static uint32_t key_of(const struct mr_harness *harness, uint32_t row)
{
    CHECK(row < harness->n_rows);
    uint32_t key = harness->keys ? harness->keys[row] : 0;
    CHECK(key < MAX_KEYS);
    return key;
}

uint32_t mr_harness_call(struct mr_harness *harness, const struct mr_harness_rows *rows)
{
    const struct mr_function *function = harness->function;
    static const struct mr_packet nothing;
    struct mr_packet *empty = get(sizeof *empty);
    struct mr_packet **packets = get(rows->n * sizeof *packets);
    union mr_value *out = get(rows->n * sizeof *out);

    *empty = nothing;
    forget_token(harness);
    harness->keys = rows->keys;
    harness->n_rows = rows->n;
    harness->rows = get(rows->n * sizeof *harness->rows);
    for (uint32_t row = 0; row < rows->n; row++) {
        packets[row] = rows->packets ? rows->packets[row] : empty;
        if (function->order != MR_ORDER_CONTEXT)
            continue;
        struct context *context = &harness->contexts[key_of(harness, row)];
        if (!context->slot)
            context->slot = new_slot(harness);
        harness->rows[row] = context->slot->bytes;
    }
    struct mr_call call = {
        .function = function,
        .config = harness->config,
        .thread = harness->thread,
        .n = rows->n,
        .cause = rows->cause,
        .args = rows->args,
        .out = function->shape == MR_SHAPE_MAP ? out : NULL,
        .packets = packets,
        .now_ns = rows->now_ns,
        .contexts = harness->rows,
        .runtime = harness,
    };
    function->call(&call);
    CHECK(!harness->event_open);
    if (function->shape == MR_SHAPE_MAP)
        for (uint32_t row = 0; row < rows->n; row++)
            mr_yield(&call, row, out[row]);
    close_ended(harness);
    free(harness->rows);
    harness->rows = NULL;
    free(out);
    free(packets);
    free(empty);
    return harness->n_results;
}

const struct mr_harness_result *mr_harness_results(const struct mr_harness *harness)
{
    return harness->results;
}

void mr_harness_free(struct mr_harness *harness)
{
    struct mr_buffers_usage usage;

    forget_token(harness);
    for (uint32_t key = 0; key < MAX_KEYS; key++)
        close_slot(harness, harness->contexts[key].slot);
    mr_buffers_usage(harness->buffers, &usage);
    CHECK(usage.used_bytes == 0);
    mr_buffers_free(harness->buffers);
    if (harness->function->thread_close)
        harness->function->thread_close(harness->thread);
    if (harness->function->unbind)
        harness->function->unbind(harness->config);
    free(harness->contexts);
    free(harness->results);
    free(harness->text);
    free(harness);
}

struct mr_flow *mr_harness_flow(struct mr_harness *harness, uint32_t key)
{
    CHECK(key < MAX_KEYS);
    struct context *context = &harness->contexts[key];
    context->flow.key = &context->key;
    return &context->flow;
}

void *mr_harness_slot(struct mr_harness *harness, uint32_t key)
{
    CHECK(key < MAX_KEYS);
    return harness->contexts[key].slot ? harness->contexts[key].slot->bytes : NULL;
}

uint64_t mr_harness_deadline(const struct mr_harness *harness, uint32_t key)
{
    CHECK(key < MAX_KEYS);
    return harness->contexts[key].deadline_ns;
}

uint64_t mr_harness_counter(const struct mr_harness *harness, uint32_t index)
{
    CHECK(index < MAX_COUNTERS);
    return harness->counters[index];
}

uint64_t mr_harness_refused(const struct mr_harness *harness)
{
    return harness->refused;
}

/* ---- services ---- */

void mr_yield(struct mr_call *call, uint32_t row, union mr_value value)
{
    struct mr_harness *harness = call->runtime;

    CHECK(row < call->n);
    CHECK(!harness->n_results || harness->results[harness->n_results - 1].row <= row);
    if (harness->n_results == harness->capacity) {
        harness->capacity = harness->capacity ? 2 * harness->capacity : 64;
        harness->results = realloc(harness->results, harness->capacity * sizeof *harness->results);
        CHECK(harness->results);
    }
    harness->results[harness->n_results++] = (struct mr_harness_result){
        .row = row,
        .value = value,
        .context = harness->rows[row],
    };
}

void mr_yield_of(struct mr_call *call, uint32_t row, union mr_value value,
                 const struct mr_transaction *transaction)
{
    struct mr_harness *harness = call->runtime;

    CHECK(!transaction || transaction->write);
    mr_yield(call, row, value);
    harness->results[harness->n_results - 1].transaction = transaction;
}

void mr_yield_each(struct mr_call *call, const union mr_value *values)
{
    for (uint32_t row = 0; row < call->n; row++)
        mr_yield(call, row, values[row]);
}

void *mr_alloc(struct mr_call *call, size_t bytes)
{
    struct mr_harness *harness = call->runtime;

    if (bytes > harness->token_bytes - harness->token_used) {
        harness->refused++;
        return NULL;
    }
    struct block *block = malloc(sizeof *block + bytes);
    CHECK(block);
    memset(block->bytes, 0xa5, bytes); /* not zeroed, as in the runtime */
    block->next = harness->blocks;
    harness->blocks = block;
    harness->token_used += bytes;
    return block->bytes;
}

uint64_t mr_hash(const struct mr_call *call, const void *bytes, size_t len)
{
    const struct mr_harness *harness = call->runtime;
    return mr_hash_bytes(&harness->secret, bytes, len);
}

struct mr_flow *mr_flow_of(const struct mr_call *call, uint32_t row)
{
    struct mr_harness *harness = call->runtime;

    if (harness->function->order != MR_ORDER_CONTEXT)
        return NULL;
    return mr_harness_flow(harness, key_of(harness, row));
}

void mr_context_ahead(const struct mr_call *call, uint32_t row)
{
    (void)call;
    (void)row;
}

void mr_flow_speaks(struct mr_call *call, uint32_t row, const char *name)
{
    struct mr_flow *flow = mr_flow_of(call, row);
    if (flow)
        flow->app_protocol = name;
}

const char *mr_flow_protocol(const struct mr_call *call, uint32_t row)
{
    const struct mr_flow *flow = mr_flow_of(call, row);
    return flow ? flow->app_protocol : NULL;
}

bool mr_flow_bypass(struct mr_call *call, uint32_t row)
{
    struct mr_flow *flow = mr_flow_of(call, row);
    if (flow && !flow->bypassed)
        flow->bypass_asked = 1;
    return flow != NULL;
}

/* As with --bypass-encrypted. */
void mr_flow_encrypted(struct mr_call *call, uint32_t row)
{
    mr_flow_bypass(call, row);
}

uint64_t mr_stream_depth(const struct mr_call *call)
{
    (void)call;
    return UINT64_MAX;
}

/* There is no device. */
const struct mr_device_answer *mr_device_answer(struct mr_call *call, uint32_t row)
{
    (void)call, (void)row;
    return NULL;
}

void mr_device_checked(struct mr_call *call, uint32_t row, const uint32_t *indices, uint32_t n)
{
    (void)call, (void)row, (void)indices, (void)n;
}

const struct mr_mail_settings *mr_mail_settings(const struct mr_call *call)
{
    const struct mr_harness *harness = call->runtime;

    return &harness->mail;
}

void mr_harness_extract(struct mr_harness *harness)
{
    harness->mail.extract = true;
}

bool mr_extract(struct mr_call *call, uint32_t row, const char *name,
                void (*write)(const void *what, mr_piece *piece, void *user), const void *what)
{
    CHECK(row < call->n);
    (void)name;
    (void)write;
    (void)what;
    return false;
}

void mr_context_renew(struct mr_call *call, uint32_t row)
{
    struct mr_harness *harness = call->runtime;
    uint32_t key = key_of(harness, row);
    struct context *context = &harness->contexts[key];

    CHECK(context->slot);
    context->slot->next = harness->closing;
    harness->closing = context->slot;
    *context = (struct context){.slot = new_slot(harness)};
    for (uint32_t i = row; i < call->n; i++)
        if (key_of(harness, i) == key)
            harness->rows[i] = context->slot->bytes;
}

void mr_context_end(struct mr_call *call, uint32_t row)
{
    struct mr_harness *harness = call->runtime;
    harness->contexts[key_of(harness, row)].ended = true;
}

void mr_context_deadline(struct mr_call *call, uint32_t row, uint64_t deadline_ns)
{
    struct mr_harness *harness = call->runtime;
    harness->contexts[key_of(harness, row)].deadline_ns = deadline_ns;
}

void mr_count(struct mr_call *call, uint32_t index, uint64_t n)
{
    struct mr_harness *harness = call->runtime;
    uint32_t known = 0;

    while (call->function->counters && call->function->counters[known])
        known++;
    CHECK(index < known && index < MAX_COUNTERS);
    harness->counters[index] += n;
}

struct mr_buffer *mr_buffer_get(void *runtime, size_t capacity)
{
    return mr_buffers_get(((struct mr_harness *)runtime)->buffers, capacity);
}

void mr_buffer_put(void *runtime, struct mr_buffer *buffer)
{
    mr_buffers_put(((struct mr_harness *)runtime)->buffers, buffer);
}

void mr_keep(struct mr_call *call, struct mr_buffer *buffer)
{
    struct mr_harness *harness = call->runtime;
    buffer->next = harness->kept;
    harness->kept = buffer;
}
