/* Events: the services of millrace/component.h that make EVE records, and the records that the
 * engine itself writes (tuples that leave a program, flows, anomalies, stats). Records are built by
 * the worker that has the news, and written in token order. */
#include "engine/anomaly_caps.h"
#include "engine/internal.h"

#include "base/slice.h"
#include "runtime/exec.h"

#include <stdlib.h>
#include <string.h>

#define FLOW_ID_MASK ((1ull << 53) - 1) /* what a JSON reader can hold exactly */

bool mr_events_wanted(const struct mr_engine *engine, const char *type)
{
    if (!engine->n_event_types)
        return !engine->program_events;
    for (uint32_t i = 0; i < engine->n_event_types; i++)
        if (!strcmp(engine->event_types[i], type))
            return true;
    return false;
}

enum mr_status mr_events_worker_open(void *user, uint32_t worker, void **state)
{
    struct mr_event *event = calloc(1, sizeof *event);
    struct mr_eve_config config = {0};

    if (!event)
        return MR_ERR_MEMORY;
    event->engine = user;
    event->top = &event->engine->tops[worker];
    enum mr_status status = mr_eve_new(&event->eve, &config);
    if (status) {
        free(event);
        return status;
    }
    *state = event;
    if (event->engine->live)
        mr_thread_slice(MR_LIVE_SLICE_NS);
    return MR_OK;
}

void mr_events_worker_close(void *user, void *state)
{
    const struct mr_engine *engine = user;
    struct mr_event *event = state;
    if (engine->live)
        mr_thread_slice(0); /* one of them was there before */
    if (event)
        mr_eve_free(event->eve);
    free(event);
}

/* The same in every run, whatever the secret of the tables. */
static uint64_t flow_id_of(const struct mr_flow *flow)
{
    struct {
        struct mr_endpoint a, b;
        uint64_t first_ns;
    } name = {flow->key->a, flow->key->b, flow->first_ns};
    uint64_t id = mr_hash_public(&name, sizeof name) & FLOW_ID_MASK;
    return id ? id : 1;
}

/* Which programs a record is of, unless it is of all of them. */
static void put_programs(struct mr_eve *eve, const struct mr_plan *plan, uint64_t users)
{
    uint64_t all = plan->n_programs == 64 ? UINT64_MAX : ((uint64_t)1 << plan->n_programs) - 1;
    bool one = !(users & (users - 1));

    if ((users & all) == all || !users)
        return;
    if (!one)
        mr_eve_array(eve, "programs");
    for (; users; users &= users - 1) {
        const char *name = plan->programs[__builtin_ctzll(users)].name;
        mr_eve_string(eve, one ? "program" : NULL, name, strlen(name));
    }
    if (!one)
        mr_eve_end(eve);
}

/* Of a flow where it is told of as a whole, or no packet is its origin; else of the packet. */
static const char *interface_of(const struct mr_event *event, const char *type,
                                const struct mr_packet *origin, const struct mr_flow *flow)
{
    const struct mr_live *live = event->engine->live;
    bool tick = origin->flags & MR_PACKET_TICK;

    if (!live || (tick && !flow))
        return NULL;
    bool whole = flow && (tick || !strcmp(type, "flow"));
    return mr_live_interface(live, whole ? flow->interface : origin->interface);
}

static void begin(struct mr_event *event, struct mr_exec *exec, const char *type,
                  const struct mr_packet *origin, uint32_t ordinal, const struct mr_flow *flow,
                  const char *app_protocol, uint64_t users)
{
    bool tick = origin->flags & MR_PACKET_TICK;
    struct mr_eve_header header = {
        .type = type,
        .time_ns = origin->time_ns,
        .interface = interface_of(event, type, origin, flow),
        .packet_number = tick ? 0 : origin->number,
        .app_proto = app_protocol,
    };
    if (flow) {
        header.flow_id = flow_id_of(flow);
        bool before = mr_flow_turned_after(flow, origin->number);
        header.src = before ? &flow->server : &flow->client;
        header.dst = before ? &flow->client : &flow->server;
    } else if (!tick) {
        header.src = &origin->src;
        header.dst = &origin->dst;
        if ((origin->src.protocol == 1 || origin->src.protocol == 58) &&
            !(origin->flags & MR_PACKET_FRAGMENT))
            header.icmp = origin->data + origin->l4_offset;
    }
    event->exec = exec;
    event->origin = origin;
    event->ordinal = ordinal;
    event->transaction = NULL;
    mr_eve_begin(event->eve, &header);
    put_programs(event->eve, exec->plan, users);
}

