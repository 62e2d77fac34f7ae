/* Texts that a pattern matches, or nearly: a random way through its tree. Conditions such as \b are
 * left to luck. */
#include "offload/regex_tree.h"

#include <stdlib.h>

struct sampler {
    uint64_t *random;
    uint8_t *bytes;
    uint32_t n, capacity;
    bool full;
};

static uint32_t draw(struct sampler *s, uint32_t below)
{
    uint64_t x = *s->random += 0x9e3779b97f4a7c15ull;

    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9ull;
    x = (x ^ x >> 27) * 0x94d049bb133111ebull;
    return below ? (uint32_t)((x ^ x >> 31) % below) : 0;
}

static void take(struct sampler *s, const struct mr_byte_set *set)
{
    uint32_t n = 0;

    for (int i = 0; i < 4; i++)
        n += (uint32_t)__builtin_popcountll(set->words[i]);
    if (!n || s->n == s->capacity) {
        s->full = true;
        return;
    }
    n = draw(s, n);
    for (unsigned byte = 0; byte < 256; byte++)
        if (mr_byte_in(set, byte) && !n--)
            s->bytes[s->n++] = (uint8_t)byte;
}

static void walk(struct sampler *s, const struct mr_node *node)
{
    uint32_t n = 0, max;

    if (s->full)
        return;
    switch (node->kind) {
    case MR_NODE_SET:
        take(s, &node->set);
        break;
    case MR_NODE_CONCAT:
        for (const struct mr_node *child = node->first; child; child = child->next)
            walk(s, child);
        break;
    case MR_NODE_ALT:
        for (const struct mr_node *child = node->first; child; child = child->next)
            n++;
        n = draw(s, n);
        for (const struct mr_node *child = node->first; child; child = child->next)
            if (!n--)
                walk(s, child);
        break;
    case MR_NODE_REPEAT:
        max = node->max == MR_REPEAT_ENDLESS ? node->min + 4 : node->max;
        max = max - node->min > 12 && draw(s, 4) ? node->min + 12 : max;
        for (n = node->min + draw(s, max - node->min + 1); n && !s->full; n--)
            walk(s, node->first);
        break;
    default:
        break;
    }
}

uint32_t mr_regex_sample(const struct mr_regex_pattern *pattern, uint64_t *random, uint8_t *bytes,
                         uint32_t capacity)
{
    struct sampler s = {.random = random, .bytes = bytes, .capacity = capacity};
    struct mr_arena arena;
    struct mr_tree tree;
    const char *why;

    mr_arena_init(&arena, 0);
    if (mr_regex_parse(pattern->regex, pattern->flags, &arena, &tree, &why) == MR_OK)
        walk(&s, tree.root);
    mr_arena_free(&arena);
    return s.full ? 0 : s.n;
}
