/* Any charset to UTF-8. Those of one byte a character by table; the others that mails use by iconv,
 * opened at start-up. What is not known is UTF-8 if it can be, else windows-1252. */
#include "decoder.h"

#include <iconv.h>
#include <stdlib.h>
#include <string.h>
#if defined(__x86_64__)
#include <immintrin.h>
#endif

static const uint8_t replacement[3] = {0xef, 0xbf, 0xbd};

struct single {
    const char *name;
    uint16_t codes[128];
};

static const struct single singles[] = {
#define X(name, ...) {#name, {__VA_ARGS__}},
#include "charsets.def"
#undef X
};
#define N_SINGLES (sizeof singles / sizeof *singles)

/* Names that iconv knows, and what they stand for in mails: supersets, since mailers do not mind.
 */
static const char *const multiple[MIME_CONVERTERS] = {
    "GB18030", "BIG5-HKSCS", "CP932", "EUC-JP", "ISO-2022-JP-2", "UHC", "UTF-7"};

struct mr_mime_charsets {
    struct mime_converters converters;
};

enum charset {
    ASCII = -1,
    UTF8 = -2,
    UNKNOWN = -3,
    UTF16LE = -4,
    UTF16BE = -5,
    MULTIPLE = 100, /* + index in multiple; below: index in singles */
};

static const struct alias {
    const char *name;
    const char *same; /* in singles, multiple */
} aliases[] = {
    {"iso88591", "windows1252"},
    {"latin1", "windows1252"},
    {"cp1252", "windows1252"},
    {"ansi", "windows1252"},
    {"iso88599", "windows1254"},
    {"latin2", "iso88592"},
    {"latin9", "iso885915"},
    {"iso88598i", "iso88598"},
    {"cp1250", "windows1250"},
    {"cp1251", "windows1251"},
    {"win1251", "windows1251"},
    {"cp1253", "windows1253"},
    {"cp1254", "windows1254"},
    {"cp1255", "windows1255"},
    {"cp1256", "windows1256"},
    {"cp1257", "windows1257"},
    {"cp1258", "windows1258"},
    {"tis620", "windows874"},
    {"cp874", "windows874"},
    {"iso885911", "windows874"},
    {"koi8", "koi8r"},
    {"cp437", "ibm437"},
    {"cp850", "ibm850"},
    {"cp852", "ibm852"},
    {"cp855", "ibm855"},
    {"cp866", "ibm866"},
    {"xmacroman", "macintosh"},
    {"gb2312", "GB18030"},
    {"gbk", "GB18030"},
    {"gb18030", "GB18030"},
    {"xgbk", "GB18030"},
    {"cp936", "GB18030"},
    {"windows936", "GB18030"},
    {"chinesebig5", "BIG5-HKSCS"},
    {"big5", "BIG5-HKSCS"},
    {"big5hkscs", "BIG5-HKSCS"},
    {"cp950", "BIG5-HKSCS"},
    {"shiftjis", "CP932"},
    {"sjis", "CP932"},
    {"xsjis", "CP932"},
    {"windows31j", "CP932"},
    {"cp932", "CP932"},
    {"eucjp", "EUC-JP"},
    {"xeucjp", "EUC-JP"},
    {"iso2022jp", "ISO-2022-JP-2"},
    {"iso2022jp2", "ISO-2022-JP-2"},
    {"euckr", "UHC"},
    {"ksc56011987", "UHC"},
    {"ksc5601", "UHC"},
    {"cp949", "UHC"},
    {"windows949", "UHC"},
    {"uhc", "UHC"},
    {"utf7", "UTF-7"},
    {"unicode11utf7", "UTF-7"},
};

void mime_converters_open(struct mime_converters *c)
{
    for (unsigned i = 0; i < MIME_CONVERTERS; i++)
        c->iconv[i] = iconv_open("UTF-8", multiple[i]); /* missing: as unknown ones */
}

void mime_converters_close(struct mime_converters *c)
{
    for (unsigned i = 0; i < MIME_CONVERTERS; i++)
        if (c->iconv[i] != (iconv_t)-1)
            iconv_close(c->iconv[i]);
}

struct mr_mime_charsets *mr_mime_charsets_keep(void)
{
    struct mr_mime_charsets *kept = malloc(sizeof *kept);

    if (kept)
        mime_converters_open(&kept->converters);
    return kept;
}

void mr_mime_charsets_release(struct mr_mime_charsets *kept)
{
    if (!kept)
        return;
    mime_converters_close(&kept->converters);
    free(kept);
}

bool mime_ascii(const uint8_t *in, size_t n)
{
    size_t i = 0;
#if defined(__x86_64__)
    __m128i all = _mm_setzero_si128();
    for (; n - i >= 16; i += 16)
        all = _mm_or_si128(all, _mm_loadu_si128((const __m128i *)(const void *)(in + i)));
    if (_mm_movemask_epi8(all))
        return false;
#endif
    uint8_t bits = 0;
    for (; i < n; i++)
        bits |= in[i];
    return bits < 0x80;
}

