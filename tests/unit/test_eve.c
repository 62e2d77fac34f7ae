/* EVE records: fields and their order, hostile strings, limits. */
// layers: base output
#include "output/eve.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <yajl/yajl_parse.h>

#include <cmocka.h>

#define SECOND 1000000000ull

static struct mr_eve *new_eve(uint32_t max_string, uint32_t max_record)
{
    struct mr_eve *eve = NULL;
    struct mr_eve_config config = {.max_string_bytes = max_string, .max_record_bytes = max_record};
    assert_int_equal(mr_eve_new(&eve, &config), MR_OK);
    return eve;
}

static void check_json(const char *record, size_t len)
{
    yajl_handle parser = yajl_alloc(NULL, NULL, NULL); /* checks UTF-8 as well */
    assert_int_equal(record[len - 1], '\n');
    assert_int_equal(record[len], '\0');
    assert_null(memchr(record, '\n', len - 1));
    if (yajl_parse(parser, (const unsigned char *)record, len) != yajl_status_ok ||
        yajl_complete_parse(parser) != yajl_status_ok)
        fail_msg("no JSON: %.200s", record);
    yajl_free(parser);
}

static void expect(struct mr_eve *eve, const char *text)
{
    size_t len;
    const char *record = mr_eve_finish(eve, &len);
    check_json(record, len);
    assert_string_equal(record, text);
}

static void begin(struct mr_eve *eve)
{
    mr_eve_begin(eve, &(struct mr_eve_header){.type = "t", .time_ns = 0});
}

#define START "{\"timestamp\":\"1970-01-01T00:00:00.000000+0000\",\"event_type\":\"t\""

static struct mr_endpoint v4(uint8_t a, uint8_t b, uint8_t c, uint8_t d, uint16_t port,
                             uint8_t protocol)
{
    return (struct mr_endpoint){
        .address = {a, b, c, d}, .port = port, .family = 4, .protocol = protocol};
}

static void headers(void **state)
{
    (void)state;
    struct mr_eve *eve = new_eve(0, 0);
    struct mr_endpoint src = v4(128, 232, 110, 120, 34855, 6), dst = v4(66, 35, 250, 204, 80, 6);
    struct mr_eve_header header = {
        .type = "alert",
        .time_ns = 1368097327 * SECOND + 123456789,
        .flow_id = 9007199254740991,
        .src = &src,
        .dst = &dst,
        .packet_number = 7,
        .app_proto = "smtp",
    };

    mr_eve_begin(eve, &header);
    expect(eve, "{\"timestamp\":\"2013-05-09T11:02:07.123456+0000\",\"flow_id\":9007199254740991,"
                "\"pcap_cnt\":7,\"event_type\":\"alert\",\"src_ip\":\"128.232.110.120\","
                "\"src_port\":34855,\"dest_ip\":\"66.35.250.204\",\"dest_port\":80,"
                "\"proto\":\"TCP\",\"community_id\":\"1:LQU9qZlK+B5F3KDmev6m5PMibrg=\","
                "\"app_proto\":\"smtp\"}\n");
    header.packet_number = 0;
    header.flow_id = 0;
    header.app_proto = NULL;
    header.community_id = "1:x";
    src.zone = dst.zone = 6;
    mr_eve_begin(eve, &header);
    expect(eve, "{\"timestamp\":\"2013-05-09T11:02:07.123456+0000\","
                "\"event_type\":\"alert\",\"vlan\":[6],\"src_ip\":\"128.232.110.120\","
                "\"src_port\":34855,\"dest_ip\":\"66.35.250.204\",\"dest_port\":80,"
                "\"proto\":\"TCP\",\"community_id\":\"1:x\"}\n");
    header.src = header.dst = NULL;
    header.community_id = NULL;
    mr_eve_begin(eve, &header);
    expect(eve, "{\"timestamp\":\"2013-05-09T11:02:07.123456+0000\",\"event_type\":\"alert\"}\n");
    mr_eve_free(eve);
    mr_eve_free(NULL);
}

