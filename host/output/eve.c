/* Building a record. yajl writes the JSON; what it prints goes to a buffer of fixed size. Before a
 * field is begun its size is known, so that a record that does not fit ends between two fields and
 * is still JSON. */
#include "output/eve.h"

#include "output/eve_text.h"

#include <stdlib.h>
#include <string.h>
#include <yajl/yajl_gen.h>

#define DEFAULT_STRING_BYTES 4096u
#define DEFAULT_RECORD_BYTES 65536u
#define SMALLEST_RECORD      1024u /* what stands before the first field of a caller fits */
#define MAX_DEPTH            32
#define ESCAPED              6 /* bytes that one becomes at most: \u0000 */
#define TRUNCATED            "_truncated"
/* kept free for what closes a record: ends of objects, the mark, end of line, NUL */
#define RESERVE (MAX_DEPTH + sizeof ",\"truncated\":true" + 2)

struct mr_eve {
    struct mr_eve_config config;
    yajl_gen gen;
    char *buffer;
    char *clean; /* repaired strings, config.max_string_bytes */
    size_t len, limit;
    uint32_t depth;        /* objects and arrays open in the record, the record itself included */
    uint32_t skipped;      /* opened within one that was left out */
    bool array[MAX_DEPTH]; /* [depth - 1]: the innermost is an array */
    bool full;             /* a field did not fit: none is written any more */
    bool mark;             /* something was left out or cut and the field could not say so */
    struct mr_text_clock clock;
};

static void print(void *context, const char *bytes, size_t len)
{
    struct mr_eve *eve = context;

    memcpy(eve->buffer + eve->len, bytes, len);
    eve->len += len;
}

enum mr_status mr_eve_new(struct mr_eve **out, const struct mr_eve_config *config)
{
    struct mr_eve *eve = calloc(1, sizeof *eve);
    if (!eve)
        return MR_ERR_MEMORY;
    if (config)
        eve->config = *config;
    if (!eve->config.max_string_bytes)
        eve->config.max_string_bytes = DEFAULT_STRING_BYTES;
    if (!eve->config.max_record_bytes)
        eve->config.max_record_bytes = DEFAULT_RECORD_BYTES;
    if (eve->config.max_record_bytes < SMALLEST_RECORD)
        eve->config.max_record_bytes = SMALLEST_RECORD;
    eve->limit = eve->config.max_record_bytes - RESERVE;
    eve->buffer = malloc(eve->config.max_record_bytes);
    eve->clean = malloc(eve->config.max_string_bytes);
    eve->gen = yajl_gen_alloc(NULL);
    if (!eve->buffer || !eve->clean || !eve->gen ||
        !yajl_gen_config(eve->gen, yajl_gen_print_callback, print, eve)) {
        mr_eve_free(eve);
        return MR_ERR_MEMORY;
    }
    *out = eve;
    return MR_OK;
}

void mr_eve_free(struct mr_eve *eve)
{
    if (!eve)
        return;
    if (eve->gen)
        yajl_gen_free(eve->gen);
    free(eve->clean);
    free(eve->buffer);
    free(eve);
}

/* ---- room ---- */

/* Whether `bytes` more fit. The first that do not end the record's fields. */
static bool room(struct mr_eve *eve, size_t bytes)
{
    if (eve->full || eve->skipped)
        return false;
    if (eve->len + bytes > eve->limit) { /* ends of objects may have passed the limit */
        eve->full = eve->mark = true;
        return false;
    }
    return true;
}

static bool in_array(const struct mr_eve *eve)
{
    return eve->array[eve->depth - 1];
}

/* Begins a field whose value takes at most `bytes`: its key is written. */
static bool field(struct mr_eve *eve, const char *key, size_t bytes)
{
    if (in_array(eve))
        return room(eve, bytes + 1); /* the comma */
    if (!key)
        key = "";
    size_t len = strlen(key);
    if (!room(eve, ESCAPED * len + 4 + bytes)) /* comma, quotes, colon */
        return false;
    yajl_gen_string(eve->gen, (const unsigned char *)key, len);
    return true;
}

/* Bytes of the text once it is escaped as yajl does it. */
static size_t escaped_bytes(const char *text, size_t len)
{
    size_t bytes = len;

    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)text[i];
        if (c == '"' || c == '\\' || c == '\n' || c == '\r' || c == '\t' || c == '\b' || c == '\f')
            bytes += 1;
        else if (c < 0x20)
            bytes += ESCAPED - 1;
    }
    return bytes;
}

