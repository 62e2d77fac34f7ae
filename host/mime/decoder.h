/* The inside of a decoder: what the files of this folder share. Nobody else includes this.
 *
 * decode.c    parts: where they begin and end, what they are; lines.c  bytes to lines to parts
 * stream.c    pieces to lines, and what passes of bodies (pass.c)
 * memory.c    the decoder's memory        header.c     fields, encoded words (words.c)
 * content.c, base64.c  transfer encodings parameter.c  Content-Type, Content-Disposition
 * charset.c   anything to UTF-8           text.c, html.c, link.c  text parts to text and signals
 */
#ifndef MR_MIME_DECODER_H
#define MR_MIME_DECODER_H

#include "mime.h"

#define MIME_MAX_DEPTH    254u
#define MIME_MAX_BOUNDARY 254u
#define MIME_BUCKETS      256u
#define MIME_CONVERTERS   7u
#define MIME_NO_PART      UINT32_MAX
#define MIME_LONG_LINE    998u
#define MIME_LINE_BYTES   1024u       /* of a line that is looked at as a whole: no more matters */
#define MIME_FIELD_BYTES  (64u << 10) /* kept of a field, */
#define MIME_HEADER_BYTES (1u << 20)  /* and of all */

#define MIME_BIT(name)    ((uint64_t)1 << MR_MIME_##name)

/* A buffer that grows by taking a larger one. Its contents are kept up to `len`. */
struct mime_space {
    uint8_t *data;
    size_t len, capacity;
    uint8_t *own; /* the decoder's, always there */
    size_t own_bytes;
    void *handle; /* of what was taken instead, if data != own */
    bool apart;   /* not counted: bytes of the mail */
};

struct mime_block {
    struct mime_block *next;
    void *handle;
    size_t bytes;
};

/* A multipart whose delimiters are looked for. */
struct mime_level {
    uint32_t part;
    uint32_t hash;
    const uint8_t *boundary;
    uint8_t len;
    uint8_t below; /* in its bucket, + 1; 0: none */
};

/* iconv_t to UTF-8, one for each charset that is not a table. */
struct mime_converters {
    void *iconv[MIME_CONVERTERS];
};

/* Where the reading stands: in a window of bytes, which is the mail, or a piece of it that goes. */
struct mime_reading {
    const uint8_t *window, *at, *end; /* its beginning; what is read; its end */
    uint64_t window_at;               /* where it begins in the mail */
    const uint8_t *passed;            /* in pieces: what stands before went to the bodies */
    bool stays;                       /* the window is the mail */
    bool last;                        /* nothing comes behind it */
    bool in_line;                     /* behind the first piece of a long line */
    bool after_cr;                    /* ... that ended with a CR */
    uint8_t line_end;                 /* bytes of the line end in front of `at`: 0 to 2 */
    /* a header section: of the part that was made last */
    bool in_header, top; /* top: no line of it is read */
    bool in_field;
    const uint8_t *field; /* where it begins, if the window stays; else it is in d->field */
    uint64_t header_bytes;
    /* a body */
    uint32_t leaf;    /* the part whose body is being read, if it is a leaf; else MIME_NO_PART */
    bool encoded;     /* its lines ought to be short */
    bool may_have_uu; /* uuencoded files in it become parts */
    bool in_uu;       /* one began: */
    uint64_t uu_at;
    uint32_t uu_name_len;
    uint8_t uu_name[MIME_LONG_LINE];
};

struct mime_pass;

struct mr_mime_decoder {
    struct mr_mime result;
    struct mime_reading reading;
    struct mime_pass *pass; /* in pieces: what becomes of bodies; else NULL */
    struct mime_pass *own_pass;
    struct mr_mime_limits limits;
    struct mr_mime_memory memory; /* of this decode() */
    size_t taken;                 /* bytes from it, and the decoder's own */
    struct mime_block *blocks;
    uint8_t *at; /* what is left of the open block */
    size_t left;
    uint8_t *own;
    size_t own_bytes;
    struct mime_space coded; /* a part or word without its transfer encoding */
    struct mime_space utf8;  /* the same in UTF-8 */
    struct mime_space text, hidden;
    struct mime_space field; /* in pieces: the one that is open, */
    struct mime_space body;  /* and the encoded text of the part that is */
    struct mr_mime_header *headers;
    struct mr_mime_part *parts;
    struct mr_mime_link *links;
    struct mr_mime_hidden *hides;
    uint32_t headers_room, parts_room, links_room, hides_room;
    struct mime_converters converters;
    /* structure */
    struct mime_level levels[MIME_MAX_DEPTH + 1];
    uint32_t n_levels;
    uint8_t buckets[MIME_BUCKETS];         /* index of the innermost level + 1 */
    uint32_t open[2 * MIME_MAX_DEPTH + 4]; /* parts whose body has not ended, outermost first */
    uint32_t n_open;
    uint32_t n_carried; /* of a line whose end has not come */
    uint8_t carried[MIME_LINE_BYTES];
    void *within; /* mr_mime_begin_within(): the handle of its memory */
};

