/* A second opinion on mails: GMime reads them too, and what both found is compared. */
#ifndef MR_TEST_GMIME_ORACLE_H
#define MR_TEST_GMIME_ORACLE_H

#include "mime/mime.h"

#include <gmime/gmime.h>

enum difference {
    SAME,
    NO_MESSAGE, /* GMime sees none */
    SUBJECT,
    LEAVES,
    TYPE,
    FILENAME,
    CONTENT,
    TEXT,
    N_DIFFERENCES
};

/* Compares; *what: where they differ, for people; g_free() it. Where GMime or we say that something
 * is wrong with a content or a charset, it is not compared. */
enum difference oracle_compare(struct mr_mime_decoder *decoder, const char *mail, size_t len,
                               char **what);

/* A mail made by GMime from random numbers: nested parts of all encodings, names in all charsets.
 * `contents`: what was put into each leaf, in order, GByteArray. */
GByteArray *oracle_mail(uint32_t seed, GPtrArray *contents);

#endif
