/* Running views: what is known of each group. */
#include "runtime/view.h"

#include "runtime/aggregate.h"
#include "runtime/table_set.h"

#include <string.h>

#define MAX_BYTES (64u * 1024 * 1024) /* of a buffer */

/* A value that rows of the group have: in a tree by value, which random numbers keep flat. */
struct node {
    struct node *left, *right;
    uint64_t priority, n; /* so many rows have it */
    struct mr_buffer *large;
    uint32_t bytes;
    union mr_value value;
};

union state {
    struct mr_int_sum ints;
    struct mr_real_sum *reals;
    struct node *root;
};

struct mr_view_group {
    struct mr_hung hung;
    uint64_t n;    /* so many rows */
    uint64_t told; /* number of the change that was told last */
    struct mr_buffer *large;
    uint32_t bytes;
    union state *states;   /* [n_aggregates] */
    union mr_value keys[]; /* [n_keys] */
};

void mr_view_init(struct mr_view *view, const struct mr_plan *plan, uint32_t stage,
                  const struct mr_plan_rule *rule, struct mr_buffers *pool)
{
    *view = (struct mr_view){.rule = rule, .stage = stage};
    view->n_keys = plan->predicates[rule->trigger].arity;
    for (uint32_t a = 0; a < rule->n_aggregates; a++)
        view->n_keys -= rule->aggregates[a].kind != MR_AGGREGATE_COUNT;
    mr_slab_init(&view->slab, pool);
}

static struct mr_view_group *group_of(struct mr_hung *hung)
{
    return (struct mr_view_group *)(void *)hung;
}

/* Large pieces are not the slab's. */
static void free_tree(struct mr_view *view, struct node *node)
{
    while (node) {
        struct node *left = node->left;
        if (left) { /* turned until there is nothing on the left */
            node->left = left->right;
            left->right = node;
            node = left;
            continue;
        }
        struct node *right = node->right;
        mr_slab_put(&view->slab, node, node->bytes, node->large);
        node = right;
    }
}

static bool has_tree(const struct mr_plan_aggregate *a)
{
    return a->kind == MR_AGGREGATE_MIN || a->kind == MR_AGGREGATE_MAX;
}

static bool has_reals(const struct mr_plan_aggregate *a)
{
    return (a->kind == MR_AGGREGATE_SUM || a->kind == MR_AGGREGATE_AVG) && a->type == MR_TYPE_REAL;
}

static void free_group(struct mr_view *view, struct mr_view_group *g)
{
    for (uint32_t a = 0; a < view->rule->n_aggregates; a++) {
        if (has_tree(&view->rule->aggregates[a]))
            free_tree(view, g->states[a].root);
        else if (has_reals(&view->rule->aggregates[a]) && g->states[a].reals)
            mr_slab_put(&view->slab, g->states[a].reals, sizeof *g->states[a].reals, NULL);
    }
    mr_slab_put(&view->slab, g, g->bytes, g->large);
}

void mr_view_free(struct mr_view *view)
{
    for (uint64_t b = 0; b < view->groups.n_buckets; b++) {
        struct mr_hung **at = mr_bucket_of(&view->groups, b), *g;
        while ((g = *at)) {
            *at = g->next;
            free_group(view, group_of(g));
        }
    }
    mr_buckets_free(&view->groups, view->slab.pool);
    mr_slab_release(&view->slab);
}

static void turn_off(struct mr_view *view)
{
    mr_view_free(view);
    view->off = true;
}

/* ---- groups ---- */

static uint64_t hash_keys(const struct mr_exec *exec, const struct mr_view *view,
                          const struct mr_tuples *t, uint32_t row)
{
    const struct mr_plan_predicate *p = &exec->plan->predicates[t->predicate];
    uint64_t hash = view->n_keys;

    for (uint32_t c = 0; c < view->n_keys; c++) {
        if (!t->columns[c])
            continue;
        hash = (hash ^ mr_value_hash(exec->secret, p->attributes[c].type, t->columns[c][row])) *
               0x9e3779b97f4a7c15u;
        hash ^= hash >> 29;
    }
    return hash;
}

