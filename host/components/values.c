/* Functions on plain values: lists, text, time, chance, hashes. */
#include "millrace/list.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <nettle/sha1.h>

/* ---- lists ---- */

static bool fits(uint64_t bytes)
{
    return bytes <= MR_LIST_MAX_BYTES;
}

/* A list of all arguments of a row; of those that are no value, none. */
static void call_list(struct mr_call *call)
{
    for (uint32_t row = 0; row < call->n; row++) {
        struct mr_element elements[8];
        uint32_t n = 0, at = 0;
        uint64_t bytes = 0;
        for (uint32_t a = 0; a < call->n_args && n < 8; a++)
            if (mr_element_of(call->types[a], &call->args[a][row], &elements[n]))
                bytes += MR_LIST_HEAD + (uint64_t)elements[n++].len;
        uint8_t *list = fits(bytes) ? mr_alloc(call, (size_t)bytes + 1) : NULL;
        if (!list)
            continue;
        for (uint32_t i = 0; i < n; i++)
            at += mr_list_write(list + at, &elements[i]);
        mr_yield(call, row, mr_value_bytes(list, at));
    }
}

static void call_concat(struct mr_call *call)
{
    for (uint32_t row = 0; row < call->n; row++) {
        union mr_value x = call->args[0][row], y = call->args[1][row];
        uint64_t bytes = (uint64_t)x.b.len + y.b.len;
        uint8_t *list = fits(bytes) ? mr_alloc(call, (size_t)bytes + 1) : NULL;
        if (!list)
            continue;
        if (x.b.len)
            memcpy(list, x.b.ptr, x.b.len);
        if (y.b.len)
            memcpy(list + x.b.len, y.b.ptr, y.b.len);
        mr_yield(call, row, mr_value_bytes(list, (uint32_t)bytes));
    }
}

static void call_member(struct mr_call *call)
{
    for (uint32_t row = 0; row < call->n; row++) {
        struct mr_element wanted, e;
        uint32_t offset = 0;
        bool found = false;
        if (mr_element_of(call->types[1], &call->args[1][row], &wanted))
            while (!found && mr_list_next(call->args[0][row], &offset, &e))
                found = e.type == wanted.type && e.len == wanted.len &&
                        (!e.len || !memcmp(e.bytes, wanted.bytes, e.len));
        call->out[row] = mr_value_int(found);
    }
}

static uint32_t size_of(union mr_value list)
{
    struct mr_element e;
    uint32_t offset = 0, n = 0;

    while (mr_list_next(list, &offset, &e))
        n++;
    return n;
}

static void call_size(struct mr_call *call)
{
    for (uint32_t row = 0; row < call->n; row++)
        call->out[row] = mr_value_int(size_of(call->args[0][row]));
}

/* Without the first or the last element. */
static void shorten(struct mr_call *call, bool first)
{
    for (uint32_t row = 0; row < call->n; row++) {
        union mr_value list = call->args[0][row];
        struct mr_element e;
        uint32_t offset = 0, before = 0, next = 0;
        while (mr_list_next(list, &next, &e)) {
            before = offset;
            offset = next;
            if (first)
                break;
        }
        const uint8_t *bytes = list.b.ptr; /* NULL perhaps, of an empty list */
        call->out[row] = !first   ? mr_value_bytes(bytes, before)
                         : offset ? mr_value_bytes(bytes + offset, list.b.len - offset)
                                  : list;
    }
}

static void call_remove_first(struct mr_call *call)
{
    shorten(call, true);
}

static void call_remove_last(struct mr_call *call)
{
    shorten(call, false);
}

/* ---- text ---- */

