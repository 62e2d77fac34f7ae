/* The spam kernel on the emulated device (or a GPU: test_device.h) against the host's scorer:
 * random texts from nothing to 64 KiB, mails, hostile tables, orders of lanes. */
// layers: models offload
// threads: 1
#include "kernels/bayes.h"
#include "kernels/device.h"
#include "kernels/emulation/control.h"
#include "models/spam_model.h"
#include "models/spam_text.h"
#include "models/spam_tokens.h"
#include "test_device.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define TEXTS_MAX 24

static const struct mr_device *device;
static uint64_t state;

static uint32_t draw(uint32_t below)
{
    state = state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(state >> 33) % below;
}

struct scene {
    struct mr_spam_model *model;
    uint8_t *bytes; /* pinned */
    uint32_t n_bytes, n;
    struct mr_batch_message *messages; /* pinned */
    struct mr_bayes_sums *sums;        /* pinned */
};

/* Words, marks, long runs, edges, every byte. */
static void fill(uint8_t *text, uint32_t len, uint32_t mood)
{
    static const char few[] = "abA.-'_! \1\21\22\x80";

    for (uint32_t i = 0; i < len; i++) {
        char c = few[draw(sizeof few - 1)];
        if (mood == 0)
            c = (char)draw(256);
        else if (mood == 2 && draw(30))
            c = 'x';
        else if (mood == 3)
            c = "abcdefgh "[draw(9)];
        text[i] = (uint8_t)c;
    }
}

/* A model that knows half of the tokens of the texts. */
static struct mr_spam_model *model_of(const struct scene *s, uint32_t bucket_log2)
{
    static uint64_t hashes[MR_SPAM_TOKENS_MAX];
    struct mr_spam_model *model = mr_spam_model_new(bucket_log2);

    assert_non_null(model);
    for (uint32_t m = 0; m < s->n; m++) {
        uint32_t n =
            mr_spam_tokens_scalar(s->bytes + s->messages[m].offset, s->messages[m].len, hashes);
        for (uint32_t i = 0; i < n; i++) {
            struct mr_bayes_entry entry = {.spam = draw(3) ? -(int32_t)draw(1u << 28) : 0,
                                           .ham = -(int32_t)draw(1u << 28),
                                           .weight = (int32_t)draw(1u << 30) - (1 << 29)};
            if (hashes[i] >> 13 & 1)
                mr_spam_model_add(model, hashes[i], entry);
        }
    }
    return model;
}

static void open_scene(struct scene *s, uint32_t n, uint32_t len_max)
{
    uint32_t at = 0;

    *s = (struct scene){.n = n};
    assert_int_equal(device->host_alloc((void **)&s->messages, (n + 1) * sizeof *s->messages), 0);
    assert_int_equal(device->host_alloc((void **)&s->sums, (n + 1) * sizeof *s->sums), 0);
    for (uint32_t i = 0; i < n; i++) {
        s->messages[i].len = draw(5) ? draw(len_max + 1) : draw(40);
        s->messages[i].offset = at;
        at += (s->messages[i].len + 15 + 16 * draw(3)) / 16 * 16;
    }
    s->n_bytes = at + 16;
    assert_int_equal(device->host_alloc((void **)&s->bytes, s->n_bytes + MR_SPAM_SLACK), 0);
    fill(s->bytes, s->n_bytes + MR_SPAM_SLACK, draw(4));
    for (uint32_t i = 0; i < n; i++)
        fill(s->bytes + s->messages[i].offset, s->messages[i].len, draw(4));
}

static void close_scene(struct scene *s)
{
    mr_spam_model_free(s->model);
    device->host_free(s->bytes);
    device->host_free(s->messages);
    device->host_free(s->sums);
    mr_emulation_seed(0);
    assert_int_equal(device->reset(), 0);
}

static void on_device(struct scene *s, uint32_t n_blocks)
{
    size_t table =
        (size_t)(1u << s->model->bucket_log2) * MR_BAYES_SLOTS * sizeof(struct mr_bayes_entry);
    struct mr_bayes_batch batch = {
        .bucket_log2 = s->model->bucket_log2, .n_messages = s->n, .n_blocks_max = n_blocks};
    void *entries, *bytes, *messages, *sums, *pinned, *stream, *event;
    char report[2048] = "";

    assert_int_equal(device->host_alloc(&pinned, table), 0);
    memcpy(pinned, mr_spam_buckets(s->model), table);
    assert_int_equal(device->alloc(&entries, table), 0);
    assert_int_equal(device->alloc(&bytes, s->n_bytes), 0);
    assert_int_equal(device->alloc(&messages, (s->n + 1) * sizeof *s->messages), 0);
    assert_int_equal(device->alloc(&sums, (s->n + 1) * sizeof *s->sums), 0);
    assert_int_equal(device->stream_new(&stream), 0);
    assert_int_equal(device->event_new(&event), 0);
    device->copy_in(entries, pinned, table, stream);
    device->copy_in(bytes, s->bytes, s->n_bytes, stream);
    device->copy_in(messages, s->messages, (s->n + 1) * sizeof *s->messages, stream);
    batch.entries = entries;
    batch.bytes = bytes;
    batch.messages = messages;
    batch.sums = sums;
    assert_int_equal(test_parts().bayes->enqueue(&batch, stream), 0);
    device->copy_out(s->sums, sums, (s->n + 1) * sizeof *s->sums, stream);
    device->record(event, stream);
    if (device->wait(event)) {
        mr_emulation_report(report, sizeof report);
        fail_msg("%s", report);
    }
    void *const memory[] = {entries, bytes, messages, sums};
    for (size_t i = 0; i < 4; i++)
        device->free_memory(memory[i]);
    device->event_free(event);
    device->stream_free(stream);
    device->host_free(pinned);
}

