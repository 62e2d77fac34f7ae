/* The offload as a whole: random messages of no bytes to a megabyte from several threads, batches
 * of one, deadline zero, more than there is room for; and a device that refuses, fails, is late,
 * gets lost or answers wrong. Whatever happens, every message comes back once, with the right
 * answer. */
// layers: base offload
#include "base/clock.h"
#include "offload/offload.h"
#include "test_device.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define MESSAGES_MAX 4096u
#define THREADS      3u
#define SLOWEST      60000000000u /* ns: what has an end ends by then, on any machine */
#define PATIENCE     99000000000u /* ns: no batch is late unless a test wants it */
#define LONGEST      (1u << 20)

static const char *const regexes[] = {"needle",        "(?i)password: \\w+", "^GET /", "x\\d+y",
                                      "abc[^\\n]{5}d", "[a-c]{4}\\b",        "end$",   "foo.*bar"};
#define N_REGEXES (sizeof regexes / sizeof *regexes)

struct setup {
    const struct mr_backend *backend;
    uint32_t n_slots, bytes_max, messages_max, n_messages, len_max;
    uint64_t deadline_ns, late_ns;
    uint32_t check_every;
    bool insist;
    int patience; /* how often a caller tries again */
    struct mr_offload_faults faults;
};

struct run {
    struct setup setup;
    struct mr_regex_set set;
    struct mr_offload *offload;
    uint8_t *text; /* messages are pieces of it */
    uint32_t at[MESSAGES_MAX], len[MESSAGES_MAX];
    uint32_t at_once; /* messages a caller adds */
    _Atomic uint32_t seen[MESSAGES_MAX], next, back, refused, redone, wrong;
    _Atomic uint32_t lines;
};

static uint32_t draw(uint64_t *random, uint32_t below)
{
    uint64_t x = *random += 0x9e3779b97f4a7c15ull;

    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9ull;
    x = (x ^ x >> 27) * 0x94d049bb133111ebull;
    return (uint32_t)((x ^ x >> 31) % below);
}

/* What is right; one bit a pattern. */
static uint32_t search(const struct run *r, uint32_t message)
{
    uint32_t matches, undecided;

    mr_regex_search(&r->set, r->text + r->at[message], r->len[message], &matches, &undecided);
    assert_int_equal(undecided, 0);
    return matches;
}

/* ---- callers ---- */

static void came_back(struct run *r, uint32_t message)
{
    atomic_fetch_add(&r->seen[message], 1);
    atomic_fetch_add(&r->back, 1);
}

static bool is_checked(const struct mr_offload_done *done, uint32_t m)
{
    return m >= done->check_first && (m - done->check_first) % done->check_every == 0;
}

/* As a worker does it: what is marked is searched anew, some is checked, differences demote. */
static void finish(struct run *r, const struct mr_offload_done *done)
{
    const struct mr_offload_batch *batch = done->batch;
    uint32_t *found = calloc(batch->n_messages + 1, sizeof *found);

    for (uint32_t i = 0; i < batch->n_matches; i++) {
        uint32_t bit = 1u << batch->matches[i].pattern;
        assert_true(batch->matches[i].message < batch->n_messages);
        if (!batch->redo[batch->matches[i].message])
            assert_int_equal(found[batch->matches[i].message] & bit, 0);
        found[batch->matches[i].message] |= bit;
    }
    for (uint32_t m = 0; m < batch->n_messages; m++) {
        uint32_t message = (uint32_t)done->tags[m], right = search(r, message), different = 0;
        assert_int_equal(batch->messages[m].len, r->len[message]);
        assert_memory_equal(batch->bytes + batch->messages[m].offset, r->text + r->at[message],
                            r->len[message]);
        for (uint32_t p = 0; p < N_REGEXES; p++)
            if (mr_offload_demoted(r->offload, p))
                found[m] = (found[m] & ~(1u << p)) | (right & 1u << p);
        if (batch->redo[m]) {
            atomic_fetch_add(&r->redone, 1);
        } else if (is_checked(done, m)) {
            for (uint32_t p = 0; p < N_REGEXES; p++)
                if ((found[m] ^ right) >> p & 1) {
                    mr_offload_demote(r->offload, p);
                    different++;
                }
            mr_offload_checked(r->offload, different);
        } else if (found[m] != right) {
            atomic_fetch_add(&r->wrong, 1);
        }
        came_back(r, message);
    }
    free(found);
    mr_offload_release(r->offload, done);
}

