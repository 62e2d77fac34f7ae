/* What the three ways to print a plan share. */
#ifndef MR_ANALOG_PRINT_H
#define MR_ANALOG_PRINT_H

#include "analog/flow.h"

#include <stdio.h>

/* "parallel", "context-ordered", "serial". */
const char *analog_kind_text(enum mr_stage_kind kind);

/* Why the stage that begins the group is not part of the group before it; one clause. */
const char *analog_split_text(const struct mr_plan *plan, const struct flow *flow, uint32_t group);

/* "NAME", or "$5" for a value that the program gave no name. */
void analog_register_name(const struct mr_plan *plan, const struct mr_plan_rule *rule, uint32_t reg,
                          char *text, size_t bytes);

/* "PROTOCOL = f_processTCPDetector(TCP_MESSAGE, FLOW_ID)"; always terminated, cut when too long. */
void analog_op_text(const struct mr_plan *plan, const struct mr_plan_rule *rule,
                    const struct mr_op *op, char *text, size_t bytes);

/* "tcp_pkt(N, PKT)" with the attributes that have (live) or have not (dead) storage. */
void analog_predicate_text(const struct mr_plan_predicate *predicate, bool live, char *text,
                           size_t bytes);

uint32_t analog_dead_attributes(const struct mr_plan_predicate *predicate);

#endif