/* Where the group hangs, or would. */
static struct mr_hung **find_group(const struct mr_exec *exec, const struct mr_view *view,
                                   uint64_t hash, const struct mr_tuples *t, uint32_t row)
{
    const struct mr_plan_predicate *p = &exec->plan->predicates[t->predicate];
    struct mr_hung **at = mr_bucket_of(&view->groups, hash);

    for (; *at; at = &(*at)->next) {
        bool same = (*at)->hash == hash;
        for (uint32_t c = 0; same && c < view->n_keys; c++)
            same = !t->columns[c] || !mr_value_order(p->attributes[c].type, group_of(*at)->keys[c],
                                                     t->columns[c][row]);
        if (same)
            break;
    }
    return at;
}

/* A copy of a value, with what it points to behind *at. */
static union mr_value keep_value(enum mr_type type, union mr_value value, uint8_t **at)
{
    uint32_t len = mr_value_bytes_of(type, value);

    if (len) {
        memcpy(*at, value.b.ptr, len);
        value.b.ptr = *at;
        *at += (len + 7u) & ~7u;
    }
    return value;
}

static struct mr_view_group *make_group(const struct mr_exec *exec, struct mr_view *view,
                                        const struct mr_tuples *t, uint32_t row)
{
    const struct mr_plan_predicate *p = &exec->plan->predicates[t->predicate];
    const struct mr_plan_rule *rule = view->rule;
    size_t bytes = sizeof(struct mr_view_group) + view->n_keys * sizeof(union mr_value) +
                   rule->n_aggregates * sizeof(union state);
    struct mr_buffer *large;
    bool good = true;

    for (uint32_t c = 0; c < view->n_keys; c++)
        if (t->columns[c])
            bytes += (mr_value_bytes_of(p->attributes[c].type, t->columns[c][row]) + 7u) & ~7u;
    struct mr_view_group *g = bytes > MAX_BYTES ? NULL : mr_slab_get(&view->slab, bytes, &large);
    if (!g)
        return NULL;
    *g = (struct mr_view_group){.large = large, .bytes = (uint32_t)bytes};
    g->states = (union state *)(void *)(g->keys + view->n_keys);
    memset(g->states, 0, rule->n_aggregates * sizeof *g->states);
    uint8_t *at = (uint8_t *)(g->states + rule->n_aggregates);
    for (uint32_t c = 0; c < view->n_keys; c++)
        g->keys[c] = t->columns[c] ? keep_value(p->attributes[c].type, t->columns[c][row], &at)
                                   : mr_value_int(0);
    for (uint32_t a = 0; good && a < rule->n_aggregates; a++) {
        if (!has_reals(&rule->aggregates[a]))
            continue;
        g->states[a].reals = mr_slab_get(&view->slab, sizeof *g->states[a].reals, &large);
        good = g->states[a].reals != NULL;
        if (good)
            memset(g->states[a].reals, 0, sizeof *g->states[a].reals);
    }
    if (good)
        return g;
    free_group(view, g);
    return NULL;
}

/* ---- the values of a group, in order ---- */

static bool add_node(struct mr_view *view, struct node **root, enum mr_type type,
                     union mr_value value)
{
    struct node *node = *root;
    struct mr_buffer *large;
    int order;

    while (node && (order = mr_value_order(type, value, node->value)))
        node = order < 0 ? node->left : node->right;
    if (node) {
        node->n++;
        return true;
    }
    size_t bytes = sizeof *node + mr_value_bytes_of(type, value);
    struct node *fresh = bytes > MAX_BYTES ? NULL : mr_slab_get(&view->slab, bytes, &large);
    if (!fresh)
        return false;
    uint8_t *at = (uint8_t *)(fresh + 1);
    view->random += 0x9e3779b97f4a7c15u;
    uint64_t mixed = (view->random ^ view->random >> 30) * 0xbf58476d1ce4e5b9u;
    *fresh = (struct node){.priority = mixed ^ mixed >> 27,
                           .n = 1,
                           .large = large,
                           .bytes = (uint32_t)bytes,
                           .value = keep_value(type, value, &at)};
    struct node **link = root;
    while (*link && (*link)->priority >= fresh->priority)
        link = mr_value_order(type, value, (*link)->value) < 0 ? &(*link)->left : &(*link)->right;
    /* what hangs there is divided: below the value, and above it */
    struct node **below = &fresh->left, **above = &fresh->right;
    for (node = *link, *link = fresh; node;) {
        if (mr_value_order(type, node->value, value) < 0) {
            *below = node;
            below = &node->right;
            node = node->right;
        } else {
            *above = node;
            above = &node->left;
            node = node->left;
        }
    }
    *below = *above = NULL;
    return true;
}

