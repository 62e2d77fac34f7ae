/* Patterns compiled for a device against Hyperscan: the same set of patterns for every text, on the
 * host and, for some of the texts, on the emulated device, or for all of them on a GPU. Real
 * patterns (Hyperscan's own tests, Snort's rules, SpamAssassin's, the sets of ANMLZoo) over what
 * comes with them, mails, texts drawn from the patterns themselves, and changes of those. */
// layers: base offload components real
#include "components/match.h"
#include "offload/backend.h"
#include "real_patterns.h"
#include "test_device.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define TEXT_MAX    65536
#define BATCH_BYTES 49152
#define BATCH_TEXTS 128

struct comparison {
    struct mr_match_set set;
    struct mr_match_groups groups;
    struct mr_regex_pattern *patterns;
    struct mr_regex_set regex;
    bool *hyperscan;
    uint32_t *matches, *undecided;
    uint64_t texts, bytes, found, different, left;
    uint32_t told;
    /* what the device is asked, and what Hyperscan said to it */
    const struct mr_backend *backend;
    void *device;
    struct mr_offload_batch *batch;
    bool *expected; /* [BATCH_TEXTS][set.n] */
    uint32_t rounds;
    uint64_t on_device, redone;
};

static int on_match(unsigned id, unsigned long long from, unsigned long long to, unsigned flags,
                    void *context)
{
    (void)from, (void)to, (void)flags;
    ((bool *)context)[id] = true;
    return 0;
}

static bool bit(const uint32_t *bits, uint32_t i)
{
    return bits[i >> 5] >> (i & 31) & 1;
}

static void tell(struct comparison *c, uint32_t i, bool theirs, const uint8_t *bytes, uint32_t len)
{
    const struct mr_regex_place *place = &c->regex.places[i];

    c->different++;
    if (c->told++ > 20)
        return;
    print_message("%u %s (%s): Hyperscan %d, here %d, on %u bytes: ", c->set.patterns[i].id,
                  c->set.patterns[i].text, mr_regex_tier_name(place->tier), theirs, !theirs, len);
    for (uint32_t k = 0; k < len && k < 60; k++)
        print_message(bytes[k] >= ' ' && bytes[k] < 127 ? "%c" : "\\x%02x", bytes[k]);
    print_message("\n");
}

/* ---- the device ---- */

static void device_open(struct comparison *c)
{
    struct mr_backend_config config = {.work = {.set = &c->regex},
                                       .bytes_max = BATCH_BYTES,
                                       .messages_max = BATCH_TEXTS,
                                       .matches_each = 256};
    struct mr_error error;

    c->backend = test_backend();
    if (!c->backend) {
        print_message("SKIP: no emulated device in this build\n");
        return;
    }
    if (c->backend->open(&config, &c->device, &error) ||
        c->backend->batch_new(c->device, &c->batch, &error))
        fail_msg("%s", error.text);
    c->expected = calloc(BATCH_TEXTS, c->set.n);
    assert_non_null(c->expected);
    c->rounds = getenv("MR_LARGE") ? 40 : 1;
}

static void device_close(struct comparison *c)
{
    if (!c->backend)
        return;
    c->backend->batch_free(c->device, c->batch);
    c->backend->close(c->device);
    free(c->expected);
}

/* Searches the batch and empties it. */
static void device_compare(struct comparison *c)
{
    static bool found[BATCH_TEXTS][16384];
    struct mr_error error;
    enum mr_status status = c->backend->submit(c->device, c->batch, &error);

    while (!status && (status = c->backend->poll(c->device, c->batch, &error)) == MR_AGAIN)
        status = MR_OK;
    if (status)
        fail_msg("%s", error.text);
    assert_true(c->set.n <= sizeof found[0]);
    memset(found, 0, sizeof found);
    for (uint32_t i = 0; i < c->batch->n_matches; i++) {
        const struct mr_regex_match *m = &c->batch->matches[i];
        uint32_t pattern = m->pattern & ~MR_REGEX_UNDECIDED;
        bool *cell = &found[m->message][pattern];
        assert_false(*cell && !c->batch->redo[m->message]);
        *cell =
            m->pattern & MR_REGEX_UNDECIDED ? c->expected[m->message * c->set.n + pattern] : true;
    }
    for (uint32_t m = 0; m < c->batch->n_messages; m++) {
        const uint8_t *bytes = c->batch->bytes + c->batch->messages[m].offset;
        bool is_utf8 = mr_match_utf8(bytes, c->batch->messages[m].len);
        c->redone += c->batch->redo[m];
        for (uint32_t i = 0; i < c->set.n && !c->batch->redo[m]; i++) {
            bool ours = found[m][i] && (is_utf8 || !(c->set.patterns[i].flags & HS_FLAG_UTF8));
            bool theirs = c->expected[m * c->set.n + i];
            if (ours != theirs && c->regex.places[i].tier != MR_TIER_CPU)
                tell(c, i, theirs, bytes, c->batch->messages[m].len);
        }
    }
    c->on_device += c->batch->n_messages;
    c->batch->n_messages = c->batch->n_bytes = 0;
    c->rounds--;
}