/* As Suricata has it: the number stands before what is said, the rest behind it; nothing that is
 * called `but`, since that stands there already. */
static void begin_transaction(struct mr_event *event, const struct mr_transaction *transaction,
                              const char *but)
{
    event->transaction = transaction;
    if (transaction && (!but || strcmp(but, "tx_id")))
        mr_eve_int(event->eve, "tx_id", transaction->number);
}

static void put_transaction(struct mr_event *event, const char *but)
{
    const struct mr_transaction *transaction = event->transaction;

    if (!transaction)
        return;
    struct mr_call call = {.function = transaction->function,
                           .thread = mr_exec_function_state(event->exec, transaction->function),
                           .runtime = event->exec};
    transaction->write(transaction, &call, event, but);
}

static bool finish(struct mr_event *event)
{
    size_t len;
    const char *bytes = mr_eve_finish(event->eve, &len);

    if (bytes && mr_exec_record(event->exec, event->origin, event->ordinal, bytes, len))
        return true;
    mr_metrics_add(mr_exec_metrics(event->exec), MR_COUNT_EVENTS_LOST, 1);
    return false;
}

/* ---- services ---- */

struct mr_event *mr_event_open(struct mr_call *call, uint32_t row, const char *type)
{
    struct mr_exec *exec = call->runtime;
    struct mr_event *event = mr_exec_worker_state(exec);
    const struct mr_flow *flow = mr_flow_of(call, row);

    if (mr_exec_call_asks(exec))
        return NULL;
    if (!strcmp(type, "alert")) {
        mr_metrics_add(mr_exec_metrics(exec), MR_COUNT_ALERTS, 1);
        if (call->contexts && call->contexts[row]) /* here the flow's end may tell of it no more */
            mr_context_of_slots(call->contexts[row])->left = true;
    }
    if (!mr_events_wanted(event->engine, type))
        return NULL;
    begin(event, exec, type, call->packets[row], mr_exec_call_ordinal(exec, row), flow,
          !strcmp(type, "alert") || !strcmp(type, "fileinfo") ? mr_flow_protocol(call, row) : NULL,
          exec->plan->stages[exec->stage].users);
    if (!strcmp(type, "alert"))
        begin_transaction(event, mr_exec_call_transaction(exec, row), NULL);
    return event;
}

bool mr_transactions_wanted(const struct mr_call *call)
{
    const struct mr_exec *exec = call->runtime;

    return exec->plan->n_alarms || mr_event_wanted(call, "alert");
}

bool mr_event_wanted(const struct mr_call *call, const char *type)
{
    const struct mr_event *event = mr_exec_worker_state(call->runtime);
    return mr_events_wanted(event->engine, type);
}

void mr_event_string(struct mr_event *event, const char *key, const void *bytes, size_t len)
{
    if (event)
        mr_eve_string(event->eve, key, bytes, len);
}

void mr_event_int(struct mr_event *event, const char *key, int64_t value)
{
    if (event)
        mr_eve_int(event->eve, key, value);
}

void mr_event_bool(struct mr_event *event, const char *key, bool value)
{
    if (event)
        mr_eve_bool(event->eve, key, value);
}

void mr_event_time(struct mr_event *event, const char *key, uint64_t time_ns)
{
    if (event)
        mr_eve_time(event->eve, key, time_ns);
}

void mr_event_object(struct mr_event *event, const char *key)
{
    if (event)
        mr_eve_object(event->eve, key);
}

void mr_event_array(struct mr_event *event, const char *key)
{
    if (event)
        mr_eve_array(event->eve, key);
}

void mr_event_end(struct mr_event *event)
{
    if (event)
        mr_eve_end(event->eve);
}

void mr_event_close(struct mr_event *event)
{
    if (!event)
        return;
    put_transaction(event, NULL);
    finish(event);
}

/* What names flow and function where the function has no state of the flow: 16 bytes of the token's
 * memory; NULL: there is none. */
