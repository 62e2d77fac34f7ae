/* The factor filter on the emulated device against a search that compares every factor at every
 * byte: random messages, lengths, alignments and factors; queues that overflow; orders of lanes. */
// threads: 1
#include "kernels/emulation/control.h"
#include "kernels/emulation/runtime.h"
#include "kernels/factor_filter.h"

#include <csetjmp>
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <cstring>

extern "C" {
#include <cmocka.h>
}

#define FACTORS_MAX  400
#define MESSAGES_MAX 64
#define LITERALS_MAX (64 * 1024)

/* One case: factors, a batch, and what is right. */
struct scene {
    struct mr_factor factors[FACTORS_MAX];
    uint32_t n_factors, gram_bytes;
    uint8_t literals[LITERALS_MAX];
    uint8_t *bytes; /* pinned, as all that is copied */
    uint32_t n_bytes;
    struct mr_batch_message *messages;
    uint32_t n_messages;
    bool expected[MESSAGES_MAX][FACTORS_MAX]; /* by id: ids are below FACTORS_MAX */
    uint32_t n_expected[MESSAGES_MAX];
};

static uint64_t random_state;

static uint32_t draw(uint32_t below)
{
    return static_cast<uint32_t>(emu_random(&random_state) % below);
}

/* Few letters, so that hits and near hits are many; now and then any byte. */
static uint8_t draw_byte(void)
{
    static const char letters[] = "abcABC/ \x80\xe1@[`{";
    return draw(50) == 0 ? static_cast<uint8_t>(draw(256))
                         : static_cast<uint8_t>(letters[draw(sizeof(letters) - 1)]);
}

static void *pinned(size_t bytes)
{
    void *at = nullptr;
    assert_int_equal(cudaHostAlloc(&at, bytes, cudaHostAllocDefault), cudaSuccess);
    return at;
}

static void *device(size_t bytes)
{
    void *at = nullptr;
    assert_int_equal(cudaMalloc(&at, bytes != 0 ? bytes : 4), cudaSuccess);
    return at;
}

static void make_factors(struct scene *s, uint32_t n)
{
    uint32_t used = 0;

    s->n_factors = n;
    s->gram_bytes = draw(3) == 0 ? 3 : 4;
    for (uint32_t i = 0; i < n; i++) {
        uint32_t len = s->gram_bytes + (draw(20) == 0 ? draw(300) : draw(8));
        struct mr_factor *f = &s->factors[i];
        if (used + len > LITERALS_MAX)
            len = 4;
        *f = {s->literals + used, len, draw(3) == 0 ? draw(n) : i, draw(2) == 0};
        for (uint32_t k = 0; k < len; k++)
            s->literals[used + k] = draw_byte();
        used += len;
    }
}

/* Whole factors in it, also at its very ends and across them, with letters turned. */
static void plant(struct scene *s, uint32_t begin, uint32_t end)
{
    for (uint32_t n = draw(6); n > 0 && s->n_factors != 0 && end > begin; n--) {
        const struct mr_factor *f = &s->factors[draw(s->n_factors)];
        uint32_t at = begin + draw(end - begin);
        if (draw(4) == 0)
            at = begin;
        else if (draw(4) == 0 && end - begin >= f->len)
            at = end - f->len;
        for (uint32_t k = 0; k < f->len && at + k < s->n_bytes; k++) {
            uint8_t c = f->bytes[k];
            bool letter = (c | 0x20) >= 'a' && (c | 0x20) <= 'z';
            s->bytes[at + k] = letter && draw(12) == 0 ? c ^ 0x20 : c;
        }
    }
}

static void make_batch(struct scene *s, uint32_t n, uint32_t len_max, uint32_t align)
{
    uint32_t at = 0;

    s->messages = static_cast<struct mr_batch_message *>(pinned((n + 1) * sizeof(*s->messages)));
    s->n_messages = n;
    for (uint32_t i = 0; i < n; i++) {
        uint32_t len = draw(4) == 0 ? draw(12) : draw(len_max + 1);
        at = (at + align - 1) / align * align + (draw(3) == 0 ? draw(5) * align : 0);
        s->messages[i] = {at, len};
        at += len;
    }
    s->n_bytes = at;
    s->bytes = static_cast<uint8_t *>(pinned((at + 31) / 16 * 16));
    for (uint32_t i = 0; i < at; i++)
        s->bytes[i] = draw_byte();
    for (uint32_t i = 0; i < n; i++)
        plant(s, s->messages[i].offset, s->messages[i].offset + s->messages[i].len);
}

