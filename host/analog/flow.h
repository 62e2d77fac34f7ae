/* Which predicates stand before each stage of a plan; which stages share a group, and why not. */
#ifndef MR_ANALOG_FLOW_H
#define MR_ANALOG_FLOW_H

#include "analog/compile.h"

struct flow {
    struct predicate_set before[MAX_COMPONENTS + 1]; /* [n_stages]: what leaves the last one */
};

void analog_flow(const struct mr_plan *plan, struct flow *flow);

bool analog_stage_triggers(const struct mr_plan_stage *stage, uint32_t predicate);

/* Does the rule ask, change or wait for the table? (place.c) */
bool analog_rule_touches(const struct mr_plan *plan, const struct mr_plan_rule *rule,
                         uint32_t table);

/* The columns of a predicate that hold the key of the group, within it. */
uint64_t analog_carried(const struct mr_plan *plan, const struct flow *flow,
                        const struct mr_plan_group *group, uint32_t predicate);

enum join {
    JOIN_YES,
    JOIN_KIND,    /* parallel, context-ordered, serial do not mix */
    JOIN_ONE,     /* one of them runs for one key at a time only */
    JOIN_SEVERAL, /* a predicate has several keys */
    JOIN_KEY,     /* the key is not the same value */
    JOIN_DEVICE   /* a device may be asked about what the group derives, or hands on to few */
};

/* Whether the stage behind the group may be part of it; `keys` (room for all keys of its stages and
 * of this one) are then those at the entry. */
enum join analog_join(const struct mr_plan *plan, const struct flow *flow,
                      const struct mr_plan_group *group, uint32_t stage, struct mr_plan_key *keys,
                      uint32_t *n_keys);

/* An attribute as it entered a group, or the data of the stream that it is. */
struct device_source {
    uint32_t predicate, column;
    bool stream;
};

bool analog_same_source(const struct device_source *a, const struct device_source *b);
/* What the first argument of a call in `stage` was when it entered the group that begins with stage
 * `first`; false: it was computed there. (sites.c) */
bool analog_device_source(const struct mr_plan *plan, uint32_t first, uint32_t stage,
                          const struct mr_plan_rule *rule, uint32_t op,
                          struct device_source *source);

#endif
