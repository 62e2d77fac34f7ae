/* The back end that every machine has: the compiled tables, searched by the thread that submits. */
#include "models/spam_tokens.h"
#include "offload/backend.h"

#include <stdlib.h>
#include <string.h>

struct cpu {
    struct mr_backend_config config;
    uint32_t *matches, *undecided; /* bits */
    struct mr_spam_scratch *scratch;
};

struct cpu_batch {
    struct mr_offload_batch batch;
    struct mr_regex_match *found;
    uint32_t capacity;
    struct mr_bayes_sums *sums;
    uint8_t text[MR_BAYES_TEXT_BYTES + MR_SPAM_SLACK]; /* a view, with what tokenising reads */
};

static enum mr_status cpu_probe(struct mr_error *error)
{
    (void)error;
    return MR_OK;
}

static void cpu_close(void *state)
{
    struct cpu *cpu = state;

    if (!cpu)
        return;
    free(cpu->matches);
    free(cpu->undecided);
    mr_spam_scratch_free(cpu->scratch);
    free(cpu);
}

static enum mr_status cpu_open(const struct mr_backend_config *config, void **state,
                               struct mr_error *error)
{
    struct cpu *cpu = calloc(1, sizeof *cpu);
    size_t words = (mr_offload_patterns(&config->work) + 31) / 32 + 1;

    *state = cpu;
    if (cpu) {
        cpu->config = *config;
        cpu->matches = calloc(words, 4);
        cpu->undecided = calloc(words, 4);
        if (config->work.n_models)
            cpu->scratch = mr_spam_scratch_new();
        if (cpu->matches && cpu->undecided && (cpu->scratch || !config->work.n_models))
            return MR_OK;
    }
    cpu_close(cpu);
    *state = NULL;
    return mr_fail(error, MR_ERR_MEMORY, "no memory for the back end on the CPU");
}

static void cpu_batch_free(void *state, struct mr_offload_batch *batch)
{
    struct cpu_batch *own = (struct cpu_batch *)batch;

    (void)state;
    if (!own)
        return;
    free(batch->bytes);
    free(batch->messages);
    free(batch->redo);
    free(own->found);
    free(own->sums);
    free(own);
}

static enum mr_status cpu_batch_new(void *state, struct mr_offload_batch **batch,
                                    struct mr_error *error)
{
    const struct mr_backend_config *config = &((struct cpu *)state)->config;
    struct cpu_batch *own = calloc(1, sizeof *own);

    *batch = NULL;
    if (own) {
        own->batch.bytes_max = config->bytes_max;
        own->batch.messages_max = config->messages_max;
        own->capacity = (config->messages_max + 16) * config->matches_each;
        own->batch.n_views = mr_offload_views(&config->work);
        own->batch.bytes = aligned_alloc(16, config->bytes_max);
        own->batch.messages =
            calloc((size_t)config->messages_max * own->batch.n_views, sizeof *own->batch.messages);
        own->batch.redo = calloc(config->messages_max, 1);
        own->found = calloc(own->capacity, sizeof *own->found);
        own->sums =
            calloc((size_t)config->messages_max * config->work.n_models + 1, sizeof *own->sums);
        if (own->batch.bytes && own->batch.messages && own->batch.redo && own->found && own->sums) {
            *batch = &own->batch;
            return MR_OK;
        }
        cpu_batch_free(state, &own->batch);
    }
    return mr_fail(error, MR_ERR_MEMORY, "no memory for a batch of %u bytes", config->bytes_max);
}

/* The bits of a message become matches; false: there is no room. */
static bool append(struct cpu_batch *own, const uint32_t *bits, uint32_t n, uint32_t message,
                   uint32_t flag)
{
    for (uint32_t w = 0; w < (n + 31) / 32; w++)
        for (uint32_t left = bits[w]; left; left &= left - 1) {
            if (own->batch.n_matches == own->capacity)
                return false;
            own->found[own->batch.n_matches++] =
                (struct mr_regex_match){message, (w * 32 + (uint32_t)__builtin_ctz(left)) | flag};
        }
    return true;
}

static void search(struct cpu *cpu, struct cpu_batch *own, uint32_t m)
{
    const struct mr_regex_set *set = cpu->config.work.set;
    struct mr_offload_batch *batch = &own->batch;
    const struct mr_batch_message *view = mr_batch_view(batch, cpu->config.work.set_view, m);

    mr_regex_search(set, batch->bytes + view->offset, view->len, cpu->matches, cpu->undecided);
    for (uint32_t i = 0; i < set->n && set->tiers[MR_TIER_CPU]; i++) /* the caller's anyway */
        if (set->places[i].tier == MR_TIER_CPU)
            cpu->undecided[i >> 5] &= ~(1u << (i & 31));
    if (!append(own, cpu->matches, set->n, m, 0) ||
        !append(own, cpu->undecided, set->n, m, MR_REGEX_UNDECIDED))
        batch->redo[m] = MR_REDO_SEARCH;
}

static void sum_up(struct cpu *cpu, struct cpu_batch *own, uint32_t model, uint32_t m)
{
    const struct mr_offload_model *work = &cpu->config.work.models[model];
    const struct mr_batch_message *view = mr_batch_view(&own->batch, work->view, m);
    uint32_t len = view->len < MR_BAYES_TEXT_BYTES ? view->len : MR_BAYES_TEXT_BYTES;

    memcpy(own->text, own->batch.bytes + view->offset, len);
    mr_spam_sums(work->model, cpu->scratch, own->text, len,
                 &own->sums[model * own->batch.messages_max + m]);
}

static enum mr_status cpu_submit(void *state, struct mr_offload_batch *batch,
                                 struct mr_error *error)
{
    struct cpu *cpu = state;
    struct cpu_batch *own = (struct cpu_batch *)batch;

    (void)error;
    batch->n_matches = 0;
    batch->matches = own->found;
    batch->sums = own->sums;
    batch->sums_each = batch->messages_max;
    memset(batch->redo, 0, batch->n_messages);
    for (uint32_t m = 0; m < batch->n_messages; m++) {
        if (mr_offload_patterns(&cpu->config.work))
            search(cpu, own, m);
        for (uint32_t i = 0; i < cpu->config.work.n_models; i++)
            sum_up(cpu, own, i, m);
    }
    return MR_OK;
}

static enum mr_status cpu_poll(void *state, struct mr_offload_batch *batch, struct mr_error *error)
{
    (void)state, (void)batch, (void)error;
    return MR_OK;
}

const struct mr_backend mr_backend_cpu = {
    .name = "cpu",
    .probe = cpu_probe,
    .open = cpu_open,
    .close = cpu_close,
    .batch_new = cpu_batch_new,
    .batch_free = cpu_batch_free,
    .submit = cpu_submit,
    .poll = cpu_poll,
};