static uint8_t fold(uint8_t c)
{
    return c >= 'A' && c <= 'Z' ? c + 32 : c;
}

static bool found(const struct mr_factor *f, const uint8_t *bytes, uint32_t len)
{
    for (uint32_t at = 0; at + f->len <= len; at++) {
        uint32_t k = 0;
        while (k < f->len && (bytes[at + k] == f->bytes[k] ||
                              (f->caseless && fold(bytes[at + k]) == fold(f->bytes[k]))))
            k++;
        if (k == f->len)
            return true;
    }
    return false;
}

static void search_naively(struct scene *s)
{
    memset(s->expected, 0, sizeof(s->expected));
    memset(s->n_expected, 0, sizeof(s->n_expected));
    for (uint32_t m = 0; m < s->n_messages; m++) {
        for (uint32_t i = 0; i < s->n_factors; i++) {
            bool *here = &s->expected[m][s->factors[i].id];
            if (*here ||
                !found(&s->factors[i], s->bytes + s->messages[m].offset, s->messages[m].len))
                continue;
            *here = true;
            s->n_expected[m]++;
        }
    }
}

/* What came back from the device. */
struct answer {
    struct mr_factor_counts counts;
    uint32_t states[MESSAGES_MAX];
    struct mr_factor_pair *pairs;
    uint32_t capacity;
};

static void upload(void *to, const void *from, size_t bytes)
{
    assert_int_equal(cudaMemcpy(to, from, bytes, cudaMemcpyHostToDevice), cudaSuccess);
}

static void search_on_device(const struct scene *s, struct answer *a, uint32_t per_message,
                             uint32_t n_blocks)
{
    struct mr_factor_table *table;
    struct mr_error error;
    struct mr_factor_filter_batch b = {};
    size_t room = (size_t{s->n_bytes} + 15) / 16 * 16;
    char report[2048];

    assert_int_equal(
        mr_factor_table_compile(s->factors, s->n_factors, s->gram_bytes, &table, &error), MR_OK);
    void *memory[] = {device(table->bytes),
                      device(room),
                      device((s->n_messages + 1) * sizeof(*s->messages)),
                      device(size_t{s->n_messages} * mr_factor_seen_words(table->n_slots) * 4),
                      device(s->n_messages * 4),
                      device(a->capacity * sizeof(*a->pairs)),
                      device(sizeof(a->counts))};
    b.table = static_cast<struct mr_factor_table *>(memory[0]);
    b.bytes = static_cast<uint8_t *>(memory[1]);
    b.n_bytes = s->n_bytes;
    b.messages = static_cast<struct mr_batch_message *>(memory[2]);
    b.n_messages = s->n_messages;
    b.seen = static_cast<uint32_t *>(memory[3]);
    b.states = static_cast<uint32_t *>(memory[4]);
    b.pairs = static_cast<struct mr_factor_pair *>(memory[5]);
    b.counts = static_cast<struct mr_factor_counts *>(memory[6]);
    b.capacity = a->capacity;
    b.pairs_per_message_max = per_message;
    b.n_slots = table->n_slots;
    b.bitmap_log2 = table->bitmap_log2;
    b.gram_mask = table->gram_mask;
    b.n_blocks_max = n_blocks;
    upload(memory[0], table, table->bytes);
    upload(memory[1], s->bytes, s->n_bytes);
    upload(memory[2], s->messages, s->n_messages * sizeof(*s->messages));
    if (mr_factor_filter_emulated.enqueue(&b, nullptr) != 0 ||
        cudaDeviceSynchronize() != cudaSuccess) {
        mr_emulation_report(report, sizeof(report));
        fail_msg("%s", report);
    }
    cudaMemcpy(&a->counts, b.counts, sizeof(a->counts), cudaMemcpyDeviceToHost);
    cudaMemcpy(a->states, b.states, s->n_messages * 4, cudaMemcpyDeviceToHost);
    cudaMemcpy(a->pairs, b.pairs, a->capacity * sizeof(*a->pairs), cudaMemcpyDeviceToHost);
    for (void *piece : memory)
        assert_int_equal(cudaFree(piece), cudaSuccess);
    mr_factor_table_free(table);
}

