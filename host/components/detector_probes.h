/* What the first bytes of a TCP flow are, by one probe for each protocol. Pure functions.
 *
 * A probe looks at the first bytes of both directions and answers no, unsure or yes. Answers are
 * stable: more bytes never turn a yes or a no into something else. So the first yes does not depend
 * on how the bytes are cut.
 */
#ifndef MR_COMPONENTS_DETECTOR_PROBES_H
#define MR_COMPONENTS_DETECTOR_PROBES_H

#include "millrace/component.h"

enum mr_answer { MR_NO, MR_UNSURE, MR_YES };

struct mr_prefix {
    const uint8_t *p;
    uint32_t n;
};

struct mr_protocol {
    const char *name;         /* "SMTP", as programs test it */
    const char *app_protocol; /* "smtp", as events name it */
    enum mr_answer (*client)(const uint8_t *p, uint32_t n);
    enum mr_answer (*server)(const uint8_t *p, uint32_t n);
    /* (optional) What only both together tell: yes, or unsure. */
    enum mr_answer (*both)(const struct mr_prefix side[2]);
    uint16_t ports[6]; /* usual ones, 0 where there are fewer */
};

/* The first one is SMTP. */
extern const struct mr_protocol mr_protocols[];
extern const uint32_t mr_n_protocols;

#define MR_MAX_PROTOCOLS 32

/* Which protocols the first byte of a side leaves possible: a bit for each of mr_protocols. Found
 * out by asking the probes, once. */
struct mr_first_bytes {
    uint32_t possible[2][256]; /* [enum mr_direction] */
};

void mr_first_bytes_ask(struct mr_first_bytes *first);

/* The protocols to which mr_probe() may say yes; to all others it says no, or, where a side has no
 * bytes, unsure. */
uint32_t mr_protocols_possible(const struct mr_first_bytes *first, const struct mr_prefix side[2]);

/* A side without bytes is unsure. Yes: one side says yes. No: both say no. */
enum mr_answer mr_probe(const struct mr_protocol *protocol, const struct mr_prefix side[2]);

#endif