/* ---- fields ---- */

/* A string that is known to be UTF-8. */
static void text_field(struct mr_eve *eve, const char *key, const char *text, size_t len)
{
    size_t bytes = ESCAPED * len + 2;

    if (bytes > 256)
        bytes = escaped_bytes(text, len) + 2; /* the bound may be far off: count */
    if (field(eve, key, bytes))
        yajl_gen_string(eve->gen, (const unsigned char *)text, len);
}

static void mark_cut(struct mr_eve *eve, const char *key)
{
    char name[96];
    size_t len = key && !in_array(eve) ? strlen(key) : sizeof name;

    if (len > sizeof name - sizeof TRUNCATED) {
        eve->mark = true;
        return;
    }
    memcpy(name, key, len);
    memcpy(name + len, TRUNCATED, sizeof TRUNCATED);
    mr_eve_bool(eve, name, true);
}

void mr_eve_string(struct mr_eve *eve, const char *key, const void *bytes, size_t len)
{
    size_t max = eve->config.max_string_bytes;

    if (eve->full || eve->skipped)
        return;
    const char *text = len ? bytes : "";
    size_t taken = mr_utf8_prefix(bytes, len, max), used = taken;
    if (taken < len && taken < max) { /* cut, or something ill-formed */
        text = eve->clean;
        used = mr_utf8_repair(eve->clean, max, bytes, len, &taken);
    }
    text_field(eve, key, text, used);
    if (taken < len)
        mark_cut(eve, key);
}

static void number_field(struct mr_eve *eve, const char *key, const char *digits, size_t len)
{
    if (field(eve, key, len))
        yajl_gen_number(eve->gen, digits, len);
}

void mr_eve_int(struct mr_eve *eve, const char *key, int64_t value)
{
    char digits[MR_TEXT_BYTES];
    number_field(eve, key, digits, mr_text_int(digits, value));
}

static void uint_field(struct mr_eve *eve, const char *key, uint64_t value)
{
    char digits[MR_TEXT_BYTES];
    number_field(eve, key, digits, mr_text_uint(digits, value));
}

void mr_eve_real(struct mr_eve *eve, const char *key, double value)
{
    char digits[MR_TEXT_BYTES];
    size_t len = mr_text_real(digits, value);

    if (len)
        number_field(eve, key, digits, len);
    else if (field(eve, key, sizeof "null"))
        yajl_gen_null(eve->gen);
}

void mr_eve_bool(struct mr_eve *eve, const char *key, bool value)
{
    if (field(eve, key, sizeof "false"))
        yajl_gen_bool(eve->gen, value);
}

void mr_eve_time(struct mr_eve *eve, const char *key, uint64_t time_ns)
{
    char text[MR_TEXT_TIME_BYTES];
    mr_text_time(text, &eve->clock, time_ns);
    text_field(eve, key, text, sizeof text);
}

void mr_eve_address(struct mr_eve *eve, const char *key, const struct mr_endpoint *endpoint)
{
    char text[MR_TEXT_BYTES];
    text_field(eve, key, text, mr_text_endpoint(text, endpoint));
}

/* ---- objects and arrays ---- */

static void open_level(struct mr_eve *eve, const char *key, bool array)
{
    if (!eve->skipped && eve->depth == MAX_DEPTH)
        eve->mark = true;
    if (eve->depth == MAX_DEPTH || !field(eve, key, 2)) {
        eve->skipped++;
        return;
    }
    if (array)
        yajl_gen_array_open(eve->gen);
    else
        yajl_gen_map_open(eve->gen);
    eve->array[eve->depth++] = array;
}

void mr_eve_object(struct mr_eve *eve, const char *key)
{
    open_level(eve, key, false);
}

void mr_eve_array(struct mr_eve *eve, const char *key)
{
    open_level(eve, key, true);
}

static void close_level(struct mr_eve *eve)
{
    if (in_array(eve))
        yajl_gen_array_close(eve->gen);
    else
        yajl_gen_map_close(eve->gen);
    eve->depth--;
}

void mr_eve_end(struct mr_eve *eve)
{
    if (eve->skipped)
        eve->skipped--;
    else if (eve->depth > 1)
        close_level(eve);
}

/* ---- records ---- */

enum { ICMP = 1, TCP = 6, UDP = 17, ICMPV6 = 58, SCTP = 132 };

