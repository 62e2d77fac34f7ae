/* The component "detector": f_processTCPDetector(stream, flow) -> string.
 *
 * The protocol of a flow by the first bytes of both directions (detector_probes.h), up to 1,024 a
 * side; the port only decides between those that are still possible then. "" while nothing is
 * known, "UNKNOWN" when given up.
 *
 * A program drops the rows of other protocols, and a row that was dropped is gone. So the answer is
 * "SMTP" as long as the flow can still turn out to be SMTP and nothing else is certain: the SMTP
 * processor tells nothing before it is certain itself, and loses no byte, wherever a greeting is
 * cut. Rows without bytes (gaps, the end) are answered with what was known last.
 *
 * "TLS" follows on "SMTP" when the server, after a reply 220, goes on in TLS; the end of such a
 * flow is still told to SMTP, which has books to close.
 */
#include "detector_probes.h"
#include "tls_records.h"

#include <stdlib.h>
#include <string.h>

#define PREFIX_BYTES 1024u

enum { SMTP = 0, TLS = 2, UNKNOWN = 0xfe, UNDECIDED = 0xff };

/* Where the watch for TLS behind a reply stands in the server's bytes. */
enum watch { LINE_START, IN_LINE, LINE_2, LINE_22, IN_220, BEHIND_220, TLS_1, TLS_2, TLS_SEEN };

/* What a flow keeps. All zero: a new one. */
struct slot {
    union {
        struct mr_buffer *prefix[2];  /* while undecided */
        struct mr_tls_records tls[2]; /* decided, TLS */
    };
    uint64_t next[2]; /* offset of the byte that is due in each direction */
    bool decided;
    bool excluded; /* undecided, but not SMTP */
    uint8_t protocol;
    uint8_t watch;
};

/* What a worker has at hand: the same for all. */
struct thread {
    struct mr_first_bytes first;
    union mr_value names[MR_MAX_PROTOCOLS];
};

enum counter { DECIDED, GIVEN_UP, UPGRADED, NO_MEMORY };
static const char *const counters[] = {"decided", "given_up", "upgraded_to_tls", "no_memory", NULL};

/* The protocol that says yes, or UNDECIDED. Of several, the one that said so first. */
static uint8_t first_yes(const struct thread *thread, const struct mr_prefix side[2],
                         enum mr_direction grown, uint32_t before)
{
    uint32_t possible = mr_protocols_possible(&thread->first, side);
    uint8_t yes[8];
    uint32_t n = 0;

    for (; possible && n < sizeof yes; possible &= possible - 1) {
        uint32_t i = (uint32_t)__builtin_ctz(possible);
        if (mr_probe(&mr_protocols[i], side) == MR_YES)
            yes[n++] = (uint8_t)i;
    }
    if (n <= 1)
        return n ? yes[0] : UNDECIDED;
    struct mr_prefix shorter[2] = {side[0], side[1]};
    for (uint32_t len = before + 1; len <= side[grown].n; len++) {
        shorter[grown].n = len;
        for (uint32_t i = 0; i < n; i++)
            if (mr_probe(&mr_protocols[yes[i]], shorter) == MR_YES)
                return yes[i];
    }
    return yes[0];
}

static bool has_port(const struct mr_protocol *protocol, uint16_t port)
{
    for (size_t i = 0; i < sizeof protocol->ports / sizeof *protocol->ports; i++)
        if (port && protocol->ports[i] == port)
            return true;
    return false;
}

/* Nothing more will be learnt: the port decides between those that are possible. */
static uint8_t by_port(const struct mr_prefix side[2], const struct mr_flow *flow)
{
    for (uint32_t i = 0; flow && i < mr_n_protocols; i++)
        if (has_port(&mr_protocols[i], flow->server.port) &&
            mr_probe(&mr_protocols[i], side) != MR_NO)
            return (uint8_t)i;
    return UNKNOWN;
}

