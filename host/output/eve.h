/* EVE JSON as Suricata writes it: one object a line. This builds a record in memory; who puts
 * records in order and writes them to the file is output/writer.h. One thread at a time. */
#ifndef MR_OUTPUT_EVE_H
#define MR_OUTPUT_EVE_H

#include "millrace/packet.h"
#include "millrace/status.h"

#include <stddef.h>

/* Builds one record at a time into its own bounded memory, reused for each. */
struct mr_eve;

struct mr_eve_config {
    uint32_t max_string_bytes; /* longer strings are cut; default 4,096 */
    uint32_t max_record_bytes; /* default 65,536: what comes later is left out and the record says
                                  "truncated": true */
    uint16_t community_id_seed;
};

enum mr_status mr_eve_new(struct mr_eve **out, const struct mr_eve_config *config);
void mr_eve_free(struct mr_eve *eve);

/* What every record starts with. */
struct mr_eve_header {
    const char *type;                    /* event_type */
    uint64_t time_ns;                    /* timestamp, ISO 8601 with microseconds, UTC "+0000" */
    uint64_t flow_id;                    /* 0: left out */
    const struct mr_endpoint *src, *dst; /* NULL: left out (stats) */
    uint64_t packet_number;              /* pcap_cnt; 0: left out */
    const char *app_proto;               /* NULL: left out */
    const char *community_id;            /* NULL: computed from src and dst if they are given */
};

void mr_eve_begin(struct mr_eve *eve, const struct mr_eve_header *header);
void mr_eve_string(struct mr_eve *eve, const char *key, const void *bytes, size_t len);
void mr_eve_int(struct mr_eve *eve, const char *key, int64_t value);
void mr_eve_real(struct mr_eve *eve, const char *key, double value);
void mr_eve_bool(struct mr_eve *eve, const char *key, bool value);
void mr_eve_time(struct mr_eve *eve, const char *key, uint64_t time_ns);
void mr_eve_address(struct mr_eve *eve, const char *key, const struct mr_endpoint *endpoint);
void mr_eve_object(struct mr_eve *eve, const char *key);
void mr_eve_array(struct mr_eve *eve, const char *key);
void mr_eve_end(struct mr_eve *eve);

/* Closes what is open and ends the line: *len bytes, valid until the next mr_eve_begin(). NULL
 * only when memory ran out at the start of the record. */
const char *mr_eve_finish(struct mr_eve *eve, size_t *len);

/* Community ID v1 of a flow ("1:..." with its NUL: 32 bytes),
 * github.com/corelight/community-id-spec. For ICMP the ports are type and code as the specification
 * maps them. */
#define MR_COMMUNITY_ID_BYTES 32
void mr_community_id(const struct mr_endpoint *src, const struct mr_endpoint *dst, uint16_t seed,
                     char text[MR_COMMUNITY_ID_BYTES]);

/* The whole `flow` event of a flow that ended, as Suricata writes it: flow.{pkts,bytes}_{toserver,
 * toclient}, start, end, age, state, reason, alerted; tcp.{tcp_flags,tcp_flags_ts,tcp_flags_tc,
 * syn, fin, ..., state}. Call between begin and finish. */
void mr_eve_flow(struct mr_eve *eve, const struct mr_flow *flow, bool alerted);

#endif
