/* Contexts that one packet opened, and that end together, are told in one order, also where little
 * tells their keys apart: for all workers, lanes and bursts, and whatever the secret of the run. */
// layers: runtime analog base
#include "base/hash.h"
#include "millrace/component.h"

#include <stdio.h>
#include <stdlib.h>

static void call_twins(struct mr_call *call);
static void call_names(struct mr_call *call);
static void call_which(struct mr_call *call);

#define MORE_FUNCTIONS                                                                             \
    {.name = "f_twins",                                                                            \
     .summary = "pairs of keys",                                                                   \
     .args = {MR_TYPE_PACKET},                                                                     \
     .n_args = 1,                                                                                  \
     .result = MR_TYPE_INT,                                                                        \
     .shape = MR_SHAPE_EXPAND,                                                                     \
     .call = call_twins},                                                                          \
        {.name = "f_names",                                                                        \
         .summary = "long keys",                                                                   \
         .args = {MR_TYPE_PACKET},                                                                 \
         .n_args = 1,                                                                              \
         .result = MR_TYPE_STRING,                                                                 \
         .shape = MR_SHAPE_EXPAND,                                                                 \
         .call = call_names},                                                                      \
        {.name = "f_which",                                                                        \
         .summary = "which of these",                                                              \
         .args = {MR_TYPE_STRING},                                                                 \
         .n_args = 1,                                                                              \
         .result = MR_TYPE_INT,                                                                    \
         .shape = MR_SHAPE_MAP,                                                                    \
         .call = call_which},

#include "runtime_rig.h"

#define LOOKED_AT  60000u
#define PLACE_BITS 24 /* of its hash: so much of a key is in a context's place */
#define TWINS      64u
#define AT_A_TIME  16u
#define NAMES      40u
#define NAME_BYTES 62u

static int64_t twins[TWINS];
static char names[NAMES][NAME_BYTES];

/* Now and then, to be told at the end; others come in between. */
static bool is_theirs(uint64_t packet)
{
    return packet % 101 == 0;
}

static void call_twins(struct mr_call *call)
{
    for (uint32_t row = 0; row < call->n; row++) {
        uint64_t packet = packet_of(call, row)->number;
        for (uint32_t i = 0; is_theirs(packet) && i < AT_A_TIME; i++)
            mr_yield(call, row, mr_value_int(twins[(packet / 101 * 6 + i) % TWINS]));
    }
}

static void call_names(struct mr_call *call)
{
    for (uint32_t row = 0; row < call->n; row++)
        for (uint32_t i = 0; is_theirs(packet_of(call, row)->number) && i < NAMES; i++)
            mr_yield(call, row, mr_value_bytes(names[i], NAME_BYTES - 1));
}

static void call_which(struct mr_call *call)
{
    for (uint32_t row = 0; row < call->n; row++) {
        const char *name = call->args[0][row].b.ptr;
        call->out[row] =
            mr_value_int((name[NAME_BYTES - 3] - '0') * 10 + name[NAME_BYTES - 2] - '0');
    }
}

static int by_value(const void *x, const void *y)
{
    uint64_t a = *(const uint64_t *)x, b = *(const uint64_t *)y;
    return a < b ? -1 : a > b;
}

/* Keys whose hashes end alike. */
static int find_twins(void **state)
{
    uint64_t *all = malloc(LOOKED_AT * sizeof *all);
    uint32_t n = 0;

    (void)state;
    assert_non_null(all);
    for (uint64_t i = 0; i < LOOKED_AT; i++)
        all[i] = mr_hash_public(&i, sizeof i) << (64 - PLACE_BITS) | i;
    qsort(all, LOOKED_AT, sizeof *all, by_value);
    for (uint32_t i = 1; i < LOOKED_AT && n < TWINS; i++) {
        if ((all[i] ^ all[i - 1]) >> (64 - PLACE_BITS))
            continue;
        twins[n++] = (int64_t)(all[i - 1] & 0xffffff);
        twins[n++] = (int64_t)(all[i] & 0xffffff);
        i++;
    }
    free(all);
    for (uint32_t i = 0; i < NAMES; i++)
        (void)snprintf(names[i], NAME_BYTES,
                       "https://example.org/as/long/as/links/are/in/mails/a=1&b=%03u%02u", 0u, i);
    assert_int_equal(strlen(names[0]), NAME_BYTES - 1);
    return n == TWINS ? 0 : -1;
}

static void keys_that_share_a_place(void **state)
{
    (void)state;
    same_everywhere("component keyer(parallel) {"
                    " k1 keyed(@N,PKT,KEY) :- input(@N,PKT,S,D), KEY = f_twins(PKT). }\n" SEQUENCER,
                    N_PACKETS / 6);
}

static void keys_too_long_to_be_kept(void **state)
{
    (void)state;
    same_everywhere("component keyer(parallel) {"
                    " k1 keyed(@N,PKT,NAME) :- input(@N,PKT,S,D), NAME = f_names(PKT). }\n"
                    "component each(parallel_context_order, context_keys(keyed(3))) {"
                    " s1 counted(@N,WHICH,SEQ) :- keyed(@N,PKT,NAME), SEQ = f_sequence(PKT),"
                    " WHICH = f_which(NAME). }\n",
                    N_PACKETS / 6);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keys_that_share_a_place),
        cmocka_unit_test(keys_too_long_to_be_kept),
    };
    return cmocka_run_group_tests(tests, find_twins, NULL);
}
