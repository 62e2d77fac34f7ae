/* Several programs in one plan. Their chains are laid over one another as a tree: stages that do
 * the same, behind stages that do the same, are one node. A piece of the tree without forks is a
 * segment and has its own predicates; at a fork each branch is handed copies under its own.
 *
 * Where a stage stood in its own program (which group, behind which gate) it stands here too, so
 * what a program derives, and in which order, does not depend on the others. */
#include "analog/merge.h"
#include "analog/flow.h"

#include "analog/diagnostic.h"

#include <stdlib.h>
#include <string.h>

/* ---- the tree ---- */

static struct node *child_for(struct merge *merge, struct node *parent, uint32_t program,
                              uint32_t stage)
{
    const struct mr_plan_stage *wanted = &chain_of(merge, program)->stages[stage];
    struct node **link = &parent->children;

    for (; *link; link = &(*link)->next)
        if (!memcmp(chain_of(merge, (*link)->program)->stages[stage].identity, wanted->identity,
                    sizeof wanted->identity))
            return *link;
    struct node *node = analog_scratch(merge->compile, sizeof *node);
    if (!node)
        return NULL;
    node->program = program;
    node->stage = stage;
    return *link = node;
}

static bool grow_tree(struct merge *merge)
{
    for (uint32_t i = 0; i < merge->n_programs; i++) {
        struct node *node = chain_of(merge, i)->n_receives ? &merge->own[i] : &merge->root;
        node->users |= (uint64_t)1 << i;
        for (uint32_t s = 0; s < chain_of(merge, i)->n_stages; s++) {
            node = child_for(merge, node, i, s);
            if (!node)
                return false;
            node->users |= (uint64_t)1 << i;
        }
        node->ends |= (uint64_t)1 << i;
    }
    return true;
}

/* ---- places ---- */

static const struct mr_plan_group *group_at(const struct mr_plan *chain, uint32_t stage)
{
    for (uint32_t g = 0; g < chain->n_groups; g++)
        if (chain->groups[g].first_stage == stage)
            return &chain->groups[g];
    return NULL;
}

/* Where a stage stands follows from where the one before it stands: see enum part. */
static struct place place_behind(struct merge *merge, const struct node *node, struct place before)
{
    const struct mr_plan_group *group = group_at(chain_of(merge, node->program), node->stage);

    if (!group)
        return before;
    if (group->kind == MR_STAGE_PARALLEL)
        return (struct place){before.phase, PART_PARALLEL};
    return (struct place){++merge->last_phase, PART_LANES};
}

/* ---- segments ---- */

static struct segment *new_segment(struct merge *merge, uint32_t program, uint32_t first_stage)
{
    struct segment *segment = analog_scratch(merge->compile, sizeof *segment);
    struct segment **link = &merge->segments;

    if (!segment)
        return NULL;
    segment->program = program;
    segment->first_stage = segment->end_stage = first_stage;
    segment->index = merge->n_segments++;
    while (*link)
        link = &(*link)->next;
    return *link = segment;
}

static struct entry *new_entry(struct merge *merge, struct segment *segment, struct place place,
                               uint64_t users)
{
    struct entry *entry = analog_scratch(merge->compile, sizeof *entry);
    struct entry **link = &merge->entries;

    if (!entry)
        return NULL;
    *entry = (struct entry){.segment = segment, .place = place, .users = users};
    merge->n_entries++;
    while (*link && ((*link)->place.phase < place.phase ||
                     ((*link)->place.phase == place.phase && (*link)->place.part <= place.part)))
        link = &(*link)->next;
    entry->next = *link;
    return *link = entry;
}

static uint32_t only_program(uint64_t set)
{
    return (uint32_t)__builtin_ctzll(set);
}

static bool lay_out(struct merge *merge, struct node *node, struct segment *segment,
                    struct place place);

