/* Alarms: what happens beside the event when a tuple of a predicate leaves its program. Told in the
 * output turn, in the order of the events, so the limits hold back the same alarms in every run. */
#ifndef MR_ENGINE_ALARMS_H
#define MR_ENGINE_ALARMS_H

#include "analog/plan.h"
#include "engine/command.h"
#include "metrics/metrics.h"
#include "millrace/status.h"

#include <stddef.h>
#include <stdio.h>

struct mr_alarms;

/* Can --syslog be so? Names are looked up by who opens it. NULL is allowed. */
enum mr_status mr_syslog_check(const char *where, struct mr_error *error);

/* What the alarms of a plan need: a socket for syslog (checked; NULL: /dev/log), a
 * thread for commands, tied to its engine, which tells `diagnostics` of those that cannot be
 * started. The plan, which may have none, is borrowed. What was opened when it failed is to be
 * closed as well. */
enum mr_status mr_alarms_open(struct mr_alarms **out, const struct mr_plan *plan,
                              const char *syslog, struct mr_commands_tie *tie, FILE *diagnostics,
                              struct mr_error *error);

/* The alarm of an event, which is a line of JSON, is due: false when its limit holds it back, and
 * then the event is not to be written either. */
bool mr_alarms_tell(struct mr_alarms *alarms, uint32_t alarm, uint64_t time_ns, const char *event,
                    size_t len, struct mr_metrics *metrics);

/* The limits of alarms that are in both plans (of one program, for one predicate) go on counting,
 * and the commands that wait or run go on in `to`, with their time. Nobody may tell meanwhile. */
void mr_alarms_carry(struct mr_alarms *to, struct mr_alarms *from);

/* Adds what came of commands so far. Any thread; NULL is allowed. */
void mr_alarms_count(const struct mr_alarms *alarms, struct mr_metrics *metrics);

/* Waits some seconds for commands under way, see mr_commands_free(). NULL is allowed. */
void mr_alarms_close(struct mr_alarms *alarms, struct mr_metrics *metrics);

#endif
