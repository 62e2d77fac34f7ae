/* Spam models and mails: a file that is no model is refused, one that passes can be searched; any
 * mail gives the same sums by the vectorised and by the plain tokeniser.
 *
 * Input: a byte; 0: a model file follows, else a mail. */
// layers: models
#include "models/spam_model.h"
#include "models/spam_text.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct mr_spam_scratch *scratch;

static void search(const struct mr_spam_model *model)
{
    static const uint8_t text[256 + MR_SPAM_SLACK] = "some words, and \1\22\23 some more of them";
    struct mr_bayes_sums sums;

    mr_spam_sums(model, scratch, text, 256, &sums);
    double score = mr_spam_score(mr_spam_z(model, &sums));
    if (!(score >= 0 && score <= 1))
        abort();
}

static void read_mail(const uint8_t *data, size_t size)
{
    static uint8_t text[MR_SPAM_TEXT_ROOM];
    static uint64_t a[MR_SPAM_TOKENS_MAX], b[MR_SPAM_TOKENS_MAX];
    static struct mr_mime_decoder *decoder;

    if (!decoder)
        decoder = mr_mime_open(NULL);
    for (int fields = 0; fields < MR_SPAM_N_FIELDS; fields++) {
        const struct mr_mime *mail = mr_mime_decode(decoder, NULL, data, size);
        uint32_t len = mr_spam_text(mail, (enum mr_spam_fields)fields, text);
        if (len > MR_BAYES_TEXT_BYTES)
            abort();
        uint32_t n = mr_spam_tokens(text, len, a, NULL, 0);
        if (n != mr_spam_tokens_scalar(text, len, b) || memcmp(a, b, n * sizeof *a) != 0)
            abort();
        mr_mime_release(decoder);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (!scratch)
        scratch = mr_spam_scratch_new();
    if (!size)
        return 0;
    if (data[0]) {
        read_mail(data + 1, size - 1);
        return 0;
    }
    void *file = aligned_alloc(64, (size + 63) / 64 * 64);
    memcpy(file, data + 1, size - 1);
    if (!mr_spam_model_check(file, size - 1))
        search(file);
    free(file);
    return 0;
}