static bool all_excluded(const struct thread *thread, const struct mr_prefix side[2])
{
    uint32_t possible = mr_protocols_possible(&thread->first, side);

    if (!side[0].n || !side[1].n)
        return false;
    for (; possible; possible &= possible - 1)
        if (mr_probe(&mr_protocols[__builtin_ctz(possible)], side) != MR_NO)
            return false;
    return true;
}

static void decide(struct mr_call *call, uint32_t row, struct slot *slot, uint8_t protocol)
{
    mr_count(call, protocol == UNKNOWN ? GIVEN_UP : DECIDED, 1);
    slot->decided = true;
    slot->protocol = protocol;
    for (int i = 0; i < 2; i++) {
        mr_buffer_put(call->runtime, slot->prefix[i]);
        slot->prefix[i] = NULL;
    }
    mr_flow_speaks(call, row, protocol == UNKNOWN ? "failed" : mr_protocols[protocol].app_protocol);
}

/* Bytes of a TLS flow: from its first application data on there is nothing to read in it. */
static void watch_tls(struct mr_call *call, uint32_t row, struct mr_tls_records tls[2],
                      int direction, const uint8_t *p, uint32_t n)
{
    if (mr_tls_records(&tls[direction], p, n)) {
        tls[0].lost = tls[1].lost = true; /* nothing more to be found */
        mr_flow_encrypted(call, row);
    }
}

static struct mr_prefix known(const struct slot *slot, int direction)
{
    const struct mr_buffer *b = slot->decided ? NULL : slot->prefix[direction];
    return (struct mr_prefix){b ? b->data : NULL, b ? b->len : 0};
}

/* Adds bytes to what is known of a direction; false: no memory. */
static bool keep(struct mr_call *call, struct slot *slot, enum mr_direction direction,
                 const uint8_t *p, uint32_t n)
{
    struct mr_buffer **prefix = &slot->prefix[direction];
    uint32_t have = *prefix ? (*prefix)->len : 0;

    if (!*prefix || (*prefix)->capacity - have < n) {
        struct mr_buffer *larger =
            mr_buffer_get(call->runtime, have + n > 512 ? PREFIX_BYTES : 512);
        if (!larger)
            return false;
        if (have)
            memcpy(larger->data, (*prefix)->data, have);
        mr_buffer_put(call->runtime, *prefix);
        *prefix = larger;
    }
    memcpy((*prefix)->data + have, p, n);
    (*prefix)->len = have + n;
    return true;
}

/* What is known of a flow that turns out to be TLS; `chunk` is the last of it. */
static void begin_tls(struct mr_call *call, uint32_t row, struct mr_tls_records tls[2],
                      const struct mr_prefix side[2], uint32_t before, const struct mr_chunk *chunk)
{
    int direction = chunk->direction & 1;

    watch_tls(call, row, tls, !direction, side[!direction].p, side[!direction].n);
    watch_tls(call, row, tls, direction, side[direction].p, before);
    watch_tls(call, row, tls, direction, chunk->data, chunk->len);
}

/* Bytes of a flow that is not decided. */
static void learn(struct mr_call *call, uint32_t row, struct slot *slot, const struct mr_flow *flow,
                  const struct mr_chunk *chunk)
{
    enum mr_direction direction = (enum mr_direction)(chunk->direction & 1);
    struct mr_prefix side[2] = {known(slot, 0), known(slot, 1)};
    uint32_t before = side[direction].n, room = PREFIX_BYTES - before;
    uint32_t n = chunk->len < room ? chunk->len : room;

    if (before && !keep(call, slot, direction, chunk->data, n)) {
        mr_count(call, NO_MEMORY, 1);
        decide(call, row, slot, by_port(side, flow));
        return;
    }
    side[direction] = before ? known(slot, (int)direction) : (struct mr_prefix){chunk->data, n};
    uint8_t protocol = first_yes(call->thread, side, direction, before);
    if (protocol == UNDECIDED && n == room)
        protocol = by_port(side, flow);
    else if (protocol == UNDECIDED && all_excluded(call->thread, side))
        protocol = UNKNOWN;
    if (protocol == UNDECIDED)
        slot->excluded = mr_probe(&mr_protocols[SMTP], side) == MR_NO;
    if (protocol == UNDECIDED && !before && !keep(call, slot, direction, chunk->data, n)) {
        mr_count(call, NO_MEMORY, 1);
        protocol = by_port(side, flow);
    }
    struct mr_tls_records tls[2] = {0};
    if (protocol == TLS)
        begin_tls(call, row, tls, side, before, chunk);
    if (protocol != UNDECIDED)
        decide(call, row, slot, protocol);
    if (protocol == TLS)
        memcpy(slot->tls, tls, sizeof tls);
}

