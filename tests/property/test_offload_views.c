/* Messages of several views through the device and through the host's back end: patterns over one
 * view and sums by models over others, in one batch. The same matches and sums, bit for bit,
 * whatever is asked together; the bytes cross once, and so do the results. */
// layers: base models offload
// threads: 1
#include "kernels/emulation/control.h"
#include "models/spam_tokens.h"
#include "test_device.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define MESSAGES_MAX 40u
#define BYTES_MAX    (128u * 1024)
#define N_REGEXES    4u

static const char *const regexes[N_REGEXES] = {"needle", "x\\d+y", "foo.*bar", "[a-c]{4}\\b"};
static uint64_t random_state;
static uint32_t n_in, n_out;

static uint32_t draw(uint32_t below)
{
    random_state = random_state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(random_state >> 33) % below;
}

static int copy_in(void *device, const void *pinned, size_t bytes, void *stream)
{
    n_in++;
    return test_parts().device->copy_in(device, pinned, bytes, stream);
}

static int copy_out(void *pinned, const void *device, size_t bytes, void *stream)
{
    n_out++;
    return test_parts().device->copy_out(pinned, device, bytes, stream);
}

static enum mr_status open_counting(const struct mr_backend_config *config, void **state,
                                    struct mr_error *error)
{
    static struct mr_device device;
    struct mr_device_backend backend = test_parts();

    device = *backend.device;
    device.copy_in = copy_in;
    device.copy_out = copy_out;
    backend.device = &device;
    return mr_device_open(&backend, config, state, error);
}

static const struct mr_backend counting = {
    .name = "counting",
    .open = open_counting,
    .close = mr_device_close,
    .batch_new = mr_device_batch_new,
    .batch_free = mr_device_batch_free,
    .submit = mr_device_submit,
    .poll = mr_device_poll,
};

/* ---- messages ---- */

/* Of few words, so that both patterns and models know something of it. */
static uint32_t make_text(uint8_t *text, uint32_t most)
{
    static const char *const bits[] = {"needle", "x12y",  "foo", "bar ",    "abca ", "\1\21\22",
                                       "free",   "money", " ",   "\n",      "-",     "offer now ",
                                       "\1",     "\xc3",  "aa ", "mr.smith"};
    uint32_t len = 0, wanted = draw(most);

    while (len + 16 < wanted) {
        const char *bit = bits[draw(sizeof bits / sizeof *bits)];
        memcpy(text + len, bit, strlen(bit));
        len += (uint32_t)strlen(bit);
    }
    return len;
}

/* A model that knows some tokens of such texts. */
static struct mr_spam_model *model_new(void)
{
    static uint64_t hashes[MR_SPAM_TOKENS_MAX];
    static uint8_t text[8192 + MR_SPAM_SLACK];
    struct mr_spam_model *model = mr_spam_model_new(8);

    assert_non_null(model);
    for (int i = 0; i < 20; i++) {
        uint32_t n = mr_spam_tokens_scalar(text, make_text(text, 8192), hashes);
        for (uint32_t k = 0; k < n; k++)
            if (hashes[k] >> 9 & 1)
                mr_spam_model_add(model, hashes[k],
                                  (struct mr_bayes_entry){.spam = -(int32_t)draw(1u << 28),
                                                          .ham = -(int32_t)draw(1u << 28),
                                                          .weight = (int32_t)draw(1u << 20)});
    }
    return model;
}

/* ---- both ---- */

struct scene {
    struct mr_regex_set set;
    struct mr_spam_model *models[2];
    const struct mr_backend *backends[2];
    void *states[2];
    struct mr_offload_batch *batches[2];
    uint32_t n_models, n_matches, n_known;
};

static void scene_open(struct scene *s, uint32_t n_views, bool search, uint32_t n_models)
{
    struct mr_regex_pattern patterns[N_REGEXES];
    struct mr_error error = {0};
    struct mr_backend_config config = {.work = {.n_models = n_models, .n_views = n_views},
                                       .bytes_max = BYTES_MAX,
                                       .messages_max = MESSAGES_MAX,
                                       .matches_each = 64};

    *s = (struct scene){.n_models = n_models, .backends = {&mr_backend_cpu, &counting}};
    for (uint32_t i = 0; i < N_REGEXES; i++)
        patterns[i] = (struct mr_regex_pattern){regexes[i], 0};
    assert_int_equal(
        mr_regex_compile(&s->set, patterns, N_REGEXES, &mr_regex_limits_default, 1, &error), MR_OK);
    if (search)
        config.work.set = &s->set;
    config.work.set_view = draw(n_views);
    for (uint32_t i = 0; i < n_models; i++) {
        s->models[i] = model_new();
        config.work.models[i] = (struct mr_offload_model){s->models[i], draw(n_views)};
    }
    for (int i = 0; i < 2; i++)
        if (s->backends[i]->open(&config, &s->states[i], &error) ||
            s->backends[i]->batch_new(s->states[i], &s->batches[i], &error))
            fail_msg("%s", error.text);
}