static const uint8_t *cap_key(struct mr_call *call, uint32_t row)
{
    struct mr_exec *exec = call->runtime;
    const struct mr_flow *flow = mr_flow_of(call, row);
    const struct mr_packet *packet = call->packets[row];
    bool turned = memcmp(&packet->src, &packet->dst, sizeof packet->src) > 0;
    struct {
        struct mr_endpoint a, b;
        uint64_t first_ns;
        uint8_t stage[16];
        uint64_t op;
        char function[64];
    } name = {0};
    uint8_t *key = mr_exec_alloc(exec, MR_ANOMALY_KEY_BYTES);

    if (!key)
        return NULL;
    name.a = flow ? flow->key->a : turned ? packet->dst : packet->src;
    name.b = flow ? flow->key->b : turned ? packet->src : packet->dst;
    name.first_ns = flow ? flow->first_ns : 0;
    memcpy(name.stage, exec->plan->stages[exec->stage].identity, sizeof name.stage);
    name.op = exec->call_op->index;
    snprintf(name.function, sizeof name.function, "%s", exec->call_op->function->name);
    mr_hash128_public(&name, sizeof name, key);
    return key;
}

void mr_anomaly(struct mr_call *call, uint32_t row, const char *type, const char *name)
{
    struct mr_exec *exec = call->runtime;

    const uint8_t *cap = NULL;

    if (mr_exec_call_asks(exec))
        return;
    if (!call->contexts) {
        cap = cap_key(call, row);
    } else {
        uint8_t *told = call->contexts[row] + exec->call_op->anomaly_offset;
        if (*told == MR_MAX_ANOMALIES) {
            mr_metrics_add(mr_exec_metrics(exec), MR_COUNT_ANOMALIES_SUPPRESSED, 1);
            return;
        }
        ++*told;
    }
    mr_metrics_add(mr_exec_metrics(exec), MR_COUNT_ANOMALIES, 1);
    struct mr_event *event = mr_event_open(call, row, "anomaly");
    const char *protocol = !strcmp(type, "applayer") ? mr_flow_protocol(call, row) : NULL;
    mr_event_object(event, "anomaly");
    if (protocol)
        mr_event_string(event, "app_proto", protocol, strlen(protocol));
    mr_event_string(event, "type", type, strlen(type));
    mr_event_string(event, "event", name, strlen(name));
    if (!strcmp(type, "applayer"))
        mr_event_string(event, "layer", "proto_parser", 12);
    mr_event_end(event);
    if (event && finish(event) && cap)
        mr_exec_record_cap(exec, cap);
}

/* ---- what the engine writes itself ---- */

static void put_attributes(struct mr_eve *eve, const struct mr_plan_predicate *predicate,
                           const struct mr_tuples *tuples, uint32_t row)
{
    for (uint32_t c = 0; c < predicate->arity; c++)
        if (tuples->columns[c])
            mr_eve_attribute(eve, &predicate->attributes[c], tuples->columns[c][row]);
}

/* An alarm is an alert that holds the tuple; it is told also where alerts are not written. */
static void raise_alarms(struct mr_event *event, struct mr_exec *exec,
                         const struct mr_tuples *tuples)
{
    const struct mr_plan_predicate *predicate = &exec->plan->predicates[tuples->predicate];
    const struct mr_plan_alarm *alarm = &exec->plan->alarms[predicate->alarm - 1];
    const char *program = exec->plan->programs[predicate->program].name;

    for (uint32_t row = 0; row < tuples->n; row++) {
        begin(event, exec, "alert", tuples->origins[row],
              tuples->ordinals ? tuples->ordinals[row] : 0, tuples->flows[row], NULL,
              (uint64_t)1 << predicate->program);
        begin_transaction(event, tuples->transactions ? tuples->transactions[row] : NULL,
                          predicate->name);
        mr_eve_object(event->eve, "alert");
        mr_eve_string(event->eve, "action", "allowed", strlen("allowed"));
        mr_eve_string(event->eve, "signature", alarm->message, strlen(alarm->message));
        mr_eve_string(event->eve, "category", program, strlen(program));
        mr_eve_int(event->eve, "severity", alarm->severity);
        mr_eve_end(event->eve);
        mr_eve_object(event->eve, predicate->name);
        put_attributes(event->eve, predicate, tuples, row);
        mr_eve_end(event->eve);
        put_transaction(event, predicate->name);
        if (finish(event))
            mr_exec_record_alarm(exec, predicate->alarm);
    }
}

