/* Text to tokens. */
#include "analog/lexer.h"

#include "analog/diagnostic.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

const char *analog_token_text(enum token_kind kind)
{
    static const char *const texts[] = {
#define X(name, text) text,
        TOKEN_LIST(X)
#undef X
    };
    return texts[kind];
}

void analog_lex_start(struct lexer *lexer, struct compile *compile, const struct source *source)
{
    *lexer = (struct lexer){.compile = compile, .source = source, .line = 1};
}

static int look(const struct lexer *lexer, size_t ahead)
{
    return lexer->at + ahead < lexer->source->len
               ? (unsigned char)lexer->source->text[lexer->at + ahead]
               : -1;
}

static bool is_name_start(int c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

static bool is_name(int c)
{
    return is_name_start(c) || (c >= '0' && c <= '9');
}

static struct mr_where place(const struct lexer *lexer, size_t from, size_t to)
{
    return (struct mr_where){.file = lexer->source->name,
                             .line = lexer->line,
                             .column = (uint32_t)(from - lexer->line_start) + 1,
                             .length = (uint32_t)(to - from)};
}

/* Reports unless looking ahead; the hint may be NULL. */
static void fault(struct lexer *lexer, size_t from, size_t to, const char *text, const char *hint)
{
    struct mr_where where = place(lexer, from, to);
    if (lexer->muted)
        return;
    analog_error(lexer->compile, &where, "%s", text);
    if (hint)
        analog_hint(lexer->compile, "%s", hint);
    lexer->compile->incomplete = true;
}

static void newline(struct lexer *lexer)
{
    lexer->at++;
    lexer->line++;
    lexer->line_start = lexer->at;
    lexer->line_begun = false;
}

static void skip_line(struct lexer *lexer)
{
    while (look(lexer, 0) >= 0 && look(lexer, 0) != '\n')
        lexer->at++;
}

static void skip_comment(struct lexer *lexer)
{
    struct lexer start = *lexer;
    uint32_t depth = 0;

    do {
        int c = look(lexer, 0);
        if (c < 0) {
            fault(&start, start.at, start.at + 2, "this comment does not end",
                  "comments nest: each /* needs its own */");
            return;
        }
        if (c == '/' && look(lexer, 1) == '*') {
            depth++;
            lexer->at += 2;
        } else if (c == '*' && look(lexer, 1) == '/') {
            depth--;
            lexer->at += 2;
        } else if (c == '\n') {
            newline(lexer);
        } else {
            lexer->at++;
        }
    } while (depth);
}

static void skip_blanks(struct lexer *lexer)
{
    for (;;) {
        int c = look(lexer, 0);
        if (c == '\n')
            newline(lexer);
        else if (c == ' ' || c == '\t' || c == '\r' || c == '\f' || c == '\v')
            lexer->at++;
        else if (c == '/' && look(lexer, 1) == '*')
            skip_comment(lexer);
        else if ((c == '/' && look(lexer, 1) == '/') || (c == '%' && look(lexer, 1) == '%'))
            skip_line(lexer);
        else if (c == '#' && !lexer->line_begun && !is_name(look(lexer, 1)))
            skip_line(lexer); /* a comment, as what preprocessors leave behind: # 1 "file" */
        else
            return;
    }
}

static struct token token_of(struct lexer *lexer, enum token_kind kind, size_t from)
{
    struct token token = {.kind = kind,
                          .where = place(lexer, from, lexer->at),
                          .text = lexer->source->text + from,
                          .len = (uint32_t)(lexer->at - from),
                          .first_in_line = !lexer->line_begun};
    lexer->line_begun = true;
    return token;
}

static struct token lex_name(struct lexer *lexer)
{
    size_t from = lexer->at;
    int first = look(lexer, 0);

    while (is_name(look(lexer, 0)))
        lexer->at++;
    if (lexer->at - from > MAX_NAME_BYTES) {
        fault(lexer, from, lexer->at, "this name is too long", "names have at most 128 characters");
        return token_of(lexer, TOK_BAD, from);
    }
    if (first == '_' && lexer->at == from + 1)
        return token_of(lexer, TOK_WILDCARD, from);
    return token_of(lexer, first >= 'a' && first <= 'z' ? TOK_NAME : TOK_VARIABLE, from);
}

/* The value of a number whose digits stand between from and lexer->at. */
static struct token convert_number(struct lexer *lexer, size_t from, size_t end, bool real)
{
    char digits[64];
    struct token token = token_of(lexer, real ? TOK_REAL : TOK_INT, from);
    char *rest;

    if (end - from >= sizeof digits) {
        fault(lexer, from, lexer->at, "this number has too many digits", NULL);
        token.kind = TOK_BAD;
        return token;
    }
    memcpy(digits, lexer->source->text + from, end - from);
    digits[end - from] = '\0';
    errno = 0;
    if (real)
        token.d = strtod(digits, &rest);
    else
        token.i = strtoll(digits, &rest, digits[0] == '0' && (digits[1] | 32) == 'x' ? 16 : 10);
    if (errno == ERANGE && !(real && token.d < 1 && token.d > -1)) {
        fault(lexer, from, lexer->at, "this number is too large",
              real ? "real numbers go up to about 1.79e308; there is also infinity"
                   : "integers have 64 bits: at most 9223372036854775807");
        token.kind = TOK_BAD;
    }
    return token;
}

static void skip_digits(struct lexer *lexer)
{
    while (look(lexer, 0) >= '0' && look(lexer, 0) <= '9')
        lexer->at++;
}

static bool is_digit(int c)
{
    return c >= '0' && c <= '9';
}

static struct token lex_number(struct lexer *lexer)
{
    size_t from = lexer->at, end;
    bool real = false;

    if (look(lexer, 0) == '0' && (look(lexer, 1) | 32) == 'x' && look(lexer, 2) >= 0 &&
        isxdigit(look(lexer, 2))) {
        lexer->at += 2;
        while (look(lexer, 0) >= 0 && isxdigit(look(lexer, 0)))
            lexer->at++;
    } else {
        skip_digits(lexer);
        if (look(lexer, 0) == '.' && is_digit(look(lexer, 1))) {
            real = true;
            lexer->at++;
            skip_digits(lexer);
        }
        int sign = look(lexer, 1) == '+' || look(lexer, 1) == '-';
        if (look(lexer, 0) >= 0 && (look(lexer, 0) | 32) == 'e' &&
            is_digit(look(lexer, 1 + (size_t)sign))) {
            real = true;
            lexer->at += 1 + (size_t)sign;
            skip_digits(lexer);
        }
    }
    end = lexer->at;
    if (!real && (look(lexer, 0) == 'U' || look(lexer, 0) == 'u'))
        lexer->at++;
    if (is_name(look(lexer, 0))) {
        while (is_name(look(lexer, 0)))
            lexer->at++;
        fault(lexer, from, lexer->at, "this is neither a number nor a name",
              "numbers are written 12, 0x1f, 1U, 1.5 or 1.5e3; names begin with a letter");
        return token_of(lexer, TOK_BAD, from);
    }
    return convert_number(lexer, from, end, real);
}

/* What stands behind a backslash: the width of the escape, 0 when there is no such. */
static uint32_t escape(const char *s, size_t len, char *value)
{
    static const char names[] = "ntr0ab\"\\'/fv";
    static const char values[] = "\n\t\r\0\a\b\"\\'/\f\v";

    if (len < 2)
        return 0;
    if (s[1] == 'x') {
        char digits[3] = {0};
        if (len < 4 || !isxdigit((unsigned char)s[2]) || !isxdigit((unsigned char)s[3]))
            return 0;
        memcpy(digits, s + 2, 2);
        *value = (char)strtoul(digits, NULL, 16);
        return 4;
    }
    const char *at = memchr(names, s[1], sizeof names - 1);
    if (!at)
        return 0;
    *value = values[at - names];
    return 2;
}

static struct token lex_string(struct lexer *lexer)
{
    size_t from = lexer->at++;
    bool bad = false;

    for (int c; (c = look(lexer, 0)) != '"';) {
        char value;
        uint32_t width = 1;
        if (c < 0 || c == '\n' || c == '\r') {
            fault(lexer, from, lexer->at, "this string does not end in its line",
                  "a line break in a string is written \\n, a quote \\\"");
            return token_of(lexer, TOK_BAD, from);
        }
        if (c == '\\') {
            width = escape(lexer->source->text + lexer->at, lexer->source->len - lexer->at, &value);
            if (!width) {
                fault(lexer, lexer->at, lexer->at + 2, "there is no such escape in a string",
                      "a backslash is written \\\\; known are \\n \\t \\r \\0 \\\" \\' \\/ \\xHH");
                bad = true;
                width = look(lexer, 1) >= 0 && look(lexer, 1) != '\n' ? 2 : 1;
            }
        }
        lexer->at += width;
    }
    lexer->at++;
    return token_of(lexer, bad ? TOK_BAD : TOK_STRING, from);
}

char *analog_unescape(struct compile *compile, const char *raw, uint32_t raw_len, uint32_t *len)
{
    char *text = analog_keep(compile, (size_t)raw_len + 1);
    uint32_t n = 0;

    for (uint32_t i = 0; text && i < raw_len;) {
        uint32_t width = raw[i] == '\\' ? escape(raw + i, raw_len - i, &text[n]) : 0;
        if (!width) {
            text[n] = raw[i];
            width = 1;
        }
        n++;
        i += width;
    }
    if (text)
        text[n] = '\0';
    *len = n;
    return text;
}

uint32_t analog_raw_offset(const char *raw, uint32_t raw_len, uint32_t offset, uint32_t *raw_width)
{
    uint32_t i = 0, width = 1;
    char value;

    for (uint32_t n = 0; i < raw_len; n++) {
        width = raw[i] == '\\' ? escape(raw + i, raw_len - i, &value) : 1;
        if (!width)
            width = 1;
        if (n == offset)
            break;
        i += width;
    }
    *raw_width = i < raw_len ? width : 1;
    return i;
}

static bool is_path(int c)
{
    return is_name(c) || c == '/' || c == '.' || c == '-' || c == '+' || c == '~';
}

struct token analog_lex_path(struct lexer *lexer)
{
    size_t from = lexer->at;

    while (is_path(look(lexer, 0)))
        lexer->at++;
    while (lexer->at > from && lexer->source->text[lexer->at - 1] == '.')
        lexer->at--; /* the full stop of a statement */
    if (lexer->at == from) {
        fault(lexer, from - 1, from, "expected the path of a file behind @",
              "write @\"path\" or @folder/name.ext");
        return token_of(lexer, TOK_BAD, from);
    }
    return token_of(lexer, TOK_FILE, from);
}

bool analog_lex_same_line(const struct lexer *lexer)
{
    struct lexer ahead = *lexer;
    uint32_t line = ahead.line;

    ahead.muted = true;
    skip_blanks(&ahead);
    return ahead.line == line && look(&ahead, 0) >= 0;
}

/* Bytes that begin no token, reported together. */
static struct token lex_bad(struct lexer *lexer)
{
    size_t from = lexer->at;
    int first = look(lexer, 0);
    const char *hint = first == '\''  ? "strings are written with double quotes"
                       : first == ';' ? "terms are separated by , and a rule ends with ."
                       : first > 126  ? "outside of strings and comments only ASCII is understood"
                                      : NULL;

    do
        lexer->at++;
    while (look(lexer, 0) == first || (first > 126 && look(lexer, 0) > 126));
    fault(lexer, from, lexer->at, "this does not belong to the language", hint);
    return token_of(lexer, TOK_BAD, from);
}

/* 'text' up to the second quote, if it stands in the same line. */
static struct token lex_quote(struct lexer *lexer)
{
    size_t from = lexer->at, end = 1;

    while (look(lexer, end) >= 0 && look(lexer, end) != '\'' && look(lexer, end) != '\n')
        end++;
    lexer->at += look(lexer, end) == '\'' ? end + 1 : 1;
    fault(lexer, from, lexer->at, "this does not belong to the language",
          "strings are written with double quotes");
    return token_of(lexer, TOK_BAD, from);
}

static struct token lex_mark(struct lexer *lexer)
{
    static const struct {
        char text[3];
        enum token_kind kind;
    } marks[] = {
        {":-", TOK_IMPLIES}, {":=", TOK_ASSIGN}, {"==", TOK_EQ},    {"!=", TOK_NE},
        {"<>", TOK_NE},      {"<=", TOK_LE},     {">=", TOK_GE},    {"<<", TOK_SHL},
        {">>", TOK_SHR},     {"&&", TOK_ANDAND}, {"||", TOK_OROR},  {"(", TOK_LPAREN},
        {")", TOK_RPAREN},   {"{", TOK_LBRACE},  {"}", TOK_RBRACE}, {"[", TOK_LBRACKET},
        {"]", TOK_RBRACKET}, {",", TOK_COMMA},   {".", TOK_DOT},    {":", TOK_COLON},
        {"@", TOK_AT},       {"=", TOK_SINGLE},  {"<", TOK_LT},     {">", TOK_GT},
        {"+", TOK_PLUS},     {"-", TOK_MINUS},   {"*", TOK_STAR},   {"/", TOK_SLASH},
        {"%", TOK_PERCENT},  {"&", TOK_AND},     {"|", TOK_OR},     {"^", TOK_XOR},
        {"~", TOK_TILDE},    {"!", TOK_NOT},
    };
    size_t from = lexer->at;

    for (size_t i = 0; i < sizeof marks / sizeof *marks; i++) {
        if (look(lexer, 0) != marks[i].text[0] ||
            (marks[i].text[1] && look(lexer, 1) != marks[i].text[1]))
            continue;
        lexer->at += marks[i].text[1] ? 2 : 1;
        return token_of(lexer, marks[i].kind, from);
    }
    return lex_bad(lexer);
}

struct token analog_lex(struct lexer *lexer)
{
    if (analog_enough(lexer->compile))
        lexer->at = lexer->source->len;
    skip_blanks(lexer);
    int c = look(lexer, 0);
    if (c < 0)
        return token_of(lexer, TOK_END, lexer->at);
    if (is_name_start(c))
        return lex_name(lexer);
    if (is_digit(c))
        return lex_number(lexer);
    if (c == '"')
        return lex_string(lexer);
    if (c == '\'')
        return lex_quote(lexer);
    if (c == '#' && !lexer->line_begun) {
        size_t from = lexer->at++;
        while (is_name(look(lexer, 0)))
            lexer->at++;
        return token_of(lexer, TOK_DIRECTIVE, from);
    }
    return lex_mark(lexer);
}
