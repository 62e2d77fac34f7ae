/* Reads a mail: header fields, parts, text.
 *
 * RFC 5322 (fields), 2045 to 2047 and 2049 (MIME, encoded words), 2183 (dispositions), 2231
 * (parameters), 6532 (UTF-8 in fields); as lenient as the programs that people read mail with. The
 * mail is complete in memory (mr_mime_decode()), or comes in pieces of any size (mr_mime_begin()),
 * with the same result: then fields and decoded text are kept, attachments only counted and hashed
 * as they pass, so that memory does not grow with the mail. It is hostile: whatever it contains,
 * decoding takes time linear in its length and memory within the limits, and never fails. What is
 * wrong with it, or was left out because of a limit, is told in `anomalies`.
 *
 * One decoder a thread, made at start-up; it allocates nothing afterwards but through the functions
 * that mr_mime_decode() is given. Same bytes and limits, same result.
 */
#ifndef MR_MIME_MIME_H
#define MR_MIME_MIME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What can be wrong; bits 1 << MR_MIME_x. The names are those of Suricata where it has them. */
#define MR_MIME_ANOMALY_LIST(X)                                                                    \
    X(LONG_LINE, "MIME_LONG_LINE")         /* a line of over 998 bytes (RFC 5322, 2.1.1) */        \
    X(LONG_ENC_LINE, "MIME_LONG_ENC_LINE") /* over 76 in base64, quoted-printable (RFC 2045) */    \
    X(LONG_HEADER_NAME, "MIME_LONG_HEADER_NAME")   /* over 75 bytes */                             \
    X(LONG_HEADER_VALUE, "MIME_LONG_HEADER_VALUE") /* over 2,000 bytes; over 64 KiB: cut */        \
    X(LONG_BOUNDARY, "MIME_LONG_BOUNDARY")         /* over 70 bytes (RFC 2046); used if <= 254 */  \
    X(LONG_FILENAME, "MIME_LONG_FILENAME")         /* over 255 bytes: cut */                       \
    X(MALFORMED_MSG, "MIME_MALFORMED_MSG")         /* a line among the fields that is none */      \
    X(INVALID_BASE64, "MIME_INVALID_BASE64")       /* bytes that do not belong there: skipped */   \
    X(INVALID_QP, "MIME_INVALID_QP")               /* an = without two hex digits: kept */         \
    X(INVALID_UU, "MIME_INVALID_UUENCODE")         /* uuencoded data without its end */            \
    X(INVALID_WORD, "MIME_INVALID_ENCODED_WORD")   /* =?...?= that cannot be decoded: kept */      \
    X(INVALID_CHARACTER, "MIME_INVALID_CHARACTER") /* bytes that the charset has not: U+FFFD */    \
    X(UNKNOWN_CHARSET, "MIME_UNKNOWN_CHARSET")     /* read as UTF-8, else as windows-1252 */       \
    X(UNKNOWN_ENCODING, "MIME_UNKNOWN_ENCODING")   /* of a part: taken as it is */                 \
    X(NO_BOUNDARY, "MIME_NO_BOUNDARY")             /* a multipart without: read as text */         \
    X(NO_END, "MIME_NO_END")                     /* a multipart whose last delimiter is missing */ \
    X(NUL_BYTES, "MIME_NUL_BYTES")               /* in the header section */                       \
    X(DUPLICATE_FIELDS, "MIME_DUPLICATE_FIELDS") /* two of a field of which one may be; first */   \
    X(TOO_MANY_HEADERS, "MIME_TOO_MANY_HEADERS") /* more than the limit: skipped */                \
    X(TOO_MANY_PARTS, "MIME_TOO_MANY_PARTS")     /* more than the limit: the last has the rest */  \
    X(TOO_DEEP, "MIME_TOO_DEEP")                 /* deeper than the limit: not taken apart */      \
    X(TOO_MANY_PARAMETERS, "MIME_TOO_MANY_PARAMETERS") /* more than the limit: skipped */          \
    X(TOO_MANY_LINKS, "MIME_TOO_MANY_LINKS")           /* more than the limit: not listed */       \
    X(TEXT_CUT, "MIME_TEXT_CUT")   /* more text than the limit: the rest is not there */           \
    X(NO_MEMORY, "MIME_NO_MEMORY") /* something is missing, for want of memory */                  \
    X(DUPLICATE_PARAMETERS, "MIME_DUPLICATE_PARAMETERS") /* boundary, charset, name: first counts  \
                                                          */

enum mr_mime_anomaly {
#define X(name, text) MR_MIME_##name,
    MR_MIME_ANOMALY_LIST(X)
#undef X
        MR_MIME_N_ANOMALIES
};

/* Bounds. Zeroed fields mean the default. */
struct mr_mime_limits {
    uint32_t headers;      /* fields in all parts together (2,000, and 1 MiB) */
    uint32_t parts;        /* 1,000 */
    uint32_t depth;        /* of parts in parts (50, at most 254) */
    uint32_t parameters;   /* of one field (64) */
    uint32_t links;        /* 1,000 */
    uint32_t text_bytes;   /* of text, and of hidden text, as UTF-8 (16 MiB each) */
    uint32_t memory_bytes; /* of a decoder with all that it was given (64 MiB), but for a mail in
                            * pieces: text_bytes more, of the text that is open as it came */
};