static void other_protocols(void **state)
{
    (void)state;
    struct mr_eve *eve = new_eve(0, 0);
    struct mr_endpoint src = {.address = {0x20, 0x01, [12] = 0xb9, 0xc8, 0x28, 0x15},
                              .family = 6,
                              .protocol = 58,
                              .zone = 1 | 10 << 12};
    struct mr_endpoint dst = src;
    static const uint8_t echo[] = {128, 0};
    struct mr_eve_header header = {.type = "flow", .src = &src, .dst = &dst, .icmp = echo};
    static const struct {
        uint8_t protocol;
        const char *text;
    } names[] = {{17, "\"proto\":\"UDP\""},
                 {132, "\"proto\":\"SCTP\""},
                 {0, "\"proto\":\"000\""},
                 {99, "\"proto\":\"099\""},
                 {255, "\"proto\":\"255\""}};

    mr_eve_begin(eve, &header);
    expect(eve, "{\"timestamp\":\"1970-01-01T00:00:00.000000+0000\",\"event_type\":\"flow\","
                "\"vlan\":[1,10],\"src_ip\":\"2001:0000:0000:0000:0000:0000:b9c8:2815\","
                "\"dest_ip\":\"2001:0000:0000:0000:0000:0000:b9c8:2815\","
                "\"proto\":\"IPv6-ICMP\",\"icmp_type\":128,\"icmp_code\":0,"
                "\"community_id\":\"1:uoN5ZuxUBT4WnFNdfjmNCRXjVPo=\"}\n");
    header.icmp = NULL;
    mr_eve_begin(eve, &header);
    expect(eve, "{\"timestamp\":\"1970-01-01T00:00:00.000000+0000\",\"event_type\":\"flow\","
                "\"vlan\":[1,10],\"src_ip\":\"2001:0000:0000:0000:0000:0000:b9c8:2815\","
                "\"dest_ip\":\"2001:0000:0000:0000:0000:0000:b9c8:2815\","
                "\"proto\":\"IPv6-ICMP\"}\n");
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        size_t len;
        src.protocol = names[i].protocol;
        mr_eve_begin(eve, &header);
        const char *record = mr_eve_finish(eve, &len);
        check_json(record, len);
        assert_non_null(strstr(record, names[i].text));
    }
    mr_eve_free(eve);
}

static void values(void **state)
{
    (void)state;
    struct mr_eve *eve = new_eve(0, 0);
    struct mr_endpoint four = v4(1, 2, 3, 4, 25, 6), six = {.family = 6, .port = 65535};
    double nan = strtod("nan", NULL), infinite = strtod("inf", NULL);

    begin(eve);
    mr_eve_int(eve, "min", INT64_MIN);
    mr_eve_int(eve, "max", INT64_MAX);
    mr_eve_int(eve, "zero", 0);
    mr_eve_real(eve, "tenth", 0.1);
    mr_eve_real(eve, "third", 1.0 / 3);
    mr_eve_real(eve, "big", 1e300);
    mr_eve_real(eve, "nan", nan);
    mr_eve_real(eve, "inf", -infinite);
    mr_eve_bool(eve, "yes", true);
    mr_eve_bool(eve, "no", false);
    mr_eve_time(eve, "last", UINT64_MAX);
    mr_eve_address(eve, "four", &four);
    mr_eve_address(eve, "six", &six);
    expect(eve, START ",\"min\":-9223372036854775808,\"max\":9223372036854775807,\"zero\":0,"
                      "\"tenth\":0.1,\"third\":0.33333333333333331,\"big\":1e+300,\"nan\":null,"
                      "\"inf\":null,\"yes\":true,\"no\":false,"
                      "\"last\":\"2554-07-21T23:34:33.709551+0000\",\"four\":\"1.2.3.4:25\","
                      "\"six\":\"[0000:0000:0000:0000:0000:0000:0000:0000]:65535\"}\n");
    mr_eve_free(eve);
}

