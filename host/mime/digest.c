/* Sizes and hashes of what a part holds. */
#include "decoder.h"

#include <nettle/md5.h>
#include <nettle/sha1.h>
#include <nettle/sha2.h>
#include <string.h>

struct hashing {
    unsigned which;
    struct md5_ctx md5;
    struct sha1_ctx sha1;
    struct sha256_ctx sha256;
};

static void begin(struct hashing *h, unsigned which)
{
    h->which = which;
    md5_init(&h->md5);
    sha1_init(&h->sha1);
    sha256_init(&h->sha256);
}

static void add(void *user, const uint8_t *bytes, size_t len)
{
    struct hashing *h = user;

    if (h->which & MR_MIME_MD5)
        md5_update(&h->md5, len, bytes);
    if (h->which & MR_MIME_SHA1)
        sha1_update(&h->sha1, len, bytes);
    if (h->which & MR_MIME_SHA256)
        sha256_update(&h->sha256, len, bytes);
}

static void end(struct hashing *h, struct mr_mime_digest *digest)
{
    if (h->which & MR_MIME_MD5)
        md5_digest(&h->md5, sizeof digest->md5, digest->md5);
    if (h->which & MR_MIME_SHA1)
        sha1_digest(&h->sha1, sizeof digest->sha1, digest->sha1);
    if (h->which & MR_MIME_SHA256)
        sha256_digest(&h->sha256, sizeof digest->sha256, digest->sha256);
}

void mr_mime_part_digest(const struct mr_mime_part *part, unsigned which,
                         struct mr_mime_digest *digest)
{
    struct hashing h;

    begin(&h, which);
    memset(digest, 0, sizeof *digest);
    digest->size = mr_mime_content(part, add, &h, &digest->anomalies);
    end(&h, digest);
}

void mr_mime_bytes_digest(const void *bytes, size_t len, unsigned which,
                          struct mr_mime_digest *digest)
{
    struct hashing h;

    begin(&h, which);
    memset(digest, 0, sizeof *digest);
    add(&h, bytes, len);
    digest->size = len;
    end(&h, digest);
}
