/* The emulated device against the host's search: random batches and patterns for every kind of
 * automaton; long messages, which warps read in pieces; room that runs out; orders of lanes;
 * batches that are launched as a captured graph. */
// layers: base offload
// threads: 1
#include "kernels/emulation/control.h"
#include "offload/backend.h"
#include "offload/graphs.h"
#include "test_device.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define BYTES_MAX    (1u << 20)
#define MESSAGES_MAX 64u

static const char *const regexes[] = {
    "abcd",
    "hello world",
    "(?i)GeT ",
    "ab.*cd",
    "abc[^x]{20}y",
    "foo|barbaz",
    "^abc",
    "abcd$",
    "\\babcd\\b",
    "abcd\\n$",
    "a.c",
    "[a-c]{3}[0-9]",
    "x\\d+y",
    "^\\w+$",
    "(a|b)*c[ab]{6}d",
    /* too large for a DFA: bits in 1, 2, 4 and 8 words, with a factor and without */
    "abc.{12}[a-d]",
    "a[b-d].{13}[ad]{2}x",
    "[ab].{40}c.{3}d",
    "abcd[^\\n]*a.{50}b",
    "x[a-z]{2}.{90}[a-c]",
    "abc.*[xyz][abc].{150}d",
    "[xy].{230}a",
    /* DFAs of more than 256 states */
    "abcdefgh{200}[a-f]{100}",
    "ab{150}c|abcd{180}",
};

#define N_REGEXES (sizeof regexes / sizeof *regexes)

static uint64_t random_state;
static uint32_t room = 64u * 1024; /* of a batch */

static uint32_t draw(uint32_t below)
{
    uint64_t x = random_state += 0x9e3779b97f4a7c15ull;

    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9ull;
    x = (x ^ x >> 27) * 0x94d049bb133111ebull;
    return (uint32_t)((x ^ x >> 31) % below);
}

/* ---- a device that counts its graphs ---- */

static uint32_t n_captured, n_launched, n_freed, captures_fail;

static int capture_end(void **graph, void *stream)
{
    int code = test_parts().device->capture_end(graph, stream);

    if (!code && captures_fail) {
        test_parts().device->graph_free(*graph);
        *graph = NULL;
        return 900;
    }
    n_captured += !code;
    return code;
}

static int graph_launch(void *graph, void *stream)
{
    n_launched++;
    return test_parts().device->graph_launch(graph, stream);
}

static int graph_free(void *graph)
{
    n_freed++;
    return test_parts().device->graph_free(graph);
}

static bool no_graphs;

static enum mr_status open_counting(const struct mr_backend_config *config, void **state,
                                    struct mr_error *error)
{
    static struct mr_device device;
    struct mr_device_backend backend = test_parts();

