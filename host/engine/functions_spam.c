/* f_spamScore and f_classify: how much a mail looks like spam, by a model file. The work is done by
 * mime/ and models/; here it is tied to the rows of a program. */
#include "millrace/component.h"
#include "models/spam_model.h"
#include "models/spam_text.h"

#include <stdlib.h>

enum { MAILS, BYTES, SPAM };

static const char *const counters[] = {"mails", "bytes", "spam", NULL};

/* One worker's. */
struct thread {
    struct mr_mime_decoder *decoder;
    struct mr_spam_scratch *scratch;
    uint8_t text[MR_SPAM_TEXT_ROOM];
};

/* ---- start-up ---- */

static enum mr_status bind(const struct mr_constant *constants, uint32_t n_constants, void **config,
                           struct mr_bind_error *error)
{
    struct mr_spam_model *model = NULL;
    struct mr_error why = {MR_OK, ""};
    (void)n_constants;

    error->argument = 0;
    error->offset = -1;
    if (!constants[0].is_file) {
        snprintf(error->text, sizeof error->text,
                 "the model is a file: write it as @\"path\" (millrace train spam makes one)");
        return MR_ERR_PROGRAM;
    }
    if (mr_spam_model_read(constants[0].value.b.ptr, &model, &why)) {
        snprintf(error->text, sizeof error->text, "model %.480s", why.text);
        return MR_ERR_PROGRAM;
    }
    *config = model;
    return MR_OK;
}

static void unbind(void *config)
{
    mr_spam_model_free(config);
}

static void thread_close(void *memory)
{
    struct thread *thread = memory;

    if (!thread)
        return;
    mr_mime_close(thread->decoder);
    mr_spam_scratch_free(thread->scratch);
    free(thread);
}

static enum mr_status thread_open(const void *config, void **out)
{
    struct thread *thread = calloc(1, sizeof *thread);
    (void)config;

    if (!thread)
        return MR_ERR_MEMORY;
    thread->decoder = mr_mime_open(NULL);
    thread->scratch = mr_spam_scratch_new();
    if (!thread->decoder || !thread->scratch) {
        thread_close(thread);
        return MR_ERR_MEMORY;
    }
    *out = thread;
    return MR_OK;
}

/* ---- scoring ---- */

/* What a decoder needs beyond its own comes from the pool, not from the heap. */
static void *get(void *user, size_t bytes, void **handle)
{
    struct mr_buffer *buffer = mr_buffer_get(user, bytes);

    *handle = buffer;
    return buffer ? buffer->data : NULL;
}

static void put(void *user, void *handle)
{
    mr_buffer_put(user, handle);
}

static double score_of(struct mr_call *call, union mr_value mail)
{
    const struct mr_spam_model *model = call->config;
    const struct mr_mime_memory memory = {call->runtime, get, put};
    struct thread *thread = call->thread;
    struct mr_bayes_sums sums;
    const struct mr_mime *decoded = mr_mime_decode(
        thread->decoder, &memory, mail.b.len ? mail.b.ptr : (const void *)"", mail.b.len);
    uint32_t len = mr_spam_text(decoded, (enum mr_spam_fields)model->fields, thread->text);

    mr_mime_release(thread->decoder);
    mr_spam_sums(model, thread->scratch, thread->text, len, &sums);
    return mr_spam_score(mr_spam_z(model, &sums));
}

static void judge(struct mr_call *call, bool as_word)
{
    const struct mr_spam_model *model = call->config;
    const union mr_value *mails = call->args[0];
    uint64_t bytes = 0, spam = 0;

    for (uint32_t row = 0; row < call->n; row++) {
        double score = score_of(call, mails[row]);
        bool is_spam = score >= model->threshold;
        if (as_word)
            call->out[row] = is_spam ? MR_VALUE_TEXT("spam") : MR_VALUE_TEXT("ham");
        else
            call->out[row] = (union mr_value){.d = score};
        bytes += mails[row].b.len;
        spam += is_spam;
    }
    mr_count(call, MAILS, call->n);
    mr_count(call, BYTES, bytes);
    mr_count(call, SPAM, spam);
}

static void score(struct mr_call *call)
{
    judge(call, false);
}

static void classify(struct mr_call *call)
{
    judge(call, true);
}

#define SPAM_FUNCTION                                                                              \
    .args = {MR_TYPE_STRING, MR_TYPE_STRING}, .n_args = 2, .n_constant = 1,                        \
    .order = MR_ORDER_NONE, .shape = MR_SHAPE_MAP, .pure = true, .backends = "cpu",                \
    .counters = counters, .bind = bind, .unbind = unbind, .thread_open = thread_open,              \
    .thread_close = thread_close

static const struct mr_function functions[] = {
    {
        .name = "f_spamScore",
        .summary = "0 to 1: how much a mail looks like spam by a model (@\"file\")",
        .result = MR_TYPE_REAL,
        .call = score,
        SPAM_FUNCTION,
    },
    {
        .name = "f_classify",
        .summary = "\"spam\" when a mail's score reaches the model's threshold (@\"file\"), else "
                   "\"ham\"",
        .result = MR_TYPE_STRING,
        .call = classify,
        SPAM_FUNCTION,
    },
};

extern const struct mr_component mr_component_spam;
const struct mr_component mr_component_spam = {
    .abi = MR_COMPONENT_ABI,
    .bytes = sizeof(struct mr_component),
    .name = "spam",
    .summary = "spam by a trained model",
    .functions = functions,
    .n_functions = sizeof functions / sizeof functions[0],
};
