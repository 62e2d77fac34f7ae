/* EVE records from hostile fields: whatever is put in, each record is one line of JSON in UTF-8 and
 * within its limit. The input is a list of operations: one byte that says which, then its data. */
// layers: base output
#include "output/eve.h"

#include <stdlib.h>
#include <string.h>
#include <yajl/yajl_parse.h>

struct input {
    const uint8_t *at, *end;
};

static uint8_t byte(struct input *input)
{
    return input->at < input->end ? *input->at++ : 0;
}

static uint64_t number(struct input *input)
{
    uint64_t value = 0;
    for (int i = 0; i < 8; i++)
        value = value << 8 | byte(input);
    return value;
}

static struct mr_endpoint endpoint(struct input *input)
{
    struct mr_endpoint result = {.family = byte(input), .protocol = byte(input)};
    result.port = (uint16_t)number(input);
    result.zone = (uint32_t)number(input);
    for (int i = 0; i < 16; i++)
        result.address[i] = byte(input);
    return result;
}

/* A string in memory of its own, so that a sanitizer sees a byte too many. */
static void string(struct mr_eve *eve, const char *key, struct input *input)
{
    size_t len = byte(input), repeat = 1 + byte(input) % 16;
    if (len > (size_t)(input->end - input->at))
        len = (size_t)(input->end - input->at);
    uint8_t *bytes = malloc(len * repeat + 1);
    if (!bytes)
        return;
    for (size_t i = 0; i < repeat; i++)
        memcpy(bytes + i * len, input->at, len);
    input->at += len;
    uint8_t *exact = realloc(bytes, len ? len * repeat : 1);
    mr_eve_string(eve, key, exact, len * repeat);
    free(exact);
}

static void flow(struct mr_eve *eve, struct input *input)
{
    static const char *const states[] = {"new", "established", "closed", NULL};
    struct mr_flow flow = {.client = endpoint(input)};
    flow.first_ns = number(input);
    flow.last_ns = number(input);
    flow.packets[0] = number(input);
    flow.gap_bytes[1] = byte(input);
    flow.state = states[byte(input) % 4];
    flow.end = byte(input);
    flow.tcp_flags[0] = byte(input);
    flow.tcp_flags[1] = byte(input);
    mr_eve_flow(eve, &flow, false);
}

static void record(struct mr_eve *eve, struct input *input)
{
    static const char *const keys[] = {"a", "signature", NULL, "rcpt_to", "\"\n\x01"};
    struct mr_endpoint src = endpoint(input), dst = endpoint(input);
    const uint8_t icmp[2] = {byte(input), byte(input)};
    uint8_t what = byte(input);
    struct mr_eve_header header = {
        .type = keys[what % 2],
        .time_ns = number(input),
        .flow_id = number(input),
        .src = what & 2 ? &src : NULL,
        .dst = what & 4 ? &dst : NULL,
        .icmp = what & 8 ? icmp : NULL,
        .app_proto = what & 16 ? "smtp" : NULL,
        .community_id = what & 32 ? "1:" : NULL,
    };

    mr_eve_begin(eve, &header);
    for (uint8_t op = byte(input); op != 0xff && input->at < input->end; op = byte(input)) {
        const char *key = keys[op / 16 % 5];
        double real;
        uint64_t bits;
        switch (op % 16) {
        case 0:
            mr_eve_object(eve, key);
            break;
        case 1:
            mr_eve_array(eve, key);
            break;
        case 2:
        case 3:
            mr_eve_end(eve);
            break;
        case 4:
            mr_eve_int(eve, key, (int64_t)number(input));
            break;
        case 5:
            bits = number(input);
            memcpy(&real, &bits, sizeof real);
            mr_eve_real(eve, key, real);
            break;
        case 6:
            mr_eve_bool(eve, key, op & 16);
            break;
        case 7:
            mr_eve_time(eve, key, number(input));
            break;
        case 8:
            src = endpoint(input);
            mr_eve_address(eve, key, &src);
            break;
        case 9:
            flow(eve, input);
            break;
        default:
            string(eve, key, input);
            break;
        }
    }
}

static void check(const char *bytes, size_t len, size_t max)
{
    yajl_handle parser = yajl_alloc(NULL, NULL, NULL);
    if (!parser)
        return;
    if (len >= max || bytes[len - 1] != '\n' || memchr(bytes, '\n', len - 1) ||
        yajl_parse(parser, (const unsigned char *)bytes, len) != yajl_status_ok ||
        yajl_complete_parse(parser) != yajl_status_ok)
        abort();
    yajl_free(parser);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input input = {data, data + size};
    struct mr_eve *eve = NULL;
    struct mr_eve_config config = {.max_string_bytes = 1 + byte(&input)};

    config.max_record_bytes = 1024 + 8 * (uint32_t)byte(&input);
    if (mr_eve_new(&eve, &config))
        return 0;
    while (input.at < input.end) {
        size_t len;
        record(eve, &input);
        const char *bytes = mr_eve_finish(eve, &len);
        check(bytes, len, config.max_record_bytes);
    }
    mr_eve_free(eve);
    return 0;
}
