/* Network cards as the kernel shows them on the PCI bus: what stands between one and DPDK. */
#ifndef MR_CAPTURE_CARD_H
#define MR_CAPTURE_CARD_H

#include "millrace/status.h"

#include <stdbool.h>
#include <stdint.h>

#define MR_CARD_ADDRESS 16 /* bytes of "0000:3b:00.0" with room */

struct mr_card {
    char address[MR_CARD_ADDRESS]; /* in full */
    char driver[32];               /* of the kernel; empty: none */
    bool is_there;
    bool ours;  /* its driver lets DPDK have it */
    bool pages; /* reaches memory by physical addresses only: wants hugepages */
};

/* What the kernel tells of a card; `name` as "0000:3b:00.0" or "3b:00.0". */
void mr_card_look(const char *name, struct mr_card *card);

/* Calls for each network card on the bus, in the order of their addresses; the number of them. */
uint32_t mr_card_list(void (*each)(void *user, const struct mr_card *card), void *user);

/* May DPDK be started with this card? MR_ERR_INPUT: there is none; MR_ERR_START: its driver, or
 * hugepages are missing (`no_huge`: none are to be used). In one sentence, with what to do. */
enum mr_status mr_card_check(const char *name, bool no_huge, struct mr_error *error);

#endif