/* Where a decoder has memory from when its own 256 KiB are used up; mr_mime_release() and the next
 * mr_mime_decode() give it back. get() returns NULL when there is none. */
struct mr_mime_memory {
    void *user;
    void *(*get)(void *user, size_t bytes, void **handle); /* 16-byte aligned; handle: for put() */
    void (*put)(void *user, void *handle);
};

struct mr_mime_text {
    const uint8_t *ptr; /* never NULL */
    uint32_t len;
};

struct mr_mime_header {
    struct mr_mime_text name;  /* as it stands */
    struct mr_mime_text raw;   /* as it stands, line ends and all, but trimmed at both ends */
    struct mr_mime_text value; /* unfolded, encoded words decoded, valid UTF-8 */
};

enum mr_mime_encoding {
    MR_MIME_IDENTITY, /* 7bit, 8bit, binary, none */
    MR_MIME_BASE64,
    MR_MIME_QUOTED_PRINTABLE,
    MR_MIME_UUENCODE
};

enum mr_mime_kind {
    MR_MIME_LEAF,
    MR_MIME_MULTIPART, /* its parts follow */
    MR_MIME_MESSAGE    /* message/rfc822: one part follows, the root of that message */
};

/* Parts stand in the order of the mail, a part before the parts in it. */
struct mr_mime_part {
    uint32_t parent; /* index; of the first part: 0 */
    uint32_t first_header, n_headers;
    uint8_t kind;     /* enum mr_mime_kind */
    uint8_t encoding; /* enum mr_mime_encoding */
    uint8_t depth;    /* of the first part: 0 */
    bool is_text;     /* text/...: it is in `text` */
    bool is_html;
    bool is_file; /* disposition attachment, or a file name, or neither text nor multipart */
    struct mr_mime_text type;        /* "text/html", in lower case; "text/plain" if there is none */
    struct mr_mime_text charset;     /* in lower case as declared, or "" */
    struct mr_mime_text disposition; /* "attachment", "inline", ..., in lower case, or "" */
    struct mr_mime_text filename;    /* UTF-8, or "" */
    struct mr_mime_text content_id;  /* without <>, or "" */
    struct mr_mime_text body;        /* encoded, borrowed from the mail: what of it is in memory */
    uint64_t body_at;                /* where it begins in the mail */
    uint64_t body_bytes;             /* its length, in memory or not */
    struct mr_mime_text text;        /* a text part's share of mr_mime.text */
    uint32_t text_at;                /* where that is in it */
    /* Of a mail that came in pieces: what its content was. NULL: not known (multiparts, messages
     * that are no files, those in four others). */
    const struct mr_mime_digest *digest;
};

enum mr_mime_link_kind {
    MR_MIME_LINK_HREF, /* <a>, <area>, <base>, <form action> */
    MR_MIME_LINK_LOAD, /* <img>, <iframe>, background, ...: fetched without being asked */
    MR_MIME_LINK_TEXT  /* http://, https://, ftp:// or www. in text */
};

struct mr_mime_link {
    uint32_t part;
    uint8_t kind;            /* enum mr_mime_link_kind */
    struct mr_mime_text url; /* UTF-8, character references decoded, no blanks at the ends */
};

/* Text of HTML that a reader does not see: display:none, visibility:hidden, opacity:0, a font of 0
 * or 1 pixel, in the colour of what lies behind. It is not in `text`. */
struct mr_mime_hidden {
    uint32_t part;
    uint32_t at;              /* in all hidden text together */
    struct mr_mime_text text; /* UTF-8 */
};

/* Of all HTML parts. */
struct mr_mime_html {
    uint32_t parts, tags, comments, images, forms, scripts;
    uint32_t comment_in_word; /* comments and unknown tags between two letters */
};

struct mr_mime {
    const uint8_t *mail; /* what is in memory of it, from its beginning: borrowed */
    size_t len;
    uint64_t bytes;       /* of the mail, in memory or not */
    bool header_complete; /* the empty line behind the first header section is there */
    uint32_t n_headers, n_parts, n_links, n_hidden;
    const struct mr_mime_header *headers; /* those of part i: from parts[i].first_header on */
    const struct mr_mime_part *parts;     /* at least one */
    const struct mr_mime_link *links;
    const struct mr_mime_hidden *hidden;
    struct mr_mime_html html;
    struct mr_mime_text text; /* of all text parts, UTF-8, line ends as \n, a \n between parts */
    uint64_t anomalies;       /* bits: 1 << enum mr_mime_anomaly */
    uint64_t work;            /* bytes looked at, however often: for tests of linear time */
    const struct mr_mime_digest *body; /* in pieces: of parts[0].body as it travels, or NULL */
};

enum { MR_MIME_MD5 = 1, MR_MIME_SHA1 = 2, MR_MIME_SHA256 = 4 };