static inline void mime_raise(struct mr_mime_decoder *d, uint64_t bits)
{
    d->result.anomalies |= bits;
}

static inline struct mr_mime_text mime_text(const void *ptr, size_t len)
{
    return (struct mr_mime_text){len ? ptr : (const uint8_t *)"", (uint32_t)len};
}

static inline bool mime_blank(uint8_t c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static inline uint8_t mime_lower(uint8_t c)
{
    return c >= 'A' && c <= 'Z' ? (uint8_t)(c + 32) : c;
}

static inline struct mr_mime_text mime_trimmed(const uint8_t *begin, const uint8_t *end)
{
    while (begin < end && mime_blank(*begin))
        begin++;
    while (begin < end && mime_blank(end[-1]))
        end--;
    return mime_text(begin, (size_t)(end - begin));
}

/* Equal but for case; `name` is in lower case. */
bool mime_is(struct mr_mime_text text, const char *name);
bool mime_same(struct mr_mime_text a, struct mr_mime_text b);

/* ---- memory.c ---- */

/* Until the next decode; 16-byte aligned. NULL: none, and the anomaly is raised. */
void *mime_alloc(struct mr_mime_decoder *d, size_t bytes);
/* Room for `more` bytes behind len. False: none (MR_MIME_NO_MEMORY is raised). */
bool mime_room(struct mr_mime_decoder *d, struct mime_space *space, size_t more);
/* Appends so much of it that there are at most `limit`. */
void mime_append(struct mr_mime_decoder *d, struct mime_space *space, const uint8_t *bytes,
                 size_t len, size_t limit);
/* Room for one more element of an array of `room`; the new array, or NULL. */
void *mime_grow(struct mr_mime_decoder *d, void *array, uint32_t n, uint32_t *room, size_t bytes,
                uint32_t limit);
/* A copy until the next decode; empty when there is no memory. */
struct mr_mime_text mime_keep(struct mr_mime_decoder *d, const void *bytes, size_t len);
void mime_forget(struct mr_mime_decoder *d);
/* The same, but what the result lies in is kept. */
void mime_give(struct mr_mime_decoder *d, void (*keep)(void *user, void *handle), void *user);
/* A decoder in so much memory, without converters. */
size_t mime_decoder_bytes(void);
struct mr_mime_decoder *mime_decoder_in(void *memory, const struct mr_mime_limits *limits);

/* ---- header.c ---- */

/* Reads lines of the header section of the last part, as far as the window goes. True: it has
 * ended, where the window is read to; also at a delimiter (mime_delimiter()). *complete: by its
 * empty line. */
bool mime_header_lines(struct mr_mime_decoder *d, bool *complete);
/* Unfolded, encoded words decoded, UTF-8. */
struct mr_mime_text mime_value(struct mr_mime_decoder *d, struct mr_mime_text raw);

/* ---- words.c ---- */

/* The same with encoded words, into d->utf8. `from` has "=?". */
void mime_words(struct mr_mime_decoder *d, struct mr_mime_text from);

/* ---- parameter.c ---- */

/* Behind blanks and comments (nested, RFC 5322, 3.2.2). */
const uint8_t *mime_skip(const uint8_t *p, const uint8_t *end);
void mime_content_type(struct mr_mime_decoder *d, struct mr_mime_part *part,
                       struct mr_mime_text value, struct mr_mime_text *boundary);
void mime_disposition(struct mr_mime_decoder *d, struct mr_mime_part *part,
                      struct mr_mime_text value);
/* At most 255 bytes, whole characters; raises MR_MIME_LONG_FILENAME. */
void mime_cut_filename(struct mr_mime_decoder *d, struct mr_mime_text *name);

/* ---- decode.c ---- */

/* The level that a line delimits, or -1; *last: it is the closing delimiter. */
int mime_delimiter(struct mr_mime_decoder *d, const uint8_t *line, const uint8_t *line_end,
                   bool *last);
/* A delimiter of `level` at reading.at; `lf` as in mime_line_done(). */
void mime_delimited(struct mr_mime_decoder *d, int level, bool last, const uint8_t *lf);
/* A new part, whose header section begins at reading.at. */
void mime_begin_part(struct mr_mime_decoder *d, uint32_t parent);
/* ... ends there. */
void mime_header_ends(struct mr_mime_decoder *d);
/* The uuencoded file that began at reading.uu_at ends at `end`. */
void mime_uu_file(struct mr_mime_decoder *d, uint64_t end);
void mime_begin_mail(struct mr_mime_decoder *d, const struct mr_mime_memory *memory);
const struct mr_mime *mime_end_mail(struct mr_mime_decoder *d);
/* Where bodies are, when result.mail is known at last. */
void mime_find_bodies(struct mr_mime_decoder *d);

/* ---- lines.c ---- */

/* Reads the window, but for a line without end that may be completed. */
void mime_lines(struct mr_mime_decoder *d);
/* The window was read from a line's beginning, or in one, to its end, or, `lf` NULL, to its own. */
static inline void mime_line_done(struct mime_reading *r, const uint8_t *begin, const uint8_t *lf)
{
    if (lf)
        r->line_end =
            (uint8_t)(1 + (lf > begin ? lf[-1] == '\r' : (int)(r->in_line && r->after_cr)));
    else
        r->line_end = 0;
    r->in_line = !lf;
    r->after_cr = r->end > begin && r->end[-1] == '\r';
}

static inline uint64_t mime_where(const struct mime_reading *r, const uint8_t *p)
{
    return r->window_at + (uint64_t)(p - r->window);
}

/* ---- pass.c: in pieces, what becomes of the bytes of bodies; each does nothing without a pass */

/* The window up to `to` is content of the open bodies, but for a line end at its end, which may be
 * a delimiter's; `all`: it is not. */
void mime_pass(struct mr_mime_decoder *d, const uint8_t *to, bool all);
/* The body of a part begins behind what was passed; ends before the line end that waits. */
void mime_pass_begin(struct mr_mime_decoder *d, uint32_t part);
void mime_pass_end(struct mr_mime_decoder *d, uint32_t part);
/* A uuencoded file may begin (line is NULL); a line of it; it was one, this part, or none. */
void mime_pass_uu(struct mr_mime_decoder *d, const uint8_t *line, const uint8_t *stop);
void mime_pass_uu_end(struct mr_mime_decoder *d, uint32_t part);
size_t mime_pass_bytes(void);
void mime_pass_open(struct mr_mime_decoder *d, unsigned content_hashes, unsigned body_hashes);

/* ---- base64.c, content.c ---- */

/* Undo an encoding; state is zero at first. Returns bytes written to out, at most n + 4. */
struct mime_base64 {
    uint32_t bits;
    uint8_t n;
    bool padded; /* padding was seen */
    bool ended;  /* what follows is something else */
    bool odd;    /* bytes were skipped, or are missing */
};
size_t mime_base64_decode(struct mime_base64 *state, const uint8_t *in, size_t n, uint8_t *out);
size_t mime_base64_end(struct mime_base64 *state, uint8_t *out);
/* `word`: the Q encoding of RFC 2047. `waits`: so many bytes at the end mean nothing before more
 * come; NULL: no more come. */
size_t mime_quoted_decode(const uint8_t *in, size_t n, uint8_t *out, bool word, bool *odd,
                          size_t *waits);
/* One line of uuencoded data; at most 63 bytes are written. */
size_t mime_uu_line(const uint8_t *line, const uint8_t *end, uint8_t *out);
/* The length of the data that a line claims to have, if its length fits; else -1. */
int mime_uu_claim(const uint8_t *line, const uint8_t *end);

/* A content whose encoding is undone as its bytes come, whatever the pieces. */
struct mime_content {
    mr_mime_piece *piece;
    void *user;
    uint64_t size; /* of what came out */
    struct mime_base64 base64;
    uint32_t n_kept; /* bytes whose meaning those that follow decide: in kept */
    uint8_t encoding;
    bool odd;
    bool begun, ended; /* uuencode: the lines that say so came */
    uint8_t kept[MIME_LINE_BYTES];
};
void mime_content_begin(struct mime_content *c, uint8_t encoding, mr_mime_piece *piece, void *user);
void mime_content_feed(struct mime_content *c, const uint8_t *bytes, size_t n);
/* Returns what is wrong with it. */
uint64_t mime_content_end(struct mime_content *c);

/* ---- charset.c ---- */

/* All 7-bit. */
bool mime_ascii(const uint8_t *in, size_t n);
/* Replaces the contents of d->utf8. Returns them, or `in` itself where it is UTF-8. */
struct mr_mime_text mime_to_utf8(struct mr_mime_decoder *d, struct mr_mime_text charset,
                                 const uint8_t *in, size_t n);
/* Writes a code point, 1 to 4 bytes. */
size_t mime_put_utf8(uint8_t *out, uint32_t code);
void mime_converters_open(struct mime_converters *c);
void mime_converters_close(struct mime_converters *c);

/* ---- text.c, html.c, link.c ---- */

/* Adds the text of a text part to d->text. */
void mime_part_text(struct mr_mime_decoder *d, uint32_t part);
/* Appends to d->text or d->hidden, within the limit. */
void mime_add(struct mr_mime_decoder *d, struct mime_space *space, const uint8_t *bytes,
              size_t len);
void mime_html(struct mr_mime_decoder *d, uint32_t part, const uint8_t *in, size_t n);
/* ... lines ends as \n. */
void mime_add_lines(struct mr_mime_decoder *d, const uint8_t *in, size_t n);
void mime_add_link(struct mr_mime_decoder *d, uint32_t part, enum mr_mime_link_kind kind,
                   struct mr_mime_text url);
/* URLs in text, which must stay. */
void mime_text_links(struct mr_mime_decoder *d, uint32_t part, const uint8_t *in, size_t n);

/* ---- entity.c ---- */

/* The character reference at in[0] == '&': its bytes to out (at most 4), their number to *written.
 * Returns how many bytes it takes; 0: none. */
size_t mime_entity(const uint8_t *in, size_t n, uint8_t *out, size_t *written);

#endif
