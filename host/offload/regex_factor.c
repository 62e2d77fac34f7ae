/* What a message must contain to match: literals found in the tree. A node is known by the few
 * texts that it matches as long as they are few; where they become many, what was known so far is
 * a candidate, and the best candidate of all wins. */
#include "offload/regex_automaton.h"

#include <string.h>

#define TEXT_MAX 48u
#define SET_MAX  8u /* characters of a class that are written out */

struct text {
    uint8_t len;
    bool caseless, cased; /* it has letters of both cases; letters of one case only */
    uint8_t bytes[TEXT_MAX];
};

struct texts {
    uint32_t n;
    struct text v[MR_FACTORS_EACH];
};

/* A node: exactly these texts (`exact`), and a message must contain one of `best` (if any). */
struct known {
    bool exact;
    struct texts all, best;
};

static struct known *known_new(struct mr_arena *arena)
{
    return mr_arena_zalloc(arena, sizeof(struct known));
}

static uint32_t shortest(const struct texts *texts)
{
    uint32_t min = texts->n ? UINT32_MAX : 0;

    for (uint32_t i = 0; i < texts->n; i++)
        min = texts->v[i].len < min ? texts->v[i].len : min;
    return min;
}

/* Longer is rarer, up to a point; many are worse than few. */
static uint32_t worth(const struct texts *texts)
{
    uint32_t len = shortest(texts), cost = 0;

    if (len < 3)
        return 0;
    for (uint32_t n = texts->n; n > 1; n /= 2)
        cost++;
    return (len > 12 ? 12 : len) * 8 - cost * 4 + (len > 12) + (len >= 4 ? 100 : 0);
}

static void offer(struct known *known, const struct texts *texts)
{
    if (worth(texts) > worth(&known->best))
        known->best = *texts;
}

static bool has(const struct texts *texts, const struct text *text)
{
    for (uint32_t i = 0; i < texts->n; i++)
        if (!memcmp(&texts->v[i], text, sizeof *text))
            return true;
    return false;
}

static bool add(struct texts *texts, const struct text *text)
{
    if (has(texts, text))
        return true;
    if (texts->n == MR_FACTORS_EACH)
        return false;
    texts->v[texts->n++] = *text;
    return true;
}

/* Every text of x followed by every one of y. */
static bool product(const struct texts *x, const struct texts *y, struct texts *to)
{
    to->n = 0;
    for (uint32_t i = 0; i < x->n; i++)
        for (uint32_t k = 0; k < y->n; k++) {
            struct text both = x->v[i];
            if (both.len + y->v[k].len > TEXT_MAX)
                return false;
            memcpy(both.bytes + both.len, y->v[k].bytes, y->v[k].len);
            both.len = (uint8_t)(both.len + y->v[k].len);
            both.caseless |= y->v[k].caseless;
            both.cased |= y->v[k].cased;
            if (!add(to, &both))
                return false;
        }
    return true;
}

/* ---- nodes ---- */

static void of_set(const struct mr_byte_set *set, struct known *known)
{
    struct mr_byte_set rest = *set;
    uint32_t n = 0;

    for (int i = 0; i < 4; i++)
        n += (uint32_t)__builtin_popcountll(set->words[i]);
    known->exact = n <= 2 * SET_MAX;
    for (unsigned byte = 0; byte < 256 && known->exact; byte++) {
        if (!mr_byte_in(&rest, byte))
            continue;
        bool upper = byte >= 'A' && byte <= 'Z', letter = upper || (byte >= 'a' && byte <= 'z');
        struct text text = {.len = 1, .bytes = {(uint8_t)byte}};
        if (upper && mr_byte_in(set, byte | 0x20)) {
            text.bytes[0] |= 0x20;
            text.caseless = true;
            rest.words[1] &= ~((uint64_t)1 << ((byte | 0x20) & 63));
        } else {
            text.cased = letter;
        }
        known->exact = known->all.n < SET_MAX && add(&known->all, &text);
    }
}

static bool of_node(const struct mr_node *node, struct mr_arena *arena, struct known *known);

static void set_empty(struct known *known)
{
    known->exact = true;
    known->all.n = 1;
    known->all.v[0] = (struct text){0};
}

/* *known, followed by *next. */
static void append(struct known *known, const struct known *next, struct texts *scratch)
{
    offer(known, &next->best);
    if (known->exact && next->exact && product(&known->all, &next->all, scratch)) {
        known->all = *scratch;
        return;
    }
    offer(known, &known->all);
    if (next->exact) { /* begin anew */
        known->all = next->all;
        offer(known, &known->all);
    } else {
        set_empty(known);
    }
    known->exact = false;
}

