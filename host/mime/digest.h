/* Hashes of bytes that come in pieces. */
#ifndef MR_MIME_DIGEST_H
#define MR_MIME_DIGEST_H

#include "decoder.h"

#include <nettle/md5.h>
#include <nettle/sha1.h>
#include <nettle/sha2.h>

struct mime_hashing {
    unsigned which; /* MR_MIME_x ored */
    struct md5_ctx md5;
    struct sha1_ctx sha1;
    struct sha256_ctx sha256;
};

void mime_hashing_begin(struct mime_hashing *h, unsigned which);
/* `user` is the hashing: a mr_mime_piece. */
void mime_hashing_add(void *user, const uint8_t *bytes, size_t len);
void mime_hashing_end(struct mime_hashing *h, struct mr_mime_digest *digest);

#endif
