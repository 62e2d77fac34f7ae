/* f_flowCount: how many packets each flow has had. What a flow event says of packets, bytes, times
 * and directions is kept here as well, until another function is seen to keep the flow's account:
 * beside f_processTCP it is not meant to stand, since that counts already. */
#include "millrace/component.h"

#include <stdlib.h>
#include <string.h>

#define SECOND_NS         1000000000ull
#define DEFAULT_TIMEOUT_S 60
#define MAX_TIMEOUT_S     86400
#define AHEAD             8u /* rows; where flows are many they lie in the second cache */

struct config {
    uint64_t timeout_ns;
};

/* Written for every packet, so that it touches little else of the flow. */
struct count {
    uint64_t packets;
    uint64_t second;      /* behind the last packet that moved the deadline */
    bool kept_here;       /* nobody else keeps the flow's account */
    bool client_is_a;     /* of the key */
    uint8_t tcp_flags[2]; /* as in the flow */
};

/* Told apart by their addresses: a flow with another state is kept by another function. */
static const char state_new[] = "new";
static const char state_established[] = "established";

static enum mr_status bind(const struct mr_constant *constants, uint32_t n_constants, void **out,
                           struct mr_bind_error *error)
{
    int64_t seconds = n_constants ? constants[0].value.i : DEFAULT_TIMEOUT_S;
    struct config *config;

    if (seconds < 1 || seconds > MAX_TIMEOUT_S) {
        static const char text[] = "the timeout is 1 to 86400 seconds";
        memcpy(error->text, text, sizeof text);
        error->argument = 0;
        error->offset = -1;
        return MR_ERR_PROGRAM;
    }
    config = malloc(sizeof *config);
    if (!config)
        return MR_ERR_MEMORY;
    config->timeout_ns = (uint64_t)seconds * SECOND_NS;
    *out = config;
    return MR_OK;
}

static bool same_end(const struct mr_endpoint *x, const struct mr_endpoint *y)
{
    return !memcmp(x, y, sizeof *x);
}

static inline void account(struct count *count, struct mr_flow *flow, const struct mr_flow_key *key,
                           const struct mr_packet *packet)
{
    int from = same_end(&packet->src, &key->a) != count->client_is_a;

    if (flow->packets[0] + flow->packets[1] != count->packets) {
        count->kept_here = false;
        return;
    }
    if (!flow->packets[from]++)
        flow->state = flow->packets[!from] ? state_established : state_new;
    flow->bytes[from] += packet->wire_len;
    if (packet->tcp_flags & ~count->tcp_flags[from]) {
        count->tcp_flags[from] |= packet->tcp_flags;
        flow->tcp_flags[from] |= packet->tcp_flags;
    }
    if (packet->time_ns > flow->last_ns)
        flow->last_ns = packet->time_ns;
}

/* The first packet of a flow in a second. Who the client is changes only where another function
 * keeps the account. */
static void look_again(struct count *count, const struct mr_flow *flow,
                       const struct mr_flow_key *key)
{
    count->kept_here =
        flow && (!flow->state || flow->state == state_new || flow->state == state_established);
    if (!count->second)
        count->client_is_a = flow && same_end(&flow->client, &key->a);
}

static void flow_count(struct mr_call *call)
{
    const struct config *config = call->config;

    for (uint32_t row = 0; row < call->n; row++) {
        struct count *count = mr_context(call, row);
        mr_context_ahead(call, row + AHEAD);
        if (call->cause == MR_CAUSE_DATA) {
            const struct mr_packet *packet = call->packets[row];
            const struct mr_flow_key *key = call->args[0][row].b.ptr;
            struct mr_flow *flow = mr_flow_of(call, row);
            uint64_t second = packet->time_ns / SECOND_NS + 1;
            if (second > count->second) { /* timers go by seconds as well */
                look_again(count, flow, key);
                count->second = second;
                mr_context_deadline(call, row, second * SECOND_NS - 1 + config->timeout_ns);
            }
            if (count->kept_here)
                account(count, flow, key, packet);
            count->packets++;
        }
        call->out[row] = mr_value_int((int64_t)count->packets);
    }
}

static const struct mr_function functions[] = {{
    .name = "f_flowCount",
    .summary =
        "how many packets the flow has had; forgets it after so many seconds of silence (60); "
        "for components without f_processTCP, which counts itself",
    .args = {MR_TYPE_FLOW, MR_TYPE_INT},
    .n_args = 2,
    .n_optional = 1,
    .n_constant = 1,
    .result = MR_TYPE_INT,
    .order = MR_ORDER_CONTEXT,
    .shape = MR_SHAPE_MAP,
    .context_key = MR_TYPE_FLOW,
    .context_bytes = sizeof(struct count),
    .silent_end = true,
    .flow_use = MR_FLOW_RENEWS,
    .backends = "cpu",
    .bind = bind,
    .unbind = free,
    .call = flow_count,
}};

extern const struct mr_component mr_component_flow_count;
const struct mr_component mr_component_flow_count = {
    .abi = MR_COMPONENT_ABI,
    .bytes = sizeof(struct mr_component),
    .name = "flow_count",
    .summary = "packets of each flow, of any transport",
    .functions = functions,
    .n_functions = sizeof functions / sizeof *functions,
};