/* One byte of the server at the beginning of a line or behind one that began with 220. */
static uint8_t watch_byte(uint8_t watch, uint8_t c)
{
    switch (watch) {
    case LINE_START:
    case BEHIND_220:
        if (watch == BEHIND_220 && c == 0x16)
            return TLS_1;
        return c == '2' ? LINE_2 : c == '\n' ? LINE_START : IN_LINE;
    case LINE_2:
        return c == '2' ? LINE_22 : c == '\n' ? LINE_START : IN_LINE;
    case LINE_22:
        return c == '0' ? IN_220 : c == '\n' ? LINE_START : IN_LINE;
    case TLS_1:
        return c == 3 ? TLS_2 : c == '\n' ? LINE_START : IN_LINE;
    case TLS_2:
        return c <= 4 ? TLS_SEEN : c == '\n' ? LINE_START : IN_LINE;
    default:
        return watch;
    }
}

/* Has the server of an SMTP session gone over to TLS? */
static bool watch_server(struct slot *slot, const uint8_t *p, uint32_t n)
{
    for (uint32_t i = 0; i < n && slot->watch != TLS_SEEN; i++) {
        if (slot->watch == IN_LINE || slot->watch == IN_220) {
            const uint8_t *lf = memchr(p + i, '\n', n - i);
            if (!lf)
                break;
            i = (uint32_t)(lf - p);
            slot->watch = slot->watch == IN_220 ? BEHIND_220 : LINE_START;
        } else {
            slot->watch = watch_byte(slot->watch, p[i]);
        }
    }
    return slot->watch == TLS_SEEN;
}

static union mr_value answer(const struct thread *thread, const struct slot *slot)
{
    if (!slot->decided)
        return slot->excluded ? MR_VALUE_TEXT("") : thread->names[SMTP];
    return slot->protocol == UNKNOWN ? MR_VALUE_TEXT("UNKNOWN") : thread->names[slot->protocol];
}

/* Nothing more will come that follows on what is known. */
static void give_up(struct mr_call *call, uint32_t row, struct slot *slot,
                    const struct mr_flow *flow)
{
    const struct mr_prefix side[2] = {known(slot, 0), known(slot, 1)};
    decide(call, row, slot, by_port(side, flow));
}

/* Are bytes missing in front of these? Chunks that a token had no memory for are not told. */
static bool missing(struct slot *slot, const struct mr_chunk *chunk, uint64_t bytes)
{
    uint64_t *next = &slot->next[chunk->direction & 1];
    uint64_t end = bytes < UINT64_MAX - chunk->offset ? chunk->offset + bytes : UINT64_MAX;
    bool lost = chunk->offset > *next;

    *next = end > *next ? end : *next;
    return lost;
}

/* Bytes of a direction are lost: what comes does not go on what is known of it. */
static void on_hole(struct mr_call *call, uint32_t row, struct slot *slot,
                    const struct mr_flow *flow, int direction)
{
    if (slot->decided && slot->protocol == TLS)
        slot->tls[direction].lost = true;
    if (!slot->decided && known(slot, direction).n)
        give_up(call, row, slot, flow);
}