/* A copy: the plan may be gone when the record's turn comes. */
static struct mr_shipment *shipment_of(struct mr_exec *exec,
                                       const struct mr_plan_predicate *predicate)
{
    const char *texts[] = {predicate->node + 1, exec->plan->programs[predicate->program].name,
                           predicate->name};
    struct mr_shipment *shipment;
    size_t bytes = sizeof *shipment;

    for (size_t i = 0; i < 3; i++)
        bytes += strlen(texts[i]) + 1;
    shipment = mr_exec_alloc(exec, bytes);
    if (!shipment)
        return NULL; /* counted there */
    char *at = (char *)(shipment + 1);
    for (size_t i = 0; i < 3; i++) {
        size_t len = strlen(texts[i]) + 1;
        texts[i] = memcpy(at, texts[i], len);
        at += len;
    }
    *shipment = (struct mr_shipment){.node = texts[0], .program = texts[1], .predicate = texts[2]};
    return shipment;
}

/* For another node: an action that holds the tuple; done also where actions are not written. */
static void ship(struct mr_event *event, struct mr_exec *exec, const struct mr_tuples *tuples)
{
    const struct mr_plan_predicate *predicate = &exec->plan->predicates[tuples->predicate];
    const char *actuator = event->engine->actuator->name;

    for (uint32_t row = 0; row < tuples->n; row++) {
        struct mr_shipment *shipment = shipment_of(exec, predicate);
        if (!shipment) {
            mr_metrics_add(mr_exec_metrics(exec), MR_COUNT_EVENTS_LOST, 1);
            continue;
        }
        begin(event, exec, "action", tuples->origins[row],
              tuples->ordinals ? tuples->ordinals[row] : 0, tuples->flows[row], NULL,
              (uint64_t)1 << predicate->program);
        mr_eve_object(event->eve, "action");
        mr_eve_string(event->eve, "type", "ship", strlen("ship"));
        mr_eve_string(event->eve, "node", shipment->node, strlen(shipment->node));
        mr_eve_string(event->eve, "predicate", predicate->name, strlen(predicate->name));
        mr_eve_object(event->eve, "tuple");
        put_attributes(event->eve, predicate, tuples, row);
        mr_eve_end(event->eve);
        mr_eve_string(event->eve, "actuator", actuator, strlen(actuator));
        mr_eve_end(event->eve);
        if (finish(event))
            exec->last_record->shipment = shipment;
    }
}

void mr_events_leave(void *user, struct mr_exec *exec, const struct mr_tuples *tuples)
{
    struct mr_engine *engine = user;
    struct mr_event *event = mr_exec_worker_state(exec);
    const struct mr_plan_predicate *predicate = &exec->plan->predicates[tuples->predicate];

    mr_metrics_add(mr_exec_metrics(exec), MR_COUNT_RESULTS, tuples->n);
    if (predicate->node) {
        ship(event, exec, tuples);
        return;
    }
    if (predicate->alarm) {
        raise_alarms(event, exec, tuples);
        return;
    }
    if (!engine->program_events && !mr_events_wanted(engine, predicate->name))
        return;
    for (uint32_t row = 0; row < tuples->n; row++) {
        begin(event, exec, predicate->name, tuples->origins[row],
              tuples->ordinals ? tuples->ordinals[row] : 0, tuples->flows[row], NULL,
              (uint64_t)1 << predicate->program);
        mr_eve_object(event->eve, predicate->name);
        put_attributes(event->eve, predicate, tuples, row);
        mr_eve_end(event->eve);
        finish(event);
    }
}

void mr_events_watch(void *user, struct mr_exec *exec, const struct mr_tuples *tuples,
                     const char *change)
{
    struct mr_engine *engine = user;
    struct mr_event *event = mr_exec_worker_state(exec);
    const struct mr_plan_predicate *predicate = &exec->plan->predicates[tuples->predicate];

    if (!engine->program_events && !mr_events_wanted(engine, "watch"))
        return;
    for (uint32_t row = 0; row < tuples->n; row++) {
        begin(event, exec, "watch", tuples->origins[row],
              tuples->ordinals ? tuples->ordinals[row] : 0, mr_tuples_flow(tuples, row), NULL,
              (uint64_t)1 << predicate->program);
        mr_eve_object(event->eve, "watch");
        mr_eve_string(event->eve, "predicate", predicate->name, strlen(predicate->name));
        mr_eve_string(event->eve, "change", change, strlen(change));
        mr_eve_object(event->eve, "tuple");
        put_attributes(event->eve, predicate, tuples, row);
        mr_eve_end(event->eve);
        mr_eve_end(event->eve);
        finish(event);
    }
}