static void take_all(struct run *r)
{
    struct mr_offload_done done;

    while (mr_offload_take(r->offload, &done))
        finish(r, &done);
}

/* Where faults are to be met, callers wait for a slot before they give up: what is not taken they
 * do themselves. */
static void add_some(struct run *r, uint32_t first, uint32_t n)
{
    struct mr_view views[MR_OFFLOAD_MANY] = {{NULL, 0}};
    uint64_t tags[MR_OFFLOAD_MANY] = {0};

    for (uint32_t k = 0; k < n; k++) {
        views[k] = (struct mr_view){r->text + r->at[first + k], r->len[first + k]};
        tags[k] = first + k;
    }
    uint64_t taken = mr_offload_add_many(r->offload, views, tags, n);
    assert_int_equal(taken >> n, 0);
    for (uint32_t k = 0; k < n; k++)
        for (int i = 0; !(taken >> k & 1); i++) {
            atomic_fetch_add(&r->refused, 1);
            if (i == r->setup.patience) {
                came_back(r, first + k);
                break;
            }
            mr_offload_wait(r->offload, 1000000);
            take_all(r);
            taken |= (uint64_t)!mr_offload_add(r->offload, views[k].bytes, views[k].len, tags[k])
                     << k;
        }
    take_all(r);
}

static void *worker(void *memory)
{
    struct run *r = memory;
    uint32_t first, n = r->at_once;

    for (uint32_t all = r->setup.n_messages; (first = atomic_fetch_add(&r->next, n)) < all;)
        add_some(r, first, all - first < n ? all - first : n);
    while (atomic_load(&r->back) < r->setup.n_messages) {
        mr_offload_wait(r->offload, 1000000);
        take_all(r);
    }
    return NULL;
}

static void count_line(void *context, const char *line)
{
    struct run *r = context;

    assert_non_null(line);
    atomic_fetch_add(&r->lines, 1);
}

/* ---- one run ---- */

static struct run *run_new(const struct setup *setup, uint64_t seed)
{
    static const char *const bits[] = {"needle", "Password: x", "GET /", "x12y", "abc12345d",
                                       "abca ",  "end",         "foo",   "bar",  "\n"};
    struct run *r = calloc(1, sizeof *r);
    struct mr_regex_pattern patterns[N_REGEXES];
    struct mr_error error = {0};

    assert_non_null(r);
    r->setup = *setup;
    r->at_once = seed % 2 ? 1 : 1 + (uint32_t)(seed / 2 % MR_OFFLOAD_MANY);
    r->text = malloc(LONGEST);
    assert_non_null(r->text);
    for (uint32_t i = 0; i < LONGEST; i++)
        r->text[i] = (uint8_t)("abcdxy 019_\n-"[draw(&seed, 13)]);
    for (uint32_t i = 0; i < 4000; i++) {
        const char *bit = bits[draw(&seed, 10)];
        memcpy(r->text + draw(&seed, LONGEST - 20), bit, strlen(bit));
    }
    for (uint32_t i = 0; i < setup->n_messages; i++) {
        r->len[i] = draw(&seed, draw(&seed, 8) ? 300 : setup->len_max) + draw(&seed, 2);
        if (!draw(&seed, 9))
            r->len[i] = draw(&seed, 3);
        r->at[i] = draw(&seed, LONGEST - r->len[i] + 1);
    }
    for (uint32_t i = 0; i < N_REGEXES; i++)
        patterns[i] = (struct mr_regex_pattern){regexes[i], 0};
    assert_int_equal(
        mr_regex_compile(&r->set, patterns, N_REGEXES, &mr_regex_limits_default, 1, &error), MR_OK);
    return r;
}

static struct mr_offload_counters run_all(const struct setup *setup, uint64_t seed, uint32_t *lines)
{
    struct run *r = run_new(setup, seed);
    struct mr_error error = {0};
    struct mr_offload_counters counters;
    pthread_t threads[THREADS];
    struct mr_offload_config config = {
        .work = {.set = &r->set},
        .backend = setup->backend,
        .n_slots = setup->n_slots,
        .bytes_max = setup->bytes_max,
        .messages_max = setup->messages_max,
        .deadline_ns = setup->deadline_ns,
        .late_ns = setup->late_ns ? setup->late_ns : PATIENCE,
        .retry_ns = 1000000,
        .check_every = setup->check_every,
        .insist = setup->insist,
        .faults = setup->faults,
        .log = count_line,
        .context = r,
    };

