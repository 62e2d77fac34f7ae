/* Where a flow becomes encrypted: TLS records however they are cut, and what the detector says. */
// layers: components
#include "components/tls_records.h"
#include "flow_rig.h"

#include <setjmp.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

/* hello (22), change cipher spec (20), an encrypted handshake, then application data (23) */
static const uint8_t stream[] = {22, 3, 1, 0, 5,  1, 0, 0, 1,  9, 20, 3, 3, 0,   1,   1,   22,
                                 3,  3, 0, 4, 23, 3, 3, 0, 23, 3, 3,  1, 0, 'd', 'a', 't', 'a'};
#define ENCRYPTED_AT 30 /* behind the header of the application data */

static void found_at_its_byte_however_cut(void **state)
{
    (void)state;
    for (uint32_t cut = 0; cut <= sizeof stream; cut++)
        for (uint32_t second = cut; second <= sizeof stream; second++) {
            struct mr_tls_records r = {0};
            bool a = mr_tls_records(&r, stream, cut);
            bool b = !a && mr_tls_records(&r, stream + cut, second - cut);
            assert_int_equal(a, cut >= ENCRYPTED_AT);
            assert_int_equal(a || b, second >= ENCRYPTED_AT);
            assert_false(r.lost);
        }
}

static void what_is_no_tls_is_left(void **state)
{
    static const char *const texts[] = {"GET / HTTP/1.1\r\n", "\x17\x02\x01\x00\x10",
                                        "\x16\x03\x01\xff\xff",
                                        ("\x16\x03\x01\x00\x01"
                                         "xMAIL FROM")};
    (void)state;
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        struct mr_tls_records r = {0};
        assert_false(mr_tls_records(&r, (const uint8_t *)texts[i], i == 1 || i == 2 ? 5 : 10));
        assert_true(r.lost || i == 3);
        if (i == 3) {
            assert_false(mr_tls_records(&r, (const uint8_t *)"AIL FROM", 8));
            assert_true(r.lost);
        }
        assert_false(mr_tls_records(&r, stream, sizeof stream)); /* and stays lost */
    }
}

static void said_by_the_detector(void **state)
{
    (void)state;
    for (uint32_t cut = 1; cut < sizeof stream; cut++) {
        struct flow_rig rig;
        flow_rig_open(&rig, 4711, false);
        flow_rig_chunk(&rig, MR_CHUNK_DATA, MR_TO_SERVER, stream, cut, 0);
        assert_int_equal(rig.flow.bypass_asked, cut >= ENCRYPTED_AT);
        flow_rig_chunk(&rig, MR_CHUNK_DATA, MR_TO_SERVER, stream + cut, sizeof stream - cut, 0);
        assert_true(rig.flow.bypass_asked);
        free(flow_rig_close(&rig, false));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(found_at_its_byte_however_cut),
        cmocka_unit_test(what_is_no_tls_is_left),
        cmocka_unit_test(said_by_the_detector),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
