/* What is compiled here against who knows better: texts drawn from every pattern, bare, among other
 * bytes and with some bytes changed, go through a back end and through the oracle. A pattern about
 * which they differ once is left to the CPU. */
#include "offload/regex_check.h"

#include <stdlib.h>
#include <string.h>

#define TEXT_MAX    4096u
#define BATCH_BYTES (128u * 1024)
#define BATCH_TEXTS 256u

struct checker {
    struct mr_regex_set *set;
    const struct mr_regex_oracle *oracle;
    const struct mr_backend *backend;
    void *state;
    struct mr_offload_batch *batch;
    uint32_t words, *ours, *theirs, *unfit;
    struct mr_regex_checked *checked;
    uint64_t random;
};

static uint32_t draw(struct checker *c, uint32_t below)
{
    uint64_t x = c->random += 0x9e3779b97f4a7c15ull;

    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9ull;
    x = (x ^ x >> 27) * 0x94d049bb133111ebull;
    return (uint32_t)((x ^ x >> 31) % below);
}

/* ---- texts ---- */

static const char likely[] = "\n \ta_A0.\r\xc3\xa9-\x80";

static uint32_t mutate(struct checker *c, uint8_t *text, uint32_t len)
{
    uint32_t at = draw(c, len);

    switch (draw(c, 4)) {
    case 0:
        text[at] = (uint8_t)likely[draw(c, sizeof likely - 1)];
        return len;
    case 1:
        text[at] ^= 0x20;
        return len;
    case 2:
        memmove(text + at, text + at + 1, len - at - 1);
        return len > 1 ? len - 1 : len;
    default:
        memmove(text + at + 1, text + at, len - at);
        return len + 1;
    }
}

/* The k-th text of a pattern; 0: none comes to mind. */
static uint32_t make_text(struct checker *c, const struct mr_regex_pattern *pattern, uint32_t k,
                          uint8_t *text)
{
    uint32_t head = k % 3 ? draw(c, 4) : 0, tail = k % 4 ? draw(c, 4) : 0;
    uint32_t len = mr_regex_sample(pattern, &c->random, text + head, TEXT_MAX - 16);

    if (!len)
        return 0;
    for (uint32_t i = 0; i < head; i++)
        text[i] = (uint8_t)likely[draw(c, sizeof likely - 1)];
    len += head;
    for (; tail; tail--)
        text[len++] = (uint8_t)likely[draw(c, sizeof likely - 1)];
    for (uint32_t changes = k / 2 % 3; changes; changes--)
        len = mutate(c, text, len);
    return len;
}

/* ---- comparing ---- */

static void demote(struct checker *c, uint32_t pattern)
{
    struct mr_regex_place *place = &c->set->places[pattern];

    if (place->tier == MR_TIER_CPU)
        return;
    c->set->tiers[place->tier]--;
    c->set->tiers[MR_TIER_CPU]++;
    place->tier = MR_TIER_CPU;
    place->why = "its automaton and the CPU have differed on a text";
    c->checked->demoted++;
}

/* ours[]: what the device found in message m; undecided ones count as the oracle has them. */
static void collect(struct checker *c, uint32_t m)
{
    const struct mr_offload_batch *batch = c->batch;

    memset(c->ours, 0, c->words * 4);
    for (uint32_t i = 0; i < batch->n_matches; i++) {
        uint32_t pattern = batch->matches[i].pattern & ~MR_REGEX_UNDECIDED;
        uint32_t bit = 1u << (pattern & 31);
        if (batch->matches[i].message != m)
            continue;
        c->ours[pattern >> 5] |=
            batch->matches[i].pattern & MR_REGEX_UNDECIDED ? c->theirs[pattern >> 5] & bit : bit;
    }
}

static enum mr_status compare(struct checker *c, struct mr_error *error)
{
    struct mr_offload_batch *batch = c->batch;
    enum mr_status status = c->backend->submit(c->state, batch, error);

    if (!status)
        status = mr_backend_wait(c->backend, c->state, batch, error);
    for (uint32_t m = 0; m < batch->n_messages && !status; m++) {
        const uint8_t *bytes = batch->bytes + batch->messages[m].offset;
        if (batch->redo[m])
            continue;
        memset(c->theirs, 0, c->words * 4);
        memset(c->unfit, 0, c->words * 4);
        c->oracle->search(c->oracle->context, bytes, batch->messages[m].len, c->theirs, c->unfit);
        collect(c, m);
        c->checked->texts++;
        c->checked->bytes += batch->messages[m].len;
        for (uint32_t w = 0; w < c->words; w++)
            for (uint32_t left = (c->ours[w] ^ c->theirs[w]) & ~c->unfit[w]; left; left &= left - 1)
                demote(c, w * 32 + (uint32_t)__builtin_ctz(left));
    }
    batch->n_bytes = batch->n_messages = 0;
    return status;
}

static enum mr_status check_all(struct checker *c, const struct mr_regex_pattern *patterns,
                                uint32_t samples, struct mr_error *error)
{
    uint8_t text[TEXT_MAX + 16];
    enum mr_status status = MR_OK;

    for (uint32_t i = 0; i < c->set->n; i++)
        for (uint32_t k = 0; k < samples && !status; k++) {
            uint32_t len = make_text(c, &patterns[i], k, text);
            if (!len)
                continue;
            if (!mr_batch_has_room(c->batch, len))
                status = compare(c, error);
            mr_batch_add(c->batch, text, len);
        }
    return status || !c->batch->n_messages ? status : compare(c, error);
}

enum mr_status mr_regex_check(struct mr_regex_set *set, const struct mr_regex_pattern *patterns,
                              const struct mr_backend *backend,
                              const struct mr_regex_oracle *oracle, uint32_t samples,
                              struct mr_regex_checked *checked, struct mr_error *error)
{
    struct mr_backend_config config = {
        .work = {.set = set},
        .bytes_max = BATCH_BYTES,
        .messages_max = BATCH_TEXTS,
        .matches_each = 256,
    };
    struct checker c = {.set = set,
                        .oracle = oracle,
                        .backend = backend,
                        .checked = checked,
                        .words = (set->n + 31) / 32 + 1,
                        .random = 1};
    enum mr_status status = backend->open(&config, &c.state, error);

    *checked = (struct mr_regex_checked){0};
    if (status)
        return status;
    status = backend->batch_new(c.state, &c.batch, error);
    c.ours = calloc(3 * (size_t)c.words, 4);
    if (!status && !c.ours) {
        status = mr_fail(error, MR_ERR_MEMORY, "no memory to check %u patterns", set->n);
    } else if (!status) {
        c.theirs = c.ours + c.words;
        c.unfit = c.theirs + c.words;
        status = check_all(&c, patterns, samples, error);
    }
    free(c.ours);
    if (status == MR_ERR_LIMIT) /* the device's, from now on */
        return status;
    backend->batch_free(c.state, c.batch);
    backend->close(c.state);
    return status;
}