/* Messages that did not overflow have exactly their pairs, each once. Returns how many did. */
static uint32_t compare(const struct scene *s, const struct answer *a)
{
    static bool got[MESSAGES_MAX][FACTORS_MAX];
    uint32_t overflows = 0, n_got[MESSAGES_MAX] = {0};
    uint32_t n = a->counts.n_pairs < a->capacity ? a->counts.n_pairs : a->capacity;

    memset(got, 0, sizeof(got));
    for (uint32_t i = 0; i < n; i++) {
        const struct mr_factor_pair *p = &a->pairs[i];
        assert_true(p->message < s->n_messages && p->id < FACTORS_MAX);
        assert_true(s->expected[p->message][p->id]);
        assert_false(got[p->message][p->id]);
        got[p->message][p->id] = true;
        n_got[p->message]++;
    }
    for (uint32_t m = 0; m < s->n_messages; m++) {
        if ((a->states[m] & MR_MESSAGE_OVERFLOW) != 0) {
            overflows++;
            continue;
        }
        assert_int_equal(n_got[m], s->n_expected[m]);
        assert_int_equal(a->states[m], s->n_expected[m]);
    }
    return overflows;
}

static struct scene *scene_new(uint64_t seed)
{
    uint32_t log2 = 0;

    random_state = seed;
    assert_int_equal(mr_factor_filter_emulated.load(0, &log2), 0);
    assert_int_equal(log2, 20);
    struct scene *s = static_cast<struct scene *>(calloc(1, sizeof(*s)));
    assert_non_null(s);
    return s;
}

static void scene_free(struct scene *s)
{
    free(s);
    mr_emulation_seed(0);
    assert_int_equal(cudaDeviceReset(), cudaSuccess);
}

static void answer_init(struct answer *a, uint32_t capacity)
{
    memset(a, 0, sizeof(*a));
    a->capacity = capacity;
    a->pairs = static_cast<struct mr_factor_pair *>(pinned(capacity * sizeof(*a->pairs)));
}

static void finds_what_a_naive_search_finds(void **state)
{
    uint32_t pairs = 0;

    (void)state;
    for (uint64_t round = 1; round <= 40; round++) {
        struct scene *s = scene_new(round);
        struct answer a, b;
        make_factors(s, draw(10) == 0 ? 0 : 1 + draw(FACTORS_MAX));
        make_batch(s, draw(10) == 0 ? draw(2) : draw(MESSAGES_MAX + 1), draw(2) ? 60 : 1500,
                   draw(2) ? 16 : 1);
        search_naively(s);
        answer_init(&a, MESSAGES_MAX * FACTORS_MAX);
        answer_init(&b, MESSAGES_MAX * FACTORS_MAX);
        mr_emulation_seed(0);
        search_on_device(s, &a, UINT32_MAX >> 1, 1 + draw(4));
        assert_int_equal(compare(s, &a), 0);
        mr_emulation_seed(round);
        search_on_device(s, &b, UINT32_MAX >> 1, 1 + draw(4));
        assert_int_equal(compare(s, &b), 0);
        assert_memory_equal(&a.counts, &b.counts, sizeof(a.counts));
        pairs += a.counts.n_pairs;
        scene_free(s);
    }
    assert_true(pairs > 1000); /* it was about something */
}

static void long_messages(void **state)
{
    (void)state;
    for (uint64_t round = 100; round < 103; round++) {
        struct scene *s = scene_new(round);
        struct answer a;
        make_factors(s, 20);
        make_batch(s, 3, 100 * 1024, 16);
        search_naively(s);
        answer_init(&a, 1000);
        mr_emulation_seed(round);
        search_on_device(s, &a, 1000, 6);
        assert_int_equal(compare(s, &a), 0);
        scene_free(s);
    }
}