static int address_text(const struct mr_endpoint *e, char *text, size_t size)
{
    const uint8_t *a = e->address;
    int n = 0;

    if (e->family == 4) {
        n = snprintf(text, size, "%u.%u.%u.%u", a[0], a[1], a[2], a[3]);
    } else {
        n = snprintf(text, size, "%s", e->port ? "[" : "");
        for (int i = 0; i < 16; i += 2)
            n += snprintf(text + n, size - (size_t)n, "%s%x", i ? ":" : "",
                          (unsigned)(a[i] << 8 | a[i + 1]));
        n += snprintf(text + n, size - (size_t)n, "%s", e->port ? "]" : "");
    }
    if (e->port)
        n += snprintf(text + n, size - (size_t)n, ":%u", e->port);
    return n;
}

#define TEXT_BYTES 128

/* A value as text: strings as they are, numbers as programs write them. */
static union mr_value text_of(struct mr_call *call, enum mr_type type, union mr_value value)
{
    char *text;
    int n;

    if (type == MR_TYPE_STRING)
        return value;
    text = mr_alloc(call, TEXT_BYTES);
    if (!text)
        return mr_value_bytes("", 0);
    switch (type) {
    case MR_TYPE_INT:
        n = snprintf(text, TEXT_BYTES, "%" PRId64, value.i);
        break;
    case MR_TYPE_REAL:
        n = snprintf(text, TEXT_BYTES, "%.15g", value.d);
        break;
    case MR_TYPE_ADDRESS:
        n = address_text(value.b.ptr, text, TEXT_BYTES);
        break;
    case MR_TYPE_FLOW: {
        const struct mr_endpoint *ends = value.b.ptr;
        n = address_text(&ends[0], text, TEXT_BYTES / 2);
        text[n++] = '-';
        n += address_text(&ends[1], text + n, TEXT_BYTES - (size_t)n);
        break;
    }
    case MR_TYPE_LIST:
        n = snprintf(text, TEXT_BYTES, "list of %u", size_of(value));
        break;
    default:
        n = 0;
    }
    return mr_value_bytes(text, (uint32_t)n);
}

static void call_str(struct mr_call *call)
{
    for (uint32_t row = 0; row < call->n; row++)
        call->out[row] = text_of(call, call->types[0], call->args[0][row]);
}

/* An element as text: lists know the types of their elements only when the program runs. */
static void yield_element(struct mr_call *call, uint32_t row, const struct mr_element *e)
{
    union {
        struct mr_endpoint ends[2];
        union mr_value value;
    } *copy = NULL;
    union mr_value value = mr_value_bytes(e->bytes, e->len);

    if (e->type == MR_TYPE_INT || e->type == MR_TYPE_REAL) {
        memcpy(&value.i, e->bytes, sizeof value.i);
    } else if (e->type == MR_TYPE_ADDRESS || e->type == MR_TYPE_FLOW) {
        copy = mr_alloc(call, sizeof *copy);
        if (!copy)
            return;
        memcpy(copy, e->bytes, e->len);
        value = mr_value_bytes(copy, e->len);
    }
    mr_yield(call, row, text_of(call, e->type, value));
}

/* Element `wanted` counted from 1; negative: from the end. */
static void yield_item(struct mr_call *call, uint32_t row, int64_t wanted)
{
    union mr_value list = call->args[0][row];
    struct mr_element e;
    uint32_t offset = 0;

    if (wanted < 0)
        wanted += (int64_t)size_of(list) + 1;
    for (int64_t i = 1; wanted > 0 && mr_list_next(list, &offset, &e); i++)
        if (i == wanted) {
            yield_element(call, row, &e);
            return;
        }
}

static void call_first(struct mr_call *call)
{
    for (uint32_t row = 0; row < call->n; row++)
        yield_item(call, row, 1);
}

static void call_last(struct mr_call *call)
{
    for (uint32_t row = 0; row < call->n; row++)
        yield_item(call, row, -1);
}

static void call_item(struct mr_call *call)
{
    for (uint32_t row = 0; row < call->n; row++)
        yield_item(call, row, call->args[1][row].i);
}