    if (mr_offload_open(&config, &r->offload, &error))
        fail_msg("%s", error.text);
    for (uint32_t i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, worker, r), 0);
    for (uint32_t i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    mr_offload_count(r->offload, &counters);
    mr_offload_close(r->offload);
    for (uint32_t i = 0; i < setup->n_messages; i++)
        assert_int_equal(r->seen[i], 1);
    uint64_t fell = 0;
    for (int i = 0; i < MR_FALLS; i++)
        fell += counters.falls[i];
    assert_int_equal(fell, r->refused + r->redone);
    if (!setup->faults.wrong)
        assert_int_equal(r->wrong, 0);
    *lines = r->lines;
    mr_regex_set_free(&r->set);
    free(r->text);
    free(r);
    return counters;
}

static uint64_t errors(const struct mr_offload_counters *c)
{
    return c->troubles[MR_TROUBLE_OPEN] + c->troubles[MR_TROUBLE_LAUNCH] +
           c->troubles[MR_TROUBLE_LOST];
}

/* ---- back ends that behave badly ---- */

/* The CPU's; knows who was not freed. */
static struct {
    void *state;
    struct mr_offload_batch *batches[8];
    uint32_t n_batches;
} left;

static enum mr_status leaving_open(const struct mr_backend_config *config, void **state,
                                   struct mr_error *error)
{
    left.n_batches = 0;
    enum mr_status status = mr_backend_cpu.open(config, state, error);
    left.state = *state;
    return status;
}

static enum mr_status leaving_batch_new(void *state, struct mr_offload_batch **batch,
                                        struct mr_error *error)
{
    enum mr_status status = mr_backend_cpu.batch_new(state, batch, error);
    left.batches[left.n_batches++] = *batch;
    return status;
}

static void leaving_batch_free(void *state, struct mr_offload_batch *batch)
{
    left.n_batches--;
    mr_backend_cpu.batch_free(state, batch);
}

static enum mr_status leaving_submit(void *state, struct mr_offload_batch *batch,
                                     struct mr_error *error)
{
    return mr_backend_cpu.submit(state, batch, error);
}

static enum mr_status leaving_poll(void *state, struct mr_offload_batch *batch,
                                   struct mr_error *error)
{
    return mr_backend_cpu.poll(state, batch, error);
}

static void leaving_close(void *state)
{
    mr_backend_cpu.close(state);
}

static const struct mr_backend leaving = {
    .name = "leaving",
    .open = leaving_open,
    .close = leaving_close,
    .batch_new = leaving_batch_new,
    .batch_free = leaving_batch_free,
    .submit = leaving_submit,
    .poll = leaving_poll,
};

/* Cannot be opened the first times. */
#define REFUSALS 3
static uint32_t refusals;

static enum mr_status refusing_open(const struct mr_backend_config *config, void **state,
                                    struct mr_error *error)
{
    if (refusals++ < REFUSALS)
        return mr_fail(error, MR_ERR_START, "not yet");
    return leaving_open(config, state, error);
}

static const struct mr_backend refusing = {
    .name = "refusing",
    .open = refusing_open,
    .close = leaving_close,
    .batch_new = leaving_batch_new,
    .batch_free = leaving_batch_free,
    .submit = leaving_submit,
    .poll = leaving_poll,
};

/* ---- without faults ---- */

