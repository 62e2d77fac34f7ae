/* What flows speak, as of each packet.
 *
 * A stage runs over all rows of a batch before the next one runs over them, so what one says of a
 * flow at a late packet must not be seen by another at an earlier one, nor stand over what that
 * says: the result would be a matter of the burst. While a task is under way its changes stand
 * beside the context, in the order of their packets. */
#include "runtime/exec.h"

#include <string.h>

struct mr_protocol_change {
    struct mr_protocol_change *next; /* of the same context: of that packet or a later one */
    struct mr_protocol_change *also; /* of the task */
    struct mr_context *context;
    uint64_t number; /* of the packet */
    const char *name;
};

static struct mr_context *flow_context(const struct mr_call *call, uint32_t row)
{
    if (!call->contexts || !call->contexts[row])
        return NULL;
    struct mr_context *c = mr_context_of_slots(call->contexts[row]);
    return c->is_flow ? c : NULL;
}

/* What is known once somebody has said a name: who cannot tell, having seen less of the flow (since
 * he was loaded amid it, perhaps), takes nothing back that another knows. */
static const char *after(const char *known, const char *name)
{
    return known && !strcmp(name, "failed") ? known : name;
}

void mr_flow_speaks(struct mr_call *call, uint32_t row, const char *name)
{
    struct mr_exec *exec = call->runtime;
    struct mr_context *c = flow_context(call, row);

    if (!c)
        return;
    struct mr_protocol_change *change = mr_exec_alloc(exec, sizeof *change);
    if (!change) { /* counted there */
        c->flow.app_protocol = after(c->flow.app_protocol, name);
        return;
    }
    struct mr_protocol_change **at = &c->changes;
    while (*at && (*at)->number <= call->packets[row]->number)
        at = &(*at)->next;
    *change = (struct mr_protocol_change){*at, exec->changes, c, call->packets[row]->number, name};
    *at = exec->changes = change;
}

const char *mr_exec_protocol_at(const struct mr_context *c, uint64_t number)
{
    const char *name = c->flow.app_protocol;

    for (const struct mr_protocol_change *p = c->changes; p && p->number <= number; p = p->next)
        name = after(name, p->name);
    return name;
}

const char *mr_exec_protocol_of(const struct mr_context *c, const struct mr_flow *flow,
                                uint64_t number)
{
    const char *name = mr_exec_protocol_at(c, number);

    if (c->owns_flow || !flow)
        return name;
    return name ? after(flow->app_protocol, name) : flow->app_protocol;
}

const char *mr_flow_protocol(const struct mr_call *call, uint32_t row)
{
    const struct mr_context *c = flow_context(call, row);
    const struct mr_flow *flow = mr_flow_of(call, row);

    if (c)
        return mr_exec_protocol_of(c, flow, call->packets[row]->number);
    return flow ? flow->app_protocol : NULL;
}

void mr_exec_settle_protocols(struct mr_exec *exec)
{
    for (; exec->changes; exec->changes = exec->changes->also) {
        struct mr_context *c = exec->changes->context;
        c->flow.app_protocol = mr_exec_protocol_at(c, UINT64_MAX);
        c->changes = NULL;
    }
}