void mr_events_flow_grown(void *user, struct mr_exec *exec, const struct mr_flow *flow)
{
    struct mr_event *event = mr_exec_worker_state(exec);
    uint64_t bytes = flow->bytes[0] + flow->bytes[1];

    (void)user;
    if (!bytes || !mr_top_may(event->top, bytes))
        return;
    struct mr_top_flow told = {.client = flow->client,
                               .server = flow->server,
                               .first_packet = flow->first_packet,
                               .bytes = bytes,
                               .packets = flow->packets[0] + flow->packets[1],
                               .uninspected = flow->uninspected[0] + flow->uninspected[1],
                               .app_protocol = flow->app_protocol};
    mr_top_tell(event->top, &told);
}

void mr_events_flow_closed(void *user, struct mr_exec *exec, const struct mr_packet *origin,
                           uint32_t ordinal, const struct mr_flow *flow, bool left)
{
    struct mr_engine *engine = user;
    struct mr_event *event = mr_exec_worker_state(exec);
    struct mr_metrics *metrics = mr_exec_metrics(exec);
    uint64_t uninspected = flow->uninspected[0] + flow->uninspected[1];

    mr_events_flow_grown(user, exec, flow);
    if (flow->bypassed || flow->depth_reached) {
        mr_metrics_add(metrics, flow->bypassed ? MR_COUNT_BYPASSED_FLOWS : MR_COUNT_DEPTH_FLOWS, 1);
        mr_metrics_add(metrics, flow->bypassed ? MR_COUNT_BYPASSED_BYTES : MR_COUNT_DEPTH_BYTES,
                       uninspected);
    }
    if (!mr_events_wanted(engine, "flow"))
        return;
    const char *unknown = flow->packets[0] || flow->packets[1] ? "failed" : NULL;
    begin(event, exec, "flow", origin, ordinal, flow,
          flow->app_protocol ? flow->app_protocol : unknown,
          exec->plan->stages[exec->plan->groups[exec->group].first_stage].users);
    mr_eve_flow(event->eve, flow, !left);
    finish(event);
}

void mr_events_retire(void *user, struct mr_metrics *metrics, struct mr_token *token,
                      const struct mr_record *records)
{
    struct mr_engine *engine = user;
    uint64_t n = 0;

    mr_interval_pass(engine, token->end_ns);
    for (; records; records = records->next) {
        if (records->cap && !mr_anomaly_caps_admit(engine->anomaly_caps, records->cap)) {
            mr_metrics_add(metrics, MR_COUNT_ANOMALIES_SUPPRESSED, 1);
            continue;
        }
        if (records->extraction)
            mr_extractor_write(engine, records->extraction, metrics);
        if (records->actuation)
            mr_actuator_apply(engine, records->actuation, metrics);
        if (records->shipment) {
            records->shipment->record = records->bytes;
            records->shipment->record_bytes = records->len;
            records->shipment->time_ns = records->time_ns;
            mr_actuator_ship(engine, records->shipment, metrics);
            if (!engine->program_events && !mr_events_wanted(engine, "action"))
                continue;
        }
        if (records->alarm && (!mr_alarms_tell(engine->alarms, records->alarm - 1, records->time_ns,
                                               records->bytes, records->len, metrics) ||
                               (!engine->program_events && !mr_events_wanted(engine, "alert"))))
            continue;
        if (!records->len)
            continue;
        mr_writer_record(engine->writer, records->bytes, records->len);
        n++;
    }
    mr_metrics_add(metrics, MR_COUNT_EVENTS, n); /* not those that a limit held back */
    if (atomic_load_explicit(&engine->reopen_asked, memory_order_relaxed) ||
        engine->interval.reopen_ns)
        mr_interval_reopen(engine, metrics);
    if (engine->live)
        mr_interval_flush(engine, token->end_ns);
}

void mr_events_release(void *user, struct mr_token *token)
{
    (void)user;
    mr_burst_release(&token->burst);
}