/* False: it is not there. */
static bool take_node(struct mr_view *view, struct node **root, enum mr_type type,
                      union mr_value value)
{
    struct node **link = root;
    int order;

    while (*link && (order = mr_value_order(type, value, (*link)->value)))
        link = order < 0 ? &(*link)->left : &(*link)->right;
    struct node *gone = *link;
    if (!gone)
        return false;
    if (--gone->n)
        return true;
    struct node *below = gone->left, *above = gone->right;
    while (below && above) {
        if (below->priority > above->priority) {
            *link = below;
            link = &below->right;
            below = *link;
        } else {
            *link = above;
            link = &above->left;
            above = *link;
        }
    }
    *link = below ? below : above;
    mr_slab_put(&view->slab, gone, gone->bytes, gone->large);
    return true;
}

static union mr_value outermost(const struct node *node, bool least)
{
    while (least ? node->left : node->right)
        node = least ? node->left : node->right;
    return node->value;
}

/* ---- changes ---- */

/* A row comes into a group, or goes. False: no memory. */
static bool count_in(struct mr_view *view, struct mr_view_group *g, const struct mr_tuples *t,
                     uint32_t row, bool away)
{
    uint32_t column = view->n_keys;
    bool good = true;

    g->n += away ? UINT64_MAX : 1;
    for (uint32_t a = 0; good && a < view->rule->n_aggregates; a++) {
        const struct mr_plan_aggregate *aggregate = &view->rule->aggregates[a];
        if (aggregate->kind == MR_AGGREGATE_COUNT)
            continue;
        union mr_value value = t->columns[column++][row];
        if (has_tree(aggregate))
            good = away ? take_node(view, &g->states[a].root, aggregate->type, value)
                        : add_node(view, &g->states[a].root, aggregate->type, value);
        else if (has_reals(aggregate))
            mr_real_sum_add(g->states[a].reals, value.d, away);
        else
            mr_int_sum_add(&g->states[a].ints, value.i, away);
    }
    return good;
}

/* One row of what feeds the view. False: no memory. *first: this change has not told of the group
 * yet. */
static bool feed_row(struct mr_exec *exec, struct mr_view *view, const struct mr_tuples *t,
                     uint32_t row, bool *first)
{
    uint64_t hash = hash_keys(exec, view, t, row);

    if (!mr_buckets_grow(&view->groups, view->slab.pool))
        return false;
    struct mr_hung **at = find_group(exec, view, hash, t, row);
    struct mr_view_group *g = group_of(*at);
    if (!g) {
        if (t->gone || !(g = make_group(exec, view, t, row)))
            return false;
        g->hung.hash = hash;
        *at = &g->hung;
        view->groups.n++;
    }
    *first = g->told != view->changes;
    g->told = view->changes;
    if (!count_in(view, g, t, row, t->gone))
        return false;
    if (g->n)
        return true;
    *at = g->hung.next;
    view->groups.n--;
    free_group(view, g);
    return true;
}

/* All that a change tells a view: the groups concerned, as rows of *t where that suffices. */
static struct mr_tuples *feed(struct mr_exec *exec, struct mr_view *view, struct mr_tuples *t)
{
    struct mr_tuples *groups = NULL;

    if (view->off)
        return t;
    view->changes++;
    for (uint32_t row = 0; row < t->n; row++) {
        bool first = false;
        if (!feed_row(exec, view, t, row, &first)) {
            turn_off(view);
            return t;
        }
        if (!first || t->n == 1)
            continue;
        if (!groups && !(groups = mr_tuples_new(exec, t->predicate, t->n, mr_tuples_with(t))))
            return t; /* some are told of twice */
        mr_tuples_append(exec->plan, groups, t, row);
    }
    return t->n == 1 ? t : groups;
}

static struct mr_view *view_of(const struct mr_exec *exec, uint32_t trigger)
{
    struct mr_table_set *set = exec->tables;

    for (uint32_t i = 0; set && i < set->n_views; i++)
        if (set->views[i].rule->trigger == trigger)
            return &set->views[i];
    return NULL;
}

static bool feeds(const struct mr_plan_rule *rule, uint32_t predicate)
{
    return rule->feeds && rule->trigger == predicate;
}