static void scene_close(struct scene *s)
{
    for (int i = 0; i < 2; i++) {
        s->backends[i]->batch_free(s->states[i], s->batches[i]);
        s->backends[i]->close(s->states[i]);
        mr_spam_model_free(s->models[i]);
    }
    mr_regex_set_free(&s->set);
    mr_emulation_seed(0);
}

static void fill(struct scene *s)
{
    static uint8_t texts[MR_VIEWS_MAX][20000];
    uint32_t n_views = s->batches[0]->n_views, most = draw(4) ? 700 : 19000;
    uint8_t *to[MR_VIEWS_MAX];

    for (int i = 0; i < 2; i++)
        s->batches[i]->n_bytes = s->batches[i]->n_messages = 0;
    for (uint32_t n = draw(MESSAGES_MAX + 1); n; n--) {
        struct mr_view views[MR_VIEWS_MAX];
        for (uint32_t v = 0; v < n_views; v++)
            views[v] = (struct mr_view){texts[v], make_text(texts[v], draw(5) ? most : 1)};
        for (int i = 0; i < 2; i++) {
            bool room = mr_batch_has_room_for(s->batches[i], views);
            assert_int_equal(mr_batch_reserve_views(s->batches[i], views, to), room);
            for (uint32_t v = 0; room && v < n_views; v++)
                memcpy(to[v], views[v].bytes, views[v].len);
        }
    }
    assert_int_equal(s->batches[0]->n_messages, s->batches[1]->n_messages);
}

static void work(struct scene *s, int which)
{
    struct mr_error error = {0};
    char report[2048] = "";
    enum mr_status status = s->backends[which]->submit(s->states[which], s->batches[which], &error);

    while (!status && (status = s->backends[which]->poll(s->states[which], s->batches[which],
                                                         &error)) == MR_AGAIN)
        status = MR_OK;
    mr_emulation_report(report, sizeof report);
    if (status)
        fail_msg("%s; %s", error.text, report);
}

static void compare(struct scene *s)
{
    static uint8_t found[2][MESSAGES_MAX][N_REGEXES];
    const struct mr_offload_batch *host = s->batches[0];

    memset(found, 0, sizeof found);
    for (int i = 0; i < 2; i++)
        for (uint32_t k = 0; k < s->batches[i]->n_matches; k++)
            found[i][s->batches[i]->matches[k].message][s->batches[i]->matches[k].pattern]++;
    for (uint32_t m = 0; m < host->n_messages; m++) {
        if (!host->redo[m] && !s->batches[1]->redo[m])
            assert_memory_equal(found[0][m], found[1][m], N_REGEXES);
        for (uint32_t i = 0; i < s->n_models; i++) {
            const struct mr_bayes_sums *sums = mr_batch_sums(host, i, m);
            assert_memory_equal(sums, mr_batch_sums(s->batches[1], i, m), sizeof *sums);
            s->n_known += sums->n_known;
        }
    }
    s->n_matches += host->n_matches;
}

/* So many rounds; what they found is in *s. */
static void rounds(struct scene *s, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        fill(s);
        work(s, 0);
        mr_emulation_seed(i % 3 * 1000 + i);
        n_in = n_out = 0;
        work(s, 1);
        /* all views at once, where each of them is, and one answer; no copy at all from a graph */
        assert_true(n_in == 1 + s->batches[1]->n_views || n_in == 1);
        assert_true(n_out <= 1);
        compare(s);
    }
}

static void everything_together(void **state)
{
    (void)state;
    for (uint32_t n_views = 1; n_views <= 3; n_views++) {
        struct scene s;
        random_state = n_views;
        scene_open(&s, n_views, true, 2);
        rounds(&s, 10);
        assert_true(s.n_matches > 50 && s.n_known > 100);
        scene_close(&s);
    }
}

static void models_alone(void **state)
{
    (void)state;
    struct scene s;

    random_state = 9;
    scene_open(&s, 1, false, 1);
    rounds(&s, 10);
    assert_true(s.n_matches == 0 && s.n_known > 50);
    scene_close(&s);
}

static void patterns_in_one_of_two_views(void **state)
{
    (void)state;
    struct scene s;

    random_state = 12;
    scene_open(&s, 2, true, 0);
    rounds(&s, 10);
    assert_true(s.n_matches > 50);
    scene_close(&s);
    assert_int_equal(mr_emulation_unloaded(), 0); /* nothing was loaded while messages waited */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(everything_together),
        cmocka_unit_test(models_alone),
        cmocka_unit_test(patterns_in_one_of_two_views),
    };
    if (!test_backend()) {
        print_message("SKIP: no emulated device in this build\n");
        return 0;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