static union mr_value on_chunk(struct mr_call *call, uint32_t row, struct slot *slot,
                               const struct mr_flow *flow, const struct mr_chunk *chunk)
{
    const struct thread *thread = call->thread;

    switch (chunk->kind) {
    case MR_CHUNK_DATA:
        if (!chunk->len)
            break;
        if (missing(slot, chunk, chunk->len))
            on_hole(call, row, slot, flow, chunk->direction & 1);
        if (chunk->direction == MR_TO_CLIENT && slot->watch != TLS_SEEN &&
            (!slot->decided || slot->protocol == SMTP) &&
            watch_server(slot, chunk->data, chunk->len)) {
            mr_count(call, UPGRADED, 1);
            mr_flow_encrypted(call, row);
        }
        if (!slot->decided)
            learn(call, row, slot, flow, chunk);
        else if (slot->protocol == TLS)
            watch_tls(call, row, slot->tls, chunk->direction & 1, chunk->data, chunk->len);
        break;
    case MR_CHUNK_GAP:
        if (!chunk->gap) /* the runtime's row for a context that goes */
            return answer(thread, slot);
        missing(slot, chunk, chunk->gap);
        on_hole(call, row, slot, flow, chunk->direction & 1);
        break;
    default:
        if (!slot->decided && known(slot, 0).n + known(slot, 1).n)
            give_up(call, row, slot, flow);
        return answer(thread, slot);
    }
    if (slot->watch == TLS_SEEN && slot->decided && slot->protocol == SMTP)
        return thread->names[TLS];
    return answer(thread, slot);
}

static void call_function(struct mr_call *call)
{
    for (uint32_t i = 0; i < call->n; i++) {
        const struct mr_chunk *chunk = call->args[0][i].b.ptr;
        struct slot *slot = mr_context(call, i);
        if (chunk)
            call->out[i] =
                on_chunk(call, i, slot, chunk->flow ? chunk->flow : mr_flow_of(call, i), chunk);
        else
            call->out[i] = answer(call->thread, slot);
    }
}

static enum mr_status thread_open(const void *config, void **out)
{
    struct thread *thread = calloc(1, sizeof *thread);

    (void)config;
    if (!thread)
        return MR_ERR_MEMORY;
    mr_first_bytes_ask(&thread->first);
    for (uint32_t i = 0; i < mr_n_protocols; i++)
        thread->names[i] =
            mr_value_bytes(mr_protocols[i].name, (uint32_t)strlen(mr_protocols[i].name));
    *out = thread;
    return MR_OK;
}

static void context_close(void *slot_memory, void *runtime)
{
    struct slot *slot = slot_memory;

    for (int i = 0; i < 2 && !slot->decided; i++) {
        mr_buffer_put(runtime, slot->prefix[i]);
        slot->prefix[i] = NULL;
    }
}

static const struct mr_function functions[] = {{
    .name = "f_processTCPDetector",
    .summary = "the protocol of a TCP stream: \"SMTP\", \"HTTP\", ...; \"UNKNOWN\" when given up",
    .args = {MR_TYPE_STREAM, MR_TYPE_FLOW},
    .n_args = 2,
    .result = MR_TYPE_STRING,
    .order = MR_ORDER_CONTEXT,
    .flow_use = MR_FLOW_SPEAKS | MR_FLOW_ENCRYPTED,
    .shape = MR_SHAPE_MAP,
    .context_key = MR_TYPE_FLOW,
    .context_bytes = sizeof(struct slot),
    .backends = "cpu",
    .counters = counters,
    .thread_open = thread_open,
    .thread_close = free,
    .context_close = context_close,
    .call = call_function,
}};

extern const struct mr_component mr_component_detector;
const struct mr_component mr_component_detector = {
    .abi = MR_COMPONENT_ABI,
    .bytes = sizeof(struct mr_component),
    .name = "detector",
    .summary = "which protocol a flow speaks, by its first bytes",
    .functions = functions,
    .n_functions = sizeof functions / sizeof *functions,
};
