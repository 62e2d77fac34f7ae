/* `millrace_recorded`: the engine with a stop watch around its stages, for one worker. The linker
 * puts the functions below in the place of those they call (--wrap); the sources of the engine are
 * the same, compiled without link-time optimisation.
 *
 *     MR_COSTS=FILE millrace_recorded run --workers 1 ...
 *
 * If FILE is there already, the lesser of each two times is kept: what a busy machine adds goes
 * after some runs. The key of the hashes is fixed, so that runs can be laid over each other.
 */
#include "costs.h"

#include "base/ticks.h"
#include "engine/internal.h"
#include "runtime/internal.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define RECENT 64u /* tokens: more than one worker takes in at a time */

static struct {
    struct costs_token *tokens;
    struct costs_packet *packets;
    uint64_t n_tokens, n_packets, room_tokens, room_packets;
    uint64_t *first;                       /* [tokens]: its first packet */
    const struct mr_token *recent[RECENT]; /* [number % RECENT]: read last */
    uint32_t depth;                        /* inside of a lane's batch */
    struct mr_ticks ticks;
    double tick_ns, overhead;
    uint64_t stopped, own; /* ticks: of the stop watch itself */
} r;

#define WRAP(type, name, ...)                                                                      \
    type __real_##name(__VA_ARGS__);                                                               \
    type __wrap_##name(__VA_ARGS__);                                                               \
    static_assert(__builtin_types_compatible_p(__typeof__(name), __typeof__(__real_##name)),       \
                  #name " is called differently now");                                             \
    type __wrap_##name(__VA_ARGS__)

static uint64_t now(void)
{
    return mr_ticks_now(&r.ticks);
}

static uint32_t since(uint64_t start)
{
    r.stopped = now();
    double ns = (double)(r.stopped - start) * r.tick_ns - r.overhead;
    return ns < 1 ? 1 : ns > UINT32_MAX ? UINT32_MAX : (uint32_t)ns;
}

/* What was done after the watch was stopped is no part of the run. */
static void note_own(void)
{
    r.own += now() - r.stopped;
}

static void *grown(void *memory, uint64_t n, uint64_t *room, size_t bytes)
{
    if (n < *room)
        return memory;
    *room = *room ? 2 * *room : 1 << 16;
    memory = realloc(memory, *room * bytes);
    if (!memory)
        abort();
    return memory;
}

static struct costs_token *token_of(const struct mr_token *token)
{
    return token && token->number && token->number <= r.n_tokens ? &r.tokens[token->number - 1]
                                                                 : NULL;
}

/* The packet that a row came from; NULL: it came from a timer. Several tokens may be under way as
 * if they were one. */
static struct costs_packet *packet_of(const struct mr_packet *origin)
{
    for (uint64_t number = r.n_tokens; number && number + RECENT > r.n_tokens; number--) {
        const struct mr_token *token = r.recent[number % RECENT];
        if (origin >= token->burst.packets && origin < token->burst.packets + token->burst.n)
            return &r.packets[r.first[number - 1] + (uint64_t)(origin - token->burst.packets)];
    }
    return NULL;
}

WRAP(enum mr_status, mr_intake_read, void *user, struct mr_metrics *metrics, struct mr_token *token)
{
    if (r.tick_ns == 0) {
        mr_ticks_start(&r.ticks);
        r.tick_ns = mr_ticks_length_ns(&r.ticks);
        uint64_t start = now();
        for (int i = 0; i < 1000; i++)
            (void)now();
        r.overhead = (double)(now() - start) * r.tick_ns / 1000;
    }
    uint64_t start = now();
    enum mr_status status = __real_mr_intake_read(user, metrics, token);
    if (status != MR_OK || !token->burst.n)
        return status;
    uint32_t took = since(start);
    uint64_t room = r.room_tokens;
    r.tokens = grown(r.tokens, r.n_tokens, &r.room_tokens, sizeof *r.tokens);
    r.first = grown(r.first, r.n_tokens, &room, sizeof *r.first);
    r.first[r.n_tokens] = r.n_packets;
    r.recent[(r.n_tokens + 1) % RECENT] = token;
    r.tokens[r.n_tokens++] = (struct costs_token){.n = token->burst.n, .intake_ns = took};
    for (uint32_t i = 0; i < token->burst.n; i++) {
        r.packets = grown(r.packets, r.n_packets, &r.room_packets, sizeof *r.packets);
        r.packets[r.n_packets++] = (struct costs_packet){0};
    }
    note_own();
    return status;
}

WRAP(void, mr_phase_split, struct mr_worker *worker, struct mr_token *token, uint32_t phase)
{
    uint64_t start = now();
    __real_mr_phase_split(worker, token, phase);
    struct costs_token *costs = token_of(token);
    if (costs)
        costs->split_ns += since(start);
}

/* The same of who takes a token straight through. */
WRAP(void, mr_phase_split_all, struct mr_worker *worker, struct mr_token *token, uint32_t phase,
     struct mr_tuples *list)
{
    uint64_t start = now();
    __real_mr_phase_split_all(worker, token, phase, list);
    struct costs_token *costs = token_of(token);
    if (costs)
        costs->split_ns += since(start);
}

WRAP(void, mr_events_retire, void *user, struct mr_metrics *metrics, struct mr_token *token,
     const struct mr_record *records)
{
    struct costs_token *costs = token_of(token);
    uint64_t start = now();
    __real_mr_events_retire(user, metrics, token, records);
    if (costs)
        costs->retire_ns += since(start);
}

/* Spreads the time of a batch over the packets of its rows. */
static void spread(const struct mr_tuples *t, uint32_t took, size_t member, bool by_bytes)
{
    double all = 0;
    for (uint32_t row = 0; row < t->n; row++)
        all += by_bytes ? 256 + t->origins[row]->payload_len : 1;
    for (uint32_t row = 0; row < t->n; row++) {
        struct costs_packet *p = packet_of(t->origins[row]);
        double share = by_bytes ? 256 + t->origins[row]->payload_len : 1;
        if (p)
            *(uint32_t *)(void *)((char *)p + member) += (uint32_t)(took * share / all + 0.5);
    }
}

WRAP(void, mr_exec_group, struct mr_exec *exec, uint32_t group, struct mr_tuples *in)
{
    struct mr_tuples copy = *in; /* it is consumed */
    uint64_t start = now();
    __real_mr_exec_group(exec, group, in);
    if (r.depth)
        return;
    spread(&copy, since(start),
           group ? offsetof(struct costs_packet, back_ns) : offsetof(struct costs_packet, front_ns),
           false);
    note_own();
}

WRAP(bool, mr_exec_lane, struct mr_exec *exec, uint32_t group, struct mr_context_table *contexts,
     struct mr_tuples *in)
{
    const struct mr_plan_group *g = &exec->plan->groups[group];
    r.stopped = now();
    for (uint32_t row = 0; in && row < in->n; row++) {
        struct costs_packet *p = packet_of(in->origins[row]);
        const union mr_value *keys = in->columns[g->keys[0].column];
        if (p && g->key_type == MR_TYPE_FLOW)
            p->flow = (uint32_t)((const struct mr_flow_key *)keys[row].b.ptr)->hash | 1u << 31;
    }
    struct mr_tuples copy = {0}; /* without tuples a lane goes on where it stopped */
    if (in)
        copy = *in;
    r.depth++;
    note_own();
    uint64_t start = now();
    bool done = __real_mr_exec_lane(exec, group, contexts, in);
    uint32_t took = since(start);
    r.depth--;
    spread(&copy, took, offsetof(struct costs_packet, lane_ns), true);
    note_own();
    return done;
}

WRAP(bool, mr_exec_lane_tick, struct mr_exec *exec, uint32_t group,
     struct mr_context_table *contexts, uint64_t now_ns, uint64_t number)
{
    struct costs_token *costs = token_of(exec->token);
    r.depth++;
    uint64_t start = now();
    bool more = __real_mr_exec_lane_tick(exec, group, contexts, now_ns, number);
    if (costs)
        costs->ticks_ns += since(start);
    r.depth--;
    return more;
}

WRAP(enum mr_status, mr_secret_draw, struct mr_secret *secret, uint64_t seed)
{
    (void)seed;
    return __real_mr_secret_draw(secret, 1);
}

/* ---- the file ---- */

static void least(void *into, const void *from, size_t bytes)
{
    uint32_t *x = into;
    const uint32_t *y = from;
    for (size_t i = 0; i < bytes / sizeof *x; i++)
        x[i] = y[i] < x[i] ? y[i] : x[i];
}

/* Lays an earlier run over this one. */
static void merge(const char *path, struct costs_header *header)
{
    FILE *file = fopen(path, "rb");
    struct costs_header old;
    if (!file)
        return;
    struct costs_token *tokens = malloc(r.n_tokens * sizeof *tokens + 1);
    struct costs_packet *packets = malloc(r.n_packets * sizeof *packets + 1);
    if (tokens && packets && fread(&old, sizeof old, 1, file) == 1 && old.magic == COSTS_MAGIC &&
        old.n_tokens == r.n_tokens && old.n_packets == r.n_packets &&
        fread(tokens, sizeof *tokens, r.n_tokens, file) == r.n_tokens &&
        fread(packets, sizeof *packets, r.n_packets, file) == r.n_packets) {
        least(r.tokens, tokens, r.n_tokens * sizeof *tokens);
        least(r.packets, packets, r.n_packets * sizeof *packets);
        header->rest_ns = old.rest_ns < header->rest_ns ? old.rest_ns : header->rest_ns;
    }
    free(tokens);
    free(packets);
    fclose(file);
}

static uint64_t sum_of_all(void)
{
    uint64_t sum = 0;
    for (uint64_t t = 0; t < r.n_tokens; t++)
        sum += (uint64_t)r.tokens[t].intake_ns + r.tokens[t].split_ns + r.tokens[t].retire_ns +
               r.tokens[t].ticks_ns;
    for (uint64_t p = 0; p < r.n_packets; p++)
        sum += (uint64_t)r.packets[p].front_ns + r.packets[p].lane_ns + r.packets[p].back_ns;
    return sum;
}

WRAP(enum mr_status, mr_runtime_run, struct mr_runtime *runtime, struct mr_error *error)
{
    const char *path = getenv("MR_COSTS");
    uint64_t start = mr_clock_ns();
    enum mr_status status = __real_mr_runtime_run(runtime, error);
    uint64_t took = mr_clock_ns() - start - (uint64_t)((double)r.own * r.tick_ns);
    uint64_t sum = sum_of_all();
    struct costs_header header = {COSTS_MAGIC, r.n_tokens, r.n_packets,
                                  took > sum ? took - sum : 0};

    if (!path || status)
        return status;
    merge(path, &header);
    FILE *file = fopen(path, "wb");
    if (!file || fwrite(&header, sizeof header, 1, file) != 1 ||
        fwrite(r.tokens, sizeof *r.tokens, r.n_tokens, file) != r.n_tokens ||
        fwrite(r.packets, sizeof *r.packets, r.n_packets, file) != r.n_packets || fclose(file)) {
        fprintf(stderr, "millrace_recorded: cannot write %s\n", path);
        exit(4);
    }
    return status;
}