static void overflow_flags_messages(void **state)
{
    uint32_t by_queue = 0, by_message = 0;

    (void)state;
    for (uint64_t round = 200; round < 212; round++) {
        struct scene *s = scene_new(round);
        struct answer a;
        uint32_t cap = 1 + draw(4), beyond = 0, over;
        make_factors(s, 150);
        make_batch(s, 40, 300, 16);
        search_naively(s);
        answer_init(&a, 1 + draw(20));
        mr_emulation_seed(round);
        search_on_device(s, &a, 1000, 2);
        by_queue += over = compare(s, &a);
        assert_true((over != 0) == (a.counts.n_pairs > a.capacity));
        answer_init(&a, 40 * 150);
        search_on_device(s, &a, cap, 2);
        for (uint32_t m = 0; m < s->n_messages; m++) { /* this limit does not depend on order */
            beyond += s->n_expected[m] > cap;
            assert_true(((a.states[m] & MR_MESSAGE_OVERFLOW) != 0) == (s->n_expected[m] > cap));
        }
        assert_int_equal(compare(s, &a), beyond);
        by_message += beyond;
        scene_free(s);
    }
    assert_true(by_queue > 0 && by_message > 0);
}

/* A small table's launch behind a large one's, which is still queued, or captured: both have the
 * same kernel, and what shared memory it may have belongs to all of its launches. */
static void small_behind_large(const struct mr_factor_filter_batch *large)
{
    struct mr_factor_filter_batch small = *large;
    struct mr_factor_table *table;
    struct mr_error error;
    const struct mr_factor factor = {reinterpret_cast<const uint8_t *>("factor"), 6, 0, false};
    char report[2048];
    cudaStream_t stream;

    assert_int_equal(mr_factor_table_compile(&factor, 1, 4, &table, &error), MR_OK);
    small.table = static_cast<struct mr_factor_table *>(device(table->bytes));
    upload(const_cast<struct mr_factor_table *>(small.table), table, table->bytes);
    small.bitmap_log2 = table->bitmap_log2;
    small.n_slots = 1;
    assert_true(small.bitmap_log2 < large->bitmap_log2);
    assert_int_equal(cudaStreamCreate(&stream), cudaSuccess);
    assert_int_equal(mr_factor_filter_emulated.enqueue(large, stream), 0);
    assert_int_equal(mr_factor_filter_emulated.enqueue(&small, stream), 0);
    if (cudaStreamSynchronize(stream) != cudaSuccess) {
        mr_emulation_report(report, sizeof(report));
        fail_msg("%s", report);
    }
    assert_int_equal(cudaStreamDestroy(stream), cudaSuccess);
    mr_factor_table_free(table);
}

/* On a device whose blocks have less: a narrower bitmap, and the same pairs; the table as it was is
 * refused. */
static void little_shared_memory(const struct mr_factor_filter_batch *large,
                                 struct mr_factor_table *table, uint32_t n_pairs)
{
    struct mr_factor_filter_batch narrow = *large;
    struct mr_factor_counts counts[2];
    uint32_t log2 = 0;
    size_t set[2] = {0, 0};
    const uint32_t *bitmap = reinterpret_cast<const uint32_t *>(
        reinterpret_cast<const uint8_t *>(table) + table->bitmap_at);

    cudaMemcpy(&counts[0], large->counts, sizeof(counts[0]), cudaMemcpyDeviceToHost);
    assert_int_equal(mr_factor_filter_emulated.load(0, &log2), 0);
    mr_emulation_shared(99 * 1024);
    assert_int_equal(mr_factor_filter_emulated.load(0, &log2), 0);
    assert_int_equal(log2, 19);
    assert_int_equal(mr_factor_filter_emulated.enqueue(large, nullptr), cudaErrorInvalidValue);
    for (size_t i = 0; i < 1u << 15; i++)
        set[0] += static_cast<size_t>(__builtin_popcount(bitmap[i]));
    mr_factor_table_narrow(table, log2);
    for (size_t i = 0; i < 1u << 14; i++)
        set[1] += static_cast<size_t>(__builtin_popcount(bitmap[i]));
    assert_int_equal(table->bitmap_log2, 19);
    assert_true(set[1] <= set[0] && set[1] > set[0] * 9 / 10);
    narrow.table = static_cast<struct mr_factor_table *>(device(table->bytes));
    narrow.bitmap_log2 = table->bitmap_log2;
    upload(const_cast<struct mr_factor_table *>(narrow.table), table, table->bytes);
    assert_int_equal(mr_factor_filter_emulated.enqueue(&narrow, nullptr), 0);
    cudaMemcpy(&counts[1], narrow.counts, sizeof(counts[1]), cudaMemcpyDeviceToHost);
    assert_int_equal(cudaGetLastError(), cudaSuccess);
    assert_int_equal(counts[1].n_pairs, n_pairs);
    assert_true(counts[1].n_candidates >= counts[0].n_candidates);
    mr_emulation_shared(0);
}

