/* What merge.c (the tree of programs) and assemble.c (the plan made of it) share. */
#ifndef MR_ANALOG_MERGE_H
#define MR_ANALOG_MERGE_H

#include "analog/compile.h"

/* A stage, or the beginning of all. */
struct node {
    uint32_t program, stage; /* where it was seen first */
    uint64_t users, ends;    /* sets of programs: that have it; that end with it */
    struct node *children, *next;
};

/* A phase is what lies between two gates: first its group with lanes, then what runs in parallel
 * behind it. All stages of one part of one phase become one group. */
enum part { PART_LANES, PART_PARALLEL };

struct place {
    uint32_t phase;
    enum part part;
};

/* Its predicates are those of the program in which it was seen first. */
struct segment {
    uint32_t index, program;
    uint32_t first_stage, end_stage; /* of that program */
    bool leaf;                       /* what comes to its end leaves the program */
    struct segment *branches, *next_branch;
    struct segment *next;
    uint32_t *predicates; /* of the program -> of the plan; MR_NO_INDEX: not in this segment */
};

/* What becomes a stage of the plan, in the order of the plan. */
struct entry {
    struct segment *segment;
    struct place place;
    uint64_t users;
    bool fork, ships;
    uint32_t program, stage;
    struct entry *next;
};

struct merge {
    struct compile *compile;
    struct mr_program *const *programs;
    uint32_t n_programs;
    struct node root;
    struct node own[MR_MAX_PROGRAMS];           /* the roots of those that receive */
    struct segment *entrances[MR_MAX_PROGRAMS]; /* their first segments */
    uint32_t receivers[MR_MAX_PROGRAMS];        /* each behind those that ship to it */
    uint32_t n_receivers;
    uint32_t last_phase;
    struct segment *segments;
    uint32_t n_segments;
    struct entry *entries;
    uint32_t n_entries;
    uint32_t n_predicates;                 /* of the plan */
    uint32_t first_table[MR_MAX_PROGRAMS]; /* of each program, in the plan */
    uint32_t first_alarm[MR_MAX_PROGRAMS];
};

static inline const struct mr_plan *chain_of(const struct merge *merge, uint32_t program)
{
    return analog_parts(merge->programs[program])->chain;
}

/* ---- ship.c ---- */

/* Whether what programs ship to one another fits; finds their order. False: reported. */
bool analog_link(struct merge *merge);

/* The program to which something is shipped; MR_NO_INDEX: it is not there. */
uint32_t analog_target(const struct merge *merge, const struct mr_plan_ship *ship);
const struct mr_plan_receive *analog_receiver(const struct merge *merge, uint32_t target,
                                              const char *name);

/* ---- assemble.c ---- */

/* Gives the segments their predicates; false: reported. */
bool analog_segments(struct merge *merge);

struct mr_plan *analog_assemble(struct merge *merge); /* NULL: reported */

#endif