bool mr_views_want(const struct mr_plan_stage *stage, uint32_t predicate)
{
    for (uint32_t r = 0; r < stage->n_rules; r++)
        if (feeds(&stage->rules[r], predicate))
            return true;
    return false;
}

struct mr_tuples *mr_views_feed(struct mr_exec *exec, const struct mr_plan_stage *stage,
                                const struct mr_tuples *row)
{
    struct mr_tuples *list = NULL, **end = &list;

    for (uint32_t r = 0; r < stage->n_rules; r++) {
        const struct mr_plan_rule *rule = &stage->rules[r];
        struct mr_view *view = feeds(rule, row->predicate) ? view_of(exec, rule->head) : NULL;
        if (!view)
            continue;
        uint64_t refused = mr_exec_refused(exec);
        struct mr_tuples *t = mr_exec_rule(exec, rule, row, false);
        if (mr_exec_refused(exec) != refused)
            turn_off(view); /* it cannot know what it missed */
        if (!t)
            continue;
        t->gone = row->gone;
        t = feed(exec, view, t);
        t->gone = false; /* a group is named */
        t->next = NULL;
        *end = t;
        end = &t->next;
    }
    return list;
}

void mr_views_lost(struct mr_exec *exec, const struct mr_plan_stage *stage, uint32_t predicate)
{
    for (uint32_t r = 0; r < stage->n_rules; r++) {
        struct mr_view *view =
            feeds(&stage->rules[r], predicate) ? view_of(exec, stage->rules[r].head) : NULL;
        if (view)
            turn_off(view);
    }
}

/* ---- values ---- */

static union mr_value value_of(const struct mr_plan_aggregate *a, const struct mr_view_group *g,
                               const union state *state)
{
    if (a->kind == MR_AGGREGATE_COUNT)
        return mr_value_int((int64_t)g->n);
    if (has_tree(a))
        return outermost(state->root, a->kind == MR_AGGREGATE_MIN);
    return mr_sum_value(a, &state->ints, state->reals, g->n);
}

/* In the token's memory; false: there is none. */
static bool copy_value(struct mr_exec *exec, enum mr_type type, union mr_value *value)
{
    uint32_t len = mr_value_bytes_of(type, *value);

    if (!len)
        return true;
    void *copy = mr_exec_alloc(exec, len);
    if (copy)
        memcpy(copy, value->b.ptr, len);
    value->b.ptr = copy;
    return copy != NULL;
}

struct mr_tuples *mr_view_tell(struct mr_exec *exec, const struct mr_plan_rule *rule,
                               const struct mr_tuples *group, bool *off)
{
    const struct mr_view *view = view_of(exec, rule->trigger);
    const struct mr_plan_predicate *head = &exec->plan->predicates[rule->head];
    const struct mr_view_group *g = NULL;
    uint32_t aggregate = 0;

    *off = !view || view->off;
    if (*off)
        return NULL;
    if (view->groups.n)
        g = group_of(*find_group(exec, view, hash_keys(exec, view, group, 0), group, 0));
    if (!g && (!rule->counts_nothing || group->synthetic))
        return NULL;
    struct mr_tuples *t =
        mr_tuples_new(exec, rule->head, 1, mr_tuples_with(group) & ~(unsigned)MR_WITH_TRANSACTIONS);
    if (!t)
        return NULL;
    t->n = 1;
    t->synthetic = group->synthetic;
    t->origins[0] = group->origins[0];
    t->flows[0] = group->flows[0];
    if (t->contexts)
        t->contexts[0] = group->contexts[0];
    if (t->ordinals)
        t->ordinals[0] = group->ordinals[0];
    for (uint32_t c = 0; c < head->arity; c++) {
        const struct mr_plan_aggregate *a =
            aggregate < rule->n_aggregates && rule->aggregates[aggregate].column == c
                ? &rule->aggregates[aggregate]
                : NULL;
        const struct mr_operand *operand = &rule->head_args[c];
        union mr_value value = operand->constant;
        if (a)
            value = g ? value_of(a, g, &g->states[aggregate]) : mr_value_int(0);
        else if (operand->reg != MR_NO_REGISTER && group->columns[operand->reg])
            value = group->columns[operand->reg][0];
        aggregate += a != NULL;
        if (t->columns[c] && !copy_value(exec, head->attributes[c].type, &value))
            return NULL;
        if (t->columns[c])
            t->columns[c][0] = value;
    }
    return t;
}