static void every_day_is_where_the_c_library_has_it(void **state)
{
    (void)state;
    struct mr_eve *eve = new_eve(0, 0);

    for (uint64_t day = 0; day < 213503; day += day < 60000 ? 1 : 61) {
        time_t seconds = (time_t)(day * 86400 + day % 86400);
        char expected[64];
        struct tm parts;
        size_t len;
        gmtime_r(&seconds, &parts);
        strftime(expected, sizeof expected, "{\"timestamp\":\"%Y-%m-%dT%H:%M:%S.000000+0000\"",
                 &parts);
        mr_eve_begin(eve,
                     &(struct mr_eve_header){.type = "t", .time_ns = (uint64_t)seconds * SECOND});
        assert_memory_equal(mr_eve_finish(eve, &len), expected, strlen(expected));
    }
    mr_eve_free(eve);
}

static void nesting(void **state)
{
    (void)state;
    struct mr_eve *eve = new_eve(0, 0);

    begin(eve);
    mr_eve_object(eve, "o");
    mr_eve_array(eve, "a");
    mr_eve_int(eve, NULL, 1);
    mr_eve_object(eve, NULL);
    mr_eve_int(eve, "x", 2);
    mr_eve_end(eve);
    mr_eve_string(eve, "a key is ignored here", "s", 1);
    mr_eve_end(eve);
    mr_eve_end(eve);
    mr_eve_end(eve); /* one too many */
    mr_eve_int(eve, NULL, 3);
    mr_eve_object(eve, "open");
    mr_eve_array(eve, "left");
    expect(eve, START ",\"o\":{\"a\":[1,{\"x\":2},\"s\"]},\"\":3,\"open\":{\"left\":[]}}\n");
    mr_eve_free(eve);
}

static void too_deep_is_left_out(void **state)
{
    (void)state;
    struct mr_eve *eve = new_eve(0, 0);
    size_t len;

    begin(eve);
    for (int i = 0; i < 200; i++) {
        mr_eve_object(eve, "o");
        mr_eve_int(eve, "i", i);
    }
    for (int i = 0; i < 200; i++)
        mr_eve_end(eve);
    mr_eve_int(eve, "after", 1);
    const char *record = mr_eve_finish(eve, &len);
    check_json(record, len);
    assert_non_null(strstr(record, "\"i\":30}"));
    assert_null(strstr(record, "\"i\":31"));
    assert_non_null(strstr(record, ",\"after\":1,\"truncated\":true}\n"));
    mr_eve_free(eve);
}

static void check_string(struct mr_eve *eve, const char *bytes, size_t len, const char *json)
{
    char expected[512];
    char *exact = malloc(len ? len : 1); /* a sanitizer sees a byte too many */
    assert_non_null(exact);
    memcpy(exact, bytes, len);
    snprintf(expected, sizeof expected, START ",\"s\":%s}\n", json);
    begin(eve);
    mr_eve_string(eve, "s", exact, len);
    expect(eve, expected);
    free(exact);
}

#define BYTES(literal) (literal), sizeof(literal) - 1
#define FFFD           "\xef\xbf\xbd"