static void every_shape(void **state)
{
    (void)state;
    static const struct setup setups[] = {
        {.n_slots = 4,
         .bytes_max = 1 << 16,
         .messages_max = 256,
         .n_messages = 4000,
         .len_max = 5000,
         .deadline_ns = 300000,
         .check_every = 64},
        {.n_slots = 1,
         .bytes_max = 4096,
         .messages_max = 1,
         .n_messages = 1000,
         .len_max = 5000,
         .deadline_ns = 1000000,
         .check_every = 7}, /* batches of one, and too long ones */
        {.n_slots = 6,
         .bytes_max = 1 << 21,
         .messages_max = 64,
         .n_messages = 400,
         .len_max = LONGEST,
         .deadline_ns = 0,
         .check_every = 64}, /* deadline zero */
        {.n_slots = 2,
         .bytes_max = 1 << 15,
         .messages_max = 64,
         .n_messages = 2000,
         .len_max = 2000,
         .deadline_ns = 100000000,
         .check_every = 1},
    };
    uint32_t lines;

    for (uint64_t i = 0; i < sizeof setups / sizeof *setups; i++) {
        struct setup setup = setups[i];
        setup.backend = &mr_backend_cpu;
        struct mr_offload_counters c = run_all(&setup, i, &lines);
        assert_true(c.batches > 0 && c.messages <= setup.n_messages);
        assert_int_equal(c.different, 0);
        assert_int_equal(errors(&c), 0);
        assert_int_equal(lines, 0);
        setup.backend = test_backend();
        if (!setup.backend)
            continue;
        setup.n_messages = setup.len_max > 100000 ? 30 : setup.n_messages / 10;
        c = run_all(&setup, i + 100, &lines);
        assert_true(c.batches > 0);
        assert_int_equal(c.different, 0);
        assert_int_equal(errors(&c), 0);
    }
}

/* ---- faults ---- */

static useconds_t slow_us; /* what starting a batch takes */

static enum mr_status slow_submit(void *state, struct mr_offload_batch *batch,
                                  struct mr_error *error)
{
    if (slow_us)
        usleep(slow_us);
    return mr_backend_cpu.submit(state, batch, error);
}

static struct mr_offload_counters with_fault(struct mr_offload_faults faults, uint64_t late_ns,
                                             bool emulated, uint32_t *lines)
{
    struct mr_backend slow = mr_backend_cpu;
    struct setup setup = {
        .backend = emulated ? test_backend() : &slow,
        .n_slots = 3,
        .bytes_max = 1 << 14,
        .messages_max = 32,
        .n_messages = emulated ? 300 : 3000,
        .len_max = 2000,
        .deadline_ns = 200000,
        .late_ns = late_ns,
        .check_every = faults.wrong ? 1 : 16,
        .patience = 100,
        .faults = faults,
    };
    slow.submit = slow_submit;
    *lines = 0;
    return run_all(&setup, 77, lines);
}

static void launches_fail(void **state)
{
    (void)state;
    uint32_t lines;

    for (int emulated = 0; emulated < 2 && (!emulated || test_backend()); emulated++) {
        struct mr_offload_counters c =
            with_fault((struct mr_offload_faults){.launch = 3}, SLOWEST, emulated, &lines);
        assert_true(c.troubles[MR_TROUBLE_LAUNCH] > 0 && c.falls[MR_FALL_FAILED] > 0 &&
                    c.reopened > 0);
        assert_true(lines > 0);
    }
}

static void devices_get_lost_and_memory_is_refused(void **state)
{
    (void)state;
    uint32_t lines = 0;

    for (int emulated = 0; emulated < 2 && (!emulated || test_backend()); emulated++) {
        struct mr_offload_counters c = {0};
        /* where the machine is busy most batches are late, and few get as far as being lost */
        for (int again = 0; again < 5 && !(c.troubles[MR_TROUBLE_LOST] &&
                                           c.troubles[MR_TROUBLE_OPEN] && c.falls[MR_FALL_DOWN]);
             again++)
            c = with_fault((struct mr_offload_faults){.lost = 3, .open = 2}, SLOWEST, emulated,
                           &lines);
        assert_true(c.troubles[MR_TROUBLE_LOST] > 0 && c.troubles[MR_TROUBLE_OPEN] > 0 &&
                    c.falls[MR_FALL_FAILED] > 0);
        assert_true(c.falls[MR_FALL_DOWN] > 0 && lines > 0);
    }
}

/* Also where the thread comes so late to look at a batch that it would be done. */
static void answers_are_late(void **state)
{
    (void)state;
    uint32_t lines;

    slow_us = 10000;
    struct mr_offload_counters s =
        with_fault((struct mr_offload_faults){.late = 3}, 1000000, false, &lines);
    slow_us = 0;
    assert_true(s.falls[MR_FALL_LATE] > 0);
    for (int emulated = 0; emulated < 2 && (!emulated || test_backend()); emulated++) {
        struct mr_offload_counters c =
            with_fault((struct mr_offload_faults){.late = 3}, 20000000, emulated, &lines);
        assert_true(c.falls[MR_FALL_LATE] > 0 && c.troubles[MR_TROUBLE_LATE] > 0 && lines > 0);
        assert_int_equal(errors(&c), 0);
    }
}