static const char *protocol_name(uint8_t protocol)
{
    switch (protocol) {
    case ICMP:
        return "ICMP";
    case 2:
        return "IGMP";
    case TCP:
        return "TCP";
    case UDP:
        return "UDP";
    case 41:
        return "IPv6";
    case 47:
        return "GRE";
    case 50:
        return "ESP";
    case 51:
        return "AH";
    case ICMPV6:
        return "IPv6-ICMP";
    case 88:
        return "EIGRP";
    case 89:
        return "OSPFIGP";
    case 103:
        return "PIM";
    case 112:
        return "VRRP";
    case SCTP:
        return "SCTP";
    default:
        return NULL;
    }
}

static void vlan_ids(struct mr_eve *eve, uint32_t zone)
{
    if (!zone)
        return;
    mr_eve_array(eve, "vlan");
    uint_field(eve, NULL, zone & 0xfff);
    if (zone >> 12)
        uint_field(eve, NULL, zone >> 12 & 0xfff);
    mr_eve_end(eve);
}

static void address(struct mr_eve *eve, const char *key, const struct mr_endpoint *endpoint)
{
    char text[MR_TEXT_BYTES];
    text_field(eve, key, text, mr_text_address(text, endpoint));
}

static void endpoints(struct mr_eve *eve, const struct mr_endpoint *src,
                      const struct mr_endpoint *dst)
{
    uint8_t protocol = src->protocol;
    bool ports = protocol == TCP || protocol == UDP || protocol == SCTP;
    const char *name = protocol_name(protocol);

    vlan_ids(eve, src->zone);
    address(eve, "src_ip", src);
    if (ports)
        uint_field(eve, "src_port", src->port);
    address(eve, "dest_ip", dst);
    if (ports)
        uint_field(eve, "dest_port", dst->port);
    if (name) {
        text_field(eve, "proto", name, strlen(name));
    } else {
        char digits[MR_TEXT_BYTES]; /* as Suricata: three digits */
        memcpy(digits, "00", 2);
        size_t len = mr_text_uint(digits + 2, protocol);
        text_field(eve, "proto", digits + len - 1, 3);
    }
}

/* The ports of ICMP are its type and code. */
static void compute_id(char id[MR_COMMUNITY_ID_BYTES], const struct mr_eve_header *header,
                       bool icmp, uint16_t seed)
{
    struct mr_endpoint src = *header->src, dst = *header->dst;

    if (icmp) {
        src.port = header->icmp[0];
        dst.port = header->icmp[1];
    }
    mr_community_id(&src, &dst, seed, id);
}

void mr_eve_begin(struct mr_eve *eve, const struct mr_eve_header *header)
{
    char id[MR_COMMUNITY_ID_BYTES];
    const char *community_id = header->community_id;

    eve->len = 0;
    eve->depth = 1;
    eve->skipped = 0;
    eve->full = eve->mark = false;
    yajl_gen_reset(eve->gen, NULL);
    yajl_gen_map_open(eve->gen);
    mr_eve_time(eve, "timestamp", header->time_ns);
    if (header->flow_id)
        uint_field(eve, "flow_id", header->flow_id);
    if (header->interface)
        mr_eve_string(eve, "in_iface", header->interface, strlen(header->interface));
    if (header->packet_number)
        uint_field(eve, "pcap_cnt", header->packet_number);
    mr_eve_string(eve, "event_type", header->type, strlen(header->type));
    if (header->src && header->dst) {
        bool icmp = header->src->protocol == ICMP || header->src->protocol == ICMPV6;
        endpoints(eve, header->src, header->dst);
        if (icmp && header->icmp) {
            uint_field(eve, "icmp_type", header->icmp[0]);
            uint_field(eve, "icmp_code", header->icmp[1]);
        }
        if (!community_id && (!icmp || header->icmp)) {
            compute_id(id, header, icmp, eve->config.community_id_seed);
            community_id = id;
        }
    }
    if (community_id)
        text_field(eve, "community_id", community_id, strlen(community_id));
    if (header->app_proto)
        mr_eve_string(eve, "app_proto", header->app_proto, strlen(header->app_proto));
}

const char *mr_eve_finish(struct mr_eve *eve, size_t *len)
{
    while (eve->depth > 1)
        close_level(eve);
    if (eve->mark) {
        yajl_gen_string(eve->gen, (const unsigned char *)"truncated", strlen("truncated"));
        yajl_gen_bool(eve->gen, true);
    }
    close_level(eve);
    eve->buffer[eve->len++] = '\n';
    eve->buffer[eve->len] = '\0';
    *len = eve->len;
    return eve->buffer;
}