static bool of_concat(const struct mr_node *node, struct mr_arena *arena, struct known *known)
{
    struct texts *scratch = mr_arena_alloc(arena, sizeof *scratch);
    bool exact = true;

    set_empty(known);
    for (const struct mr_node *child = node->first; child; child = child->next) {
        struct known *next = known_new(arena);
        if (!scratch || !next || !of_node(child, arena, next))
            return false;
        known->exact = true; /* as a run: what stands in all[] ends here */
        append(known, next, scratch);
        exact &= known->exact;
        if (!known->exact)
            known->exact = false;
    }
    offer(known, &known->all);
    known->exact = exact;
    if (!exact)
        known->all.n = 0;
    return true;
}

static bool of_alt(const struct mr_node *node, struct mr_arena *arena, struct known *known)
{
    struct texts *best = mr_arena_zalloc(arena, sizeof *best);
    bool all_best = best != NULL;

    known->exact = true;
    for (const struct mr_node *child = node->first; child; child = child->next) {
        struct known *next = known_new(arena);
        if (!best || !next || !of_node(child, arena, next))
            return false;
        if (next->exact)
            offer(next, &next->all);
        known->exact &= next->exact;
        for (uint32_t i = 0; i < next->all.n && known->exact; i++)
            known->exact = add(&known->all, &next->all.v[i]);
        all_best &= next->best.n != 0;
        for (uint32_t i = 0; i < next->best.n && all_best; i++)
            all_best = add(best, &next->best.v[i]);
    }
    if (all_best)
        offer(known, best);
    if (known->exact)
        offer(known, &known->all);
    return true;
}

static bool of_repeat(const struct mr_node *node, struct mr_arena *arena, struct known *known)
{
    struct known *child = known_new(arena);
    struct texts *scratch = mr_arena_alloc(arena, sizeof *scratch);

    if (!child || !scratch)
        return false;
    if (!node->max) {
        set_empty(known);
        return true;
    }
    if (!of_node(node->first, arena, child))
        return false;
    if (!node->min) {
        known->exact = node->max == 1 && child->exact;
        if (known->exact) {
            struct text empty = {0};
            known->all = child->all;
            known->exact = add(&known->all, &empty);
        }
        return true;
    }
    offer(known, &child->best);
    if (!child->exact)
        return true;
    set_empty(known);
    uint32_t done = 0;
    while (done < node->min && product(&known->all, &child->all, scratch)) {
        known->all = *scratch;
        done++;
    }
    offer(known, &known->all);
    known->exact = done == node->min && node->max == node->min;
    return true;
}

static bool of_node(const struct mr_node *node, struct mr_arena *arena, struct known *known)
{
    switch (node->kind) {
    case MR_NODE_EMPTY:
    case MR_NODE_ASSERT: /* says nothing about bytes; mr_regex_find_factors() looks for them */
        set_empty(known);
        return true;
    case MR_NODE_SET:
        of_set(&node->set, known);
        return true;
    case MR_NODE_CONCAT:
        return of_concat(node, arena, known);
    case MR_NODE_ALT:
        return of_alt(node, arena, known);
    case MR_NODE_REPEAT:
        return of_repeat(node, arena, known);
    }
    return false;
}

static bool asserts(const struct mr_node *node)
{
    if (node->kind == MR_NODE_ASSERT)
        return true;
    for (const struct mr_node *child = node->first; child; child = child->next)
        if (asserts(child))
            return true;
    return false;
}

enum mr_status mr_regex_find_factors(const struct mr_node *root, struct mr_arena *arena,
                                     struct mr_regex_factors *factors)
{
    struct known *known = known_new(arena);

    factors->n = 0;
    factors->whole = false;
    if (!known || !of_node(root, arena, known))
        return MR_ERR_MEMORY;
    if (known->exact)
        offer(known, &known->all);
    if (!worth(&known->best))
        return MR_OK;
    factors->whole = known->exact && !asserts(root) && known->best.n == known->all.n &&
                     !memcmp(known->best.v, known->all.v, known->best.n * sizeof *known->best.v);
    for (uint32_t i = 0; i < known->best.n; i++) {
        const struct text *text = &known->best.v[i];
        uint8_t *bytes = mr_arena_alloc(arena, text->len);
        if (!bytes)
            return MR_ERR_MEMORY;
        for (uint32_t k = 0; k < text->len; k++) {
            uint8_t c = text->bytes[k];
            bytes[k] = text->caseless && c >= 'A' && c <= 'Z' ? c | 0x20 : c;
        }
        /* with letters of both kinds the filter would let too much pass: right, but not exact */
        factors->whole &= !(text->caseless && text->cased);
        factors->v[factors->n++] = (struct mr_regex_factor){bytes, text->len, text->caseless};
    }
    return MR_OK;
}
