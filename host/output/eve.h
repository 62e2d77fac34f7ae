/* EVE JSON as Suricata writes it: one object a line. This builds a record in memory; who puts
 * records in order and writes them to the file is output/writer.h. One thread at a time.
 *
 * Strings are any bytes: what is not UTF-8 becomes U+FFFD, one for each ill-formed sequence. */
#ifndef MR_OUTPUT_EVE_H
#define MR_OUTPUT_EVE_H

#include "millrace/packet.h"
#include "millrace/status.h"

#include <stddef.h>

/* Builds one record at a time into its own bounded memory, reused for each. */
struct mr_eve;

struct mr_eve_config {
    uint32_t max_string_bytes; /* longer strings are cut between two characters, and KEY_truncated
                                  is true (in an array: "truncated" of the record); 0: 4,096 */
    uint32_t max_record_bytes; /* what comes later is left out and the record says
                                  "truncated": true; 0: 65,536, at least 1,024 */
    uint16_t community_id_seed;
};

/* `config` NULL: the defaults. */
enum mr_status mr_eve_new(struct mr_eve **out, const struct mr_eve_config *config);
void mr_eve_free(struct mr_eve *eve);

/* What every record starts with. */
struct mr_eve_header {
    const char *type;                    /* event_type */
    uint64_t time_ns;                    /* timestamp, ISO 8601 with microseconds, UTC "+0000" */
    uint64_t flow_id;                    /* 0: left out */
    const struct mr_endpoint *src, *dst; /* NULL: left out (stats). IPv6 as Suricata writes it, all
                                            eight groups; vlan when the zone is not 0 */
    const uint8_t *icmp;                 /* ICMP and ICMPv6: the type and code (2 bytes) of a packet
                                            from src to dst; NULL: not known, and then there is no
                                            icmp_type, icmp_code, nor a community_id computed */
    const char *interface;               /* in_iface; NULL: left out */
    uint64_t packet_number;              /* pcap_cnt; 0: left out */
    const char *app_proto;               /* NULL: left out */
    const char *community_id;            /* NULL: computed from src and dst if they are given */
};

void mr_eve_begin(struct mr_eve *eve, const struct mr_eve_header *header);

/* Fields. `key` is not looked at inside an array. */
void mr_eve_string(struct mr_eve *eve, const char *key, const void *bytes, size_t len);
void mr_eve_int(struct mr_eve *eve, const char *key, int64_t value);
void mr_eve_real(struct mr_eve *eve, const char *key, double value); /* null unless finite */
void mr_eve_bool(struct mr_eve *eve, const char *key, bool value);
void mr_eve_time(struct mr_eve *eve, const char *key, uint64_t time_ns);
/* "192.0.2.1:25", "[2001:0db8:...]:25"; without the port when it is 0. */
void mr_eve_address(struct mr_eve *eve, const char *key, const struct mr_endpoint *endpoint);
/* Objects and arrays, 32 deep; mr_eve_end() ends the innermost. */
void mr_eve_object(struct mr_eve *eve, const char *key);
void mr_eve_array(struct mr_eve *eve, const char *key);
void mr_eve_end(struct mr_eve *eve);

/* Closes what is open and ends the line: *len bytes and a NUL, valid until the next mr_eve_begin().
 * Never NULL. */
const char *mr_eve_finish(struct mr_eve *eve, size_t *len);

/* Community ID v1 of a flow ("1:..." with its NUL: 31 bytes),
 * github.com/corelight/community-id-spec. For ICMP src's port is the type and dst's the code; where
 * the specification pairs types, dst's may as well be the type that answers. */
#define MR_COMMUNITY_ID_BYTES 32
void mr_community_id(const struct mr_endpoint *src, const struct mr_endpoint *dst, uint16_t seed,
                     char text[MR_COMMUNITY_ID_BYTES]);

/* The fields of a `flow` event of a flow that ended, as Suricata writes them: flow.{pkts,bytes}_
 * {toserver,toclient}, start, end, age, state, reason, alerted (false when that is certain, else
 * left out: matches are found behind the flow, side by side with its end); bypass "local" and
 * depth_reached where they are true, with uninspected_{toserver,toclient} bytes of stream;
 * tcp.{tcp_flags,tcp_flags_ts, tcp_flags_tc, syn, fin, ..., state, ts_gap, tc_gap}. Of a flow
 * without packets nobody counted: it has neither counters, end, age, nor tcp, and no state that
 * was not set. Call between begin and finish. */
void mr_eve_flow(struct mr_eve *eve, const struct mr_flow *flow, bool never_alerted);

#endif