static void answers_are_wrong(void **state)
{
    (void)state;
    uint32_t lines;
    struct mr_offload_counters c =
        with_fault((struct mr_offload_faults){.wrong = 2}, SLOWEST, false, &lines);

    assert_true(c.checked > 100 && c.different > 0 && c.demoted > 0);
}

/* No batch ever ends: their messages come back all the same, and the end is not held up. What
 * the device has is left to it, and lies where the leak sanitizer finds it. */
static void device_gets_stuck(void **state)
{
    (void)state;
    uint32_t lines = 0;
    struct setup setup = {
        .backend = &leaving,
        .n_slots = 3,
        .bytes_max = 1 << 14,
        .messages_max = 32,
        .n_messages = 500,
        .len_max = 2000,
        .deadline_ns = 200000,
        .late_ns = 5000000,
        .faults = {.stuck = 1},
    };
    uint64_t begun = mr_clock_ns();
    struct mr_offload_counters c = run_all(&setup, 5, &lines);

    assert_true(c.falls[MR_FALL_LATE] > 0 && c.troubles[MR_TROUBLE_LATE] == setup.n_slots);
    assert_true(c.falls[MR_FALL_NO_SLOT] > 0); /* those were all slots there are */
    assert_true(lines >= 2);
    assert_true(mr_clock_ns() - begun < SLOWEST);
    assert_int_equal(left.n_batches, setup.n_slots); /* nobody has freed them */
    memset(&left, 0, sizeof left);                   /* not found by way of this */
}

/* It refuses at first and is in use later. */
static void device_comes_late(void **state)
{
    (void)state;
    uint32_t lines = 0;
    struct setup setup = {
        .backend = &refusing,
        .n_slots = 2,
        .bytes_max = 1 << 14,
        .messages_max = 32,
        .n_messages = 4000,
        .len_max = 2000,
        .deadline_ns = 200000,
        .patience = 100,
        .insist = true,
    };
    struct mr_offload_counters c = run_all(&setup, 6, &lines);

    assert_int_equal(c.troubles[MR_TROUBLE_OPEN], REFUSALS);
    assert_int_equal(c.reopened, 1);
    assert_true(c.batches > 0 && lines >= 3);
}

static void there_is_none(void **state)
{
    (void)state;
    struct mr_regex_set set = {0};
    struct mr_offload_config config = {
        .work = {.set = &set}, .backend = &mr_backend_cpu, .faults = {.open = 1}};
    struct mr_offload *offload;
    struct mr_error error = {0};

    assert_int_equal(mr_offload_open(&config, &offload, &error), MR_ERR_START);
    assert_null(offload);
    assert_true(strlen(error.text) > 10 && !strchr(error.text, '\n'));
}

/* A host without a GPU says so in one line; a build without one has no such back end. */
static void no_gpu_here(void **state)
{
    (void)state;
    struct run *r = run_new(&(struct setup){.n_messages = 0}, 1);
    struct mr_offload_config config = {.work = {.set = &r->set}, .backend = mr_backend_cuda()};
    struct mr_offload *offload = NULL;
    struct mr_error error = {0};

    if (!config.backend) {
        print_message("SKIP: built without CUDA\n");
    } else if (mr_offload_open(&config, &offload, &error)) {
        print_message("%s\n", error.text);
        assert_int_equal(error.status, MR_ERR_START);
        assert_true(strlen(error.text) > 10 && !strchr(error.text, '\n'));
    }
    mr_offload_close(offload);
    mr_regex_set_free(&r->set);
    free(r->text);
    free(r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_shape),
        cmocka_unit_test(launches_fail),
        cmocka_unit_test(devices_get_lost_and_memory_is_refused),
        cmocka_unit_test(answers_are_late),
        cmocka_unit_test(answers_are_wrong),
        cmocka_unit_test(device_gets_stuck),
        cmocka_unit_test(device_comes_late),
        cmocka_unit_test(there_is_none),
        cmocka_unit_test(no_gpu_here),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