    device = *backend.device;
    backend.device = &device;
    backend.no_graphs = no_graphs;
    device.capture_end = capture_end;
    device.graph_launch = graph_launch;
    device.graph_free = graph_free;
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

struct scene {
    struct mr_regex_pattern patterns[N_REGEXES];
    struct mr_regex_set set;
    const struct mr_backend *backends[2];
    void *states[2];
    struct mr_offload_batch *batches[2];
};

static void scene_open(struct scene *s, const struct mr_regex_limits *limits, uint32_t each)
{
    struct mr_error error = {0};
    struct mr_backend_config config = {.work = {.set = &s->set},
                                       .bytes_max = room,
                                       .messages_max = MESSAGES_MAX,
                                       .matches_each = each};

    for (size_t i = 0; i < N_REGEXES; i++)
        s->patterns[i] = (struct mr_regex_pattern){regexes[i], i % 3 ? 0 : MR_REGEX_DOTALL};
    assert_int_equal(mr_regex_compile(&s->set, s->patterns, N_REGEXES, limits, 1, &error), MR_OK);
    s->backends[0] = &mr_backend_cpu;
    s->backends[1] = &counting;
    assert_non_null(s->backends[1]);
    for (int i = 0; i < 2; i++) {
        if (s->backends[i]->open(&config, &s->states[i], &error) ||
            s->backends[i]->batch_new(s->states[i], &s->batches[i], &error))
            fail_msg("%s", error.text);
    }
}

static void scene_close(struct scene *s)
{
    for (int i = 0; i < 2; i++) {
        s->backends[i]->batch_free(s->states[i], s->batches[i]);
        s->backends[i]->close(s->states[i]);
    }
    mr_regex_set_free(&s->set);
    mr_emulation_seed(0);
}

/* Few letters, and now and then a text that some pattern matches. */
static uint32_t make_message(const struct scene *s, uint8_t *bytes, uint32_t len)
{
    static const char letters[] = "abcdefxy 0\n";

    for (uint32_t i = 0; i < len; i++)
        bytes[i] = (uint8_t)letters[draw(sizeof letters - 1)];
    for (uint32_t n = draw(4); n && len > 600; n--)
        mr_regex_sample(&s->patterns[draw(N_REGEXES)], &random_state, bytes + draw(len - 500), 500);
    return len;
}

/* One letter over and over, and far apart the parts of what some pattern matches: automata remember
 * the first for long, or must not. */
static uint32_t make_sparse(const struct scene *s, uint8_t *bytes, uint32_t len)
{
    uint8_t text[500];
    uint32_t n = mr_regex_sample(&s->patterns[draw(N_REGEXES)], &random_state, text, sizeof text);

    memset(bytes, "0cb"[draw(3)], len);
    for (uint32_t done = 0, at = 0; done < n && len > sizeof text;) {
        uint32_t part = 1 + draw(n - done);
        at += draw(len - at > sizeof text ? len - at - (uint32_t)sizeof text : 1);
        if (at + part > len)
            break;
        memcpy(bytes + at, text + done, part);
        at += part;
        done += part;
    }
    return len;
}

static bool sparse;

static void make_batch(struct scene *s, uint32_t len_max)
{
    static uint8_t bytes[BYTES_MAX];

    for (int i = 0; i < 2; i++)
        s->batches[i]->n_bytes = s->batches[i]->n_messages = 0;
    for (uint32_t n = draw(MESSAGES_MAX + 1); n; n--) {
        uint32_t len = draw(5) ? draw(len_max + 1) : draw(3);
        len = sparse ? make_sparse(s, bytes, len) : make_message(s, bytes, len);
        if (!draw(6))
            len = mr_regex_sample(&s->patterns[draw(N_REGEXES)], &random_state, bytes, 500);
        if (!mr_batch_add(s->batches[0], bytes, len))
            break;
        assert_true(mr_batch_add(s->batches[1], bytes, len));
    }
}

static void search(struct scene *s, int which)
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

/* Each pair once, and the same ones; returns how many. */
static uint32_t compare(const struct scene *s, uint32_t *redone)
{
    static uint8_t found[2][MESSAGES_MAX][2 * N_REGEXES];
    uint32_t n = 0;

    memset(found, 0, sizeof found);
    for (int i = 0; i < 2; i++)
        for (uint32_t k = 0; k < s->batches[i]->n_matches; k++) {
            const struct mr_regex_match *m = &s->batches[i]->matches[k];
            uint32_t pattern = m->pattern & ~MR_REGEX_UNDECIDED;
            assert_true(m->message < s->batches[i]->n_messages && pattern < N_REGEXES);
            if (m->pattern & MR_REGEX_UNDECIDED)
                pattern += N_REGEXES;
            assert_int_equal(found[i][m->message][pattern], 0);
            found[i][m->message][pattern] = 1;
            n += i == 0;
        }
    for (uint32_t m = 0; m < s->batches[0]->n_messages; m++) {
        if (s->batches[0]->redo[m] || s->batches[1]->redo[m]) {
            (*redone)++;
            continue;
        }
        for (uint32_t p = 0; p < 2 * N_REGEXES; p++)
            if (found[0][m][p] != found[1][m][p])
                fail_msg("message %u of %u bytes, /%s/%s: host %d, device %d", m,
                         s->batches[0]->messages[m].len, regexes[p % N_REGEXES],
                         p < N_REGEXES ? "" : " undecided", found[0][m][p], found[1][m][p]);
    }
    return n;
}

static void rounds(const struct mr_regex_limits *limits, uint32_t each, uint32_t n,
                   uint32_t len_max, uint32_t *found, uint32_t *redone)
{
    struct scene s = {0};

    mr_emulation_watch(1 + len_max / 2000 + n / 8); /* the more there is, the less of it */
    scene_open(&s, limits, each);
    for (int t = 0; t < MR_TIERS; t++)
        print_message("%s %u ", mr_regex_tier_name((enum mr_regex_tier)t), s.set.tiers[t]);
    for (uint32_t i = 0; i < n; i++) {
        make_batch(&s, len_max);
        search(&s, 0);
        mr_emulation_seed(i % 3 * 1000 + i);
        search(&s, 1);
        *found += compare(&s, redone);
    }
    print_message("%u pairs, %u messages redone\n", *found, *redone);
    scene_close(&s);
}

static void every_kind_of_automaton(void **state)
{
    (void)state;
    uint32_t found = 0, redone = 0;
    struct mr_regex_limits limits = mr_regex_limits_default;

    random_state = 1;
    limits.dfa_states_max = 700; /* so that some become NFAs */
    rounds(&limits, 64, 12, 1500, &found, &redone);
    assert_true(found > 500);
    assert_int_equal(redone, 0);
    limits.dfa_states_max = 40; /* most */
    rounds(&limits, 64, 6, 700, &found, &redone);
    assert_int_equal(redone, 0);
}

static void long_messages(void **state)
{
    (void)state;
    uint32_t found = 0, redone = 0;

    random_state = 2;
    rounds(&mr_regex_limits_default, 64, 8, 20000, &found, &redone);
    assert_true(found > 50);
    assert_int_equal(redone, 0);
}

/* What stood at the beginning of a long message counts at its end, for DFAs and NFAs. */
static void long_memories(void **state)
{
    (void)state;
    uint32_t found = 0, redone = 0;
    struct mr_regex_limits limits = mr_regex_limits_default;

    random_state = 5;
    sparse = true;
    rounds(&limits, 64, 8, 30000, &found, &redone);
    assert_true(found > 50);
    limits.dfa_states_max = 3; /* NFAs, but for the smallest */
    limits.group_states_max = 3;
    rounds(&limits, 64, 12, 30000, &found, &redone);
    sparse = false;
    assert_int_equal(redone, 0);
}

/* As long as batches get, beside short ones. */
static void a_megabyte(void **state)
{
    (void)state;
    uint32_t found = 0, redone = 0;

    random_state = 6;
    room = BYTES_MAX;
    rounds(&mr_regex_limits_default, 64, 2, BYTES_MAX - 4096, &found, &redone);
    sparse = true;
    rounds(&mr_regex_limits_default, 64, 3, BYTES_MAX - 4096, &found, &redone);
    sparse = false;
    room = 64u * 1024;
    assert_true(found > 20);
    assert_int_equal(redone, 0);
}

/* Where there is no room for all matches, messages are marked and none is wrong. */
static void room_runs_out(void **state)
{
    (void)state;
    struct scene s = {0};
    uint32_t redone = 0, found = 0;

    random_state = 3;
    scene_open(&s, &mr_regex_limits_default, 1);
    for (uint32_t i = 0; i < 4; i++) {
        make_batch(&s, 900);
        for (uint32_t k = 0; k < 60; k++) { /* many matches each */
            static const char text[] = "abcd hello world abcd\nGet foo barbaz x12y abcde1";
            if (!mr_batch_add(s.batches[0], text, sizeof text - 1))
                break;
            assert_true(mr_batch_add(s.batches[1], text, sizeof text - 1));
        }
        search(&s, 0);
        search(&s, 1);
        found += compare(&s, &redone);
    }
    assert_true(redone > 0 && found > 0);
    scene_close(&s);
}

/* Tables keep to their room: what does not fit goes to the CPU, and says so. */
static void tables_keep_to_their_room(void **state)
{
    (void)state;
    struct mr_regex_pattern patterns[N_REGEXES];
    struct mr_regex_limits limits = mr_regex_limits_default;
    struct mr_error error;

    for (size_t i = 0; i < N_REGEXES; i++)
        patterns[i] = (struct mr_regex_pattern){regexes[i], 0};
    for (limits.tables_bytes_max = 1 << 20; limits.tables_bytes_max; limits.tables_bytes_max /= 8) {
        struct mr_regex_set set;
        uint32_t n = 0;
        assert_int_equal(mr_regex_compile(&set, patterns, N_REGEXES, &limits, 1, &error), MR_OK);
        assert_in_range(set.table->bytes, 0,
                        limits.tables_bytes_max + 64 +
                            set.table->n_automata * sizeof(struct mr_automaton));
        for (uint32_t i = 0; i < N_REGEXES; i++)
            if (set.places[i].tier == MR_TIER_CPU || set.places[i].tier == MR_TIER_FACTOR_CPU)
                assert_non_null(set.places[i].why);
        for (int t = 0; t < MR_TIERS; t++)
            n += set.tiers[t];
        assert_int_equal(n, N_REGEXES);
        mr_regex_set_free(&set);
    }
}

/* Batches of many shapes, most of which come again: the same pairs whether they are launched as
 * graphs or piece by piece. */
static void graphs(uint32_t n, uint32_t *found)
{
    uint32_t redone = 0;

    random_state = 4;
    *found = n_captured = n_launched = n_freed = 0;
    rounds(&mr_regex_limits_default, 64, n, 300, found, &redone);
    assert_int_equal(redone, 0);
    assert_int_equal(n_captured, n_freed);
}

static void graphs_find_the_same(void **state)
{
    (void)state;
    uint32_t with, without, failing;

    graphs(60, &with);
    print_message("%u graphs, %u launches\n", n_captured, n_launched);
    assert_true(n_captured > MR_GRAPHS); /* some made room for others */
    assert_true(n_launched > n_captured);
    no_graphs = true;
    graphs(60, &without);
    no_graphs = false;
    assert_int_equal(n_launched, 0);
    assert_int_equal(with, without);
    captures_fail = 1;
    graphs(60, &failing);
    captures_fail = 0;
    assert_int_equal(n_launched, 0);
    assert_int_equal(with, failing);
}

static void shapes(void **state)
{
    (void)state;
    const struct mr_shape max = {2u << 20, 8192};

    for (uint32_t n = 0; n <= 8192; n++) {
        struct mr_shape batch = {n * 256, n}, shape = mr_shape_of(batch, max);
        assert_in_range(shape.n_messages, n, n + n / 2);
        assert_in_range(shape.n_bytes, batch.n_bytes, batch.n_bytes ? 2 * batch.n_bytes - 1 : 0);
        assert_in_range(shape.n_messages, 0, max.n_messages);
        assert_in_range(shape.n_bytes, 0, max.n_bytes);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_kind_of_automaton), cmocka_unit_test(long_messages),
        cmocka_unit_test(long_memories),           cmocka_unit_test(a_megabyte),
        cmocka_unit_test(room_runs_out),           cmocka_unit_test(tables_keep_to_their_room),
        cmocka_unit_test(graphs_find_the_same),    cmocka_unit_test(shapes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