/* Messages that are files hold the bytes of those in them once more: no more than so many in one
 * another are read as files, the outermost. */
#define MR_MIME_READ_MESSAGES 4u

struct mr_mime_digest {
    uint64_t size;      /* of the content */
    uint64_t anomalies; /* of its encoding */
    uint8_t md5[16], sha1[20], sha256[32];
};

struct mr_mime_decoder;

/* Start-up. `limits` may be NULL: the defaults. NULL: out of memory. */
struct mr_mime_decoder *mr_mime_open(const struct mr_mime_limits *limits);
void mr_mime_close(struct mr_mime_decoder *decoder);

/* Keeps loaded what decoders convert charsets with. An engine holds one from before its threads
 * begin until they have ended: libc unloads a converter's library with the last decoder that has it
 * open, and so no thread that closes its decoder does that beside others. NULL: out of memory. */
struct mr_mime_charsets *mr_mime_charsets_keep(void);
void mr_mime_charsets_release(struct mr_mime_charsets *kept);

/* Reads a mail of at most UINT32_MAX bytes (what is behind is not looked at). `memory` may be NULL:
 * the heap. The result is the decoder's, and lives until the next decode, release or close; it
 * borrows the mail. Never NULL. */
const struct mr_mime *mr_mime_decode(struct mr_mime_decoder *decoder,
                                     const struct mr_mime_memory *memory, const uint8_t *mail,
                                     size_t len);

/* Gives back what decode() took beyond the decoder's own memory; the result is gone. To be called
 * before `memory` of that decode() is. */
void mr_mime_release(struct mr_mime_decoder *decoder);

/* ---- a mail that comes in pieces ----
 *
 * begin, feed as often as it takes, end. The result is that of mr_mime_decode() of all bytes, but
 * for `work` and for where bytes lie: fields are copies, bodies only as far as they are in `kept`.
 * In memory are what the result has, the encoded bytes of the text part that is open, and a line or
 * field. */

/* Hashes (MR_MIME_x ored) of each part's content, and of parts[0].body as it travels. */
void mr_mime_begin(struct mr_mime_decoder *decoder, const struct mr_mime_memory *memory,
                   unsigned content_hashes, unsigned body_hashes);
void mr_mime_feed(struct mr_mime_decoder *decoder, const void *bytes, size_t len);
/* `kept`: as much of the mail's beginning as is still in memory; the result borrows it. */
const struct mr_mime *mr_mime_end(struct mr_mime_decoder *decoder, const void *kept, size_t len);

/* A decoder in memory of `memory`, for one mail in pieces that outlives calls and changes threads;
 * begun already. NULL: no memory. It has no converters of its own: in front of each of feed(),
 * end(), release() and hand_over() mr_mime_lend() gives it those of a decoder of this thread, and
 * memory as this thread has it. */
struct mr_mime_decoder *mr_mime_begin_within(const struct mr_mime_memory *memory,
                                             const struct mr_mime_limits *limits,
                                             unsigned content_hashes, unsigned body_hashes);
void mr_mime_lend(struct mr_mime_decoder *decoder, const struct mr_mime_memory *memory,
                  const struct mr_mime_decoder *lender);
/* Gives all its memory back, and itself; or to keep() instead, so that the result lives on. The
 * lender may be NULL in front of it. */
void mr_mime_end_within(struct mr_mime_decoder *decoder, void (*keep)(void *user, void *handle),
                        void *user);

/* The result once more, for whoever needs it longer than the decoder does: in `memory`, 16-byte
 * aligned, of mr_mime_copy_bytes(). It lives as long as that and the mail, which it borrows too. */
size_t mr_mime_copy_bytes(const struct mr_mime *mime);
const struct mr_mime *mr_mime_copy(const struct mr_mime *mime, void *memory);

/* The first field of a part with this name, ignoring case, from header `*cursor` of that part on;
 * *cursor is 0 at first, then behind the one found. NULL: none. */
const struct mr_mime_header *mr_mime_field(const struct mr_mime *mime, uint32_t part,
                                           const char *name, uint32_t *cursor);

/* The decoded bytes of a leaf (the encoding is undone, charset and line ends stay; of a multipart
 * and a message: as they stand), in pieces, in order. Each is valid during the call only. Returns
 * how many bytes there are in all. Anomalies of the encoding are added to *anomalies unless NULL.
 */
typedef void mr_mime_piece(void *user, const uint8_t *bytes, size_t len);
uint64_t mr_mime_content(const struct mr_mime_part *part, mr_mime_piece *piece, void *user,
                         uint64_t *anomalies);

/* Size and hashes (`which`: MR_MIME_x ored; 0: only the size) of a part's content: of its body in
 * memory, or, where that came in pieces, part->digest. */
void mr_mime_part_digest(const struct mr_mime_part *part, unsigned which,
                         struct mr_mime_digest *digest);
void mr_mime_bytes_digest(const void *bytes, size_t len, unsigned which,
                          struct mr_mime_digest *digest);

/* "MIME_LONG_LINE" and so on. */
const char *mr_mime_anomaly_text(enum mr_mime_anomaly anomaly);

#endif