/* Many factors: the larger bitmap, which needs more shared memory than kernels have by default. */
static void large_tables(void **state)
{
    enum { N = 10500 };
    static uint8_t literals[N][8];
    static struct mr_factor factors[N];
    struct mr_factor_table *table;
    struct scene *s = scene_new(300);
    struct mr_error error;

    (void)state;
    for (uint32_t i = 0; i < N; i++) {
        for (uint32_t k = 0; k < 8; k++)
            literals[i][k] = static_cast<uint8_t>(draw(256));
        factors[i] = {literals[i], 8, i, (i & 1) != 0};
    }
    assert_int_equal(mr_factor_table_compile(factors, N, 4, &table, &error), MR_OK);
    assert_int_equal(table->bitmap_log2, 20);
    assert_int_equal(table->n_slots, N);
    uint8_t *text = static_cast<uint8_t *>(pinned(N * 8));
    memcpy(text, literals, N * 8);
    struct mr_factor_filter_batch b = {};
    const struct mr_batch_message message = {0, N * 8};
    struct mr_factor_counts counts;
    b.table = static_cast<struct mr_factor_table *>(device(table->bytes));
    b.bytes = static_cast<uint8_t *>(device(N * 8));
    b.messages = static_cast<struct mr_batch_message *>(device(sizeof(message)));
    b.seen = static_cast<uint32_t *>(device(mr_factor_seen_words(N) * 4));
    b.states = static_cast<uint32_t *>(device(4));
    b.pairs = static_cast<struct mr_factor_pair *>(device(N * sizeof(*b.pairs)));
    b.counts = static_cast<struct mr_factor_counts *>(device(sizeof(counts)));
    b.n_bytes = N * 8;
    b.n_messages = 1;
    b.capacity = b.pairs_per_message_max = N;
    b.n_slots = N;
    b.bitmap_log2 = 20;
    b.gram_mask = table->gram_mask;
    b.n_blocks_max = 3;
    upload(const_cast<struct mr_factor_table *>(b.table), table, table->bytes);
    upload(const_cast<uint8_t *>(b.bytes), text, N * 8);
    upload(const_cast<struct mr_batch_message *>(b.messages), &message, sizeof(message));
    assert_int_equal(mr_factor_filter_emulated.enqueue(&b, nullptr), 0);
    cudaMemcpy(&counts, b.counts, sizeof(counts), cudaMemcpyDeviceToHost);
    assert_int_equal(cudaGetLastError(), cudaSuccess);
    assert_int_equal(counts.n_pairs, N);
    small_behind_large(&b);
    little_shared_memory(&b, table, N);
    mr_factor_table_free(table);
    scene_free(s);
}

static void tables_refuse(void **state)
{
    static const uint8_t bytes[MR_FACTOR_BYTES_MAX + 1] = {0};
    const struct mr_factor brief = {bytes, 3, 0, false};
    const struct mr_factor lengthy = {bytes, MR_FACTOR_BYTES_MAX + 1, 0, false};
    struct mr_factor_table *table;
    struct mr_error error;

    (void)state;
    assert_int_equal(mr_factor_table_compile(&brief, 1, 4, &table, &error), MR_ERR_LIMIT);
    assert_null(table);
    assert_int_equal(mr_factor_table_compile(&lengthy, 1, 4, &table, nullptr), MR_ERR_LIMIT);
    assert_int_equal(mr_factor_table_compile(&lengthy, MR_FACTORS_MAX + 1, 4, &table, &error),
                     MR_ERR_LIMIT);
    assert_int_equal(mr_factor_table_compile(nullptr, 0, 4, &table, &error), MR_OK);
    mr_factor_table_free(table);
}

static void folding(void **state)
{
    (void)state;
    for (uint32_t c = 0; c < 256; c++) {
        uint32_t want = c >= 'A' && c <= 'Z' ? c + 32 : c;
        for (uint32_t at = 0; at < 32; at += 8)
            assert_int_equal(mr_fold4(c << at | ~(0xffu << at)), want << at | ~(0xffu << at));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(folding),
        cmocka_unit_test(tables_refuse),
        cmocka_unit_test(finds_what_a_naive_search_finds),
        cmocka_unit_test(long_messages),
        cmocka_unit_test(overflow_flags_messages),
        cmocka_unit_test(large_tables),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}