static void strings_are_repaired(void **state)
{
    (void)state;
    struct mr_eve *eve = new_eve(0, 0);

    check_string(eve, BYTES(""), "\"\"");
    check_string(eve, BYTES("plain / text"), "\"plain / text\"");
    check_string(eve, BYTES("\"\\\b\f\n\r\t\x01\x1f\x7f"),
                 "\"\\\"\\\\\\b\\f\\n\\r\\t\\u0001\\u001F\x7f\"");
    check_string(eve, BYTES("a\0b"), "\"a\\u0000b\"");
    check_string(eve, BYTES("\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80"),
                 "\"\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80\"");
    /* as the Unicode standard recommends: one mark for the longest start of a character */
    check_string(eve, BYTES("\x80"), "\"" FFFD "\"");
    check_string(eve, BYTES("a\xffz"), "\"a" FFFD "z\"");
    check_string(eve, BYTES("\xc0\xaf"), "\"" FFFD FFFD "\"");
    check_string(eve, BYTES("\xe2\x82"), "\"" FFFD "\"");
    check_string(eve, BYTES("\xe2\x82z"), "\"" FFFD "z\"");
    check_string(eve, BYTES("\xf0\x9f\x98"), "\"" FFFD "\"");
    check_string(eve, BYTES("\xf0\x9f\x98\xc3\xa4"), "\"" FFFD "\xc3\xa4\"");
    check_string(eve, BYTES("\xed\xa0\x80"), "\"" FFFD FFFD FFFD "\"");          /* surrogate */
    check_string(eve, BYTES("\xf4\x90\x80\x80"), "\"" FFFD FFFD FFFD FFFD "\""); /* too large */
    check_string(eve, BYTES("\xe0\x80\xaf"), "\"" FFFD FFFD FFFD "\"");          /* overlong */
    check_string(eve,
                 BYTES("12345678\xff"
                       "12345678901\xc3"),
                 "\"12345678" FFFD "12345678901" FFFD "\"");
    begin(eve);
    mr_eve_string(eve, "s", NULL, 0);
    expect(eve, START ",\"s\":\"\"}\n");
    mr_eve_free(eve);
}

static void strings_are_cut_between_characters(void **state)
{
    (void)state;
    struct mr_eve *eve = new_eve(8, 0);

    check_string(eve, BYTES("12345678"), "\"12345678\"");
    check_string(eve, BYTES("123456789"), "\"12345678\",\"s_truncated\":true");
    check_string(eve, BYTES("1234567\xc3\xa4"), "\"1234567\",\"s_truncated\":true");
    check_string(eve, BYTES("123456\xc3\xa4"), "\"123456\xc3\xa4\"");
    check_string(eve, BYTES("12345\xff"), "\"12345" FFFD "\"");
    check_string(eve, BYTES("123456\xff"), "\"123456\",\"s_truncated\":true");
    check_string(eve, BYTES("\xff\xff\xff"), "\"" FFFD FFFD "\",\"s_truncated\":true");
    check_string(eve,
                 BYTES("\xff"
                       "12345"),
                 "\"" FFFD "12345\"");
    check_string(eve,
                 BYTES("\xff"
                       "123456"),
                 "\"" FFFD "12345\",\"s_truncated\":true");
    begin(eve);
    mr_eve_array(eve, "a");
    mr_eve_string(eve, NULL, BYTES("123456789"));
    mr_eve_end(eve);
    expect(eve, START ",\"a\":[\"12345678\"],\"truncated\":true}\n");
    mr_eve_free(eve);
}

static void full_records_stay_json(void **state)
{
    (void)state;
    static char hostile[5000];
    size_t len;

    memset(hostile, 1, sizeof hostile); /* six bytes each when escaped */
    for (uint32_t max = 1; max < 6000; max += 7) {
        struct mr_eve *eve = new_eve(0, max);
        for (int round = 0; round < 2; round++) { /* the next record has room again */
            begin(eve);
            for (int i = 0; i < 40; i++) {
                mr_eve_object(eve, "object");
                mr_eve_string(eve, "text", hostile, (size_t)i);
                mr_eve_array(eve, "list");
                mr_eve_string(eve, NULL, "abcdefgh\"", 9);
                mr_eve_bool(eve, NULL, true);
                mr_eve_end(eve);
                if (i % 3)
                    mr_eve_end(eve);
            }
            const char *record = mr_eve_finish(eve, &len);
            check_json(record, len);
            assert_true(len < (max < 1024 ? 1024 : max));
            assert_non_null(strstr(record, "\"truncated\":true}\n"));
        }
        mr_eve_free(eve);
    }
    /* what fits is kept whole, to the byte */
    struct mr_eve *eve = new_eve(5000, 24000);
    begin(eve);
    mr_eve_string(eve, "s", hostile, 3900);
    const char *record = mr_eve_finish(eve, &len);
    check_json(record, len);
    assert_null(strstr(record, "truncated"));
    mr_eve_free(eve);
}