/* How many bytes are 7-bit from the start. */
static size_t ascii_run(const uint8_t *in, size_t n)
{
    size_t i = 0;
#if defined(__x86_64__)
    for (; n - i >= 16; i += 16) {
        __m128i v = _mm_loadu_si128((const __m128i *)(const void *)(in + i));
        unsigned high = (unsigned)_mm_movemask_epi8(v);
        if (high)
            return i + (unsigned)__builtin_ctz(high);
    }
#endif
    while (i < n && in[i] < 0x80)
        i++;
    return i;
}

size_t mime_put_utf8(uint8_t *out, uint32_t code)
{
    if (code < 0x80) {
        out[0] = (uint8_t)code;
        return 1;
    }
    if (code < 0x800) {
        out[0] = (uint8_t)(0xc0 | code >> 6);
        out[1] = (uint8_t)(0x80 | (code & 63));
        return 2;
    }
    if (code < 0x10000) {
        out[0] = (uint8_t)(0xe0 | code >> 12);
        out[1] = (uint8_t)(0x80 | (code >> 6 & 63));
        out[2] = (uint8_t)(0x80 | (code & 63));
        return 3;
    }
    out[0] = (uint8_t)(0xf0 | code >> 18);
    out[1] = (uint8_t)(0x80 | (code >> 12 & 63));
    out[2] = (uint8_t)(0x80 | (code >> 6 & 63));
    out[3] = (uint8_t)(0x80 | (code & 63));
    return 4;
}

/* The bytes of the character at in; *good is false where there is none, and they are those that
 * one U+FFFD stands for (Unicode 15, 3.9: maximal subparts). */
static size_t character(const uint8_t *in, size_t n, bool *good)
{
    uint8_t c = in[0], low = 0x80, high = 0xbf;
    size_t need = c >= 0xf0 ? 4 : c >= 0xe0 ? 3 : 2, i = 1;

    *good = false;
    if (c < 0xc2 || c > 0xf4)
        return 1;
    if (c == 0xe0)
        low = 0xa0;
    else if (c == 0xed)
        high = 0x9f;
    else if (c == 0xf0)
        low = 0x90;
    else if (c == 0xf4)
        high = 0x8f;
    for (; i < need; i++, low = 0x80, high = 0xbf)
        if (i == n || in[i] < low || in[i] > high)
            return i;
    *good = true;
    return need;
}

/* How many bytes are good UTF-8 from the start. */
static size_t good_run(const uint8_t *in, size_t n)
{
    size_t i = 0;
    bool good = true;

    for (;;) {
        i += ascii_run(in + i, n - i);
        if (i == n)
            return n;
        size_t len = character(in + i, n - i, &good);
        if (!good)
            return i;
        i += len;
    }
}

static struct mr_mime_text no_text(struct mr_mime_decoder *d)
{
    d->utf8.len = 0;
    return mime_text(NULL, 0);
}

/* UTF-8 with errors. */
static struct mr_mime_text repair(struct mr_mime_decoder *d, const uint8_t *in, size_t n)
{
    struct mime_space *to = &d->utf8;
    bool good;

    mime_raise(d, MIME_BIT(INVALID_CHARACTER));
    to->len = 0;
    while (n) {
        size_t len = good_run(in, n);
        if (!mime_room(d, to, len + 3))
            break;
        memcpy(to->data + to->len, in, len);
        to->len += len;
        in += len;
        n -= len;
        if (!n)
            break;
        len = character(in, n, &good);
        memcpy(to->data + to->len, replacement, 3);
        to->len += 3;
        in += len;
        n -= len;
    }
    return mime_text(to->data, to->len);
}

static struct mr_mime_text by_table(struct mr_mime_decoder *d, const struct single *single,
                                    const uint8_t *in, size_t n)
{
    if (!mime_room(d, &d->utf8, 3 * n))
        return no_text(d);
    uint8_t *out = d->utf8.data;
    for (size_t i = 0; i < n;) {
        size_t run = ascii_run(in + i, n - i);
        memcpy(out, in + i, run);
        out += run;
        i += run;
        for (; i < n && in[i] >= 0x80; i++) {
            uint32_t code = single->codes[in[i] - 0x80];
            if (!code) {
                mime_raise(d, MIME_BIT(INVALID_CHARACTER));
                code = 0xfffd;
            }
            out += mime_put_utf8(out, code);
        }
    }
    d->utf8.len = (size_t)(out - d->utf8.data);
    return mime_text(d->utf8.data, d->utf8.len);
}

/* Each step takes a byte at least, and a byte becomes at most four here. */
static struct mr_mime_text by_iconv(struct mr_mime_decoder *d, iconv_t converter, const uint8_t *in,
                                    size_t n)
{
    struct mime_space *to = &d->utf8;
    char *from = (char *)(uintptr_t)in;

    to->len = 0;
    iconv(converter, NULL, NULL, NULL, NULL);
    while (n) {
        if (!mime_room(d, to, 2 * n + 64))
            break;
        char *out = (char *)to->data + to->len;
        size_t room = to->capacity - to->len - 8, before = n;
        size_t rc = iconv(converter, &from, &n, &out, &room);
        to->len = (size_t)((uint8_t *)out - to->data);
        if (rc != (size_t)-1 || !n)
            break;
        if (room < 64 && before != n)
            continue; /* full */
        mime_raise(d, MIME_BIT(INVALID_CHARACTER));
        memcpy(to->data + to->len, replacement, 3);
        to->len += 3;
        from++;
        n--;
    }
    return mime_text(to->data, to->len);
}