/* The text that Hyperscan has just seen. */
static void device_take(struct comparison *c, const uint8_t *bytes, uint32_t len)
{
    if (!c->rounds || len > BATCH_BYTES / 4)
        return;
    if (!mr_batch_add(c->batch, bytes, len)) {
        device_compare(c);
        return;
    }
    memcpy(&c->expected[(c->batch->n_messages - 1) * c->set.n], c->hyperscan, c->set.n);
}

static void compare(struct comparison *c, const uint8_t *bytes, uint32_t len)
{
    bool is_utf8 = mr_match_utf8(bytes, len);

    memset(c->hyperscan, 0, c->set.n);
    for (uint32_t g = 0; g < c->groups.n; g++)
        if (!c->groups.groups[g].utf8 || is_utf8)
            assert_int_equal(hs_scan(c->groups.groups[g].database, (const char *)bytes, len, 0,
                                     c->groups.scratch, on_match, c->hyperscan),
                             HS_SUCCESS);
    mr_regex_search(&c->regex, bytes, len, c->matches, c->undecided);
    if (c->texts % 37 == 5 || test_on_gpu() || getenv("MR_LARGE"))
        device_take(c, bytes, len);
    c->texts++;
    c->bytes += len;
    for (uint32_t i = 0; i < c->set.n; i++) {
        bool utf8 = c->set.patterns[i].flags & HS_FLAG_UTF8;
        bool ours = bit(c->matches, i) && (is_utf8 || !utf8);
        c->found += c->hyperscan[i];
        if (bit(c->undecided, i)) /* the CPU decides; and it does not decide more than need be */
            c->left++;
        else if (ours != c->hyperscan[i])
            tell(c, i, c->hyperscan[i], bytes, len);
    }
}

/* ---- texts ---- */

/* Of every pattern: samples, bare and among other bytes, and with some bytes changed. */
static void compare_samples(struct comparison *c, uint32_t each)
{
    static uint8_t text[TEXT_MAX];
    static const char around[] = "\n\n \ta_A0.\r\xc3\xa9-";
    uint64_t random = 7;

    for (uint32_t i = 0; i < c->set.n; i++)
        for (uint32_t k = 0; k < each; k++) {
            uint32_t head = k % 4 ? mr_real_draw(&random, 4) : 0, tail = mr_real_draw(&random, 4);
            uint32_t n = mr_regex_sample(&c->patterns[i], &random, text + head, 4000);
            if (!n)
                continue;
            for (uint32_t h = 0; h < head; h++)
                text[h] = (uint8_t)around[mr_real_draw(&random, sizeof around - 1)];
            n += head;
            for (uint32_t h = 0; h < tail && k % 3; h++)
                text[n++] = (uint8_t)around[mr_real_draw(&random, sizeof around - 1)];
            for (uint32_t m = k / 2 % 3; m > 0; m--)
                mr_real_mutate(&random, text, &n, TEXT_MAX);
            compare(c, text, n);
        }
}

static void compare_subject(void *context, const uint8_t *bytes, uint32_t len)
{
    compare(context, bytes, len);
}

/* ---- sets ---- */

static void print_tiers(const char *name, const struct comparison *c, uint32_t refused)
{
    uint64_t bytes = c->regex.table->bytes;

    print_message(
        "%s: %u patterns (%u refused by Hyperscan), compiled in %.2f s, tables %.2f MB:", name,
        c->set.n, refused, (double)c->regex.compile_ns * 1e-9, (double)bytes * 1e-6);
    for (int t = 0; t < MR_TIERS; t++)
        print_message(" %s %u", mr_regex_tier_name((enum mr_regex_tier)t), c->regex.tiers[t]);
    print_message("\n");
    if (!getenv("MR_REASONS"))
        return;
    for (uint32_t i = 0; i < c->set.n; i++) {
        const struct mr_regex_place *p = &c->regex.places[i];
        print_message("  %u:%s: %s, %u factors from %u bytes, %u states, %u bytes%s%s\n",
                      c->set.patterns[i].id, c->set.patterns[i].text, mr_regex_tier_name(p->tier),
                      p->n_factors, p->factor_len_min, p->n_states, p->bytes, p->why ? ": " : "",
                      p->why ? p->why : "");
    }
}

