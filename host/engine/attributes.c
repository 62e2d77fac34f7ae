/* Attributes of tuples and rows of tables as JSON. */
#include "engine/internal.h"

#include "millrace/list.h"

#include <ctype.h>
#include <string.h>

#define TUPLE_STRING_BYTES 256 /* of a string attribute in a tuple's event */
#define MAX_LIST_DEPTH     8

/* An attribute's key in an event: its name in lower case. */
const char *mr_eve_key(const char *name, char *scratch, size_t size)
{
    size_t i = 0;
    for (; name[i] && i + 1 < size; i++)
        scratch[i] = (char)tolower((unsigned char)name[i]);
    scratch[i] = '\0';
    return scratch;
}

static void put_flow(struct mr_eve *eve, const char *key, const struct mr_endpoint *a,
                     const struct mr_endpoint *b)
{
    char id[MR_COMMUNITY_ID_BYTES];
    mr_community_id(a, b, 0, id);
    mr_eve_string(eve, key, id, strlen(id));
}

/* The elements of a list, in the array that is open. */
static void put_elements(struct mr_eve *eve, union mr_value list, int depth)
{
    struct mr_element e;
    uint32_t offset = 0;

    while (mr_list_next(list, &offset, &e)) {
        struct mr_endpoint ends[2];
        int64_t i = 0;
        double d = 0;
        switch (e.type) {
        case MR_TYPE_INT:
            memcpy(&i, e.bytes, sizeof i);
            mr_eve_int(eve, NULL, i);
            break;
        case MR_TYPE_REAL:
            memcpy(&d, e.bytes, sizeof d);
            mr_eve_real(eve, NULL, d);
            break;
        case MR_TYPE_ADDRESS:
            memcpy(&ends[0], e.bytes, sizeof ends[0]);
            mr_eve_address(eve, NULL, &ends[0]);
            break;
        case MR_TYPE_FLOW:
            memcpy(ends, e.bytes, sizeof ends);
            put_flow(eve, NULL, &ends[0], &ends[1]);
            break;
        case MR_TYPE_LIST:
            mr_eve_array(eve, NULL);
            if (depth < MAX_LIST_DEPTH)
                put_elements(eve, mr_value_bytes(e.bytes, e.len), depth + 1);
            mr_eve_end(eve);
            break;
        default:
            mr_eve_string(eve, NULL, e.bytes,
                          e.len > TUPLE_STRING_BYTES ? TUPLE_STRING_BYTES : e.len);
        }
    }
}

void mr_eve_attribute(struct mr_eve *eve, const struct mr_plan_attribute *attribute,
                      union mr_value value)
{
    char scratch[192], sized[sizeof scratch + sizeof "_bytes"];
    const char *key = mr_eve_key(attribute->name, scratch, sizeof scratch);

    switch (attribute->type) {
    case MR_TYPE_NODE: /* there is one node */
    case MR_TYPE_ANY:
        break;
    case MR_TYPE_INT:
        mr_eve_int(eve, key, value.i);
        break;
    case MR_TYPE_REAL:
        mr_eve_real(eve, key, value.d);
        break;
    case MR_TYPE_STRING:
        if (value.b.len > TUPLE_STRING_BYTES) {
            snprintf(sized, sizeof sized, "%s_bytes", key);
            mr_eve_int(eve, sized, value.b.len);
        }
        mr_eve_string(eve, key, value.b.ptr,
                      value.b.len > TUPLE_STRING_BYTES ? TUPLE_STRING_BYTES : value.b.len);
        break;
    case MR_TYPE_ADDRESS:
        mr_eve_address(eve, key, value.b.ptr);
        break;
    case MR_TYPE_FLOW: {
        const struct mr_flow_key *flow = value.b.ptr;
        put_flow(eve, key, &flow->a, &flow->b);
        break;
    }
    case MR_TYPE_LIST:
        mr_eve_array(eve, key);
        put_elements(eve, value, 0);
        mr_eve_end(eve);
        break;
    case MR_TYPE_PACKET: {
        const struct mr_packet *packet = value.b.ptr;
        mr_eve_int(eve, key, (int64_t)packet->number);
        break;
    }
    case MR_TYPE_STREAM: {
        const struct mr_chunk *chunk = value.b.ptr;
        mr_eve_int(eve, key, chunk->len);
        break;
    }
    }
}