static void call_int(struct mr_call *call)
{
    for (uint32_t row = 0; row < call->n; row++) {
        union mr_value text = call->args[0][row];
        char copy[32], *end;
        if (!text.b.len || text.b.len >= sizeof copy)
            continue;
        memcpy(copy, text.b.ptr, text.b.len);
        copy[text.b.len] = '\0';
        errno = 0;
        long long value = strtoll(copy, &end, 10);
        /* all of it, no space before it, and not what is too large for a number */
        if (end == copy + text.b.len && !errno && copy[0] > ' ')
            mr_yield(call, row, mr_value_int(value));
    }
}

/* ---- addresses, flags ---- */

static void call_host(struct mr_call *call)
{
    for (uint32_t row = 0; row < call->n; row++) {
        struct mr_endpoint host = *(const struct mr_endpoint *)call->args[0][row].b.ptr;
        char *text = mr_alloc(call, TEXT_BYTES);
        host.port = 0;
        call->out[row] = text
                             ? mr_value_bytes(text, (uint32_t)address_text(&host, text, TEXT_BYTES))
                             : mr_value_bytes("", 0);
    }
}

static void call_port(struct mr_call *call)
{
    for (uint32_t row = 0; row < call->n; row++)
        call->out[row] = mr_value_int(((const struct mr_endpoint *)call->args[0][row].b.ptr)->port);
}

static void call_tcp_flags(struct mr_call *call)
{
    for (uint32_t row = 0; row < call->n; row++)
        call->out[row] =
            mr_value_int(((const struct mr_packet *)call->args[0][row].b.ptr)->tcp_flags);
}

/* ---- time, chance, hashes ---- */

static void call_now(struct mr_call *call)
{
    for (uint32_t row = 0; row < call->n; row++) {
        call->out[row] = mr_value_int(0);
        uint64_t us = call->packets[row]->time_ns / 1000;
        call->out[row].d = (double)us / 1e6;
    }
}

/* The same in every run: of the packet, and which row of it this is. */
static void call_rand(struct mr_call *call)
{
    uint64_t same = 0;

    for (uint32_t row = 0; row < call->n; row++) {
        const struct mr_packet *p = call->packets[row];
        same = row && call->packets[row - 1] == p ? same + 1 : 0;
        uint64_t x = p->number * 0x9e3779b97f4a7c15u + p->time_ns + same;
        x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
        x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
        call->out[row] = mr_value_int((int64_t)((x ^ (x >> 31)) >> 1));
    }
}

static void call_sha1(struct mr_call *call)
{
    static const char digits[] = "0123456789abcdef";

    for (uint32_t row = 0; row < call->n; row++) {
        union mr_value text = call->args[0][row];
        uint8_t digest[SHA1_DIGEST_SIZE];
        struct sha1_ctx sha1;
        char *hex = mr_alloc(call, (size_t)2 * SHA1_DIGEST_SIZE);
        sha1_init(&sha1);
        if (text.b.len)
            sha1_update(&sha1, text.b.len, text.b.ptr);
        sha1_digest(&sha1, sizeof digest, digest);
        for (uint32_t i = 0; hex && i < SHA1_DIGEST_SIZE; i++) {
            hex[2 * i] = digits[digest[i] >> 4];
            hex[2 * i + 1] = digits[digest[i] & 15];
        }
        call->out[row] = hex ? mr_value_bytes(hex, 2 * SHA1_DIGEST_SIZE) : mr_value_bytes("", 0);
    }
}

#define FUNCTION(NAME, SUMMARY, SHAPE, RESULT, CALL, N, ...)                                       \
    {                                                                                              \
        .name = NAME, .summary = SUMMARY, .args = {__VA_ARGS__}, .n_args = N, .result = RESULT,    \
        .shape = SHAPE, .pure = true, .call = CALL                                                 \
    }

