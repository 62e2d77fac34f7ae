/* Actuators: the table of all there are, and the one that is built in. */
#include "engine/internal.h"

#include <string.h>

static enum mr_status open_log(const char *argument, void **state, struct mr_error *error)
{
    *state = NULL;
    return argument ? mr_fail(error, MR_ERR_USAGE, "--actuator log takes no argument") : MR_OK;
}

/* The event says all there is to say. */
static enum mr_status apply_log(void *state, const struct mr_actuation *actuation)
{
    (void)state;
    (void)actuation;
    return MR_OK;
}

static enum mr_status ship_log(void *state, const struct mr_shipment *shipment)
{
    (void)state;
    (void)shipment;
    return MR_OK;
}

static const struct mr_actuator actuator_log = {
    .abi = MR_ACTUATOR_ABI,
    .bytes = sizeof actuator_log,
    .name = "log",
    .summary = "writes an action event and does nothing",
    .open = open_log,
    .apply = apply_log,
    .ship = ship_log,
};

static const struct mr_actuator *const actuators[] = {&actuator_log, NULL};

enum mr_status mr_actuator_open(struct mr_engine *engine, struct mr_error *error)
{
    const char *wanted = engine->config.actuator ? engine->config.actuator : "log";
    size_t len = strcspn(wanted, ":");

    for (uint32_t i = 0; actuators[i]; i++) {
        const struct mr_actuator *a = actuators[i];
        if (strlen(a->name) != len || memcmp(a->name, wanted, len) != 0)
            continue;
        if (a->open) {
            const char *argument = wanted[len] ? wanted + len + 1 : NULL;
            enum mr_status status = a->open(argument, &engine->actuator_state, error);
            if (status)
                return status;
        }
        engine->actuator = a;
        return MR_OK;
    }
    return mr_fail(error, MR_ERR_USAGE, "--actuator %s: there is no such actuator; there is log",
                   wanted);
}

void mr_actuator_close(struct mr_engine *engine)
{
    if (engine->actuator && engine->actuator->close)
        engine->actuator->close(engine->actuator_state);
    engine->actuator = NULL;
}

void mr_actuator_apply(struct mr_engine *engine, const struct mr_actuation *actuation,
                       struct mr_metrics *metrics)
{
    enum mr_status status = engine->actuator->apply(engine->actuator_state, actuation);
    mr_metrics_add(metrics, status ? MR_COUNT_ACTIONS_FAILED : MR_COUNT_ACTIONS, 1);
}

void mr_actuator_ship(struct mr_engine *engine, const struct mr_shipment *shipment,
                      struct mr_metrics *metrics)
{
    bool done =
        engine->actuator->ship && engine->actuator->ship(engine->actuator_state, shipment) == MR_OK;
    mr_metrics_add(metrics, done ? MR_COUNT_ACTIONS : MR_COUNT_ACTIONS_FAILED, 1);
}
