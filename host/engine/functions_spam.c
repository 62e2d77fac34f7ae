/* f_spamScore and f_classify: how much a mail looks like spam, by a model file. The work is done by
 * mime/ and models/; here it is tied to the rows of a program. */
#include "engine/mail_text.h"
#include "models/spam_model.h"

#include <stdlib.h>

enum { MAILS, BYTES, SPAM };

static const char *const counters[] = {"mails", "bytes", "spam", NULL};

/* One worker's. */
struct thread {
    struct mr_mail_reader reader;
    struct mr_spam_scratch *scratch;
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
    mr_mime_close(thread->reader.decoder);
    mr_spam_scratch_free(thread->scratch);
    free(thread);
}

static enum mr_status thread_open(const void *config, void **out)
{
    struct thread *thread = calloc(1, sizeof *thread);
    (void)config;

    if (!thread)
        return MR_ERR_MEMORY;
    thread->reader.decoder = mr_mime_open(NULL);
    thread->scratch = mr_spam_scratch_new();
    if (!thread->reader.decoder || !thread->scratch) {
        thread_close(thread);
        return MR_ERR_MEMORY;
    }
    *out = thread;
    return MR_OK;
}

/* ---- scoring ---- */

static double score_of(struct mr_call *call, union mr_value mail)
{
    const struct mr_spam_model *model = call->config;
    struct thread *thread = call->thread;
    struct mr_bayes_sums sums;
    struct mr_mail_text text = mr_mail_text(
        call, &thread->reader, mail, (enum mr_spam_fields)model->fields, mr_sharers(call) > 1);

    mr_spam_sums(model, thread->scratch, text.bytes, text.len, &sums);
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
    .order = MR_ORDER_NONE, .shape = MR_SHAPE_MAP, .pure = true, .shares = true,                   \
    .backends = "cpu", .counters = counters, .bind = bind, .unbind = unbind,                       \
    .thread_open = thread_open, .thread_close = thread_close

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