/* Returns how many texts were to be redone. */
static uint32_t compare(const struct scene *s)
{
    struct mr_spam_scratch *scratch = mr_spam_scratch_new();
    uint32_t redo = 0;

    for (uint32_t m = 0; m < s->n; m++) {
        const struct mr_bayes_sums *got = &s->sums[m];
        struct mr_bayes_sums want;
        mr_spam_sums(s->model, scratch, s->bytes + s->messages[m].offset, s->messages[m].len,
                     &want);
        if (got->n_known == MR_BAYES_NONE) {
            assert_true(want.n_known > MR_BAYES_KNOWN_MAX);
            redo++;
            continue;
        }
        assert_int_equal(got->n_known, want.n_known);
        assert_int_equal(got->n_strong, want.n_strong);
        assert_true(got->spam == want.spam && got->ham == want.ham && got->weight == want.weight);
        assert_true(mr_spam_z(s->model, got) == mr_spam_z(s->model, &want));
    }
    mr_spam_scratch_free(scratch);
    return redo;
}

static void random_texts(void **unused)
{
    (void)unused;
    for (uint64_t seed = 1; seed <= 24; seed++) {
        struct scene s;
        state = seed;
        open_scene(&s, draw(TEXTS_MAX), seed % 3 ? 700 : 5000);
        s.model = model_of(&s, 4 + draw(10));
        mr_emulation_seed(seed % 2 ? seed : 0);
        on_device(&s, 1 + draw(5));
        assert_int_equal(compare(&s), 0);
        close_scene(&s);
    }
}

/* As long as texts are scored, and longer: the rest of 1 MiB does not count. */
static void long_texts(void **unused)
{
    static const uint32_t lengths[] = {65535, 65536, 65537, 1 << 20};
    struct scene s;

    (void)unused;
    for (uint32_t i = 0; i < 4; i++) {
        state = i + 100;
        open_scene(&s, 1, lengths[i]);
        s.messages[0].len = lengths[i] < s.n_bytes ? lengths[i] : s.n_bytes;
        device->host_free(s.bytes);
        s.n_bytes = (lengths[i] + 31) / 16 * 16;
        s.messages[0].len = lengths[i];
        assert_int_equal(device->host_alloc((void **)&s.bytes, s.n_bytes + MR_SPAM_SLACK), 0);
        for (uint32_t at = 0; at < s.n_bytes; at++) /* 1,024 words of two letters */
            s.bytes[at] = at % 3 == 2 ? ' ' : (uint8_t)('a' + draw(26));
        s.model = model_of(&s, 10);
        on_device(&s, 2);
        assert_int_equal(compare(&s), 0);
        close_scene(&s);
    }
}

/* More known tokens than a block has room for: told, not wrong. */
static void too_many_known(void **unused)
{
    struct scene s;
    uint32_t redo;

    (void)unused;
    state = 5;
    open_scene(&s, 2, 60);
    device->host_free(s.bytes);
    s.n_bytes = 65536 + 4096;
    assert_int_equal(device->host_alloc((void **)&s.bytes, s.n_bytes + MR_SPAM_SLACK), 0);
    s.messages[0] = (struct mr_batch_message){0, 65536};
    s.messages[1] = (struct mr_batch_message){65536, 4000};
    for (uint32_t at = 0; at < s.n_bytes; at++)
        s.bytes[at] = at % 6 == 5 ? ' ' : (uint8_t)('a' + draw(26));
    s.model = model_of(&s, 13);
    on_device(&s, 2);
    redo = compare(&s);
    assert_int_equal(redo, 1);
    assert_int_equal(s.sums[0].n_known, MR_BAYES_NONE);
    close_scene(&s);
}

/* Kinds hold across tiles of 512 bytes, marks lie across every border. */
static void marks_across_borders(void **unused)
{
    struct scene s;

    (void)unused;
    for (uint32_t shift = 0; shift < 48; shift++) {
        state = shift;
        open_scene(&s, 1, 60);
        device->host_free(s.bytes);
        s.n_bytes = 2048;
        assert_int_equal(device->host_alloc((void **)&s.bytes, s.n_bytes + MR_SPAM_SLACK), 0);
        s.messages[0].offset = 0;
        s.messages[0].len = 1600 + draw(100);
        for (uint32_t at = 0; at < s.n_bytes; at++)
            s.bytes[at] = draw(4) ? (uint8_t)('a' + draw(3)) : ' ';
        for (uint32_t at = 490 + shift; at + 3 < s.n_bytes; at += 256 + draw(300)) {
            s.bytes[at] = MR_BAYES_MARK;
            s.bytes[at + 1] = (uint8_t)(0x10 + draw(16));
            s.bytes[at + 2] = (uint8_t)(0x10 + draw(16));
        }
        s.bytes[s.messages[0].len - 1 - shift % 4] = MR_BAYES_MARK; /* may be cut off */
        s.model = model_of(&s, 8);
        mr_emulation_seed(shift);
        on_device(&s, 1);
        assert_int_equal(compare(&s), 0);
        close_scene(&s);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_texts),
        cmocka_unit_test(long_texts),
        cmocka_unit_test(too_many_known),
        cmocka_unit_test(marks_across_borders),
    };
    device = test_parts().device;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