/* Compiles both; the set has been read. */
static void comparison_open(struct comparison *c, const char *name)
{
    struct mr_error error;
    uint32_t refused = mr_real_compile(&c->set, &c->groups);

    c->patterns = calloc(c->set.n, sizeof *c->patterns);
    c->hyperscan = calloc(c->set.n, 1);
    c->matches = calloc((c->set.n + 31) / 32, 4);
    c->undecided = calloc((c->set.n + 31) / 32, 4);
    assert_true(c->patterns && c->hyperscan && c->matches && c->undecided);
    for (uint32_t i = 0; i < c->set.n; i++)
        c->patterns[i] = mr_real_regex(&c->set.patterns[i]);
    assert_int_equal(
        mr_regex_compile(&c->regex, c->patterns, c->set.n, &mr_regex_limits_default, 2, &error),
        MR_OK);
    print_tiers(name, c, refused);
    device_open(c);
}

static void comparison_close(struct comparison *c)
{
    if (c->rounds && c->batch->n_messages)
        device_compare(c);
    device_close(c);
    print_message("  %lu texts, %lu bytes: %lu matches, %lu left to the CPU; %lu texts on the "
                  "device, %lu of them redone; %lu differences\n",
                  (unsigned long)c->texts, (unsigned long)c->bytes, (unsigned long)c->found,
                  (unsigned long)c->left, (unsigned long)c->on_device, (unsigned long)c->redone,
                  (unsigned long)c->different);
    uint64_t different = c->different, found = c->found;
    mr_regex_set_free(&c->regex);
    mr_match_groups_free(&c->groups);
    mr_match_set_free(&c->set);
    free(c->patterns);
    free(c->hyperscan);
    free(c->matches);
    free(c->undecided);
    assert_true(found > 0);
    assert_int_equal(different, 0);
}

/* Everything that the grammar knows, alone and in company. */
static void by_hand(void **state)
{
    (void)state;
    struct comparison c = {0};

    mr_real_read(&c.set, mr_real_by_hand());
    comparison_open(&c, "by hand");
    compare_samples(&c, 60);
    for (unsigned byte = 0; byte < 256; byte++) {
        uint8_t text[] = {(uint8_t)byte, 'a', (uint8_t)byte};
        compare(&c, text, 1);
        compare(&c, text, 2);
        compare(&c, text + 1, 2);
        compare(&c, text, 3);
    }
    for (uint32_t point = 0x80; point < 0x3000; point++) { /* as UTF-8 */
        uint8_t text[] = {(uint8_t)(0xe0 | point >> 12), (uint8_t)(0x80 | (point >> 6 & 0x3f)),
                          (uint8_t)(0x80 | (point & 0x3f))};
        bool three = point >= 0x800;
        if (!three)
            text[1] = (uint8_t)(0xc0 | point >> 6);
        compare(&c, text + !three, 2u + three);
    }
    compare(&c, (const uint8_t *)"", 0);
    comparison_close(&c);
}

static void real(const char *name, enum mr_real_set which, uint32_t samples)
{
    struct comparison c = {0};

    if (!mr_real_patterns(which, &c.set))
        skip();
    comparison_open(&c, name);
    compare_samples(&c, getenv("MR_LARGE") ? 8 : samples);
    mr_real_texts(which, compare_subject, &c);
    comparison_close(&c);
}

static void hyperscans_own(void **state)
{
    (void)state;
    real("hscollider", MR_REAL_HSCOLLIDER, 3);
}

static void snort(void **state)
{
    (void)state;
    real("Snort community", MR_REAL_SNORT, 2);
}

static void spamassassin(void **state)
{
    (void)state;
    real("SpamAssassin", MR_REAL_SPAMASSASSIN, 4);
}

static void anmlzoo(void **state)
{
    (void)state;
    real("ANMLZoo", MR_REAL_ANMLZOO, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(by_hand),      cmocka_unit_test(hyperscans_own), cmocka_unit_test(snort),
        cmocka_unit_test(spamassassin), cmocka_unit_test(anmlzoo),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
