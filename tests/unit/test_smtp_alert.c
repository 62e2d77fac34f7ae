/* What an alert tells of its mail, where memory was short when the mail ended. */
// layers: components harness base
#include "harness/harness.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define LINES 11

extern const struct mr_component mr_component_smtp;

/* A mail whose note takes more than 2 KiB. */
static const char *dialog(void)
{
    static char mail[4096];

    snprintf(mail, sizeof mail,
             "From: a@x\r\nTo: %01000d@x\r\nCc: %01000d@x\r\nSubject: s\r\n\r\nhello\r\n.\r\n", 1,
             2);
    return mail;
}

static void memory_was_short(void **state)
{
    const char *lines[LINES] = {
        "220 x\r\n",         "EHLO a\r\n", "250 x\r\n", "MAIL FROM:<a@x>\r\n", "250 x\r\n",
        "RCPT TO:<b@x>\r\n", "250 x\r\n",  "DATA\r\n",  "354 x\r\n",           dialog(),
        "250 x\r\n"};
    struct mr_harness *h =
        mr_harness_new(mr_harness_find(&mr_component_smtp, "f_processSMTPSegment"), NULL, 0);
    struct mr_chunk chunks[LINES];
    union mr_value values[LINES], flows[LINES] = {{0}};
    uint32_t keys[LINES] = {0};
    uint64_t offsets[2] = {0, 0};

    (void)state;
    for (uint32_t i = 0; i < LINES; i++) {
        uint32_t to_server = i % 2;
        chunks[i] = (struct mr_chunk){.data = (const uint8_t *)lines[i],
                                      .len = (uint32_t)strlen(lines[i]),
                                      .direction = to_server ? MR_TO_SERVER : MR_TO_CLIENT,
                                      .offset = offsets[to_server]};
        offsets[to_server] += chunks[i].len;
        values[i] = mr_value_bytes(&chunks[i], sizeof chunks[i]);
    }
    mr_harness_extract(h);
    mr_harness_token_bytes(h, 2048);
    struct mr_harness_rows rows = {.n = LINES, .args = {values, flows}, .keys = keys};
    assert_int_equal(mr_harness_call(h, &rows), 1);
    const struct mr_transaction *transaction = mr_harness_results(h)[0].transaction;
    assert_non_null(transaction);
    assert_true(mr_harness_refused(h) > 0);

    mr_harness_forget_events(h);
    mr_harness_alert(h, transaction);
    assert_string_equal(mr_harness_events(h),
                        "alert smtp.helo=\"a\" smtp.mail_from=\"<a@x>\" "
                        "smtp.rcpt_to=\"<b@x>\" email.status=\"PARSE_DONE\"\n");
    mr_harness_token_bytes(h, 1 << 20);
    mr_harness_forget_events(h);
    mr_harness_alert(h, transaction);
    assert_non_null(strstr(mr_harness_events(h), " email.from=\"a@x\""));
    mr_harness_free(h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(memory_was_short)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
