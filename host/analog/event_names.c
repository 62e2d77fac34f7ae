/* Names that events have no room for: a tuple that leaves the program stands in its event under the
 * name of its predicate, which is the event's type too. */
#include "analog/diagnostic.h"

#include <string.h>

/* What stands in every event beside it: output/eve.h. */
static const char *const fields[] = {
    "timestamp",    "flow_id",   "pcap_cnt",  "event_type", "vlan",      "src_ip",
    "src_port",     "dest_ip",   "dest_port", "proto",      "icmp_type", "icmp_code",
    "community_id", "app_proto", "program",   "programs",   "truncated",
};
/* Types of events that the engine writes itself. */
static const char *const types[] = {
    "alert", "anomaly", "smtp", "fileinfo", "flow", "stats", "action", "watch",
};

static bool among(const char *const *names, size_t n, const char *name)
{
    for (size_t i = 0; i < n; i++)
        if (!strcmp(names[i], name))
            return true;
    return false;
}

static void check(struct compile *compile, const struct predicate *p, const struct mr_where *where)
{
    if (among(fields, sizeof fields / sizeof *fields, p->name))
        analog_error(compile, where,
                     "%s leaves the program, and every event has a field %s already", p->name,
                     p->name);
    else if (p->alarm && !strcmp(p->name, "alert"))
        analog_error(compile, where, "every alarm has a field alert already");
    else if (!p->alarm && among(types, sizeof types / sizeof *types, p->name))
        analog_error(compile, where,
                     "%s leaves the program, and events of type %s are the engine's own", p->name,
                     p->name);
    else
        return;
    analog_hint(compile, "give it another name: found_%s", p->name);
}

void analog_check_events(struct compile *compile)
{
    for (const struct predicate *p = compile->program.predicates; p; p = p->next) {
        const struct mr_where *where = &p->where;
        if (!in_set(&compile->program.leaving, p->index) || p->shipped || p->node)
            continue;
        for (const struct alarm *a = compile->program.alarms; a; a = a->next)
            if (!strcmp(a->name, p->name))
                where = &a->where;
        check(compile, p, where);
    }
}
