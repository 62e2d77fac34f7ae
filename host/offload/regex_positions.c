/* From a tree to positions: which may come first, which last, and which after which. */
#include "offload/regex_automaton.h"

#include <stdlib.h>
#include <string.h>

#define NULLS_MAX 12u
#define EDGES_MAX 200000u

struct term {
    uint32_t at, mask;
};

struct terms {
    struct term *v;
    uint32_t n, capacity;
};

/* What a node is to its neighbours. */
struct part {
    struct terms first, last;
    uint32_t n_nulls, nulls[NULLS_MAX]; /* conditions under which it is passed without a byte */
};

struct builder {
    struct mr_arena *arena;
    const char *why;
    struct mr_positions *to;
    uint32_t positions_max, sets_capacity, edges_capacity;
};

static bool stop(struct builder *b, const char *why)
{
    if (!b->why)
        b->why = why;
    return false;
}

/* Room for one more; arena memory of before is left lying. */
static void *grow(struct builder *b, void *old, uint32_t n, uint32_t *capacity, size_t size)
{
    if (n < *capacity)
        return old;
    uint32_t wanted = *capacity ? 2 * *capacity : 8;
    void *fresh = mr_arena_alloc(b->arena, wanted * size);
    if (!fresh) {
        stop(b, "no memory");
        return NULL;
    }
    if (n)
        memcpy(fresh, old, n * size);
    *capacity = wanted;
    return fresh;
}

static void add_term(struct builder *b, struct terms *terms, uint32_t at, uint32_t mask)
{
    struct term *v = grow(b, terms->v, terms->n, &terms->capacity, sizeof *v);
    if (!v)
        return;
    terms->v = v;
    terms->v[terms->n++] = (struct term){at, mask};
}

static void add_terms(struct builder *b, struct terms *to, const struct terms *from, uint32_t mask)
{
    for (uint32_t i = 0; i < from->n; i++)
        add_term(b, to, from->v[i].at, from->v[i].mask | mask);
}

/* Under `mask`: conditions that imply one already there say nothing new. */
static void add_null(struct builder *b, struct part *part, uint32_t mask)
{
    for (uint32_t i = 0; i < part->n_nulls; i++)
        if ((part->nulls[i] & mask) == part->nulls[i])
            return;
    uint32_t kept = 0;
    for (uint32_t i = 0; i < part->n_nulls; i++)
        if ((part->nulls[i] & mask) != mask)
            part->nulls[kept++] = part->nulls[i];
    part->n_nulls = kept;
    if (kept == NULLS_MAX)
        stop(b, "too many conditions at one place");
    else
        part->nulls[part->n_nulls++] = mask;
}

static void connect(struct builder *b, const struct terms *from, const struct terms *to)
{
    struct mr_positions *p = b->to;

    for (uint32_t i = 0; i < from->n; i++)
        for (uint32_t k = 0; k < to->n && !b->why; k++) {
            struct mr_edge *edges =
                grow(b, p->edges, p->n_edges, &b->edges_capacity, sizeof *edges);
            if (!edges)
                return;
            p->edges = edges;
            if (p->n_edges == EDGES_MAX) {
                stop(b, "too many ways between its positions");
                return;
            }
            p->edges[p->n_edges++] =
                (struct mr_edge){from->v[i].at, to->v[k].at, from->v[i].mask | to->v[k].mask};
        }
}

static void position(struct builder *b, const struct mr_byte_set *set, struct part *part)
{
    struct mr_positions *p = b->to;

    if (p->n >= b->positions_max) {
        stop(b, "too many positions when its repeats are written out");
        return;
    }
    struct mr_byte_set *sets = grow(b, p->sets, p->n, &b->sets_capacity, sizeof *sets);
    if (!sets)
        return;
    p->sets = sets;
    p->sets[p->n] = *set;
    add_term(b, &part->first, p->n, 0);
    add_term(b, &part->last, p->n++, 0);
}

/* *part becomes itself followed by *next. */
static void follow(struct builder *b, struct part *part, const struct part *next)
{
    struct part both = {.first = part->first, .last = next->last};

    connect(b, &part->last, &next->first);
    for (uint32_t i = 0; i < part->n_nulls; i++)
        add_terms(b, &both.first, &next->first, part->nulls[i]);
    for (uint32_t i = 0; i < next->n_nulls; i++)
        add_terms(b, &both.last, &part->last, next->nulls[i]);
    for (uint32_t i = 0; i < part->n_nulls; i++)
        for (uint32_t k = 0; k < next->n_nulls; k++)
            add_null(b, &both, part->nulls[i] | next->nulls[k]);
    *part = both;
}

