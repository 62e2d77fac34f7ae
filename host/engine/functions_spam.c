/* f_spamScore and f_classify: how much a mail looks like spam, by a model file. The work is done by
 * mime/ and models/; here it is tied to the rows of a program. */
#include "engine/mail_text.h"
#include "millrace/device.h"
#include "models/spam_model.h"

#include <stdlib.h>
#include <string.h>

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

/* Of the mail's text, which is made once for all who score it. */
static void sum_up(struct mr_call *call, union mr_value mail, struct mr_bayes_sums *sums)
{
    const struct mr_spam_model *model = call->config;
    struct thread *thread = call->thread;
    struct mr_mail_text text = mr_mail_text(
        call, &thread->reader, mail, (enum mr_spam_fields)model->fields, mr_sharers(call) > 1);

    mr_spam_sums(model, thread->scratch, text.bytes, text.len, sums);
}

/* What the device says is compared with what is right. */
static void check(struct mr_call *call, uint32_t row, const struct mr_bayes_sums *right,
                  const struct mr_bayes_sums *theirs)
{
    static const uint32_t model = 0;
    bool same = right->spam == theirs->spam && right->ham == theirs->ham &&
                right->weight == theirs->weight && right->n_known == theirs->n_known &&
                right->n_strong == theirs->n_strong;

    mr_device_checked(call, row, &model, !same);
}

static double score_of(struct mr_call *call, uint32_t row)
{
    const struct mr_spam_model *model = call->config;
    const struct mr_device_answer *answer = mr_device_answer(call, row);
    struct mr_bayes_sums sums, theirs;

    if (answer)
        memcpy(&theirs, answer->words, sizeof theirs);
    if (!answer || answer->check)
        sum_up(call, call->args[0][row], &sums);
    else
        sums = theirs;
    if (answer && answer->check)
        check(call, row, &sums, &theirs);
    return mr_spam_score(mr_spam_z(model, &sums));
}

static void judge(struct mr_call *call, bool as_word)
{
    const struct mr_spam_model *model = call->config;
    const union mr_value *mails = call->args[0];
    uint64_t bytes = 0, spam = 0;

    for (uint32_t row = 0; row < call->n; row++) {
        double score = score_of(call, row);
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

/* ---- on a device ---- */

static uint32_t view_key(const void *config)
{
    return ((const struct mr_spam_model *)config)->fields;
}

static struct mr_device_text view(struct mr_call *call, const void *mail, uint32_t len)
{
    const struct mr_spam_model *model = call->config;
    struct thread *thread = call->thread;
    struct mr_mail_text text = mr_mail_text(call, &thread->reader, mr_value_bytes(mail, len),
                                            (enum mr_spam_fields)model->fields, true);

    return (struct mr_device_text){text.bytes, text.len};
}

static const void *model_of(const void *config)
{
    return config;
}

static const struct mr_device_op on_device = {
    .work = MR_DEVICE_BAYES,
    .view_key = view_key,
    .view = view,
    .model = model_of,
};

#define SPAM_FUNCTION                                                                              \
    .args = {MR_TYPE_STRING, MR_TYPE_STRING}, .n_args = 2, .n_constant = 1,                        \
    .order = MR_ORDER_NONE, .shape = MR_SHAPE_MAP, .pure = true, .shares = true,                   \
    .backends = "cpu gpu", .counters = counters, .bind = bind, .unbind = unbind,                   \
    .thread_open = thread_open, .thread_close = thread_close, .device = &on_device

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