static const struct mr_function functions[] = {
    {.name = "f_list",
     .aliases = "f_append f_init f_initlist",
     .summary = "a list of its arguments",
     .args = {MR_TYPE_ANY, MR_TYPE_ANY, MR_TYPE_ANY, MR_TYPE_ANY},
     .n_args = 4,
     .n_optional = 3,
     .result = MR_TYPE_LIST,
     .shape = MR_SHAPE_EXPAND,
     .pure = true,
     .call = call_list},
    FUNCTION("f_concat", "two lists as one; nothing when that is over 64 KiB", MR_SHAPE_EXPAND,
             MR_TYPE_LIST, call_concat, 2, MR_TYPE_LIST, MR_TYPE_LIST),
    FUNCTION("f_member", "1 when the list has the value, else 0", MR_SHAPE_MAP, MR_TYPE_INT,
             call_member, 2, MR_TYPE_LIST, MR_TYPE_ANY),
    FUNCTION("f_size", "how many elements a list has", MR_SHAPE_MAP, MR_TYPE_INT, call_size, 1,
             MR_TYPE_LIST),
    FUNCTION("f_first", "the first element of a list as text; nothing when it has none",
             MR_SHAPE_EXPAND, MR_TYPE_STRING, call_first, 1, MR_TYPE_LIST),
    FUNCTION("f_last", "the last element of a list as text; nothing when it has none",
             MR_SHAPE_EXPAND, MR_TYPE_STRING, call_last, 1, MR_TYPE_LIST),
    FUNCTION("f_item",
             "an element of a list, counted from 1 (from the end: -1), as text; nothing behind it",
             MR_SHAPE_EXPAND, MR_TYPE_STRING, call_item, 2, MR_TYPE_LIST, MR_TYPE_INT),
    FUNCTION("f_removeFirst", "a list without its first element", MR_SHAPE_MAP, MR_TYPE_LIST,
             call_remove_first, 1, MR_TYPE_LIST),
    FUNCTION("f_removeLast", "a list without its last element", MR_SHAPE_MAP, MR_TYPE_LIST,
             call_remove_last, 1, MR_TYPE_LIST),
    FUNCTION("f_str", "a value as text", MR_SHAPE_MAP, MR_TYPE_STRING, call_str, 1, MR_TYPE_ANY),
    FUNCTION("f_int", "the number that a text is; nothing when it is none", MR_SHAPE_EXPAND,
             MR_TYPE_INT, call_int, 1, MR_TYPE_STRING),
    FUNCTION("f_host", "an address as text, without its port", MR_SHAPE_MAP, MR_TYPE_STRING,
             call_host, 1, MR_TYPE_ADDRESS),
    FUNCTION("f_port", "the port of an address; 0 where it has none", MR_SHAPE_MAP, MR_TYPE_INT,
             call_port, 1, MR_TYPE_ADDRESS),
    FUNCTION("f_tcpFlags", "the flags of a TCP packet: FIN 1, SYN 2, RST 4, PSH 8, ACK 16, URG 32",
             MR_SHAPE_MAP, MR_TYPE_INT, call_tcp_flags, 1, MR_TYPE_PACKET),
    FUNCTION("f_sha1", "the SHA-1 of bytes, in hex", MR_SHAPE_MAP, MR_TYPE_STRING, call_sha1, 1,
             MR_TYPE_STRING),
    {.name = "f_now",
     .summary = "the time of the packet, or of the timer, in seconds since 1970",
     .result = MR_TYPE_REAL,
     .shape = MR_SHAPE_MAP,
     .pure = true,
     .call = call_now},
    {.name = "f_rand",
     .summary = "a number from 0 up to 2^63 - 1 by chance, the same in every run",
     .result = MR_TYPE_INT,
     .shape = MR_SHAPE_MAP,
     .pure = true,
     .call = call_rand},
};

const struct mr_component mr_component_values = {
    .abi = MR_COMPONENT_ABI,
    .bytes = sizeof(struct mr_component),
    .name = "values",
    .summary = "lists, text, time, chance, hashes",
    .functions = functions,
    .n_functions = sizeof functions / sizeof *functions,
};
