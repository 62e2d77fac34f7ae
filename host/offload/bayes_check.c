/* Texts that a model is likely to know something of: words that mails have, under marks of all
 * kinds, among random ones; and some of random bytes. */
#include "offload/bayes_check.h"

#include "models/spam_tokens.h"

#include <stdlib.h>
#include <string.h>

#define TEXTS 24u
#define BYTES (192u * 1024)

static uint32_t draw(uint64_t *random, uint32_t below)
{
    uint64_t x = *random += 0x9e3779b97f4a7c15ull;

    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9ull;
    x = (x ^ x >> 27) * 0x94d049bb133111ebull;
    return (uint32_t)((x ^ x >> 31) % below);
}

static const char *const words[] = {
    "the",     "and",    "you",     "free",     "money",   "click",       "here",     "http",
    "www",     "com",    "list",    "from",     "subject", "order",       "price",    "offer",
    "now",     "credit", "linux",   "mail",     "please",  "report",      "million",  "dollars",
    "account", "remove", "wrote",   "spam",     "our",     "your",        "for",      "with",
    "have",    "this",   "that",    "not",      "will",    "text",        "plain",    "html",
    "us",      "iso",    "windows", "received", "mailto",  "unsubscribe", "business", "internet"};

/* One text of up to `most` bytes; returns its length. */
static uint32_t make_text(uint64_t *random, uint32_t k, uint32_t most, uint8_t *text)
{
    uint32_t len = 0;

    if (k % 8 == 7) { /* anything */
        for (; len < most; len++)
            text[len] = (uint8_t)draw(random, 256);
        return len;
    }
    while (len + 64 < most) {
        uint32_t n = 2 + draw(random, 9);
        const char *word = words[draw(random, sizeof words / sizeof *words)];
        if (!draw(random, 12)) {
            text[len++] = MR_BAYES_MARK;
            text[len++] = (uint8_t)(0x10 + draw(random, 3));
            text[len++] = (uint8_t)(0x10 + draw(random, 16));
        }
        if (draw(random, 4)) {
            n = (uint32_t)strlen(word);
            memcpy(text + len, word, n);
        } else {
            for (uint32_t i = 0; i < n; i++)
                text[len + i] = (uint8_t)('a' + draw(random, 26));
        }
        len += n;
        text[len++] = (uint8_t)(" \n,-."[draw(random, 5)]);
    }
    return len;
}

static bool same(const struct mr_bayes_sums *a, const struct mr_bayes_sums *b)
{
    return a->spam == b->spam && a->ham == b->ham && a->weight == b->weight &&
           a->n_known == b->n_known && a->n_strong == b->n_strong;
}

static enum mr_status compare(const struct mr_spam_model *model, const struct mr_backend *backend,
                              void *state, struct mr_offload_batch *batch,
                              struct mr_bayes_checked *checked, struct mr_error *error)
{
    uint8_t *text = malloc(MR_BAYES_TEXT_BYTES + MR_SPAM_SLACK);
    struct mr_spam_scratch *scratch = mr_spam_scratch_new();
    enum mr_status status = text && scratch ? MR_OK : MR_ERR_MEMORY;
    uint64_t random = 1;

    for (uint32_t k = 0; k < TEXTS && !status; k++) {
        uint32_t len = make_text(&random, k, 1u << (k % 14 + 1), text);
        mr_batch_add(batch, text, len);
    }
    if (status)
        mr_fail(error, status, "no memory to check a model");
    else
        status = backend->submit(state, batch, error);
    if (!status)
        status = mr_backend_wait(backend, state, batch, error);
    for (uint32_t m = 0; m < batch->n_messages && !status; m++) {
        const struct mr_bayes_sums *theirs = mr_batch_sums(batch, 0, m);
        struct mr_bayes_sums right;
        memcpy(text, batch->bytes + batch->messages[m].offset, batch->messages[m].len);
        mr_spam_sums(model, scratch, text, batch->messages[m].len, &right);
        checked->texts++;
        checked->known += right.n_known;
        checked->different += theirs->n_known != MR_BAYES_NONE && !same(theirs, &right);
    }
    mr_spam_scratch_free(scratch);
    free(text);
    return status;
}

enum mr_status mr_bayes_check(const struct mr_spam_model *model, const struct mr_backend *backend,
                              struct mr_bayes_checked *checked, struct mr_error *error)
{
    struct mr_backend_config config = {
        .work = {.models = {{model, 0}}, .n_models = 1},
        .bytes_max = BYTES,
        .messages_max = TEXTS,
        .matches_each = 1,
    };
    struct mr_offload_batch *batch = NULL;
    void *state = NULL;
    enum mr_status status = backend->open(&config, &state, error);

    *checked = (struct mr_bayes_checked){0};
    if (status)
        return status;
    status = backend->batch_new(state, &batch, error);
    if (!status)
        status = compare(model, backend, state, batch, checked, error);
    if (status == MR_ERR_LIMIT) /* the device's, from now on */
        return status;
    backend->batch_free(state, batch);
    backend->close(state);
    return status;
}