static uint32_t unit(const uint8_t *in, bool big)
{
    return big ? (uint32_t)(in[0] << 8 | in[1]) : (uint32_t)(in[1] << 8 | in[0]);
}

/* By itself, since glibc's converter keeps the byte order of the text before. A byte order mark
 * counts more than the name; without either it is as Windows writes it. */
static struct mr_mime_text by_utf16(struct mr_mime_decoder *d, const uint8_t *in, size_t n,
                                    bool big)
{
    if (!mime_room(d, &d->utf8, 3 * (n / 2 + 1)))
        return no_text(d);
    uint8_t *out = d->utf8.data;
    size_t i = 0;
    if (n >= 2 && (unit(in, true) == 0xfeff || unit(in, false) == 0xfeff)) {
        big = unit(in, true) == 0xfeff;
        i = 2;
    }
    while (i < n) {
        uint32_t code = n - i > 1 ? unit(in + i, big) : 0xd800, low;
        i += n - i > 1 ? 2 : 1;
        if (code >= 0xd800 && code < 0xe000) {
            low = code < 0xdc00 && n - i > 1 ? unit(in + i, big) : 0;
            if (low >= 0xdc00 && low < 0xe000) {
                code = 0x10000 + ((code - 0xd800) << 10 | (low - 0xdc00));
                i += 2;
            } else {
                mime_raise(d, MIME_BIT(INVALID_CHARACTER));
                code = 0xfffd;
            }
        }
        out += mime_put_utf8(out, code);
    }
    d->utf8.len = (size_t)(out - d->utf8.data);
    return mime_text(d->utf8.data, d->utf8.len);
}

static int known(const char *name)
{
    for (unsigned i = 0; i < N_SINGLES; i++)
        if (!strcmp(name, singles[i].name))
            return (int)i;
    for (unsigned i = 0; i < MIME_CONVERTERS; i++)
        if (!strcmp(name, multiple[i]))
            return MULTIPLE + (int)i;
    return UNKNOWN;
}

#define WINDOWS_1252 2

static int charset_of(struct mr_mime_text name)
{
    char plain[32];
    size_t n = 0;

    for (uint32_t i = 0; i < name.len && n < sizeof plain - 1; i++) {
        uint8_t c = mime_lower(name.ptr[i]);
        if ((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'))
            plain[n++] = (char)c;
    }
    plain[n] = 0;
    if (!n || !strcmp(plain, "usascii") || !strcmp(plain, "ascii"))
        return ASCII;
    if (!strcmp(plain, "utf8"))
        return UTF8;
    if (!strcmp(plain, "utf16") || !strcmp(plain, "utf16le"))
        return UTF16LE;
    if (!strcmp(plain, "utf16be"))
        return UTF16BE;
    if (!strcmp(plain, "iso88591"))
        return WINDOWS_1252;
    for (unsigned i = 0; i < sizeof aliases / sizeof *aliases; i++)
        if (!strcmp(plain, aliases[i].name))
            return known(aliases[i].same);
    return known(plain);
}

struct mr_mime_text mime_to_utf8(struct mr_mime_decoder *d, struct mr_mime_text charset,
                                 const uint8_t *in, size_t n)
{
    int id = charset_of(charset);
    bool ascii = mime_ascii(in, n);

    d->result.work += n;
    if (id == UNKNOWN)
        mime_raise(d, MIME_BIT(UNKNOWN_CHARSET));
    if (id >= MULTIPLE) {
        iconv_t converter = d->converters.iconv[id - MULTIPLE];
        /* of these only UTF-7 and ISO-2022 are other than they look where all is 7-bit */
        bool shifts = id >= MULTIPLE + 4 && id != MULTIPLE + 5;
        if (ascii && !shifts)
            return mime_text(in, n);
        if (converter != (iconv_t)-1)
            return by_iconv(d, converter, in, n);
        mime_raise(d, MIME_BIT(UNKNOWN_CHARSET));
        id = UNKNOWN;
    }
    if (id == UTF16LE || id == UTF16BE)
        return by_utf16(d, in, n, id == UTF16BE);
    if (ascii)
        return mime_text(in, n);
    if (id >= 0)
        return by_table(d, &singles[id], in, n);
    bool good = good_run(in, n) == n;
    if (id == ASCII && charset.len)
        mime_raise(d, MIME_BIT(INVALID_CHARACTER));
    if (good)
        return mime_text(in, n);
    return id == UTF8 ? repair(d, in, n) : by_table(d, &singles[WINDOWS_1252], in, n);
}
