/* Sizes and hashes of what a part holds. */
#include "digest.h"

#include <string.h>

void mime_hashing_begin(struct mime_hashing *h, unsigned which)
{
    h->which = which;
    md5_init(&h->md5);
    sha1_init(&h->sha1);
    sha256_init(&h->sha256);
}

void mime_hashing_add(void *user, const uint8_t *bytes, size_t len)
{
    struct mime_hashing *h = user;

    if (h->which & MR_MIME_MD5)
        md5_update(&h->md5, len, bytes);
    if (h->which & MR_MIME_SHA1)
        sha1_update(&h->sha1, len, bytes);
    if (h->which & MR_MIME_SHA256)
        sha256_update(&h->sha256, len, bytes);
}

void mime_hashing_end(struct mime_hashing *h, struct mr_mime_digest *digest)
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
    struct mime_hashing h;

    if (part->digest) {
        *digest = *part->digest;
        return;
    }
    mime_hashing_begin(&h, which);
    memset(digest, 0, sizeof *digest);
    digest->size = mr_mime_content(part, mime_hashing_add, &h, &digest->anomalies);
    mime_hashing_end(&h, digest);
}

void mr_mime_bytes_digest(const void *bytes, size_t len, unsigned which,
                          struct mr_mime_digest *digest)
{
    struct mime_hashing h;

    mime_hashing_begin(&h, which);
    memset(digest, 0, sizeof *digest);
    mime_hashing_add(&h, bytes, len);
    digest->size = len;
    mime_hashing_end(&h, digest);
}