static void flow_events(void **state)
{
    (void)state;
    struct mr_eve *eve = new_eve(0, 0);
    struct mr_flow flow = {
        .client = v4(10, 0, 0, 1, 1000, 6),
        .server = v4(10, 0, 0, 2, 25, 6),
        .first_ns = 10 * SECOND + 999999999,
        .last_ns = 12 * SECOND,
        .packets = {5, 4},
        .bytes = {500, 400},
        .state = "closed",
        .end = MR_FLOW_END_FIN,
        .tcp_flags = {0x1b, 0x13},
    };

    begin(eve);
    mr_eve_flow(eve, &flow, false);
    expect(eve, START ",\"flow\":{\"pkts_toserver\":5,\"pkts_toclient\":4,\"bytes_toserver\":500,"
                      "\"bytes_toclient\":400,\"start\":\"1970-01-01T00:00:10.999999+0000\","
                      "\"end\":\"1970-01-01T00:00:12.000000+0000\",\"age\":2,"
                      "\"state\":\"closed\",\"reason\":\"fin\"},"
                      "\"tcp\":{\"tcp_flags\":\"1b\",\"tcp_flags_ts\":\"1b\","
                      "\"tcp_flags_tc\":\"13\",\"syn\":true,\"fin\":true,\"psh\":true,"
                      "\"ack\":true,\"state\":\"closed\"}}\n");
    flow.state = NULL;
    flow.end = 200;
    flow.tcp_flags[0] = MR_TCP_SYN;
    flow.tcp_flags[1] = 0;
    flow.gap_bytes[MR_TO_CLIENT] = 9;
    begin(eve);
    mr_eve_flow(eve, &flow, false);
    size_t len;
    const char *record = mr_eve_finish(eve, &len);
    check_json(record, len);
    assert_non_null(strstr(record, "\"state\":\"new\",\"reason\":\"open\"}"));
    assert_non_null(strstr(record, "\"syn\":true,\"state\":\"syn_sent\",\"tc_gap\":true}}\n"));
    flow.client.protocol = 17;
    begin(eve);
    mr_eve_flow(eve, &flow, false);
    record = mr_eve_finish(eve, &len);
    assert_null(strstr(record, "\"tcp\""));
    mr_eve_free(eve);
}

/* Where nobody counted, what is not known is not told as 0. */
static void flow_without_counters(void **state)
{
    (void)state;
    struct mr_eve *eve = new_eve(0, 0);
    struct mr_flow flow = {.client = v4(10, 0, 0, 1, 1000, 6),
                           .server = v4(10, 0, 0, 2, 25, 6),
                           .first_ns = 10 * SECOND,
                           .last_ns = 10 * SECOND,
                           .end = MR_FLOW_END_SHUTDOWN};

    begin(eve);
    mr_eve_flow(eve, &flow, true);
    expect(eve, START ",\"flow\":{\"start\":\"1970-01-01T00:00:10.000000+0000\","
                      "\"reason\":\"shutdown\",\"alerted\":false}}\n");
    mr_eve_free(eve);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(headers),
        cmocka_unit_test(other_protocols),
        cmocka_unit_test(values),
        cmocka_unit_test(every_day_is_where_the_c_library_has_it),
        cmocka_unit_test(nesting),
        cmocka_unit_test(too_deep_is_left_out),
        cmocka_unit_test(strings_are_repaired),
        cmocka_unit_test(strings_are_cut_between_characters),
        cmocka_unit_test(full_records_stay_json),
        cmocka_unit_test(flow_events),
        cmocka_unit_test(flow_without_counters),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
