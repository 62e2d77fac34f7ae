/* Decoders come and go in several threads while charsets are kept: no library of a converter is
 * unloaded beside the others. ThreadSanitizer sees it where one is. */
// layers: mime
#include "mime/mime.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#define THREADS 4
#define ROUNDS  25

static const char mail[] =
    "Content-Type: text/plain; charset=shift_jis\r\n\r\n\x93\xfa\x96\x7b\r\n";
static const char japan[] = "\xe6\x97\xa5\xe6\x9c\xac"; /* in UTF-8 */

static void *work(void *right)
{
    for (unsigned i = 0; i < ROUNDS; i++) {
        struct mr_mime_decoder *d = mr_mime_open(NULL);
        if (!d)
            return NULL;
        const struct mr_mime *m = mr_mime_decode(d, NULL, (const uint8_t *)mail, sizeof mail - 1);
        *(unsigned *)right +=
            m->text.len >= sizeof japan - 1 && !memcmp(m->text.ptr, japan, sizeof japan - 1);
        mr_mime_close(d);
    }
    return NULL;
}

static void decoders_come_and_go(void **state)
{
    struct mr_mime_charsets *kept = mr_mime_charsets_keep();
    pthread_t threads[THREADS];
    unsigned right[THREADS] = {0};

    (void)state;
    assert_non_null(kept);
    for (unsigned i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, work, &right[i]), 0);
    for (unsigned i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
        assert_int_equal(right[i], ROUNDS);
    }
    mr_mime_charsets_release(kept);
    mr_mime_charsets_release(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(decoders_come_and_go),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