static void build(struct builder *b, const struct mr_node *node, struct part *part);

/* (x(x(x)?)?)? behind *part: each copy is entered from the one before it only. */
static void options(struct builder *b, const struct mr_node *child, uint32_t n, struct part *part)
{
    struct part before = *part; /* the way through all copies so far */

    before.last = (struct terms){0};
    before.first = (struct terms){0};
    add_terms(b, &before.last, &part->last, 0);
    for (uint32_t i = 0; i < n && !b->why; i++) {
        struct part copy = {0}, through = {0};
        build(b, child, &copy);
        connect(b, &before.last, &copy.first);
        for (uint32_t k = 0; k < before.n_nulls; k++)
            add_terms(b, &part->first, &copy.first, before.nulls[k]);
        add_terms(b, &part->last, &copy.last, 0);
        through.last = copy.last;
        for (uint32_t k = 0; k < copy.n_nulls; k++)
            add_terms(b, &through.last, &before.last, copy.nulls[k]);
        for (uint32_t k = 0; k < before.n_nulls; k++)
            for (uint32_t m = 0; m < copy.n_nulls; m++)
                add_null(b, &through, before.nulls[k] | copy.nulls[m]);
        before = through;
    }
}

static void repeat(struct builder *b, const struct mr_node *node, struct part *part)
{
    const struct mr_node *child = node->first;
    bool endless = node->max == MR_REPEAT_ENDLESS;
    uint32_t copies = node->min ? node->min : endless ? 1 : 0;

    add_null(b, part, 0);
    for (uint32_t i = 0; i < copies && !b->why; i++) {
        struct part copy = {0};
        build(b, child, &copy);
        if (endless && i + 1 == copies)
            connect(b, &copy.last, &copy.first);
        if (!node->min)
            add_null(b, &copy, 0);
        follow(b, part, &copy);
    }
    if (!endless && !b->why)
        options(b, child, node->max - node->min, part);
}

static void build(struct builder *b, const struct mr_node *node, struct part *part)
{
    if (b->why)
        return;
    switch (node->kind) {
    case MR_NODE_EMPTY:
        add_null(b, part, 0);
        break;
    case MR_NODE_SET:
        position(b, &node->set, part);
        break;
    case MR_NODE_ASSERT:
        b->to->used |= node->assertion;
        add_null(b, part, node->assertion);
        break;
    case MR_NODE_CONCAT:
        add_null(b, part, 0);
        for (const struct mr_node *child = node->first; child && !b->why; child = child->next) {
            struct part next = {0};
            build(b, child, &next);
            follow(b, part, &next);
        }
        break;
    case MR_NODE_ALT:
        for (const struct mr_node *child = node->first; child && !b->why; child = child->next) {
            struct part next = {0};
            build(b, child, &next);
            add_terms(b, &part->first, &next.first, 0);
            add_terms(b, &part->last, &next.last, 0);
            for (uint32_t i = 0; i < next.n_nulls; i++)
                add_null(b, part, next.nulls[i]);
        }
        break;
    case MR_NODE_REPEAT:
        repeat(b, node, part);
        break;
    }
}

enum mr_status mr_regex_positions(const struct mr_node *root, uint32_t positions_max,
                                  struct mr_arena *arena, struct mr_positions *positions,
                                  const char **why)
{
    struct builder b = {.arena = arena, .to = positions, .positions_max = positions_max};
    struct part start = {0}, all = {0};

    *positions = (struct mr_positions){0};
    position(&b, &(struct mr_byte_set){0}, &start);
    build(&b, root, &all);
    connect(&b, &start.last, &all.first);
    positions->nullable = all.n_nulls != 0;
    positions->n_lasts = all.last.n;
    positions->lasts = mr_arena_alloc(arena, (all.last.n + 1) * sizeof *positions->lasts);
    if (!positions->lasts)
        stop(&b, "no memory");
    for (uint32_t i = 0; i < all.last.n && !b.why; i++)
        positions->lasts[i] = (struct mr_edge){all.last.v[i].at, 0, all.last.v[i].mask};
    *why = b.why;
    return b.why ? MR_ERR_LIMIT : MR_OK;
}
