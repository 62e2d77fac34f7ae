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

/* The programs of a set, "a, b"; "" where the plan has but one. */
void analog_programs_text(const struct mr_plan *plan, uint64_t users, char *text, size_t bytes);

/* The programs that a segment is part of. */
uint64_t analog_segment_users(const struct mr_plan *plan, uint32_t segment);

/* The stage that a stage's tuples come from: the one before it in its segment, or the fork that
 * leads there; MR_NO_INDEX: packet capture. */
uint32_t analog_stage_before(const struct mr_plan *plan, uint32_t stage);

/* The same for the end of a segment: its last stage, or the fork that leads to it. */
uint32_t analog_last_stage(const struct mr_plan *plan, uint32_t segment);

/* Stages of a group without forks. */
uint32_t analog_n_components(const struct mr_plan *plan, const struct mr_plan_group *group);

#endif