/* What comes to the end of a program and goes on to another one. */
static bool end_program(struct merge *merge, struct segment *segment, struct place place)
{
    segment->leaf = true;
    if (!chain_of(merge, segment->program)->n_ships)
        return true;
    struct entry *entry = new_entry(merge, segment, place, (uint64_t)1 << segment->program);
    if (entry)
        entry->fork = entry->ships = true;
    return entry != NULL;
}

/* Behind a node with several ways on: a fork, and a segment for each of them. */
static bool part_ways(struct merge *merge, const struct node *node, uint32_t next_stage,
                      struct segment *segment, struct place place)
{
    struct entry *fork = new_entry(merge, segment, place, node->users);
    struct segment **link = &segment->branches;

    if (!fork)
        return false;
    fork->fork = true;
    for (uint64_t ends = node->ends; ends; ends &= ends - 1) {
        struct segment *leaf = new_segment(merge, only_program(ends), next_stage);
        if (!leaf || !end_program(merge, leaf, place))
            return false;
        *link = leaf;
        link = &leaf->next_branch;
    }
    for (struct node *child = node->children; child; child = child->next) {
        struct segment *branch = new_segment(merge, child->program, next_stage);
        if (!branch)
            return false;
        *link = branch;
        link = &branch->next_branch;
        if (!lay_out(merge, child, branch, place_behind(merge, child, place)))
            return false;
    }
    return true;
}

static bool go_on(struct merge *merge, struct node *node, uint32_t next_stage,
                  struct segment *segment, struct place place)
{
    uint32_t ways = (uint32_t)__builtin_popcountll(node->ends);

    for (const struct node *child = node->children; child; child = child->next)
        ways++;
    if (ways > 1)
        return part_ways(merge, node, next_stage, segment, place);
    if (!node->children) {
        segment->leaf = true;
        return !node->ends || end_program(merge, segment, place);
    }
    return lay_out(merge, node->children, segment, place_behind(merge, node->children, place));
}

/* As deep as a program has components. */
static bool lay_out(struct merge *merge, struct node *node, struct segment *segment,
                    struct place place)
{
    struct entry *entry = new_entry(merge, segment, place, node->users);

    if (!entry)
        return false;
    entry->stage = node->stage;
    entry->program = node->program;
    segment->end_stage = node->stage + 1;
    return go_on(merge, node, node->stage + 1, segment, place);
}

static bool lay_out_receivers(struct merge *merge)
{
    for (uint32_t i = 0; i < merge->n_receivers; i++) {
        uint32_t program = merge->receivers[i];
        const struct place place = {merge->last_phase, PART_PARALLEL};
        struct segment *segment = new_segment(merge, program, 0);
        if (!segment || !go_on(merge, &merge->own[program], 0, segment, place))
            return false;
        merge->entrances[program] = segment;
    }
    return true;
}

/* Names that appear twice would make events and commands ambiguous; the caller sees to it. */
static bool fits(struct merge *merge, uint32_t n_predicates)
{
    if (merge->n_entries <= MAX_COMPONENTS && n_predicates <= MAX_PREDICATES)
        return true;
    analog_error(
        merge->compile, &(struct mr_where){0},
        "the programs are too many for one engine: together they have %u components and %u "
        "predicates that they do not share, at most %u and %u go",
        merge->n_entries, n_predicates, MAX_COMPONENTS, MAX_PREDICATES);
    return false;
}

struct mr_plan *analog_merge(struct compile *compile, struct mr_program *const *programs,
                             uint32_t n_programs)
{
    struct merge merge = {.compile = compile, .programs = programs, .n_programs = n_programs};
    const struct place start = {0, PART_PARALLEL};

    uint32_t first = 0;
    while (first + 1 < n_programs && chain_of(&merge, first)->n_receives)
        first++;
    struct segment *root = new_segment(&merge, first, 0);
    if (!root || !analog_link(&merge) || !grow_tree(&merge) ||
        !go_on(&merge, &merge.root, 0, root, start) || !lay_out_receivers(&merge) ||
        !analog_segments(&merge) || !fits(&merge, merge.n_predicates))
        return NULL;
    return analog_assemble(&merge);
}
