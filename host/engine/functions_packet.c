/* The functions of single packets: IP payload, transport, addresses, flow ids, traffic counts. They
 * run for every packet, so each is one loop over a column. */
#include "millrace/component.h"

#include <arpa/inet.h>
#include <assert.h>
#include <endian.h>
#include <string.h>

/* ---- f_processIpFrag ---- */

/* The capture side has put fragments together already: the packet that completed a datagram is
 * that datagram, and the fragments before it carry nothing. */
static void process_ip(struct mr_call *call)
{
    const union mr_value *packets = call->args[0];
    uint8_t odd = 0;

    for (uint32_t row = 0; row < call->n; row++)
        odd |= ((const struct mr_packet *)packets[row].b.ptr)->flags;
    if (!(odd & (MR_PACKET_FRAGMENT | MR_PACKET_TICK))) {
        mr_yield_each(call, packets);
        return;
    }
    for (uint32_t row = 0; row < call->n; row++) {
        const struct mr_packet *packet = packets[row].b.ptr;
        if (!(packet->flags & (MR_PACKET_FRAGMENT | MR_PACKET_TICK)))
            mr_yield(call, row, packets[row]);
    }
}

/* ---- f_getTransportProtocol ---- */

#define NAMED(number, text) [number] = {.b = {text, sizeof(text) - 1, 0}}
#define N1(n)               NAMED(n, #n)
#define N10(tens)                                                                                  \
    N1(tens##0), N1(tens##1), N1(tens##2), N1(tens##3), N1(tens##4), N1(tens##5), N1(tens##6),     \
        N1(tens##7), N1(tens##8), N1(tens##9)

/* Every number as text first, then the names over them. */
#pragma GCC diagnostic push
#ifdef __clang__
#pragma GCC diagnostic ignored "-Winitializer-overrides"
#else
#pragma GCC diagnostic ignored "-Woverride-init"
#endif
static const union mr_value protocols[256] = {N10(),
                                              N10(1),
                                              N10(2),
                                              N10(3),
                                              N10(4),
                                              N10(5),
                                              N10(6),
                                              N10(7),
                                              N10(8),
                                              N10(9),
                                              N10(10),
                                              N10(11),
                                              N10(12),
                                              N10(13),
                                              N10(14),
                                              N10(15),
                                              N10(16),
                                              N10(17),
                                              N10(18),
                                              N10(19),
                                              N10(20),
                                              N10(21),
                                              N10(22),
                                              N10(23),
                                              N10(24),
                                              N1(250),
                                              N1(251),
                                              N1(252),
                                              N1(253),
                                              N1(254),
                                              N1(255),
                                              NAMED(1, "ICMP"),
                                              NAMED(2, "IGMP"),
                                              NAMED(4, "IPIP"),
                                              NAMED(6, "TCP"),
                                              NAMED(17, "UDP"),
                                              NAMED(33, "DCCP"),
                                              NAMED(41, "IPv6"),
                                              NAMED(47, "GRE"),
                                              NAMED(50, "ESP"),
                                              NAMED(51, "AH"),
                                              NAMED(58, "ICMPv6"),
                                              NAMED(88, "EIGRP"),
                                              NAMED(89, "OSPF"),
                                              NAMED(103, "PIM"),
                                              NAMED(112, "VRRP"),
                                              NAMED(115, "L2TP"),
                                              NAMED(132, "SCTP"),
                                              NAMED(136, "UDPLite"),
                                              NAMED(137, "MPLS")};
#pragma GCC diagnostic pop

static void transport_protocol(struct mr_call *call)
{
    const union mr_value *packets = call->args[0];

    for (uint32_t row = 0; row < call->n; row++)
        call->out[row] = protocols[((const struct mr_packet *)packets[row].b.ptr)->src.protocol];
}

/* ---- f_getSrcIPAddr, f_getDstIPAddr ---- */

static void source(struct mr_call *call)
{
    const union mr_value *packets = call->args[0];

    for (uint32_t row = 0; row < call->n; row++)
        call->out[row] = mr_value_bytes(&((const struct mr_packet *)packets[row].b.ptr)->src,
                                        sizeof(struct mr_endpoint));
}

static void destination(struct mr_call *call)
{
    const union mr_value *packets = call->args[0];

    for (uint32_t row = 0; row < call->n; row++)
        call->out[row] = mr_value_bytes(&((const struct mr_packet *)packets[row].b.ptr)->dst,
                                        sizeof(struct mr_endpoint));
}

/* ---- f_getTCPFlowId, f_getUDPFlowId ---- */

static inline uint64_t word(const struct mr_endpoint *endpoint, size_t i)
{
    uint64_t v;
    memcpy(&v, (const uint8_t *)endpoint + i * sizeof v, sizeof v);
    return v;
}

/* memcmp(x, y, sizeof *x) <= 0, without a call for each packet. */
static inline bool in_order(const struct mr_endpoint *x, const struct mr_endpoint *y)
{
    static_assert(sizeof *x == 3 * sizeof(uint64_t), "in words");
    size_t i = 0;
    while (i < 2 && word(x, i) == word(y, i))
        i++;
    return be64toh(word(x, i)) <= be64toh(word(y, i));
}

static inline void make_key(struct mr_call *call, const struct mr_endpoint *x,
                            const struct mr_endpoint *y, struct mr_flow_key *key)
{
    bool ordered = in_order(x, y);
    key->a = ordered ? *x : *y;
    key->b = ordered ? *y : *x;
    key->hash = mr_hash(call, key, 2 * sizeof *x);
}

/* EXPAND and not MAP: when the token's memory is used up there is no key, and the rule must not
 * fire with a wrong one. */
static void flow_id(struct mr_call *call)
{
    const union mr_value *left = call->args[0], *right = call->args[1];
    struct mr_flow_key *keys = mr_alloc(call, call->n * sizeof *keys);
    union mr_value *values = keys ? mr_alloc(call, call->n * sizeof *values) : NULL;

    for (uint32_t row = 0; values && row < call->n; row++) {
        make_key(call, left[row].b.ptr, right[row].b.ptr, &keys[row]);
        values[row] = mr_value_bytes(&keys[row], sizeof keys[row]);
    }
    if (values) {
        mr_yield_each(call, values);
        return;
    }
    for (uint32_t row = 0; row < call->n; row++) { /* as far as what is left goes */
        struct mr_flow_key *key = mr_alloc(call, sizeof *key);
        if (!key)
            break;
        make_key(call, left[row].b.ptr, right[row].b.ptr, key);
        mr_yield(call, row, mr_value_bytes(key, sizeof *key));
    }
}

/* ---- f_traffic ---- */

enum { TRAFFIC_PACKETS, TRAFFIC_BYTES };

static const char *const traffic_counters[] = {"packets", "bytes", NULL};

static void traffic(struct mr_call *call)
{
    const union mr_value *packets = call->args[0];
    uint64_t n = 0, bytes = 0;

    for (uint32_t row = 0; row < call->n; row++) {
        const struct mr_packet *packet = packets[row].b.ptr;
        n += !(packet->flags & MR_PACKET_TICK);
        bytes += packet->wire_len;
        call->out[row] = mr_value_int(1);
    }
    mr_count(call, TRAFFIC_PACKETS, n);
    mr_count(call, TRAFFIC_BYTES, bytes);
}

/* ---- f_IPtoSTR ---- */

#define ENDPOINT_TEXT_BYTES (INET6_ADDRSTRLEN + 2 + 6) /* brackets, colon and port */

static char *put_number(char *to, unsigned value)
{
    char digits[10];
    int n = 0;

    do
        digits[n++] = (char)('0' + value % 10);
    while (value /= 10);
    while (n)
        *to++ = digits[--n];
    return to;
}

static uint32_t endpoint_text(const struct mr_endpoint *endpoint, char *text)
{
    char *to = text;

    if (endpoint->family == 4) {
        for (int i = 0; i < 4; i++) {
            to = put_number(to, endpoint->address[i]);
            *to++ = '.';
        }
        to--;
    } else {
        *to = '[';
        to += endpoint->port != 0;
        if (!inet_ntop(AF_INET6, endpoint->address, to, INET6_ADDRSTRLEN))
            return 0;
        to += strlen(to);
        *to = ']';
        to += endpoint->port != 0;
    }
    if (endpoint->port) {
        *to++ = ':';
        to = put_number(to, endpoint->port);
    }
    return (uint32_t)(to - text);
}

static void address_to_text(struct mr_call *call)
{
    const union mr_value *addresses = call->args[0];

    for (uint32_t row = 0; row < call->n; row++) {
        char *text = mr_alloc(call, ENDPOINT_TEXT_BYTES);
        call->out[row] = text ? mr_value_bytes(text, endpoint_text(addresses[row].b.ptr, text))
                              : MR_VALUE_TEXT("");
    }
}

/* ---- the component ---- */

static const struct mr_function functions[] = {
    {
        .name = "f_processIpFrag",
        .summary = "the IP datagram of a packet; nothing for a fragment that completes none",
        .args = {MR_TYPE_PACKET},
        .n_args = 1,
        .result = MR_TYPE_PACKET,
        .shape = MR_SHAPE_EXPAND,
        .pure = true,
        .backends = "cpu",
        .call = process_ip,
    },
    {
        .name = "f_getTransportProtocol",
        .summary = "\"TCP\", \"UDP\", \"ICMP\", ...; the protocol number where it has no name",
        .args = {MR_TYPE_PACKET},
        .n_args = 1,
        .result = MR_TYPE_STRING,
        .shape = MR_SHAPE_MAP,
        .pure = true,
        .backends = "cpu",
        .call = transport_protocol,
    },
    {
        .name = "f_getSrcIPAddr",
        .summary = "source address and port of a packet (the transport protocol may be named)",
        .args = {MR_TYPE_PACKET, MR_TYPE_STRING},
        .n_args = 2,
        .n_optional = 1,
        .result = MR_TYPE_ADDRESS,
        .shape = MR_SHAPE_MAP,
        .pure = true,
        .backends = "cpu",
        .call = source,
    },
    {
        .name = "f_getDstIPAddr",
        .summary = "destination address and port of a packet (the transport protocol may be named)",
        .args = {MR_TYPE_PACKET, MR_TYPE_STRING},
        .n_args = 2,
        .n_optional = 1,
        .result = MR_TYPE_ADDRESS,
        .shape = MR_SHAPE_MAP,
        .pure = true,
        .backends = "cpu",
        .call = destination,
    },
    {
        .name = "f_getTCPFlowId",
        .summary = "the TCP flow between two addresses, the same for both directions",
        .args = {MR_TYPE_ADDRESS, MR_TYPE_ADDRESS},
        .n_args = 2,
        .result = MR_TYPE_FLOW,
        .shape = MR_SHAPE_EXPAND,
        .pure = true,
        .backends = "cpu",
        .call = flow_id,
    },
    {
        .name = "f_getUDPFlowId",
        .summary = "the UDP flow between two addresses, the same for both directions",
        .args = {MR_TYPE_ADDRESS, MR_TYPE_ADDRESS},
        .n_args = 2,
        .result = MR_TYPE_FLOW,
        .shape = MR_SHAPE_EXPAND,
        .pure = true,
        .backends = "cpu",
        .call = flow_id,
    },
    {
        .name = "f_traffic",
        .summary = "counts packets and bytes under a name; 1",
        .args = {MR_TYPE_PACKET, MR_TYPE_STRING},
        .n_args = 2,
        .n_constant = 1,
        .result = MR_TYPE_INT,
        .shape = MR_SHAPE_MAP,
        .backends = "cpu",
        .counters = traffic_counters,
        .call = traffic,
    },
    {
        .name = "f_IPtoSTR",
        .summary = "an address as text: \"192.0.2.1:25\", \"[2001:db8::1]:25\"",
        .args = {MR_TYPE_ADDRESS},
        .n_args = 1,
        .result = MR_TYPE_STRING,
        .shape = MR_SHAPE_MAP,
        .pure = true,
        .backends = "cpu",
        .call = address_to_text,
    },
};

extern const struct mr_component mr_component_packet;
const struct mr_component mr_component_packet = {
    .abi = MR_COMPONENT_ABI,
    .bytes = sizeof(struct mr_component),
    .name = "packet",
    .summary = "single packets: payload, transport, addresses, flow ids, traffic counts",
    .functions = functions,
    .n_functions = sizeof functions / sizeof functions[0],
};
